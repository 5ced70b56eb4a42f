import { quickCrypto } from "../crypto.ts"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Clock, Context, Effect, Exit, Fiber, Layer, Result, Scheduler, Scope, Stream } from "effect"
import { Socket } from "effect/socket"
import { TestClock } from "effect/testing"
import * as Client from "../../src/client/Client.ts"
import type { ClientSession } from "../../src/client/ClientSession.ts"
import { Sessions } from "../../src/client/Sessions.ts"
import type { Unlisted } from "../../src/client/Unlisted.ts"
import { ContentDigest } from "../../src/domain/file/Digest.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import { packPieces } from "../../src/domain/file/Packed.ts"
import { packEntries, packNames, packSent } from "../../src/domain/file/PackedFiles.ts"
import {
  bundlesAheadMax,
  bundlesInFlightMax,
  chunkAverageLog2Max,
  comparedBytesMax,
  contentBlockBytes,
  goodbyeMillisecondsMax,
  handshakeMillisecondsMax,
  keepAliveMilliseconds,
  receivedPartBytes,
  requestsInFlightMax,
  resumeBytesMin,
  signsOfLifeMillisecondsMax,
  stallMillisecondsMax,
  unlistedNamesMax,
  unnamedFoldersMax
} from "../../src/domain/limits.ts"
import * as FaultySocket from "../../src/domain/testing/FaultySocket.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as HostileServer from "../../src/domain/testing/HostileServer.ts"
import { pair } from "../../src/domain/testing/MemorySocket.ts"
import type { ServerMessage } from "../../src/domain/wire/Message.ts"
import { settle, yields } from "../server/world.ts"
import * as slowSocket from "../slowSocket.ts"
import { baseOf, key, wholeOf } from "../domain/transfer/deltas.ts"

const name = FileName.make("a")
const digest = ContentDigest.make("0".repeat(64))
const small = Fixture.source(Fixture.bytes(1, 10))

/** What a script may fail with when the client has gone is no matter of the test. */
type Script = (session: HostileServer.HostileSession) => Effect.Effect<unknown, unknown>

/** The real client, logged in at a server that then follows the script. */
const against = Effect.fnUntraced(function* (
  script: Script,
  through: (socket: Effect.Success<typeof pair>[0]) => Effect.Success<typeof pair>[0] = (socket) => socket
) {
  const registered = yield* Fixture.registered
  const [near, far] = yield* pair
  yield* Effect.forkScoped(
    Effect.ignore(
      Effect.scoped(
        Effect.flatMap(HostileServer.greet(far, registered), (session) => Effect.andThen(script(session), Effect.never))
      )
    )
  )
  return yield* Client.connect({ server: "hostile", dial: Effect.succeed(through(near)), ...Fixture.ada })
})

/** The goodbye of a session whose server does not answer it. */
const leave = Effect.fnUntraced(function* (session: ClientSession) {
  const leaving = yield* Effect.forkChild(session.close)
  yield* TestClock.adjust(goodbyeMillisecondsMax)
  yield* Fiber.join(leaving)
})

/** Hears the request, and answers with these in turn. */
const answers =
  (...messages: ReadonlyArray<ServerMessage | Uint8Array>): Script =>
  (session) =>
    Effect.andThen(
      session.hear,
      Effect.forEach(messages, (one) => (one instanceof Uint8Array ? session.content(1, one) : session.say(1, one)))
    )

const scenario = <E>(
  what: string,
  body: () => Effect.Effect<void, E, Scope.Scope | Layer.Success<typeof quickCrypto>>
) => it.effect(what, () => Effect.scoped(body()).pipe(Effect.provide(quickCrypto)))

const commands: {
  readonly [name: string]: (session: ClientSession) => Effect.Effect<unknown, { readonly _tag: string }>
} = {
  fetch: (session) => Stream.runDrain(session.fetch),
  upload: (session) => session.upload(name, small),
  "big upload": (session) => session.upload(name, Fixture.source(Fixture.bytes(2, 9 * contentBlockBytes))),
  download: (session) => session.download(name, () => Effect.succeed(Fixture.sink())),
  para: (session) => session.para(name, small),
  describe: (session) => session.describe(name)
}

const every = (what: string, script: Script, expected: string) => {
  for (const [command, run] of Object.entries(commands)) {
    scenario(`${command}: ${what}`, () =>
      Effect.gen(function* () {
        const session = yield* against(script)
        assert.strictEqual((yield* Effect.flip(run(session)))._tag, expected)
        // And the session is over: nothing after it is believed, or waits.
        assert.strictEqual((yield* Effect.flip(run(session)))._tag, expected)
      })
    )
  }
}

describe("a command that was never said", () => {
  const heardOf = (heard: Array<string>): Script =>
    Effect.fnUntraced(function* (server) {
      while (true) {
        const next = yield* server.hear
        if (next?._tag === "Message") heard.push(`${next.id} ${next.message._tag}`)
      }
    })

  scenario("for its time is none that a message can hold is not cancelled either", () =>
    Effect.gen(function* () {
      const heard: Array<string> = []
      const session = yield* against(heardOf(heard))
      const exit = yield* Effect.exit(session.para(name, { ...small, modified: 0.5 }))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      yield* Effect.forkScoped(session.upload(name, small))
      yield* settle
      // Nothing is in flight before it: its content leaves with it.
      assert.deepStrictEqual(heard, ["1 Upload", "1 Commit"])
      yield* leave(session)
    })
  )

  scenario("for it was interrupted at any moment before is not cancelled either", () =>
    Effect.gen(function* () {
      for (const budget of [6, 9, 13, 20]) {
        const heard: Array<string> = []
        const session = yield* against(heardOf(heard))
        for (let turns = 0; turns < 60; turns += 1) {
          const fiber = yield* Effect.forkChild(
            Effect.provideService(session.describe(name), Scheduler.MaxOpsBeforeYield, budget)
          )
          yield* yields(turns)
          yield* Fiber.interrupt(fiber)
        }
        yield* settle
        const idsOf = (tag: string) => heard.filter((one) => one.endsWith(` ${tag}`)).map((one) => one.split(" ")[0])
        assert.deepStrictEqual(idsOf("Cancel"), idsOf("Describe"), `${budget}`)
        yield* leave(session)
      }
    })
  )
})

