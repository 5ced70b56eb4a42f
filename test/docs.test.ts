/**
 * The documents: their links lead somewhere, and their examples are what runs.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { example, text } from "./protocolExample.ts"

const root = join(import.meta.dirname, "..")
const read = (path: string): string => readFileSync(join(root, path), "utf8")

const documents = [
  "README.md",
  "SECURITY.md",
  ...readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".md"))
    .map((path) => `docs/${path}`)
]

/** The first fenced block behind a marker. */
const blockAfter = (document: string, marker: string): string | undefined =>
  read(document).split(`<!-- ${marker} -->`)[1]?.match(/```\w*\n([\s\S]*?)\n```/)?.[1]

/** As a document's readers see their headings linked. */
const anchorsOf = (markdown: string): ReadonlyArray<string> =>
  Array.from(markdown.matchAll(/^#+ (.+)$/gm), ([, heading = ""]) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-")
  )

const withoutCode = (markdown: string): string => markdown.replace(/```[\s\S]*?```/g, "")

describe("documents", () => {
  for (const document of documents) {
    it(`${document} links to what is there`, () => {
      const targets = Array.from(withoutCode(read(document)).matchAll(/\]\(([^)\s]+)\)/g), ([, target = ""]) => target)
      for (const target of targets.filter((link) => !/^https?:/.test(link))) {
        const [path = "", anchor] = target.split("#")
        const file = path === "" ? document : join(dirname(document), path)
        assert.isTrue(existsSync(join(root, file)), `${document}: ${target}`)
        if (anchor !== undefined) assert.include(anchorsOf(read(file)), anchor, `${document}: ${target}`)
      }
    })
  }

  it.effect("PROTOCOL.md shows the bytes of its example", () =>
    Effect.gen(function* () {
      assert.strictEqual(blockAfter("docs/PROTOCOL.md", "example"), text(yield* example))
    })
  )
})
