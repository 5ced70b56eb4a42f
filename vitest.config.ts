import { join } from "node:path"
import { defineConfig } from "vitest/config"

/** What is published under a name, for docs/examples, which use the package as everybody does. */
const published = (name: string, path: string) => ({
  find: new RegExp(`^${name}$`),
  replacement: join(import.meta.dirname, "src", path)
})

export default defineConfig({
  resolve: {
    alias: [
      published("paradrop", "domain/index.ts"),
      published("paradrop/node", "domain/node.ts"),
      published("paradrop/testing", "domain/testing/index.ts"),
      published("paradrop/server", "server/index.ts"),
      published("paradrop/server/testing", "server/testing/index.ts"),
      published("paradrop/client", "client/index.ts"),
      published("paradrop/client/node", "client/node.ts"),
      published("paradrop/client/testing", "client/testing/index.ts")
    ]
  },
  test: {
    include: ["test/**/*.test.ts"],
    // Processes, not threads: the tests start processes and listen to signals themselves.
    pool: "forks",
    // Most of the time goes into processes that the tests start and wait for: two files at once even on two cores.
    maxWorkers: 2,
    // No test changes a module: loading Effect once for each worker instead of once for each file saves 40 CPU seconds.
    isolate: false,
    // A hang is a failure, well before a person gives up; the slowest honest test is an end-to-end run.
    testTimeout: 30_000,
    hookTimeout: 30_000,
    // A test that was focused or a file without tests must not pass for the whole.
    allowOnly: false,
    passWithNoTests: false
  }
})