describe("a server that breaks the protocol", () => {
  every("an answer to no request ends the session", (session) => session.say(77, { _tag: "Pong" }), "ProtocolBroken")
  every("content of no request ends the session", (session) => session.content(77, Uint8Array.of(1)), "ProtocolBroken")
  every(
    "Correct a second time ends the session",
    (session) => session.say(0, { _tag: "Correct", server: "x" }),
    "ProtocolBroken"
  )
  every("an answer of another command ends the session", answers({ _tag: "Pong" }), "ProtocolBroken")
  every("records that are no frames end the session", (session) => session.record(Uint8Array.of(9)), "ProtocolBroken")
  every(
    "bytes that are no record end the session",
    (session) => session.raw(new Uint8Array(500).fill(9)),
    "ConnectionLost"
  )
  every("an orderly end fails what is pending", (session) => session.end, "ConnectionLost")
  every("an end without proof fails what is pending", (session) => session.cut, "ConnectionLost")
  every(
    "Closing fails what is pending",
    (session) => session.say(0, { _tag: "Closing", reason: "\u001b[31mx" }),
    "ConnectionLost"
  )
})

describe("a server's first record", () => {
  const correct = { _tag: "Correct", server: "x" } as const
  const update = "update the older of client and server"
  const versions = (detail: string) => `the server broke the protocol (${detail}): versions may differ, ${update}`
  const lost = (reason: string) => `the connection was lost (${reason}): run the same command again`
  const lostOrOld = (reason: string) => `${lost(reason)}; if that ends so too, ${update}`
  const firsts: ReadonlyArray<readonly [string, Script, string]> = [
    ["the end", (session) => session.end, lost("the server ended the session")],
    ["a cut, as of a server that knows no such message", (session) => session.cut, lostOrOld("truncated")],
    [
      "a record that no version sends",
      (session) => session.raw(Uint8Array.of(9, 0, 0, 40)),
      lostOrOld("record-refused")
    ],
    [
      "a violation of the protocol",
      (session) => session.say(0, { _tag: "Closing", reason: "protocol-violation" }),
      lostOrOld("the server closed the session: protocol-violation")
    ],
    ["nothing", (session) => session.record(new Uint8Array()), versions("not Correct alone")],
    ["of a request", (session) => session.say(1, correct), versions("not Correct alone")],
    [
      "one that does not verify",
      (session) => session.raw(Uint8Array.of(2, 0, 0, 40, ...new Uint8Array(40))),
      lost("the two ends do not share keys: someone may stand between them")
    ]
  ]
  for (const [what, script, expected] of firsts) {
    scenario(`${what}: only one that does not verify is told as somebody who stands between`, () =>
      Effect.gen(function* () {
        const registered = yield* Fixture.registered
        const [near, far] = yield* pair
        yield* Effect.forkScoped(
          Effect.ignore(
            Effect.flatMap(HostileServer.accept(far, registered), (session) =>
              Effect.andThen(Effect.andThen(session.hear, script(session)), Effect.never)
            )
          )
        )
        const failure = yield* Effect.flip(
          Client.connect({ server: "hostile", dial: Effect.succeed(near), ...Fixture.ada })
        )
        assert.strictEqual(failure.message, expected)
      })
    )
  }
})

describe("what is staged of a file that is equal but for its time", () => {
  scenario("is dropped once: a server that has it all again ends the session", () =>
    Effect.gen(function* () {
      const content = Fixture.bytes(3, resumeBytesMin)
      const { averageLog2, groups } = baseOf(content)
      const signature = { digest: wholeOf(content), key, averageLog2, groups: packPieces(groups) }
      const size = content.length
      const heard: Array<string> = []
      const session = yield* against((far) =>
        Effect.forever(
          Effect.tap(far.hear, (next) => {
            if (next?._tag !== "Message") return Effect.void
            const { _tag } = next.message
            heard.push(_tag === "Cancel" ? `${_tag} ${next.message.drop}` : _tag)
            if (_tag === "Cancel") return far.say(next.id, { _tag: "Refused", reason: "cancelled" })
            if (_tag !== "Para") return Effect.void
            return far.say(next.id, { _tag: "SameFileHere", size, modified: 0, from: size, signature })
          })
        )
      )
      const failed = yield* Effect.flip(session.para(name, Fixture.source(content, 5), undefined, undefined, true))
      assert.strictEqual(failed._tag, "ProtocolBroken")
      assert.deepStrictEqual(heard.slice(0, 3), ["Para", "Cancel true", "Para"])
      assert.notInclude(heard, "Commit")
    })
  )
})

describe("content of a download", () => {
  const bytes = new Uint8Array(10)
  const sending: ServerMessage = { _tag: "Sending", size: 10, modified: 0, from: 0 }
  const sent = (size: number): ServerMessage => ({ _tag: "Sent", size, digest })

  for (const [what, script, written] of [
    ["more than was declared", answers(sending, bytes, bytes, sent(20)), 10],
    ["more than was declared, in one frame", answers(sending, new Uint8Array(11), sent(11)), 0],
    ["less than was declared", answers(sending, bytes.subarray(0, 9), sent(9)), 9],
    ["less than was declared, said to be all", answers(sending, bytes.subarray(0, 9), sent(10)), 9],
    ["said to be of another size at the end", answers(sending, bytes, sent(11)), 10],
    ["from another place than the start", answers({ ...sending, from: 5 }, bytes.subarray(0, 5), sent(10)), 0]
  ] as const) {
    scenario(`${what} is refused; nothing is kept`, () =>
      Effect.gen(function* () {
        const session = yield* against(script)
        const sink = Fixture.sink()
        const failed = yield* Effect.flip(session.download(name, () => Effect.succeed(sink)))
        assert.strictEqual(failed._tag, "ProtocolBroken")
        assert.strictEqual(sink.committed(), undefined)
        assert.strictEqual(sink.content().length, written)
      })
    )
  }
})

