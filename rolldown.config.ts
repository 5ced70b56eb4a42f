/**
 * The two executables, each as one file: a start reads one file instead of hundreds, and holds only what it uses.
 *
 * Measured on Node 26: 0.25 s and 91 MiB for `--help` instead of 0.61 s and 120 MiB.
 */
import { defineConfig } from "rolldown"

const executable = (name: string) => ({
  input: `dist/${name}/main.js`,
  platform: "node" as const,
  // Prebuilt native code and WebAssembly stay in their packages.
  external: [/^@napi-rs\//, /^@serenity-kit\//],
  output: { file: `dist/${name}/main.js`, format: "esm" as const }
})

export default defineConfig([executable("client"), executable("server")])
