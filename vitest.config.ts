import { defineConfig } from "vitest/config"

export default defineConfig({
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