describe("what nobody asked for", () => {
  const content = Fixture.bytes(3, 200_000)
  const { averageLog2, groups } = baseOf(content)
  const signature = { digest: wholeOf(content), key, averageLog2, groups: packPieces(groups) }
  const [size, modified] = [content.length, 0]
  const broken = Effect.fnUntraced(function* (
    answer: ServerMessage,
    command: (session: ClientSession) => Effect.Effect<unknown, { readonly _tag: string }>
  ) {
    const session = yield* against(answers(answer))
    assert.strictEqual((yield* Effect.flip(command(session)))._tag, "ProtocolBroken")
    assert.isTrue(session.ended())
  })

  scenario("is refused: an offer with a download, for whose Want the server would wait", () =>
    broken({ _tag: "Sending", size, modified, from: 0, signature }, (session) =>
      session.download(name, () => Effect.die("received"))
    )
  )

  for (const from of [1, 10]) {
    const proceed = { _tag: "Proceed", from } as const
    const bundled = { name, size: 10, modified, digest, content: Fixture.bytes(1, 10) }
    scenario(`is refused: to go on behind ${from} of what the server cannot know again`, () =>
      Effect.gen(function* () {
        yield* broken(proceed, (session) => session.upload(name, small))
        yield* broken(proceed, (session) => session.uploadBundle([bundled]))
        yield* broken({ _tag: "SameFileHere", size, modified, from, signature }, (session) => session.para(name, small))
      })
    )
  }
})

describe("a download that goes on", () => {
  const partial = { from: 4, size: 10, modified: 7, head: "0".repeat(32) }
  for (const [what, other] of [
    ["size", { size: 11 }],
    ["time", { modified: 8 }]
  ] as const) {
    scenario(`is of the version that was begun: one of another ${what} is not joined with it`, () =>
      Effect.gen(function* () {
        const sending: ServerMessage = { _tag: "Sending", size: 10, modified: 7, from: 4, ...other }
        const { flip } = Effect
        for (const run of [
          (session: ClientSession) => flip(session.download(name, () => Effect.die("received"), undefined, partial)),
          (session: ClientSession) =>
            flip(session.update(name, small, () => Effect.die("received"), undefined, partial))
        ]) {
          const session = yield* against(answers(sending))
          assert.strictEqual((yield* run(session))._tag, "ProtocolBroken")
          assert.isTrue(session.ended())
        }
      })
    )
  }
})

describe("a file of which a server says that it is larger than any", () => {
  const size = comparedBytesMax + 1
  const groups = packPieces([{ offset: 0, length: size, digest: "0".repeat(24) }])
  const signature = { digest, key, averageLog2: chunkAverageLog2Max, groups }
  const local = Fixture.source(Fixture.bytes(1, 100_000))
  /** What the client says behind its request, once it was answered. */
  const answeredBy = (answer: ServerMessage, heard: Array<string>) =>
    against((far) =>
      Effect.gen(function* () {
        yield* far.hear
        yield* far.say(1, answer)
        for (let next = yield* far.hear; next !== undefined; next = yield* far.hear) {
          heard.push(next._tag === "Message" ? next.message._tag : next._tag)
          yield* far.say(1, { _tag: "Refused", reason: "source-changed" })
        }
      })
    )

  scenario("is asked for whole: nobody holds the tags of all its chunks", () =>
    Effect.gen(function* () {
      const heard: Array<string> = []
      const session = yield* answeredBy({ _tag: "Sending", size, modified: 0, from: 0, signature }, heard)
      const failed = yield* Effect.flip(session.update(name, local, () => Effect.succeed(Fixture.sink())))
      assert.strictEqual(failed._tag, "RequestRefused")
      assert.deepStrictEqual(heard, ["Want"])
    })
  )

  scenario("is replaced by all of ours", () =>
    Effect.gen(function* () {
      const heard: Array<string> = []
      const session = yield* answeredBy({ _tag: "SameFileHere", size, modified: 0, from: 0, signature }, heard)
      const failed = yield* Effect.flip(session.para(name, local))
      assert.strictEqual(failed._tag, "RequestRefused")
      assert.deepStrictEqual(heard[0], "Content")
    })
  )
})

describe("answers to a change of names", () => {
  const other = FileName.make("b")
  const upper = FileName.make("A")

  scenario("tell of the file that was asked for, in whatever spelling", () =>
    Effect.gen(function* () {
      const removed = yield* against(answers({ _tag: "Removed", name: upper }))
      assert.strictEqual(yield* removed.remove(name), upper)
      const renamed = yield* against(answers({ _tag: "Renamed", name: upper, to: other }))
      assert.deepStrictEqual(yield* renamed.rename(name, other), { name: upper, to: other })
    })
  )

  scenario("of another file end the session", () =>
    Effect.gen(function* () {
      const removed = yield* against(answers({ _tag: "Removed", name: other }))
      assert.strictEqual((yield* Effect.flip(removed.remove(name)))._tag, "ProtocolBroken")
      assert.isTrue(removed.ended())
      for (const [from, to] of [
        [other, other],
        [name, upper]
      ] as const) {
        const renamed = yield* against(answers({ _tag: "Renamed", name: from, to }))
        assert.strictEqual((yield* Effect.flip(renamed.rename(name, other)))._tag, "ProtocolBroken")
        assert.isTrue(renamed.ended())
      }
    })
  )
})

