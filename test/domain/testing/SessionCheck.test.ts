/**
 * Servers against the model of one, and a model that finds what is broken.
 */
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Clock, Duration, Effect, Latch, Layer, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as CipherNode from "../../../src/domain/channel/CipherNode.ts"
import * as KemNode from "../../../src/domain/channel/KemNode.ts"
import { Opaque } from "../../../src/domain/channel/Opaque.ts"
import { Digest, digestOf } from "../../../src/domain/file/Digest.ts"
import * as DigestNode from "../../../src/domain/file/DigestNode.ts"
import { signatureKeyBytes } from "../../../src/domain/limits.ts"
import type { Disk } from "../../../src/domain/store/Disk.ts"
import * as FileStoreDisk from "../../../src/domain/store/FileStoreDisk.ts"
import { FileStore } from "../../../src/domain/store/FileStore.ts"
import * as FileStoreMemory from "../../../src/domain/store/FileStoreMemory.ts"
import { NoSuchFile } from "../../../src/domain/store/StoreError.ts"
import * as FaultySocket from "../../../src/domain/testing/FaultySocket.ts"
import * as MemoryDisk from "../../../src/domain/testing/MemoryDisk.ts"
import * as SessionModel from "../../../src/domain/testing/SessionModel.ts"
import * as SessionSpeech from "../../../src/domain/testing/SessionSpeech.ts"
import { temporaryDisk } from "../store/temporaryDisk.ts"
import * as Fixture from "../../../src/domain/testing/Fixture.ts"
import * as MemorySocket from "../../../src/domain/testing/MemorySocket.ts"
import * as SessionCheck from "../../../src/domain/testing/SessionCheck.ts"
import * as SessionScript from "../../../src/domain/testing/SessionScript.ts"
import * as Server from "../../../src/server/Server.ts"

const worldWith = <E>(store: Layer.Layer<FileStore, E, Digest>) =>
  Server.layer.pipe(
    Layer.provideMerge(MemorySocket.layer),
    Layer.provide([store, Layer.orDie(Fixture.accounts)]),
    Layer.provideMerge([CipherNode.layer, DigestNode.layer, KemNode.layer, Opaque.layerQuick])
  )

const holds = <E>(world: Layer.Layer<SessionCheck.World, E>, runs: number) =>
  Effect.gen(function* () {
    assert.strictEqual(yield* SessionCheck.check(world, { runs }), runs)
  })

const onDisk = <E>(disk: Layer.Layer<Disk, E>) =>
  worldWith(FileStoreDisk.layer().pipe(Layer.provide([disk, Layer.orDie(NodeCrypto.layerSecureRandom)])))

/** Every byte of either direction arrives, in small pieces. */
const inPieces = Layer.effect(
  MemorySocket.MemoryNetwork,
  Effect.map(MemorySocket.MemoryNetwork, ({ dial }) => {
    let seed = 0
    const faults = { fragmentBytesMax: 5_000 }
    const wrapped = Effect.map(dial, (socket) =>
      FaultySocket.wrap(socket, { seed: ++seed, reads: faults, writes: faults })
    )
    return MemorySocket.MemoryNetwork.of({ dial: wrapped })
  })
)

describe("the server does what the model does", () => {
  it.effect("over the store in memory", () => holds(worldWith(FileStoreMemory.layer()), 60))
  it.effect("over a disk in memory", () => holds(onDisk(MemoryDisk.layer()), 30))
  it.effect("over the real disk", () => holds(onDisk(temporaryDisk()), 6))
  it.effect("over sockets that cut everything into pieces", () =>
    holds(Layer.provideMerge(inPieces, worldWith(FileStoreMemory.layer())), 10)
  )
})

