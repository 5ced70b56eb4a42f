import { assert, describe } from "@effect/vitest"
import { Effect, Fiber, Latch, Redacted } from "effect"
import { TestClock } from "effect/testing"
import * as Bytes from "../../src/domain/Bytes.ts"
import { publicKeyBytes } from "../../src/domain/channel/Kem.ts"
import { preamble } from "../../src/domain/channel/Protocol.ts"
import { UserName } from "../../src/domain/channel/HandshakeMessage.ts"
import { ContentDigest } from "../../src/domain/file/Digest.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import {
  contentBlockBytes,
  goodbyeMillisecondsMax,
  idleMillisecondsMax,
  idleLookMilliseconds,
  reloadLookMilliseconds,
  loginMillisecondsMax,
  pingedStallsMax,
  stallMillisecondsMax
} from "../../src/domain/limits.ts"
import { FileStore } from "../../src/domain/store/FileStore.ts"
import * as FaultySocket from "../../src/domain/testing/FaultySocket.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as HostileClient from "../../src/domain/testing/HostileClient.ts"
import { connectionId } from "../../src/domain/wire/Frame.ts"
import { packRanges } from "../../src/domain/file/Packed.ts"
import type { ClientMessage } from "../../src/domain/wire/Message.ts"
import { defaultLimits } from "../../src/server/ServerLimits.ts"
import * as TakingNothing from "./takingNothing.ts"
import { connect, dial, scenario, settle, Watch } from "./world.ts"

const name = FileName.make("a")
const digest = ContentDigest.make("0".repeat(64))
const oneByte = packRanges([{ offset: 0, length: 1 }])
const everyMessage: ReadonlyArray<ClientMessage> = [
  { _tag: "Hello", client: "x" },
  { _tag: "Fetch" },
  { _tag: "Describe", name },
  { _tag: "Upload", name, size: 1, modified: 0 },
  { _tag: "Download", name },
  { _tag: "Para", name, size: 1, modified: 0 },
  { _tag: "Remove", name },
  { _tag: "Rename", name, to: name },
  { _tag: "NeedChunks", first: 0, count: 1 },
  { _tag: "NeedBlocks", ranges: oneByte },
  { _tag: "Copies", ranges: oneByte },
  { _tag: "Want", ranges: oneByte },
  { _tag: "Commit", size: 0, digest },
  { _tag: "Cancel" },
  { _tag: "Ping" },
  { _tag: "Bye" }
]

/** Time for every goodbye to run out. */
const passGoodbye = Effect.andThen(settle, TestClock.adjust(2 * goodbyeMillisecondsMax))

const untouched = Effect.gen(function* () {
  const { calls, held } = yield* Watch
  assert.deepStrictEqual(calls, { list: 0, stat: 0, open: 0, stage: 0, write: 0, read: 0, remove: 0, rename: 0 })
  assert.deepStrictEqual(held, { stagings: 0, files: 0 })
})

/** The server took no harm: the next client works. */
const stillServes = Effect.scoped(
  Effect.gen(function* () {
    const session = yield* connect(Fixture.grace)
    const { size } = yield* session.upload(FileName.make("proof"), Fixture.source(Uint8Array.of(1)))
    assert.strictEqual(size, 1)
  })
)

/** How connections ended, the first first: one line for each. */
const ends = Effect.map(Watch, ({ outcomes }) => outcomes())