describe("answers to an upload", () => {
  const proceed: ServerMessage = { _tag: "Proceed", from: 0 }

  scenario("of other content than was sent are no success", () =>
    Effect.gen(function* () {
      for (const uploaded of [
        { _tag: "Uploaded", size: 10, digest },
        { _tag: "Uploaded", size: 9, digest: yield* Fixture.digest(Fixture.bytes(1, 10)) }
      ] as const) {
        const session = yield* against(answers(proceed, uploaded))
        assert.strictEqual((yield* Effect.flip(session.upload(name, small)))._tag, "ProtocolBroken")
      }
    })
  )

  scenario("that let it go ahead for ever end it", () =>
    Effect.gen(function* () {
      const session = yield* against((far) => Effect.andThen(far.hear, Effect.forever(far.say(1, proceed))))
      assert.strictEqual((yield* Effect.flip(session.upload(name, small)))._tag, "ProtocolBroken")
    })
  )

  scenario("that refuse it in the middle stop the sending", () =>
    Effect.gen(function* () {
      const session = yield* against((far) =>
        Effect.gen(function* () {
          yield* far.hear
          yield* far.say(1, proceed)
          yield* far.hear
          yield* far.say(1, { _tag: "Refused", reason: "no-space" })
          yield* far.hearAll
          yield* far.end
        })
      )
      let reads = 0
      const source = Fixture.source(Fixture.bytes(2, 200 * contentBlockBytes))
      const counted = {
        ...source,
        read: (offset: number, length: number) => Effect.suspend(() => ((reads += 1), source.read(offset, length)))
      }
      const failed = yield* Effect.flip(session.upload(name, counted))
      assert.strictEqual(failed._tag === "RequestRefused" ? failed.reason : failed._tag, "no-space")
      yield* session.close
      assert.isBelow(reads, 150)
    })
  )
})

/** One file of a bundle that the server sends; its content follows. */
const sending = (index: number, size = 1): ServerMessage => ({
  _tag: "BundleSending",
  files: packSent([{ index, size, modified: 1, digest }])
})
const one = Uint8Array.of(1)

describe("bundles", () => {
  const names = [name, FileName.make("b")]
  const refused = (index: number): ServerMessage => ({ _tag: "FileRefused", index, reason: "no-such-file" })
  const done = (count: number): ServerMessage => ({ _tag: "BundleDone", count })
  const wrongly: Record<string, ReadonlyArray<ServerMessage | Uint8Array>> = {
    "a file twice": [sending(0), one, sending(0), one, refused(1), done(1)],
    "a file that was refused": [refused(0), sending(0), one, done(1)],
    "a file and refuses it": [sending(0), one, refused(0), done(1)],
    "fewer files than it counts": [sending(0), one, done(2)],
    "neither one of the files nor a refusal": [sending(0), one, done(1)]
  }
  for (const [what, said] of Object.entries(wrongly)) {
    scenario(`of which a server sends ${what} end the session`, () =>
      Effect.gen(function* () {
        const session = yield* against(answers(...said))
        const error = yield* Effect.flip(session.downloadBundle(names, () => Effect.void))
        assert.deepStrictEqual([error._tag, session.ended()], ["ProtocolBroken", true])
      })
    )
  }

  const toSend = names.map((name) => ({ name, size: 1, modified: 1, digest, content: one }))
  const answered: Record<string, ReadonlyArray<ServerMessage | Uint8Array>> = {
    "a refusal twice": [refused(0), refused(0), done(1)],
    "a refusal of no file": [refused(2), done(1)],
    "a file": [sending(0), one, done(2)],
    "another count": [done(1)]
  }
  for (const [what, said] of Object.entries(answered)) {
    scenario(`that are answered with ${what} end the session`, () =>
      Effect.gen(function* () {
        const session = yield* against(answers({ _tag: "Proceed", from: 0 }, ...said))
        const error = yield* Effect.flip(session.uploadBundle(toSend))
        assert.deepStrictEqual([error._tag, session.ended()], ["ProtocolBroken", true])
      })
    )
  }
})

describe("listings", () => {
  scenario("of empty pages without end are refused", () =>
    Effect.gen(function* () {
      const session = yield* against((far) =>
        Effect.andThen(far.hear, Effect.forever(far.say(1, { _tag: "Page", entries: new Uint8Array(0) })))
      )
      assert.strictEqual((yield* Effect.flip(Stream.runDrain(session.fetch)))._tag, "ProtocolBroken")
    })
  )

  scenario("with another count than entries are refused", () =>
    Effect.gen(function* () {
      const [entries = new Uint8Array(0)] = packEntries([{ name, size: 1, modified: 1 }])
      const page: ServerMessage = { _tag: "Page", entries }
      const session = yield* against(answers(page, { _tag: "Listed", count: 2 }))
      assert.strictEqual((yield* Effect.flip(Stream.runDrain(session.fetch)))._tag, "ProtocolBroken")
    })
  )

  const [entries = new Uint8Array(0)] = packEntries([{ name, size: 1, modified: 1 }])
  const page: ServerMessage = { _tag: "Page", entries }
  const lacks = (count: number, ...names: ReadonlyArray<FileName>): ServerMessage => {
    return { _tag: "Unlisted", names: packNames(names), count }
  }
  const unnamed = (count: number, names: ReadonlyArray<string>, folder?: FileName): ServerMessage => {
    return { _tag: "Unnamed", count, names, ...(folder !== undefined && { folder }) }
  }
  const many = Array.from({ length: unlistedNamesMax + 1 }, (_, index) => FileName.make(`${index}`))
  const wrongly: Record<string, ReadonlyArray<ServerMessage>> = {
    "something twice": [lacks(1, name), lacks(1, name)],
    "more than it counts": [lacks(1, name, name)],
    "more names than may be told": [lacks(100, ...many)],
    nothing: [lacks(0)],
    "something and goes on": [lacks(1, name), page],
    "names and goes on": [unnamed(1, ["a."]), page],
    "names, and then what may not be looked into": [unnamed(1, ["a."]), lacks(1, name)],
    "names of a folder twice": [unnamed(1, ["a."], name), unnamed(1, ["b."], name)],
    "no names": [unnamed(0, [])],
    "more names than it counts": [unnamed(1, ["a.", "b."])],
    "names of others twice": [unnamed(1, []), unnamed(1, [])],
    "names of others, and then of one": [unnamed(1, []), unnamed(1, ["a."])],
    "names of others in one folder": [unnamed(1, [], name)],
    "names that are paths": [unnamed(1, ["a/b."])],
    "a name that is empty": [unnamed(1, [""])],
    "a name that is a slash": [unnamed(1, ["/"])],
    "names of too many folders": Array.from({ length: unnamedFoldersMax + 1 }, (_, index) =>
      unnamed(1, ["a."], FileName.make(`${index}`))
    )
  }
  for (const [what, said] of Object.entries(wrongly)) {
    scenario(`of which it is said to lack ${what} are refused`, () =>
      Effect.gen(function* () {
        const session = yield* against(answers(...said, { _tag: "Listed", count: said.includes(page) ? 1 : 0 }))
        assert.strictEqual((yield* Effect.flip(Stream.runDrain(session.fetch)))._tag, "ProtocolBroken")
        assert.isTrue(session.ended())
      })
    )
  }

  scenario("tell once what they lack, of as many names as there may be", () =>
    Effect.gen(function* () {
      const names = many.slice(1)
      const folders = names.slice(0, unnamedFoldersMax)
      const answered = answers(
        page,
        lacks(1_000, ...names),
        ...folders.map((folder) => unnamed(2, ["a.", "b /"], folder)),
        unnamed(9, []),
        { _tag: "Listed", count: 1 }
      )
      const heard: Array<Unlisted> = []
      const onUnlisted = (unlisted: Unlisted) => Effect.sync(() => void heard.push(unlisted))
      const listed = yield* Stream.runCollect((yield* against(answered)).fetchWith({ onUnlisted }))
      assert.deepStrictEqual([listed.length, heard[0]], [1, { count: 1_000, names, unnamed: [] }])
      const places = folders.map((folder) => ({ folder, count: 2, names: ["a.", "b /"] }))
      assert.deepStrictEqual(heard.at(-1)?.unnamed, [...places, { folder: "", count: 9, names: [] }])
    })
  )

  const wrong: Record<string, ReadonlyArray<ServerMessage | Uint8Array>> = {
    "a file that is not listed": [page, sending(1), one, { _tag: "Listed", count: 1 }],
    "two bundles": [page, page, sending(0), one, sending(1), one, { _tag: "Listed", count: 2 }],
    "more content than was declared": [page, sending(0), new Uint8Array(2), { _tag: "Listed", count: 1 }],
    "less content than was declared": [page, sending(0, 2), one, { _tag: "Listed", count: 1 }],
    "pages behind it": [page, sending(0), one, page, { _tag: "Listed", count: 2 }],
    "another count": [page, sending(0), one, { _tag: "Listed", count: 2 }]
  }
  for (const [what, said] of Object.entries(wrong)) {
    scenario(`with content that has ${what} end the session`, () =>
      Effect.gen(function* () {
        const session = yield* against(answers(...said))
        yield* Effect.exit(session.fetchToGet([name]))
        yield* Effect.exit(session.downloadBundle([name], () => Effect.void))
        assert.isTrue(session.ended())
        assert.strictEqual((yield* Effect.flip(session.describe(name)))._tag, "ProtocolBroken")
      })
    )
  }

  scenario("with content that was not asked for are refused", () =>
    Effect.gen(function* () {
      const session = yield* against(answers(page, sending(0), one, { _tag: "Listed", count: 1 }))
      assert.strictEqual((yield* Effect.flip(Stream.runDrain(session.fetch)))._tag, "ProtocolBroken")
    })
  )
})

