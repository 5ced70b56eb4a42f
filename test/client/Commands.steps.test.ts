/**
 * Commands that are interrupted at one of their steps: the session goes on, files are as before or whole, and the same
 * command comes to its end.
 */
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as Client from "../../src/client/Client.ts"
import * as Commands from "../../src/client/Commands.ts"
import * as LocalFilesMemory from "../../src/client/LocalFilesMemory.ts"
import * as ReporterJson from "../../src/client/ReporterJson.ts"
import { Screen } from "../../src/client/Screen.ts"
import { Sessions } from "../../src/client/Sessions.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import { resumeBytesMin } from "../../src/domain/limits.ts"
import { FileStore } from "../../src/domain/store/FileStore.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import { MemoryNetwork } from "../../src/domain/testing/MemorySocket.ts"
import { layer as server, settle, Watch } from "../server/world.ts"
import { interruptedAt } from "../steps.ts"

const newer = new Uint8Array(2 * resumeBytesMin).map((_, index) => (index * index) >> 5)
const older = newer.slice().fill(1, 10, 20)
const small = new Uint8Array(2_000)

const tree = { dryRun: false, remove: true, checksum: false, include: [], exclude: [] }
const files = (content: Uint8Array) => ({ "t/large": content, "t/a/small": small.slice().fill(content[15] ?? 0) })

const named = Object.entries(files(older)).map(([name, content]) => ({ name: FileName.make(name), content }))
const sessions = Layer.unwrap(
  Effect.map(MemoryNetwork, ({ dial }) => Sessions.layer(Client.connect({ server: "memory", dial, ...Fixture.ada })))
)
const world = Layer.mergeAll(sessions, LocalFilesMemory.layer(), ReporterJson.layer("")).pipe(
  Layer.provideMerge(Screen.layerMemory({ written: { out: "", err: "" } })),
  Layer.provideMerge(Layer.merge(server({ files: named }), NodeCrypto.layerSecureRandom))
)

const atServer = (name: string) =>
  Effect.flatMap(FileStore, ({ open }) =>
    Effect.scoped(Effect.flatMap(open(FileName.make(name)), ({ entry, read }) => read(0, entry.size)))
  )

const isOneOf = (content: Uint8Array | undefined, all: ReadonlyArray<Uint8Array | undefined>) =>
  all.some((one) => one !== undefined && content !== undefined && Buffer.compare(one, content) === 0)

/** Which content is at the other end, by name. */
const sent = Effect.all({ "t/large": atServer("t/large"), "t/a/small": atServer("t/a/small") })
const got = Effect.map(LocalFilesMemory.MemoryFiles, (local) => ({
  "t/large": local.get("t/large")?.bytes,
  "t/a/small": local.get("t/a/small")?.bytes
}))

const cases = {
  upload: { command: { _tag: "Upload", files: ["t"], as: undefined, tree }, here: newer, result: sent, to: newer },
  para: { command: { _tag: "Para", files: ["t"], as: undefined, tree }, here: newer, result: sent, to: newer },
  download: { command: { _tag: "Download", names: ["t"], to: undefined, tree }, here: newer, result: got, to: older }
} as const

const runsMax = 8

describe("a command that is interrupted, wherever it is,", () => {
  for (const [title, { command, here, result, to }] of Object.entries(cases)) {
    const at = (step: number) =>
      Effect.gen(function* () {
        const local = yield* LocalFilesMemory.MemoryFiles
        for (const [path, bytes] of Object.entries(files(here))) local.set(path, { bytes, modified: 60_000 })
        const all = yield* Sessions
        const session = yield* all.session
        const more = yield* interruptedAt(Commands.run(command), step)
        const [before, after] = [files(here === to ? older : here), files(to)]
        const found = yield* result
        for (const name of ["t/large", "t/a/small"] as const) {
          assert.isTrue(isOneOf(found[name], [before[name], after[name]]), `${name} at ${step}`)
        }
        assert.isTrue(yield* Commands.run(command), String(step))
        assert.strictEqual(yield* all.session, session, String(step))
        const last = yield* result
        for (const name of ["t/large", "t/a/small"] as const) assert.isTrue(isOneOf(last[name], [after[name]]))
        yield* settle
        assert.deepStrictEqual((yield* Watch).held, { stagings: 0, files: 0 }, String(step))
        return more
      }).pipe(Effect.provide(world))

    it.live(`leaves the session and both ends as they may be: ${title}`, () =>
      Effect.gen(function* () {
        let end = 64
        while (yield* at(end)) end *= 2
        for (let run = 0; run < runsMax; run += 1) yield* at(1 + Math.floor((run * end) / runsMax))
      })
    )
  }
})