describe("a script", () => {
  it("is said in words", () => {
    assert.strictEqual(
      SessionScript.show({ client: 1, action: { _tag: "Put", name: 1, file: 2 } }),
      `client 1: Put {"name":"b/c","file":2}`
    )
    assert.strictEqual(SessionScript.show({ client: 0, action: { _tag: "Bye" } }), "client 0: Bye {}")
  })

  it.effect("reaches every answer of the protocol", () =>
    Effect.gen(function* () {
      const digest = yield* Digest
      const heard = new Set<string>()
      const scripts = yield* Arbitrary.sampleEffect(SessionScript.arbitrary, { count: 2_000, size: 40, seed: 1 })
      for (const script of scripts) {
        const model = SessionModel.make(digest)
        const speakers = new Map<number, SessionSpeech.Speaker>()
        for (const { action, client } of script) {
          const speaker = speakers.get(client) ?? SessionSpeech.newSpeaker()
          speakers.set(client, speaker)
          for (const said of SessionSpeech.utter(model, speaker, action)) {
            for (const answer of SessionModel.hear(model, speaker.session, said)) {
              const message =
                answer._tag === "Keyed"
                  ? answer.message(new Uint8Array(signatureKeyBytes))
                  : answer._tag === "Message"
                    ? answer.message
                    : undefined
              heard.add(message?._tag === "Refused" ? message.reason : (message?._tag ?? answer._tag))
              if (answer._tag === "Ended" || answer._tag === "Lost") speakers.delete(client)
            }
          }
        }
      }
      const expected =
        "BundleDone BundleSending Closing Content Described Ended FileRefused Listing Lost Pieces Pong " +
        "Proceed Removed Renamed SameFileHere SameFileNotHere Sending Sent SuccessfullyParallelized Uploaded " +
        "already-exists cancelled conflict digest-mismatch name-collision no-such-file not-a-file size-mismatch"
      assert.strictEqual([...heard].toSorted().join(" "), expected)
    }).pipe(Effect.provide(DigestNode.layer))
  )
})

/** The store in memory with one thing broken. */
const broken = (spoil: (store: FileStore["Service"], digest: Digest["Service"]) => Partial<FileStore["Service"]>) =>
  worldWith(
    Layer.effect(
      FileStore,
      Effect.gen(function* () {
        const store = yield* FileStoreMemory.make()
        return FileStore.of({ ...store, ...spoil(store, yield* Digest) })
      })
    )
  )

const breakages = {
  "changes the last byte of what it reads": {
    seed: 3,
    world: broken((store) => ({
      open: (name) =>
        Effect.map(store.open(name), (file) => ({
          ...file,
          read: (offset, length) =>
            Effect.map(file.read(offset, length), (bytes) =>
              bytes.map((byte, index) => (offset + index === file.entry.size - 1 && index > 0 ? byte ^ 1 : byte))
            )
        }))
    })),
    steps: [`client 0: Put {"name":"a","file":2}`]
  },
  "commits what has the wrong digest": {
    seed: 6,
    world: broken((store, digest) => ({
      stage: (request) =>
        Effect.map(store.stage(request), (staging) => {
          const parts: Array<Uint8Array> = []
          return {
            ...staging,
            write: (more) => Effect.tap(staging.write(more), () => Effect.sync(() => parts.push(...more))),
            commit: (expected) => staging.commit({ ...expected, digest: digestOf(digest, parts) })
          }
        })
    })),
    steps: [`client 0: PutBundle {"names":[6],"file":0,"said":"wrong"}`]
  },
  "takes two spellings of a name for two files": {
    seed: 5,
    world: broken((store) => ({
      open: (name) =>
        Effect.filterOrFail(
          store.open(name),
          ({ entry }) => entry.name === name,
          () => new NoSuchFile({ name })
        )
    })),
    steps: [`client 0: Put {"name":"A","file":0}`, `client 0: Download {"name":"a","delta":true}`]
  },
  "keeps what it removes": {
    seed: 5,
    world: broken((store) => ({ remove: ({ name }) => store.stat(name) })),
    steps: [`client 0: Put {"name":"a","file":0}`, `client 0: Remove {"name":"a","expect":"any"}`]
  },
  "lists a file twice": {
    seed: 5,
    world: broken((store) => ({
      list: (where) => Stream.concat(store.list(where), Stream.take(store.list(where), 1))
    })),
    steps: [`client 0: Put {"name":"a","file":0}`]
  }
}