describe("a server hears of a client", () => {
  const step = keepAliveMilliseconds / 2

  /** When the client's pings came at the server, which answers none; `first` answers the client's first request. */
  const pingedBy = Effect.fnUntraced(function* (
    first: Script,
    through: (socket: Effect.Success<typeof pair>[0]) => Effect.Success<typeof pair>[0] = (socket) => socket
  ) {
    const pings: Array<number> = []
    const listen = (far: HostileServer.HostileSession) =>
      Effect.forever(
        Effect.gen(function* () {
          const heard = yield* far.hear
          if (heard?._tag === "Message" && heard.message._tag === "Ping") pings.push(yield* Clock.currentTimeMillis)
          const asks = heard?._tag === "Message" && ["Download", "Upload"].includes(heard.message._tag)
          if (asks) yield* Effect.forkChild(Effect.ignore(first(far)))
        })
      )
    return { pings, session: yield* against(listen, through) }
  })
  /** In steps, so that what each brings about comes before the next. */
  const passing = Effect.fnUntraced(function* (milliseconds: number) {
    for (let passed = 0; passed < milliseconds; passed += step) {
      yield* settle
      yield* TestClock.adjust(step)
    }
    yield* settle
  })
  const everyFive = (until: number) =>
    Array.from({ length: Math.floor(until / keepAliveMilliseconds) }, (_, index) => (index + 1) * keepAliveMilliseconds)

  scenario("that reads its own file: every five seconds, and no more once it has", () =>
    Effect.gen(function* () {
      const { pings, session } = yield* pingedBy((far) => far.say(1, { _tag: "Proceed", from: 0 }))
      const long = stallMillisecondsMax - step
      const source = { ...small, read: () => Effect.andThen(Effect.sleep(long), Effect.never) }
      const fiber = yield* Effect.forkChild(session.upload(name, source))
      yield* passing(long)
      yield* Fiber.interrupt(fiber)
      yield* passing(stallMillisecondsMax)
      yield* leave(session)
      assert.deepStrictEqual(pings, everyFive(long))
    })
  )

  scenario("that reads its own file: as often when others were interrupted before, wherever they were", () =>
    Effect.gen(function* () {
      const { pings, session } = yield* pingedBy(() => Effect.void)
      for (let budget = 3; budget < 8; budget += 1) {
        for (let turns = 0; turns < 60; turns += 1) {
          const before = Effect.provideService(session.upload(name, small), Scheduler.MaxOpsBeforeYield, budget)
          const fiber = yield* Effect.forkChild(before, { startImmediately: true })
          yield* yields(turns)
          yield* Fiber.interrupt(fiber)
        }
      }
      const long = 4 * keepAliveMilliseconds
      const source = { ...small, read: () => Effect.never }
      const fiber = yield* Effect.forkChild(session.upload(name, source))
      yield* passing(long)
      yield* Fiber.interrupt(fiber)
      yield* leave(session)
      assert.deepStrictEqual(pings, everyFive(long))
    })
  )

  scenario("to which a record is long on its way: every five seconds, and no more once it is there", () =>
    Effect.gen(function* () {
      const parts = 7
      const bytes = Fixture.bytes(3, parts * receivedPartBytes)
      const sending = { _tag: "Sending", size: 2 * bytes.length, modified: 0, from: 0 } as const
      const { pings, session } = yield* pingedBy(
        (far) => Effect.andThen(far.say(1, sending), far.content(1, bytes)),
        slowSocket.reads({ bytes: receivedPartBytes, wait: Effect.sleep(step) })
      )
      const sink = Fixture.sink()
      const fiber = yield* Effect.forkChild(session.download(name, () => Effect.succeed(sink)))
      yield* passing(parts * step + stallMillisecondsMax / 2)
      const written = sink.content().length
      yield* Fiber.interrupt(fiber)
      yield* leave(session)
      assert.deepStrictEqual({ pings, written }, { pings: everyFive(parts * step), written: bytes.length })
    })
  )
})

