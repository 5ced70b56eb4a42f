/** Programs with many sessions: `manySessions.ts`, made into one file as the executables are. */
import { join, resolve } from "node:path"
import { build } from "rolldown"
import type { Command } from "./Processes.ts"

const repository = resolve(import.meta.dirname, "../..")
const bundled = join(repository, "dist/bench/sessions.js")
let made = false

/** Makes the file; once a run. */
export const bundle = async (): Promise<void> => {
  if (made) return
  await build({
    input: join(import.meta.dirname, "manySessions.ts"),
    platform: "node",
    external: [/^@napi-rs\//, /^@serenity-kit\//],
    output: { file: bundled, format: "esm", codeSplitting: false }
  })
  made = true
}

/** One process with so many sessions of that server. */
export const sessions = (
  mode: "upload" | "hold" | "login",
  server: string,
  passwordFile: string,
  count: number,
  file?: string
): Command => {
  const args = [mode, server, passwordFile, String(count)]
  return { argv: [process.execPath, bundled, ...args, ...(file === undefined ? [] : [file])] }
}
