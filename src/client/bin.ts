#!/usr/bin/env node
import { launch } from "../launch.ts"

await launch("paradrop", async () => {
  // A connection that cannot be dialled ahead is dialled by the program, which says what is wrong.
  await import("./DialAheadNode.ts").then(({ begin }) => begin(process.argv.slice(2), process.env)).catch(() => {})
  await import("./ProgramNode.ts").then(({ start }) => start(process.argv.slice(2)))
})