describe("before the session is Ready", () => {
  for (const message of everyMessage) {
    if (message._tag === "Hello") continue
    scenario(`${message._tag} as the first message ends the connection and touches nothing`, () =>
      Effect.gen(function* () {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const session = yield* HostileClient.unconfirmed(yield* dial, Fixture.ada)
            yield* session.say(message._tag === "Bye" || message._tag === "Ping" ? 0 : 1, message)
            yield* session.say(0, { _tag: "Hello", client: "late" })
            const heard = yield* Effect.forkChild(session.hearAll)
            yield* passGoodbye
            assert.deepStrictEqual(yield* Fiber.join(heard), [
              { _tag: "Message", id: connectionId, message: { _tag: "Closing", reason: "protocol-violation" } }
            ])
          })
        )
        yield* passGoodbye
        assert.deepStrictEqual(yield* ends, ["protocol-violation"])
        yield* untouched
        yield* stillServes
      })
    )
  }

  scenario("content ends the connection and touches nothing", () =>
    Effect.gen(function* () {
      yield* Effect.scoped(
        Effect.gen(function* () {
          const session = yield* HostileClient.unconfirmed(yield* dial, Fixture.ada)
          yield* session.content(1, Uint8Array.of(1))
          yield* passGoodbye
        })
      )
      yield* passGoodbye
      assert.deepStrictEqual(yield* ends, ["protocol-violation"])
      yield* untouched
    })
  )

  for (const [what, sends] of [
    [
      "a proof without a start",
      (met: HostileClient.Met) => met.handshake.send({ _tag: "LoginFinish", ke3: new Uint8Array(64) })
    ],
    ["giving up without a start", (met: HostileClient.Met) => met.handshake.send({ _tag: "GiveUp" })],
    [
      "two starts",
      (met: HostileClient.Met) =>
        Effect.andThen(HostileClient.prove(met, Fixture.ada), HostileClient.prove(met, Fixture.ada))
    ]
  ] as const) {
    scenario(`${what} ends the connection and touches nothing`, () =>
      Effect.gen(function* () {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const met = yield* HostileClient.meet(yield* dial)
            yield* Effect.ignore(Effect.timeoutOption(sends(met), 1_000)).pipe(Effect.forkChild)
            yield* passGoodbye
          })
        )
        yield* passGoodbye
        assert.deepStrictEqual(yield* ends, ["protocol-violation"])
        yield* untouched
      })
    )
  }

  scenario("a proof that does not verify ends the connection and touches nothing", () =>
    Effect.gen(function* () {
      yield* Effect.scoped(
        Effect.gen(function* () {
          const met = yield* HostileClient.meet(yield* dial)
          const { ke3, sessionKey } = yield* HostileClient.prove(met, Fixture.ada)
          const session = yield* HostileClient.finish(met, { ke3: ke3.map((byte) => byte ^ 1), sessionKey })
          yield* session.say(0, { _tag: "Hello", client: "forged" })
          const heard = yield* Effect.forkChild(session.hearAll)
          yield* passGoodbye
          assert.deepStrictEqual(yield* Fiber.join(heard), [])
        })
      )
      yield* passGoodbye
      assert.deepStrictEqual(yield* ends, ["opaque-rejected"])
      yield* untouched
      yield* stillServes
    })
  )

  scenario("a wrong password and an unknown user leave the same trace", () =>
    Effect.gen(function* () {
      const wrong = Redacted.make("wrong password")
      const trace = Effect.fnUntraced(function* (user: string) {
        const failed = yield* Effect.flip(Effect.scoped(connect({ user: UserName.make(user), password: wrong })))
        yield* passGoodbye
        return failed._tag === "LoginIncorrect" ? failed.attemptsLeft : failed._tag
      })
      assert.strictEqual(yield* trace("ada"), 2)
      assert.strictEqual(yield* trace("eve"), 2)
      const { lines } = yield* Watch
      const [known, unknown] = lines.map(({ annotations: { milliseconds: _milliseconds, ...rest }, message }) => ({
        message,
        ...rest
      }))
      assert.deepStrictEqual(known, unknown)
      assert.strictEqual(lines.length, 2)
      yield* untouched
    })
  )
})

