/**
 * The documents: their links lead somewhere, and their examples are what runs.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { manualSections } from "../src/client/ClientConfig.ts"
import { ConnectFailed, LoginIncorrect } from "../src/client/ClientError.ts"
import { NameRule } from "../src/domain/file/FileName.ts"
import { pieceBytes, rangeBytes } from "../src/domain/file/Packed.ts"
import * as limits from "../src/domain/limits.ts"
import { example, text } from "./protocolExample.ts"
import * as client from "../src/client/index.ts"
import * as ClientNode from "../src/client/node.ts"
import * as clientTesting from "../src/client/testing/index.ts"
import * as server from "../src/server/index.ts"
import * as serverTesting from "../src/server/testing/index.ts"
import * as core from "../src/domain/index.ts"
import * as testing from "../src/domain/testing/index.ts"
import { checkStore } from "./ownLayers.ts"
import { tableOf } from "./tables.ts"
import { roundTrip } from "./testing.ts"

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
  read(document)
    .split(`<!-- ${marker} -->`)[1]
    ?.match(/```\w*\n([\s\S]*?)\n```/)?.[1]

/** As a document's readers see their headings linked. */
const anchorsOf = (markdown: string): ReadonlyArray<string> =>
  Array.from(markdown.matchAll(/^#+ (.+)$/gm), ([, heading = ""]) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-")
  )

/** A part of a test as those who install the package write it. */
const published = (path: string, marker: string): string =>
  (read(path).split(`// [${marker}\n`)[1]?.split(`\n// ${marker}]`)[0] ?? "")
    .replace(/"\.\.\/src\/domain\/index\.ts"/, `"paradrop"`)
    .replace(/"\.\.\/src\/domain\/node\.ts"/, `"paradrop/node"`)
    .replace(/"\.\.\/src\/(?:domain\/)?(\w+)\/index\.ts"/g, `"paradrop/$1"`)

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

  it("ARCHITECTURE.md names bounds that there are", () => {
    const section = read("docs/ARCHITECTURE.md").split("## Where memory is bounded")[1]?.split("\n## ")[0] ?? ""
    const names = Array.from(section.matchAll(/`(\w+)`/g), ([, name = ""]) => name).filter((name) =>
      /[a-z]$/.test(name)
    )
    const sources = read("src/domain/limits.ts") + read("src/domain/channel/HandshakeMessage.ts")
    assert.isAbove(names.length, 10)
    for (const name of names) assert.match(sources, new RegExp(`export const ${name}\\b`), name)
  })

  it("OPERATIONS.md gives fixed limits their values", () => {
    const rows = tableOf("docs/OPERATIONS.md", "limit")
    const values = new Map<string, unknown>(Object.entries(limits))
    assert.isAbove(rows.length, 80)
    for (const [name = "", value] of rows) assert.strictEqual(value, String(values.get(name)), name)
  })

  it("PROTOCOL.md says how much of what is packed one message holds", () => {
    const packed = limits.packedBytesMax
    const [ranges, pieces] = [Math.floor(packed / rangeBytes), Math.floor(packed / pieceBytes)]
    const row = `| packed ranges or pieces in a message | ${packed}: ${ranges} ranges or ${pieces} pieces |`
    assert.include(read("docs/PROTOCOL.md").split("\n"), row)
  })

  it("PROTOCOL.md lists the rules of names in the order in which they are checked", () => {
    const rules = tableOf("docs/PROTOCOL.md", "rule").map(([rule = ""]) => rule)
    assert.deepStrictEqual(rules, [...NameRule.literals])
  })

  it("every service that an exported effect needs is exported, and so is what a session's types name", () => {
    const hidden = read("docs/api/inner.md")
    assert.notInclude(hidden, "Context.ServiceClass")
    for (const module of ["client/Bundles", "client/Pipes", "client/ServerAddress", "server/EndReason"])
      assert.notInclude(hidden, `## ${module}\n`)
  })

  it("EMBEDDING.md shows parts of programs that are tested", () => {
    const markers = Array.from(read("docs/EMBEDDING.md").matchAll(/<!-- (examples\/\S+)#(\w+) -->/g))
    assert.isAtLeast(markers.length, 6)
    for (const [, path = "", part = ""] of markers) {
      const shown = blockAfter("docs/EMBEDDING.md", `${path}#${part}`)
      assert.strictEqual(shown, published(`docs/${path}`, part), `${path}#${part}`)
    }
    // A server inside another application takes this many lines, and no more.
    assert.isBelow(blockAfter("docs/EMBEDDING.md", "examples/embed.ts#server")?.split("\n").length ?? 99, 15)
  })

  it("session.svg is a picture of session.txt", () => {
    const shown = Array.from(read("docs/session.svg").matchAll(/<text[^>]*>(.*?)<\/text>/g), ([, line = ""]) =>
      line
        .replace(/<[^>]*>/g, "")
        .replaceAll("&lt;", "<")
        .replaceAll("&gt;", ">")
        .replaceAll("&amp;", "&")
        .trimEnd()
    )
    assert.deepStrictEqual(shown, read("docs/session.txt").trimEnd().split("\n"))
    assert.match(shown.join("\n"), /^upload .*\[#+\.+\]  \d\d %/m)
  })

  it("CLIENT.md has the exit codes that the manual page has", () => {
    const section = manualSections.find(({ title }) => title === "Exit status")
    const codes = Array.from(read("docs/CLIENT.md").matchAll(/^\| (\d+(?:, \d+)*) \| /gm), ([, code]) => code)
    assert.deepStrictEqual(
      codes,
      section?.items.map(([code]) => code)
    )
  })

  it("CLIENT.md says of a first try that fails what the client says", () => {
    const rows = tableOf("docs/CLIENT.md", "what happened").map(([, said = ""]) => said.replaceAll("`", ""))
    const [server, code] = ["HOST:PORT", "code"]
    const reasons = [
      "connection-refused",
      "name-not-found",
      "unreachable",
      "timeout",
      "not-paradrop",
      "other-version"
    ] as const
    const said = reasons.map((reason) => new ConnectFailed({ server, reason, code }).message.replace(" (code)", ""))
    assert.deepStrictEqual(rows.slice(0, said.length), said)
    assert.strictEqual(rows[said.length], new LoginIncorrect({ user: "USER", attemptsLeft: 1 }).message)
    const assumed = new LoginIncorrect({ user: "default", attemptsLeft: 1, assumed: true })
    assert.strictEqual(rows[said.length + 1], assumed.message)
  })

  it("every port that has a contract suite, and its suite, can be imported from the package", () => {
    const modules = { ...core, ...server, ...client, ...testing, ...serverTesting, ...clientTesting }
    const rows = tableOf("docs/TESTING.md", "port").map((row) => row.map((cell) => /\w+/.exec(cell)?.[0] ?? ""))
    assert.isAbove(rows.length, 7)
    for (const [port = "", suite = ""] of rows) assert.containsAllKeys(modules, [port, suite])
  })

  it("whatever the shell needs can be provided by those who import it", () => {
    const provided = [ClientNode.HistoryNode.layer, ClientNode.LineEditorNode.layer, ClientNode.WorkingFolderNode.layer]
    assert.isTrue(provided.every(Layer.isLayer))
    assert.isTrue([client.History.History, client.WorkingFolder.WorkingFolder].every(Context.isKey))
  })

  it.effect("README.md shows a test that passes", () =>
    Effect.gen(function* () {
      assert.strictEqual(blockAfter("README.md", "testing"), published("test/testing.ts", "testing"))
      const { described, uploaded } = yield* roundTrip
      assert.strictEqual(described.size, 5)
      assert.strictEqual(described.digest, uploaded.digest)
    })
  )

  it.effect("TESTING.md shows how to hold a store to the session model", () =>
    Effect.gen(function* () {
      assert.strictEqual(blockAfter("docs/TESTING.md", "own-layers"), published("test/ownLayers.ts", "own-layers"))
      assert.strictEqual(yield* checkStore(core.FileStoreMemory.layer()), 20)
    })
  )
})