const patienceMilliseconds = 50

/** A clock on which patience ends when the server was asked, however long the machine takes to come to that. */
const clockOf = (milliseconds: number, asked: Effect.Effect<unknown>) =>
  Effect.map(TestClock.withLive(Clock.Clock), (live): Clock.Clock =>
    Object.assign(Object.create(live), {
      sleep: (duration: Duration.Duration) =>
        Duration.toMillis(duration) === milliseconds ? asked : live.sleep(duration)
    })
  )

describe("a broken store", () => {
  for (const [what, { seed, steps, world }] of Object.entries(breakages)) {
    it.effect(`that ${what} is found, in few steps that can be played again`, () =>
      Effect.gen(function* () {
        const found = yield* Effect.flip(SessionCheck.check(world, { runs: 100, seed }))
        if (found._tag !== "SessionDiffers") return assert.fail(found._tag)
        assert.deepStrictEqual(found.script.map(SessionScript.show), steps)
        const again = yield* Effect.flip(SessionCheck.check(world, { replay: found.replay }))
        assert.strictEqual(again.message, found.message)
        assert.include(found.message, found.replay)
      })
    )
  }

  it.effect("that is mended makes its token useless, and says so", () =>
    Effect.gen(function* () {
      const { seed, world } = breakages["lists a file twice"]
      const found = yield* Effect.flip(SessionCheck.check(world, { runs: 100, seed }))
      if (found._tag !== "SessionDiffers") return assert.fail(found._tag)
      const mended = worldWith(FileStoreMemory.layer())
      const again = yield* Effect.flip(SessionCheck.check(mended, { replay: found.replay }))
      assert.strictEqual(again._tag, "ReplayFailed")
    })
  )

  it.effect("is not looked for with what is no whole token, and that is said", () =>
    Effect.gen(function* () {
      const { seed, world } = breakages["lists a file twice"]
      const found = yield* Effect.flip(SessionCheck.check(world, { runs: 100, seed }))
      if (found._tag !== "SessionDiffers") return assert.fail(found._tag)
      const { replay } = found
      for (const text of [
        "",
        "nonsense",
        "null",
        "[]",
        "[0]",
        replay.slice(0, -1),
        replay.replace("PropertyError", ""),
        replay.replace(/,\d+,(?=\[)/, ",99999999,")
      ]) {
        const said = yield* Effect.flip(SessionCheck.check(world, { replay: text }))
        assert.strictEqual(said._tag, "ReplayFailed")
        const why = "it is no token: take all of what stands behind 'replay:'"
        assert.strictEqual(said.message, `the token plays nothing that fails (${why})`)
      }
      // As it is copied from a terminal.
      const again = yield* Effect.flip(SessionCheck.check(world, { replay: ` ${replay}\n` }))
      assert.strictEqual(again._tag, "SessionDiffers")
    })
  )

  it.effect("is found again by the script alone, and that passes once it is mended", () =>
    Effect.gen(function* () {
      const { seed, world } = breakages["lists a file twice"]
      const found = yield* Effect.flip(SessionCheck.check(world, { runs: 100, seed }))
      if (found._tag !== "SessionDiffers") return assert.fail(found._tag)
      const again = yield* Effect.flip(SessionCheck.play(world, found.script))
      if (again._tag !== "ScriptDiffers") return assert.fail(again._tag)
      assert.deepStrictEqual(
        [again.script, again.step, again.expected, again.found],
        [found.script, found.step, found.expected, found.found]
      )
      assert.strictEqual(`${again.message}\n  replay:   ${found.replay}`, found.message)
      yield* SessionCheck.play(worldWith(FileStoreMemory.layer()), found.script)
    })
  )

  it.effect("is not looked for with steps or options that can be none", () =>
    Effect.gen(function* () {
      const { world } = breakages["lists a file twice"]
      const fetch = { client: 0, action: SessionScript.Action.make({ _tag: "Fetch", digest: false, content: false }) }
      const describe = (name: number) => ({ client: 0, action: { _tag: "Describe", name } as const })
      for (const wrong of [
        { ...fetch, client: 3 },
        describe(-1),
        describe(0.5),
        describe(SessionScript.names.length)
      ]) {
        const { message } = yield* Effect.flip(SessionCheck.play(world, [fetch, wrong]))
        assert.strictEqual(
          message,
          "step 1 of the script is none that there is: 'SessionScript.Step' says what there can be"
        )
      }
      const refused = yield* Effect.flip(SessionCheck.play(world, [fetch], { patienceMilliseconds: 0 }))
      assert.strictEqual(refused._tag, "OptionRefused")
    })
  )

  it.effect("is not looked for with options that can be none, and that is said", () =>
    Effect.gen(function* () {
      const { world } = breakages["lists a file twice"]
      const said = (options: SessionCheck.Options) =>
        Effect.map(Effect.flip(SessionCheck.check(world, options)), ({ message }) => message)
      const numbers = ["runs", "concurrency", "size", "maxDiscards", "maxShrinks", "patienceMilliseconds"] as const
      for (const option of numbers) {
        for (const value of [-1, Number.NaN]) {
          assert.include(yield* said({ [option]: value }), `the option '${option}' cannot be ${value}: give `)
        }
      }
      const orNone = "or leave it out"
      assert.deepStrictEqual(
        [
          yield* said({ runs: 0 }),
          yield* said({ concurrency: 1.5 }),
          yield* said({ size: 10_001 }),
          yield* said({ patienceMilliseconds: 0 })
        ],
        [
          `the option 'runs' cannot be 0: give a whole number from 1 on, ${orNone}`,
          `the option 'concurrency' cannot be 1.5: give a whole number from 1 on, ${orNone}`,
          `the option 'size' cannot be 10001: give a whole number from 0 to 10000, ${orNone}`,
          `the option 'patienceMilliseconds' cannot be 0: give more than 0 milliseconds, ${orNone}`
        ]
      )
      assert.strictEqual((yield* Effect.flip(SessionCheck.check(world, { runs: 0 })))._tag, "OptionRefused")
    })
  )

  it.effect("that hangs is told when patience ends, and the server that waits for it ends too", () =>
    Effect.gen(function* () {
      const asked = Latch.makeUnsafe(false)
      const hanging = broken(() => ({ open: () => Effect.andThen(asked.open, Effect.never) }))
      const script: SessionScript.Script = [
        { client: 0, action: { _tag: "Put", name: 0, file: 1 } },
        { client: 0, action: { _tag: "Download", name: 0, delta: false } }
      ]
      const patient = yield* clockOf(patienceMilliseconds, asked.await)
      const played = SessionCheck.play(hanging, script, { patienceMilliseconds })
      const found = yield* Effect.flip(Effect.provideService(played, Clock.Clock, patient))
      if (found._tag !== "ScriptDiffers") return assert.fail(found._tag)
      assert.deepStrictEqual([found.step, found.found], [1, "nothing"])
    })
  )

  it.effect("that does not answer is found when patience ends, and not before", () =>
    Effect.gen(function* () {
      const asked = Latch.makeUnsafe(false)
      const silent = broken(() => {
        asked.closeUnsafe()
        return { list: () => Stream.unwrap(Effect.as(asked.open, Stream.never)) }
      })
      let waits = 0
      const waiting = Effect.andThen(
        asked.await,
        Effect.sync(() => (waits += 1))
      )
      const patient = yield* clockOf(patienceMilliseconds, waiting)
      const found = yield* Effect.flip(
        Effect.provideService(SessionCheck.check(silent, { runs: 1, patienceMilliseconds }), Clock.Clock, patient)
      )
      if (found._tag !== "SessionDiffers") return assert.fail(found._tag)
      assert.deepStrictEqual([found.script.length, found.expected, found.found], [0, "files ", "nothing"])
      assert.isAbove(waits, 0)
    })
  )
})