describe("the deadline of a login", () => {
  scenario("is absolute: a byte a second does not extend it", () =>
    Effect.gen(function* () {
      const hello = Bytes.concat([preamble, new Uint8Array(publicKeyBytes)])
      yield* Effect.scoped(
        Effect.gen(function* () {
          const transport = yield* HostileClient.dial(yield* dial)
          for (let second = 0; second < loginMillisecondsMax / 1_000 - 1; second++) {
            yield* transport.write([hello.subarray(second, second + 1)])
            yield* TestClock.adjust(1_000)
          }
          assert.deepStrictEqual(yield* ends, [])
          yield* TestClock.adjust(1_000)
          assert.deepStrictEqual(yield* ends, ["login-timeout"])
        })
      )
      yield* untouched
    })
  )

  scenario("holds up to Ready, and not beyond", () =>
    Effect.gen(function* () {
      const waiting = yield* HostileClient.unconfirmed(yield* dial, Fixture.ada)
      const session = yield* HostileClient.login(yield* dial, Fixture.grace)
      yield* TestClock.adjust(loginMillisecondsMax)
      assert.deepStrictEqual(yield* ends, ["login-timeout"])
      yield* session.say(0, { _tag: "Ping" })
      assert.deepStrictEqual(yield* session.hear, { _tag: "Message", id: connectionId, message: { _tag: "Pong" } })
      assert.isTrue((yield* waiting.hearAll).length === 0)
    })
  )

  const changing = { ...defaultLimits }
  scenario(
    "is another one after a reload, for a login that is under way too",
    () =>
      Effect.gen(function* () {
        yield* HostileClient.unconfirmed(yield* dial, Fixture.ada)
        yield* settle
        Object.assign(changing, { loginMilliseconds: 2 * loginMillisecondsMax })
        yield* TestClock.adjust(loginMillisecondsMax)
        assert.deepStrictEqual(yield* ends, [])
        Object.assign(changing, { loginMilliseconds: 5_000 })
        yield* TestClock.adjust(reloadLookMilliseconds)
        assert.deepStrictEqual(yield* ends, ["login-timeout"])
      }),
    { liveLimits: changing }
  )

  const idle = { ...defaultLimits }
  scenario(
    "of an open session too, in which nothing moves",
    () =>
      Effect.gen(function* () {
        yield* HostileClient.login(yield* dial, Fixture.ada)
        yield* settle
        Object.assign(idle, { idleMilliseconds: 5_000 })
        yield* TestClock.adjust(idleLookMilliseconds)
        assert.deepStrictEqual(yield* ends, ["stalled"])
      }),
    { liveLimits: idle }
  )
})

/** A session whose peer has asked for much and takes nothing of it. */
const unread = Effect.gen(function* () {
  const store = yield* connect(Fixture.grace)
  yield* store.upload(name, Fixture.source(Fixture.bytes(1, 60 * contentBlockBytes)))
  yield* store.close
  const session = yield* HostileClient.login(yield* dial, Fixture.ada)
  yield* session.say(1, { _tag: "Download", name })
  yield* settle
  yield* settle
  return session
})