describe("a client whose commands are interrupted, wherever they are", () => {
  /** Whoever begins at this budget is interrupted where it first lets others go on. */
  const cut = (work: Effect.Effect<unknown, unknown>) =>
    Effect.forEach(
      Array.from({ length: 150 }, (_, index) => index + 3),
      (budget) =>
        Effect.flatMap(
          Effect.forkChild(Effect.provideService(work, Scheduler.MaxOpsBeforeYield, budget), {
            startImmediately: true
          }),
          Fiber.interrupt
        ),
      { discard: true }
    )
  const alike = [FileName.make("b")]
  const asked: {
    readonly [what: string]: readonly [
      count: number,
      tag: string,
      ask: (session: ClientSession, name: FileName) => Effect.Effect<unknown, unknown>
    ]
  } = {
    requests: [requestsInFlightMax, "Describe", (session, name) => session.describe(name)],
    "listings of some names": [
      bundlesInFlightMax - bundlesAheadMax,
      "Fetch",
      (session) => Stream.runDrain(session.fetchWith({ alike }))
    ]
  }
  for (const [what, [most, tag, ask]] of Object.entries(asked)) {
    scenario(`has as many ${what} under way after them as before`, () =>
      Effect.gen(function* () {
        const heard: Array<string> = []
        const session = yield* against((far) =>
          Effect.forever(
            Effect.map(far.hear, (said) => void heard.push(said?._tag === "Message" ? said.message._tag : "nothing"))
          )
        )
        /** All that is said and not heard yet. */
        const hearing = Effect.gen(function* () {
          let before = -1
          while (heard.length > before) {
            before = heard.length
            yield* settle
            yield* TestClock.adjust(1)
          }
          return heard.splice(0)
        })
        yield* hearing
        yield* cut(ask(session, name))
        assert.isAbove((yield* hearing).length, 0)
        const all = Array.from({ length: most + 1 }, () => Effect.ignore(ask(session, name)))
        const waiting = yield* Effect.forkChild(Effect.all(all, { concurrency: "unbounded" }))
        assert.deepStrictEqual(
          yield* hearing,
          Array.from({ length: most }, () => tag)
        )
        yield* Fiber.interrupt(waiting)
        yield* leave(session)
      })
    )
  }
})

describe("a session that ends", () => {
  scenario("fails all that is pending, also when the first who hears of it closes its scope", () =>
    Effect.gen(function* () {
      const count = 8
      for (let budget = 3; budget < 60; budget += 1) {
        const scope = yield* Scope.make()
        const session = yield* against((far) =>
          Effect.andThen(
            Effect.forEach(Array.from({ length: count }), () => far.hear),
            far.end
          )
        ).pipe(Effect.provideService(Scheduler.MaxOpsBeforeYield, budget), Effect.provideService(Scope.Scope, scope))
        const one = Effect.flip(session.describe(name))
        const closing = Effect.tap(one, () => Scope.close(scope, Exit.void))
        const all = Effect.all(
          Array.from({ length: count }, () => closing),
          { concurrency: "unbounded" }
        )
        const fiber = yield* Effect.forkChild(all)
        for (let turn = 0; turn < 20; turn += 1) yield* settle
        const outcome = fiber.pollUnsafe()
        yield* Fiber.interrupt(fiber)
        assert.isTrue(outcome !== undefined && Exit.isSuccess(outcome), `budget ${budget}`)
      }
    })
  )

  scenario("is over also when whoever closes it does not wait for the server's goodbye", () =>
    Effect.gen(function* () {
      const session = yield* against(() => Effect.never)
      const pending = yield* Effect.forkChild(Effect.flip(session.describe(name)))
      yield* settle
      const closing = yield* Effect.forkChild(session.close)
      yield* settle
      yield* Fiber.interrupt(closing)
      yield* settle
      const over = [session.ended(), pending.pollUnsafe() !== undefined]
      yield* leave(session)
      assert.deepStrictEqual(over, [true, true])
    })
  )
})

