import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // Processes, not threads: the tests start processes and listen to signals themselves.
    pool: "forks",
    // A hang is a failure, well before a person gives up; the slowest honest test is an end-to-end run.
    testTimeout: 30_000,
    hookTimeout: 30_000,
    // A test that was focused or a file without tests must not pass for the whole.
    allowOnly: false,
    passWithNoTests: false
  }
})