describe("a session without progress", () => {
  scenario("ends when it is idle for too long; a Ping counts as progress", () =>
    Effect.gen(function* () {
      const session = yield* HostileClient.login(yield* dial, Fixture.ada)
      for (let time = 0; time < 3; time++) {
        yield* TestClock.adjust(idleMillisecondsMax - 1)
        yield* session.say(0, { _tag: "Ping" })
        yield* session.hear
      }
      assert.deepStrictEqual(yield* ends, [])
      yield* TestClock.adjust(idleMillisecondsMax)
      assert.deepStrictEqual(yield* ends, ["stalled"])
    })
  )

  scenario("ends sooner while content is awaited, and leaves nothing staged", () =>
    Effect.gen(function* () {
      const session = yield* HostileClient.login(yield* dial, Fixture.ada)
      yield* session.say(1, { _tag: "Upload", name, size: 100, modified: 0 })
      yield* session.hear
      yield* TestClock.adjust(stallMillisecondsMax - 1)
      yield* session.content(1, Uint8Array.of(1))
      yield* settle
      yield* TestClock.adjust(stallMillisecondsMax - 1)
      assert.deepStrictEqual(yield* ends, [])
      assert.strictEqual((yield* Watch).held.stagings, 1)
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(yield* ends, ["stalled"])
      assert.strictEqual((yield* Watch).held.stagings, 0)
    })
  )

  scenario("ends in time also when the peer takes nothing, and pings", () =>
    Effect.gen(function* () {
      const session = yield* unread
      const step = stallMillisecondsMax - 1000
      let pings = 0
      while ((yield* ends).length < 2 && pings < 2 * pingedStallsMax) {
        yield* Effect.forkChild(Effect.ignore(session.say(0, { _tag: "Ping" })))
        yield* settle
        yield* TestClock.adjust(step)
        pings += 1
      }
      assert.deepStrictEqual(yield* ends, ["bye", "stalled"])
      assert.isAtMost(pings, (pingedStallsMax * stallMillisecondsMax) / step + 3)
      assert.deepStrictEqual((yield* Watch).held, { stagings: 0, files: 0 })
    })
  )

  scenario("ends when the peer does not take what it asked for", () =>
    Effect.gen(function* () {
      yield* unread
      yield* TestClock.adjust(stallMillisecondsMax)
      assert.deepStrictEqual(yield* ends, ["bye", "stalled"])
      assert.deepStrictEqual((yield* Watch).held, { stagings: 0, files: 0 })
    })
  )

  const peer = TakingNothing.make()
  scenario(
    "ends in time also while it is stuck in an answer that is not taken",
    () =>
      Effect.gen(function* () {
        const session = yield* HostileClient.login(yield* dial, Fixture.ada)
        peer.begin()
        yield* session.say(0, { _tag: "Ping" })
        yield* settle
        yield* TestClock.adjust(idleMillisecondsMax)
        assert.deepStrictEqual(yield* ends, ["stalled"])
      }),
    peer
  )

  const lists = TakingNothing.make()
  scenario(
    "ends in time also when the peer does not take the listing that it asked for",
    () =>
      Effect.gen(function* () {
        const session = yield* HostileClient.login(yield* dial, Fixture.ada)
        lists.begin()
        yield* session.say(1, { _tag: "Fetch" })
        yield* settle
        yield* TestClock.adjust(2 * stallMillisecondsMax)
        assert.deepStrictEqual(yield* ends, ["stalled"])
      }),
    { ...lists, files: [{ name, content: Fixture.bytes(1, 3), modified: 0 }] }
  )

  scenario(
    "ends at once when the connection is lost, also where a writer is not told",
    () =>
      Effect.gen(function* () {
        const session = yield* HostileClient.login(yield* dial, Fixture.ada)
        yield* Effect.forkChild(Effect.ignore(Effect.forever(session.say(0, { _tag: "Ping" }))))
        yield* session.hearAll
        yield* settle
        assert.deepStrictEqual(yield* ends, ["connection-lost"])
      }),
    { through: (socket) => FaultySocket.wrap(socket, { seed: 1, writes: { cutAfterBytes: 4_000 }, hangWhenCut: true }) }
  )
})

describe("a client that lies", () => {
  const begin = (size: number) =>
    Effect.gen(function* () {
      const session = yield* HostileClient.login(yield* dial, Fixture.ada)
      yield* session.say(1, { _tag: "Upload", name, size, modified: 0 })
      yield* session.hear
      return session
    })
  const refusalOf = (heard: Effect.Success<HostileClient.HostileSession["hear"]>) =>
    heard?._tag === "Message" && heard.message._tag === "Refused" ? heard.message.reason : heard

  const nothingCommitted = Effect.gen(function* () {
    assert.strictEqual((yield* Effect.flip((yield* FileStore).stat(name)))._tag, "NoSuchFile")
    assert.deepStrictEqual((yield* Watch).held, { stagings: 0, files: 0 })
  })

  scenario("about the digest commits nothing", () =>
    Effect.gen(function* () {
      const session = yield* begin(3)
      yield* session.content(1, Uint8Array.of(1, 2, 3))
      yield* session.say(1, { _tag: "Commit", size: 3, digest })
      assert.strictEqual(refusalOf(yield* session.hear), "digest-mismatch")
      yield* nothingCommitted
    })
  )

  for (const [what, sent, said] of [
    ["fewer bytes than declared", 2, 2],
    ["fewer bytes than it commits", 2, 3],
    ["more bytes than it commits", 3, 2]
  ] as const) {
    scenario(`and sends ${what} commits nothing`, () =>
      Effect.gen(function* () {
        const session = yield* begin(3)
        const content = new Uint8Array(sent)
        yield* session.content(1, content)
        yield* session.say(1, { _tag: "Commit", size: said, digest: yield* Fixture.digest(content) })
        assert.strictEqual(refusalOf(yield* session.hear), "size-mismatch")
        yield* nothingCommitted
      })
    )
  }

  scenario("and sends more than it declared has nothing more written, and may go on", () =>
    Effect.gen(function* () {
      const session = yield* begin(3)
      yield* session.content(1, new Uint8Array(3))
      yield* session.content(1, new Uint8Array(1))
      assert.strictEqual(refusalOf(yield* session.hear), "size-mismatch")
      for (let block = 0; block < 20; block++) yield* session.content(1, new Uint8Array(contentBlockBytes))
      yield* session.say(2, { _tag: "Fetch" })
      const heard = yield* session.hear
      assert.strictEqual(heard?._tag === "Message" ? heard.message._tag : heard, "Listed")
      // What came together is refused together.
      assert.isAtMost((yield* Watch).calls.write, 1)
      yield* nothingCommitted
    })
  )
})