describe("a server that goes silent", () => {
  for (const [command, run] of Object.entries(commands)) {
    scenario(`${command}: fails by the stall deadline, after any time of idleness`, () =>
      Effect.gen(function* () {
        const session = yield* against(() => Effect.never)
        yield* TestClock.adjust(3 * 3_600_000)
        const fiber = yield* Effect.forkChild(Effect.flip(run(session)))
        yield* TestClock.adjust(stallMillisecondsMax - 1)
        assert.isUndefined(fiber.pollUnsafe())
        yield* TestClock.adjust(1)
        assert.strictEqual((yield* Fiber.join(fiber))._tag, "ConnectionLost")
      })
    )

    scenario(`${command}: fails also when the network swallows what is written`, () =>
      Effect.gen(function* () {
        const session = yield* against(
          () => Effect.never,
          (socket) => FaultySocket.wrap(socket, { seed: 1, writes: { cutAfterBytes: 1_900 }, hangWhenCut: true })
        ).pipe(Effect.result)
        if (Result.isFailure(session)) return assert.strictEqual(session.failure._tag, "ConnectFailed")
        const fiber = yield* Effect.forkChild(Effect.flip(run(session.success)))
        yield* TestClock.adjust(stallMillisecondsMax)
        assert.strictEqual((yield* Fiber.join(fiber))._tag, "ConnectionLost")
      })
    )
  }

  const signs: Record<string, Script> = {
    "that it lives": (far) => far.say(0, { _tag: "Pong" }),
    "nothing, in records that are empty": (far) => far.record(new Uint8Array()),
    "what was cancelled": (far) => far.content(1, one)
  }
  for (const [what, sign] of Object.entries(signs)) {
    scenario(`but for ${what} is believed for a day, and no longer`, () =>
      Effect.gen(function* () {
        const step = stallMillisecondsMax - 1
        const session = yield* against((far) => Effect.forever(Effect.andThen(Effect.sleep(step), sign(far))))
        const cancelled = yield* Effect.forkChild(session.describe(name), { startImmediately: true })
        yield* settle
        yield* Fiber.interrupt(cancelled)
        const fiber = yield* Effect.forkChild(Effect.flip(session.describe(name)), { startImmediately: true })
        let passed = 0
        for (; fiber.pollUnsafe() === undefined && passed < 2 * signsOfLifeMillisecondsMax; passed += step) {
          yield* TestClock.adjust(step)
          yield* settle
        }
        assert.isAtLeast(passed, signsOfLifeMillisecondsMax)
        assert.isAtMost(passed, signsOfLifeMillisecondsMax + 3 * step)
        const failed = yield* Fiber.join(fiber)
        assert.match(failed.message, /\(nothing but signs of life for 864\d\d s\)/)
        assert.isTrue(session.ended())
      })
    )
  }

  scenario("para: fails by the stall deadline while it waits for an answer in the middle of its work", () =>
    Effect.gen(function* () {
      const content = Fixture.bytes(1, 400_000)
      const { groups, ...base } = baseOf(content)
      const signature = { digest: wholeOf(content), key, averageLog2: base.averageLog2, groups: packPieces(groups) }
      let heard = 0
      const session = yield* against((far) =>
        Effect.gen(function* () {
          yield* far.hear
          yield* far.say(1, { _tag: "SameFileHere", size: content.length, modified: 0, from: 0, signature })
          while ((yield* far.hear) !== undefined) heard += 1
        })
      )
      const fiber = yield* Effect.forkChild(Effect.flip(session.para(name, Fixture.source(content.toReversed()))))
      let passed = 0
      for (; fiber.pollUnsafe() === undefined && passed < 2 * stallMillisecondsMax; passed += keepAliveMilliseconds) {
        yield* TestClock.adjust(keepAliveMilliseconds)
      }
      assert.isAtLeast(passed, stallMillisecondsMax)
      assert.isBelow(passed, stallMillisecondsMax + 4 * keepAliveMilliseconds)
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "ConnectionLost")
      // A question, and a sign of life every five seconds: none was answered.
      assert.isAtLeast(heard, stallMillisecondsMax / keepAliveMilliseconds - 1)
    })
  )

  scenario("before it greets: the login fails by its deadline", () =>
    Effect.gen(function* () {
      const registered = yield* Fixture.registered
      const [near, far] = yield* pair
      yield* Effect.forkScoped(
        Effect.ignore(Effect.scoped(Effect.andThen(HostileServer.accept(far, registered), Effect.never)))
      )
      const connecting = Client.connect({ server: "hostile", dial: Effect.succeed(near), ...Fixture.ada })
      const fiber = yield* Effect.forkChild(Effect.flip(connecting))
      yield* TestClock.adjust(handshakeMillisecondsMax)
      const failed = yield* Fiber.join(fiber)
      assert.strictEqual(failed._tag === "ConnectFailed" ? failed.reason : failed._tag, "timeout")
    })
  )

  scenario("at the goodbye: leaving ends in time, and what is pending fails", () =>
    Effect.gen(function* () {
      const session = yield* against(() => Effect.never)
      const pending = yield* Effect.forkChild(Effect.flip(session.describe(name)))
      yield* TestClock.adjust(1)
      yield* leave(session)
      assert.strictEqual((yield* Fiber.join(pending))._tag, "ConnectionLost")
      assert.strictEqual((yield* Effect.flip(session.describe(name)))._tag, "ConnectionLost")
    })
  )

  scenario("for one request: others that are interrupted leave at once", () =>
    Effect.gen(function* () {
      const session = yield* against(() => Effect.never)
      for (const run of Object.values(commands)) {
        const fiber = yield* Effect.forkChild(run(session))
        yield* TestClock.adjust(1)
        yield* Fiber.interrupt(fiber)
      }
      yield* leave(session)
    })
  )
})

describe("a connection that takes nothing more", () => {
  scenario("is of no more use, also while the server's last words may come: whoever begins anew makes another", () =>
    Effect.gen(function* () {
      let isCut = false
      const cut = new Socket.SocketError({
        reason: new Socket.SocketWriteError({ cause: "the peer has reset it" })
      })
      const cutting = (socket: Socket.Socket): Socket.Socket =>
        Socket.make({
          reader: socket.reader,
          writer: Effect.map(socket.writer, (writer) => ({
            ...writer,
            writeAll: (chunks) => (isCut ? Effect.fail(cut) : writer.writeAll(chunks))
          }))
        })
      let dialled = 0
      const sessions = yield* Layer.build(
        Sessions.layer(
          Effect.suspend(() =>
            Effect.tap(against(() => Effect.never, cutting).pipe(Effect.catchTag("OpaqueRejected", Effect.die)), () =>
              Effect.sync(() => void (dialled += 1))
            )
          )
        )
      ).pipe(Effect.map((context) => Context.get(context, Sessions)))
      const first = yield* sessions.session
      isCut = true
      const failed = yield* Effect.flip(first.describe(name))
      assert.strictEqual(failed._tag === "ConnectionLost" ? failed.reason : failed._tag, "connection-lost")
      isCut = false
      const next = yield* sessions.session
      yield* leave(first)
      assert.notStrictEqual(next, first)
      assert.strictEqual(dialled, 2)
    })
  )
})

