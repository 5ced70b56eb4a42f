/**
 * What people install is bundled: each bundle is made here of the sources, and none is written.
 */
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { rolldown } from "rolldown"
import configuration from "../rolldown.config.ts"

const sources = join(import.meta.dirname, "..", "src")

/** The source that the compiler makes an input of. */
const sourceOf = (input: string): string => join(sources, input.replace(/^dist\//, "").replace(/\.js$/, ".ts"))

describe("the build", () => {
  for (const options of configuration) {
    it(`makes one script of ${String(options.input)}`, { timeout: 120_000 }, async () => {
      const bundle = await rolldown({ ...options, input: sourceOf(String(options.input)) })
      const { output } = await bundle.generate([options.output].flat()[0])
      await bundle.close()
      assert.deepStrictEqual(output.filter(({ type }) => type === "chunk").length, 1)
    })
  }
})