describe("garbage", () => {
  const attack = (
    send: (transport: Effect.Success<ReturnType<typeof HostileClient.dial>>) => Effect.Effect<unknown, unknown>
  ) =>
    Effect.scoped(
      Effect.gen(function* () {
        const transport = yield* HostileClient.dial(yield* dial)
        yield* Effect.ignore(send(transport))
        yield* settle
      })
    )

  scenario("from the first byte ends each connection with one line, and the next client works", () =>
    Effect.gen(function* () {
      for (let seed = 0; seed < 100; seed++) {
        yield* attack((transport) => transport.write([Fixture.bytes(seed, 1 + seed * 37)]))
      }
      yield* passGoodbye
      const outcomes = yield* ends
      assert.strictEqual(outcomes.length, 100)
      assert.isTrue(outcomes.every((outcome) => outcome === "bad-hello" || outcome === "truncated"))
      assert.strictEqual((yield* Watch).lines.length, 100)
      yield* untouched
      yield* stillServes
    })
  )

  scenario("behind a valid start of a handshake does the same", () =>
    Effect.gen(function* () {
      for (let seed = 0; seed < 60; seed++) {
        yield* attack((transport) => transport.write([Bytes.concat([preamble, Fixture.bytes(seed, seed * 40)])]))
      }
      yield* passGoodbye
      assert.strictEqual((yield* Watch).lines.length, 60)
      yield* untouched
      yield* stillServes
    })
  )

  scenario("authenticated: after a login any records of any bytes end the session with one line", () =>
    Effect.gen(function* () {
      const plaintexts = [
        ...Array.from({ length: 60 }, (_, seed) => Fixture.bytes(seed, 1 + seed * 11)),
        // Frames that say they are longer, messages that are no CBOR, content of nothing.
        Uint8Array.of(1, 0xff, 0xff, 0xff, 0, 0, 0, 1),
        Uint8Array.of(1, 0, 0, 1, 0, 0, 0, 1, 0xff),
        Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 1),
        Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 1),
        Uint8Array.of(3, 0, 0, 0, 0, 0, 0, 0),
        new Uint8Array(256 * 1024)
      ]
      for (const plaintext of plaintexts) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const session = yield* HostileClient.login(yield* dial, Fixture.ada)
            yield* session.record(plaintext)
            yield* settle
          })
        )
      }
      yield* passGoodbye
      const { lines } = yield* Watch
      assert.strictEqual(lines.length, plaintexts.length)
      assert.isFalse(lines.some(({ annotations: { outcome } }) => outcome === "defect" || outcome === "bye"))
      yield* untouched
      yield* stillServes
    })
  )

  scenario("between records is noticed by the next record", () =>
    Effect.gen(function* () {
      yield* Effect.scoped(
        Effect.gen(function* () {
          const session = yield* HostileClient.login(yield* dial, Fixture.ada)
          yield* session.raw(Uint8Array.of(2, 0, 0, 20, ...Fixture.bytes(1, 20)))
          yield* session.say(1, { _tag: "Fetch" })
          yield* settle
        })
      )
      yield* settle
      assert.deepStrictEqual(yield* ends, ["record-auth-failed"])
      yield* untouched
    })
  )
})