describe("a connection that is of no more use", () => {
  /** Listens until the client has gone. */
  const listening = (far: HostileServer.HostileSession, gone: () => void) =>
    Effect.gen(function* () {
      while ((yield* far.hear) !== undefined);
    }).pipe(Effect.ensuring(Effect.sync(gone)))

  for (const [how, milliseconds] of Object.entries({ "its deadline": handshakeMillisecondsMax, "who connects": 1 })) {
    scenario(`ends at once when the login was given up by ${how}, also where the scope goes on`, () =>
      Effect.gen(function* () {
        const registered = yield* Fixture.registered
        const [near, far] = yield* pair
        let here = false
        let gone = false
        yield* Effect.forkScoped(
          Effect.ignore(
            Effect.scoped(
              Effect.flatMap(HostileServer.accept(far, registered), (session) => {
                here = true
                return listening(session, () => void (gone = true))
              })
            )
          )
        )
        const connecting = Client.connect({ server: "hostile", dial: Effect.succeed(near), ...Fixture.ada })
        const fiber = yield* Effect.forkChild(connecting)
        yield* settle
        yield* TestClock.adjust(milliseconds)
        yield* Fiber.interrupt(fiber)
        yield* settle
        assert.deepStrictEqual({ here, gone }, { here: true, gone: true })
      })
    )
  }

  scenario("is closed where a server said what it may not, also when whoever heard it is interrupted", () =>
    Effect.gen(function* () {
      for (let budget = 3; budget < 6; budget += 1) {
        for (let turns = 0; turns < 60; turns += 1) {
          let gone = false
          const session = yield* against((far) =>
            Effect.andThen(
              answers({ _tag: "Listed", count: 0 })(far),
              listening(far, () => void (gone = true))
            )
          )
          const work = Effect.provideService(session.describe(name), Scheduler.MaxOpsBeforeYield, budget)
          const fiber = yield* Effect.forkChild(work, { startImmediately: true })
          yield* yields(turns)
          yield* Fiber.interrupt(fiber)
          for (let turn = 0; turn < 3; turn += 1) yield* settle
          if (session.ended()) assert.isTrue(gone, `budget ${budget}, turns ${turns}`)
          else yield* leave(session)
        }
      }
    })
  )
})

describe("files that came along with a listing", () => {
  const [entries = new Uint8Array(0)] = packEntries([{ name, size: 1, modified: 1 }])
  const said: ReadonlyArray<ServerMessage | Uint8Array> = [
    { _tag: "Page", entries },
    { _tag: "BundleSending", files: packSent([{ index: 0, size: 1, modified: 0, digest }]) },
    new Uint8Array(1),
    { _tag: "Listed", count: 1 }
  ]
  scenario("are asked for again once whoever listed has gone, wherever that was interrupted", () =>
    Effect.gen(function* () {
      for (let budget = 3; budget < 6; budget += 1) {
        for (let turns = 0; turns < 60; turns += 1) {
          let asked = false
          const session = yield* against((far) =>
            Effect.forever(
              Effect.gen(function* () {
                const heard = yield* far.hear
                if (heard?._tag !== "Message") return
                if (heard.message._tag === "DownloadBundle") asked = true
                if (heard.message._tag !== "Fetch") return
                for (const one of said) {
                  yield* one instanceof Uint8Array ? far.content(heard.id, one) : far.say(heard.id, one)
                }
              })
            )
          )
          const listing = Effect.scoped(session.fetchToGet([name]))
          const fiber = yield* Effect.forkChild(Effect.provideService(listing, Scheduler.MaxOpsBeforeYield, budget), {
            startImmediately: true
          })
          yield* yields(turns)
          yield* Fiber.interrupt(fiber)
          yield* settle
          const later = yield* Effect.forkChild(Effect.exit(session.downloadBundle([name], () => Effect.void)))
          for (let turn = 0; turn < 5; turn += 1) yield* settle
          yield* Fiber.interrupt(later)
          assert.isTrue(asked, `budget ${budget}, turns ${turns}`)
          yield* leave(session)
        }
      }
    })
  )

  scenario("are taken beside others that did not, of which one may be refused while another comes", () =>
    Effect.gen(function* () {
      const sent: ReadonlyArray<ServerMessage | Uint8Array> = [
        { _tag: "BundleSending", files: packSent([{ index: 0, size: 1, modified: 0, digest }]) },
        new Uint8Array(1),
        { _tag: "FileRefused", index: 1, reason: "no-such-file" },
        { _tag: "BundleDone", count: 1 }
      ]
      const session = yield* against((far) =>
        Effect.gen(function* () {
          for (const [index, some] of [said, sent].entries()) {
            yield* far.hear
            for (const one of some) {
              yield* one instanceof Uint8Array ? far.content(index + 1, one) : far.say(index + 1, one)
            }
          }
        })
      )
      yield* session.fetchToGet([name])
      const came: Array<number> = []
      const refusals = yield* session.downloadBundle([name, FileName.make("b"), FileName.make("c")], (files) =>
        Effect.sync(() => void came.push(...files.map(({ index }) => index)))
      )
      assert.deepStrictEqual([came, Array.from(refusals.keys()), session.ended()], [[0, 1], [2], false])
      yield* leave(session)
    })
  )
})

describe("a try that goes on where an earlier one was wrong", () => {
  scenario("gives its request back first: those of all others may be waiting for the same", () =>
    Effect.gen(function* () {
      const source = Fixture.source(Fixture.bytes(1, resumeBytesMin))
      let uploads = 0
      const session = yield* against((far) =>
        Effect.forever(
          Effect.gen(function* () {
            const heard = yield* far.hear
            if (heard?._tag !== "Message") return
            const { id, message } = heard
            if (message._tag === "Upload") {
              uploads += 1
              if (uploads === 1) yield* far.say(id, { _tag: "Proceed", from: source.size })
            }
            if (message._tag === "Commit") yield* far.say(id, { _tag: "Refused", reason: "digest-mismatch" })
          })
        )
      )
      const others = Array.from({ length: requestsInFlightMax - 1 }, () => Effect.ignore(session.describe(name)))
      const fiber = yield* Effect.forkChild(Effect.all(others, { concurrency: "unbounded" }))
      yield* settle
      const upload = yield* Effect.forkChild(Effect.ignore(session.upload(name, source)))
      for (let turn = 0; turn < 50; turn += 1) yield* settle
      assert.strictEqual(uploads, 2)
      yield* Fiber.interrupt(upload)
      yield* Fiber.interrupt(fiber)
      yield* leave(session)
    })
  )
})
