#!/usr/bin/env node
import { launch } from "../launch.ts"

await launch("paradrop", () => import("./StartNode.ts").then(({ start }) => start(process.argv.slice(2), process.env)))