describe("a connection that breaks", () => {
  const closing = Latch.makeUnsafe()
  scenario(
    "while a file is read for it: the disk is not said to have failed",
    () =>
      Effect.gen(function* () {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const session = yield* HostileClient.login(yield* dial, Fixture.ada)
            yield* session.say(1, { _tag: "Download", name })
            yield* session.hear
            yield* settle
          })
        )
        yield* settle
        yield* settle
        const { calls, held, lines } = yield* Watch
        assert.strictEqual(calls.read, 1)
        assert.deepStrictEqual(
          lines.map(({ annotations }) => annotations["outcome"] ?? annotations["event"]),
          ["truncated"]
        )
        assert.deepStrictEqual(held, { stagings: 0, files: 0 })
      }),
    {
      files: [{ name, content: Uint8Array.of(1) }],
      beforeRead: closing.await,
      whileClosing: Effect.andThen(closing.open, settle)
    }
  )

  // Before, within and behind every part of a session; what the client saw is typed, what the store has is whole.
  const content = Fixture.bytes(7, 2 * contentBlockBytes)

  for (const direction of ["writes", "reads"] as const) {
    for (const kind of ["cutAfterBytes", "halfCloseAfterBytes"] as const) {
      scenario(`${direction} ${kind}: nothing or all is committed, and the client's error is typed`, () =>
        Effect.gen(function* () {
          const store = yield* FileStore
          const random = Fixture.seeded(11)
          let connections = 0
          for (let round = 0; round < 40; round++) {
            const at = Math.floor(random() * (direction === "writes" ? content.length + 4_000 : 2_600))
            const faults = { fragmentBytesMax: round % 2 === 0 ? 5_000 : 300_000, coalesce: true, [kind]: at }
            const one = FileName.make(`f${round}`)
            const result = yield* Effect.result(
              Effect.scoped(
                Effect.gen(function* () {
                  const session = yield* connect(Fixture.ada, (socket) => {
                    connections += 1
                    return FaultySocket.wrap(socket, { seed: round, [direction]: faults })
                  })
                  return yield* session.upload(one, Fixture.source(content))
                })
              )
            ).pipe(Effect.raceFirst(Effect.as(TestClock.adjust(120_000), "late" as const)))
            assert.notStrictEqual(result, "late", `no end at byte ${at}`)
            const stored = yield* Effect.result(store.stat(one))
            if (stored._tag === "Success") assert.strictEqual(stored.success.digest, yield* Fixture.digest(content))
            if (result !== "late" && result._tag === "Success") assert.strictEqual(stored._tag, "Success")
            if (result !== "late" && result._tag === "Failure") {
              assert.include(["ConnectFailed", "ConnectionLost", "LoginIncorrect"], result.failure._tag)
            }
          }
          yield* passGoodbye
          const { held } = yield* Watch
          assert.deepStrictEqual(held, { stagings: 0, files: 0 })
          assert.strictEqual((yield* ends).length, connections)
          yield* stillServes
        })
      )
    }
  }

  scenario("a bit that flips, or a byte that comes twice, anywhere: the same", () =>
    Effect.gen(function* () {
      const store = yield* FileStore
      const random = Fixture.seeded(12)
      for (let round = 0; round < 40; round++) {
        const at = Math.floor(random() * (content.length + 3_000))
        const one = FileName.make(`f${round}`)
        const faults = round % 2 === 0 ? { corruptAt: at } : { duplicateAt: at }
        const upload = Effect.scoped(
          Effect.flatMap(
            connect(Fixture.ada, (socket) => FaultySocket.wrap(socket, { seed: round, writes: faults })),
            (session) => session.upload(one, Fixture.source(content))
          )
        )
        yield* Effect.raceFirst(Effect.ignore(upload), TestClock.adjust(120_000))
        const stored = yield* Effect.result(store.stat(one))
        if (stored._tag === "Success") assert.strictEqual(stored.success.digest, yield* Fixture.digest(content))
      }
      yield* passGoodbye
      assert.deepStrictEqual((yield* Watch).held, { stagings: 0, files: 0 })
      yield* stillServes
    })
  )
})
