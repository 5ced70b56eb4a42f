/**
 * Whole trees against a server that lies: whatever it says, a command ends, nothing that was here is lost, what comes
 * is what was sent, and no byte of the server's reaches the terminal as it is.
 */
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Layer, type Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Client from "../../src/client/Client.ts"
import * as Commands from "../../src/client/Commands.ts"
import * as LocalFilesMemory from "../../src/client/LocalFilesMemory.ts"
import * as Reconnect from "../../src/client/Reconnect.ts"
import * as ReporterJson from "../../src/client/ReporterJson.ts"
import * as ReporterText from "../../src/client/ReporterText.ts"
import { Screen } from "../../src/client/Screen.ts"
import { Sessions } from "../../src/client/Sessions.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as HostileServer from "../../src/domain/testing/HostileServer.ts"
import { pair } from "../../src/domain/testing/MemorySocket.ts"
import { quickCrypto } from "../crypto.ts"
import { settle } from "../server/world.ts"
import * as Liar from "./liar.ts"

const { pick } = Liar

type Services = Layer.Success<typeof quickCrypto>

/** Sessions with the liar, as many as it takes. */
const sessionsWith = Effect.fnUntraced(function* (liar: ReturnType<typeof Liar.make>) {
  const services = yield* Effect.context<Scope.Scope | Services>()
  const registered = yield* Fixture.registered
  const dial = Effect.gen(function* () {
    const [near, far] = yield* pair
    const greeted = Effect.flatMap(HostileServer.greet(far, registered), (session) =>
      Effect.andThen(Effect.ignore(Liar.script(liar, session)), Effect.never)
    )
    yield* Effect.forkScoped(Effect.ignore(Effect.scoped(greeted)))
    return near
  }).pipe(Effect.provideContext(services))
  return Sessions.layer(Client.connect({ server: "liar", dial, ...Fixture.ada }))
})

/** Gives what files there were and are here. */
const lied = Effect.fnUntraced(function* (
  random: () => number,
  liar: ReturnType<typeof Liar.make>,
  command: Commands.Command
) {
  const written = { out: "", err: "" }
  const reporter = pick(random, [ReporterJson.layer(""), ReporterText.layer("")])
  const layer = Layer.mergeAll(yield* sessionsWith(liar), LocalFilesMemory.layer(), reporter).pipe(
    Layer.provideMerge(Screen.layerMemory({ written })),
    Layer.provideMerge(Layer.merge(quickCrypto, NodeCrypto.layerSecureRandom))
  )
  return yield* Effect.gen(function* () {
    const files = yield* LocalFilesMemory.MemoryFiles
    const put = (path: string, index: number) => {
      const bytes = Liar.contents[index] ?? new Uint8Array()
      files.set(path, { bytes, modified: 1000 + bytes.length })
    }
    for (const path of ["here/docs/a", "here/docs/old", "here/keep", "elsewhere", "docs/a"]) {
      put(path, Math.floor(random() * 7))
    }
    put("here/docs/big", 7)
    for (let index = 0; index < 7; index += 1) put(`docs/sub/f${index}`, index)
    const before = new Map(files)
    const isShell = random() < 0.5
    const sessions = isShell ? yield* Reconnect.ofOneCommand(yield* Sessions) : yield* Sessions
    const run = Effect.scoped(Commands.run(command)).pipe(
      Effect.provideService(Reconnect.Persistence, isShell),
      Effect.provideService(Sessions, sessions)
    )
    const fiber = yield* Effect.forkChild(Effect.exit(run))
    // A day is how long one is believed that only lives.
    for (let step = 0; fiber.pollUnsafe() === undefined && step < 3000; step += 1) {
      yield* settle
      if (step > 600) yield* TestClock.adjust(50_000)
      else if (step % 5 === 0) yield* TestClock.adjust(1000)
    }
    const ended = fiber.pollUnsafe() !== undefined
    yield* Fiber.interrupt(fiber)
    const outcome = ended ? yield* Fiber.join(fiber) : Exit.succeed(false)
    return { ended, outcome, before, after: new Map(files), shown: written.out + written.err }
  }).pipe(Effect.provide(layer))
}, Effect.scoped)

const commandOf = (random: () => number): Commands.Command => {
  const tree = { include: [], exclude: [], dryRun: random() < 0.1, remove: random() < 0.5, checksum: random() < 0.5 }
  const download = { _tag: "Download", to: "here", tree } as const
  return pick<Commands.Command>(random, [
    { ...download, names: ["docs"] },
    { ...download, names: ["docs", "a"] },
    { ...download, names: ["docs/.", "docs"] },
    { ...download, names: ["docs/*"] },
    { ...download, names: ["docs/sub", "other"] },
    { _tag: "Upload", files: ["docs"], as: undefined, tree },
    { _tag: "Para", files: ["docs"], as: undefined, tree },
    { _tag: "Verify", name: "docs/sub/f1", file: "docs/sub/f1" },
    { _tag: "Fetch", pattern: pick(random, [undefined, "docs/**"]), digests: random() < 0.5 }
  ])
}

// oxlint-disable-next-line no-control-regex
const unsafe = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b\u2028-\u202e]/

/** What is wrong with what has come of it. */
const wrong = (
  { after, before, ended, outcome, shown }: Effect.Success<ReturnType<typeof lied>>,
  { sent }: ReturnType<typeof Liar.make>,
  removes: boolean
): ReadonlyArray<string> => [
  ...(ended ? [] : ["it does not end"]),
  ...(Exit.isFailure(outcome) && !outcome.cause.reasons.every(Cause.isFailReason) ? [`${outcome.cause}`] : []),
  ...(unsafe.test(shown) ? [`shown as it is: ${JSON.stringify(shown)}`] : []),
  ...Array.from(before.keys())
    .filter((path) => !after.has(path) && !(removes && path.startsWith("here/")))
    .map((path) => `${path} is lost`),
  ...Array.from(after)
    .filter(([path, { bytes }]) => {
      if (before.get(path)?.bytes === bytes) return false
      const name = path.slice("here/".length)
      const wasSent = [name, `docs/${name}`].some((one) => sent.has(Liar.noted(one, bytes)))
      return !path.startsWith("here/") || !wasSent
    })
    .map(([path]) => `${path} is not what was sent`)
]

describe("a tree against a liar", () => {
  it.effect(
    "ends, loses nothing, and takes only what was sent",
    () =>
      Effect.gen(function* () {
        for (let seed = 1; seed <= 240; seed += 1) {
          const random = Fixture.seeded(seed)
          const liar = Liar.make(random, pick(random, [0, 0.02, 0.05, 0.1, 0.25]))
          const command = commandOf(random)
          const removes = command._tag === "Download" && command.tree?.remove === true
          const faults = wrong(yield* lied(random, liar, command), liar, removes)
          assert.deepStrictEqual(faults, [], `seed ${seed}: ${JSON.stringify(command)}`)
        }
      }).pipe(Effect.provide(quickCrypto)),
    120_000
  )
})
