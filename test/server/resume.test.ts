import { quickCrypto } from "../crypto.ts"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer } from "effect"
import { SecureRandom } from "effect/crypto"
import { TestClock } from "effect/testing"
import * as Bytes from "../../src/domain/Bytes.ts"
import type { ContentDigest } from "../../src/domain/file/Digest.ts"
import { FileName, stagingFolder } from "../../src/domain/file/FileName.ts"
import { packRanges } from "../../src/domain/file/Packed.ts"
import {
  contentBlockBytes,
  goodbyeMillisecondsMax,
  blocksAskedBytesMax,
  hintBytesMax,
  readAheadBlocksMax,
  recordPlaintextBytesMax,
  resumeBytesMin
} from "../../src/domain/limits.ts"
import { Disk } from "../../src/domain/store/Disk.ts"
import { FileStore } from "../../src/domain/store/FileStore.ts"
import * as FileStoreDisk from "../../src/domain/store/FileStoreDisk.ts"
import * as FaultySocket from "../../src/domain/testing/FaultySocket.ts"
import { loadFile, saveFile } from "../../src/domain/testing/fileStoreContract.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as HostileClient from "../../src/domain/testing/HostileClient.ts"
import * as MemoryDisk from "../../src/domain/testing/MemoryDisk.ts"
import * as MemorySocket from "../../src/domain/testing/MemorySocket.ts"
import type { ClientMessage } from "../../src/domain/wire/Message.ts"
import * as Server from "../../src/server/Server.ts"
import { connect, dial, settle } from "./world.ts"

const name = FileName.make("file")
const base = Fixture.bytes(1, 3_000_000)
/** A little more than what a source is read by at once, three times: the last read is small. */
const mine = Fixture.bytes(2, 3 * readAheadBlocksMax * contentBlockBytes + 1_000)
/** The base with new bytes in its middle. */
const edited = Bytes.concat([base.subarray(0, 400_000), Fixture.bytes(3, 2_200_000), base.subarray(400_000)])

/** A server whose files are on a disk in memory. */
const world = () =>
  Server.layer.pipe(
    Layer.provideMerge(MemorySocket.layer),
    Layer.provideMerge(Layer.orDie(Fixture.accounts)),
    Layer.provideMerge(Layer.orDie(FileStoreDisk.layer())),
    Layer.provideMerge([MemoryDisk.layer(), SecureRandom.layerWebCrypto]),
    Layer.provideMerge(quickCrypto)
  )

const staged = Effect.flatMap(MemoryDisk.MemoryDisk, ({ files }) =>
  Effect.map(files, (all) => [...all].filter(([path]) => path.startsWith(stagingFolder)))
)

/** Leaves the server with so much of a content staged, as a session of that user does whose file vanishes. */
const leave = Effect.fnUntraced(function* (content: Uint8Array, upTo: number, who = Fixture.ada, modified = 5) {
  const session = yield* connect(who)
  const source = {
    ...Fixture.source(content, modified),
    read: (offset: number, length: number) =>
      offset + length > upTo ? Effect.fail("gone") : Effect.succeed(content.slice(offset, offset + length))
  }
  assert.strictEqual(yield* Effect.flip(session.upload(name, source)), "gone")
  yield* session.close
  yield* settle
}, Effect.scoped)

/** What a whole upload costs now, bytes sent; it must end right. */
const finish = Effect.fnUntraced(function* (
  content: Uint8Array,
  command: "upload" | "para" = "upload",
  who = Fixture.ada,
  modified = 5
) {
  const session = yield* connect(who)
  const before = session.traffic.sent
  yield* session[command](name, Fixture.source(content, modified))
  assert.isTrue(Bytes.equals(yield* loadFile(name), content))
  assert.deepStrictEqual(yield* staged, [])
  return session.traffic.sent - before
}, Effect.scoped)

const overhead = 16 * 1024
const left = Effect.map(staged, (all) => all.reduce((total, [, bytes]) => total + bytes.length, 0))

describe("a transfer of a source that has changed", () => {
  for (const command of ["upload", "para"] as const) {
    it.effect(`${command}: leaves nothing that nobody would go on with`, () =>
      Effect.gen(function* () {
        yield* saveFile(name, [base])
        const source = Fixture.source(edited)
        const shorter = {
          ...source,
          read: (offset: number, length: number) =>
            Effect.succeed(edited.slice(offset, Math.min(offset + length, edited.length - 10)))
        }
        const another = { ...source, unchanged: Effect.fail("another"), isAnother: Effect.succeed(true) }
        for (const [changed, told] of [
          [another, "another"],
          [shorter, "SourceShrank"]
        ] as const) {
          const session = yield* connect(Fixture.ada)
          const error = yield* Effect.flip(session[command](name, changed))
          assert.strictEqual(typeof error === "string" ? error : error._tag, told)
          yield* settle
          assert.strictEqual(yield* left, 0, told)
        }
        // A file that cannot be read any more may be read again, and one of another owner is still the same.
        yield* leave(edited, 4_000_000)
        assert.isAbove(yield* left, resumeBytesMin)
        yield* finish(edited)
        const session = yield* connect(Fixture.ada)
        yield* Effect.flip(
          session[command](name, { ...Fixture.source(mine), unchanged: Effect.fail("by somebody else") })
        )
        yield* settle
        // Of a para, what still waits for earlier parts goes.
        assert.isAtLeast(yield* left, command === "upload" ? mine.length : 0)
      }).pipe(Effect.scoped, Effect.provide(world()))
    )
  }
})

describe("a transfer that was cut", () => {
  for (const command of ["upload", "para"] as const) {
    it.effect(`${command}: the same command again sends the rest`, () =>
      Effect.gen(function* () {
        const random = Fixture.seeded(11)
        for (let round = 1; round <= 5; round += 1) {
          yield* saveFile(name, [base])
          const content = edited.slice()
          content.set(Fixture.bytes(100 + round, 100), 500_000)
          const cutAfterBytes = 10_000 + Math.floor(random() * 2_150_000)
          yield* Effect.scoped(
            Effect.gen(function* () {
              const session = yield* connect(Fixture.ada, (socket) =>
                FaultySocket.wrap(socket, { seed: round, writes: { cutAfterBytes } })
              )
              yield* Effect.flip(session[command](name, Fixture.source(content, round)))
            })
          )
          yield* settle
          const kept = yield* left
          const sent = yield* finish(content, command, Fixture.ada, round)
          assert.isTrue(kept === 0 || kept >= resumeBytesMin)
          assert.isBelow(sent, content.length - kept + contentBlockBytes + overhead, `cut at ${cutAfterBytes}`)
          // Every record that had come whole by the cut is there, a few may still have been on their way.
          if (command === "upload" && cutAfterBytes > 2_000_000) assert.isAbove(kept, resumeBytesMin)
        }
      }).pipe(Effect.scoped, Effect.provide(world()))
    )
  }

  it.effect("everything was staged, only the commit is missing: nothing of it is sent again", () =>
    Effect.gen(function* () {
      yield* leave(mine, mine.length - 1)
      assert.isAtLeast(yield* left, mine.length - 2 * recordPlaintextBytesMax)
      assert.isBelow(yield* finish(mine), 2 * recordPlaintextBytesMax + overhead)
    }).pipe(Effect.scoped, Effect.provide(world()))
  )

  it.effect("the file was brought there by other means: a para finds it equal, and nothing is left of the try", () =>
    Effect.gen(function* () {
      yield* leave(mine, 2_500_000)
      assert.isAbove(yield* left, 2_000_000)
      yield* saveFile(name, [mine])
      assert.isBelow(yield* finish(mine, "para"), overhead)
    }).pipe(Effect.scoped, Effect.provide(world()))
  )

  it.effect("another source of the same name and another account begin at nothing", () =>
    Effect.gen(function* () {
      yield* leave(mine, 2_500_000)
      const kept = yield* left
      assert.isAbove(kept, 2_000_000)
      const other = mine.slice()
      other[0] = (other[0] ?? 0) ^ 1
      for (const [content, who, modified] of [
        [other, Fixture.ada, 5],
        [mine, Fixture.ada, 6],
        [mine, Fixture.grace, 5]
      ] as const) {
        const session = yield* connect(who)
        const before = session.traffic.sent
        yield* session.upload(name, Fixture.source(content, modified))
        assert.isAbove(session.traffic.sent - before, mine.length)
        assert.strictEqual(yield* left, kept)
      }
      assert.isBelow(yield* finish(mine), mine.length - kept + contentBlockBytes + overhead)
    }).pipe(Effect.scoped, Effect.provide(world()))
  )

  it.effect("content that was staged wrong is found by the digest, and sent again once, whole", () =>
    Effect.gen(function* () {
      const wrong = mine.slice()
      // Behind the head, so that it is the same source as far as anyone can tell.
      wrong[400_000] = (wrong[400_000] ?? 0) ^ 1
      yield* leave(wrong, 2_500_000)
      const kept = yield* left
      const sent = yield* finish(mine)
      assert.isAbove(sent, 2 * mine.length - kept)
      assert.isBelow(sent, 2 * mine.length - kept + contentBlockBytes + 2 * overhead)
    }).pipe(Effect.scoped, Effect.provide(world()))
  )

  it.effect("of two sessions of one account with one source the newer goes on, and the older is told", () =>
    Effect.gen(function* () {
      const reached = yield* Deferred.make<void>()
      const go = yield* Deferred.make<void>()
      const older = yield* connect()
      const source = Fixture.source(mine, 5)
      const slow = {
        ...source,
        read: (offset: number, length: number) =>
          offset < 2_500_000
            ? source.read(offset, length)
            : Deferred.succeed(reached, undefined).pipe(
                Effect.andThen(Deferred.await(go)),
                Effect.andThen(source.read(offset, length))
              )
      }
      const first = yield* Effect.forkChild(Effect.flip(older.upload(name, slow)))
      yield* Deferred.await(reached)
      yield* settle
      const sent = yield* finish(mine)
      assert.isBelow(sent, 1_500_000)
      yield* Deferred.succeed(go, undefined)
      const error = yield* Fiber.join(first)
      assert.strictEqual(error._tag === "RequestRefused" ? error.reason : error._tag, "taken-over")
      // The older session itself goes on.
      assert.strictEqual((yield* older.describe(name)).size, mine.length)
    }).pipe(Effect.scoped, Effect.provide(world()))
  )
})

describe("a base that changes during a para", () => {
  /** Runs something once the para has its answer and has sent the first of its content. */
  const meanwhile = <E, R>(change: Effect.Effect<unknown, E, R>, expect?: ContentDigest) =>
    Effect.gen(function* () {
      yield* saveFile(name, [base])
      const session = yield* connect()
      let changed = false
      const context = yield* Effect.context<R>()
      const source = Fixture.source(edited, 5)
      // The head is read before the command is sent: the first read behind it comes after the answer.
      const spoiling = {
        ...source,
        read: (offset: number, length: number) =>
          Effect.suspend(() => {
            if (offset === 0 || changed) return source.read(offset, length)
            changed = true
            return Effect.andThen(Effect.provideContext(Effect.orDie(change), context), source.read(offset, length))
          })
      }
      const outcome = yield* Effect.result(session.para(name, spoiling, undefined, expect))
      assert.isTrue(changed)
      return outcome
    })

  it.effect("replaced by another session: the result is the client's file, exactly", () =>
    Effect.gen(function* () {
      const outcome = yield* meanwhile(saveFile(name, [mine]))
      assert.strictEqual(outcome._tag, "Success")
      assert.isTrue(Bytes.equals(yield* loadFile(name), edited))
    }).pipe(Effect.scoped, Effect.provide(world()))
  )

  const put = new Uint8Array(base.length).fill(7)
  const editInPlace = Effect.flatMap(Disk, (disk) =>
    Effect.scoped(Effect.flatMap(disk.openWrite(["file"]), (file) => file.write(0, [put])))
  )

  it.effect("edited in place: what was put together of it is refused, and all of the client's file sent", () =>
    Effect.gen(function* () {
      const outcome = yield* meanwhile(editInPlace)
      assert.strictEqual(outcome._tag, "Success")
      assert.isTrue(Bytes.equals(yield* loadFile(name), edited))
    }).pipe(Effect.scoped, Effect.provide(world()))
  )

  it.effect("edited in place where another version is expected: refused, and the name holds what was put there", () =>
    Effect.gen(function* () {
      const outcome = yield* meanwhile(editInPlace, yield* Fixture.digest(base))
      const error = outcome._tag === "Failure" ? outcome.failure : undefined
      assert.strictEqual(error?._tag === "RequestRefused" && error.reason, "conflict")
      assert.deepStrictEqual(yield* loadFile(name), put)
    }).pipe(Effect.scoped, Effect.provide(world()))
  )
})

describe("a download that its client cancels", () => {
  it.effect("ends behind what is on its way, as cancelled, and the session goes on", () =>
    Effect.gen(function* () {
      const large = Fixture.bytes(4, 8_000_000)
      yield* saveFile(name, [large])
      const session = yield* HostileClient.login(yield* dial, Fixture.ada)
      yield* session.say(1, { _tag: "Download", name })
      const first = yield* session.hear
      const said = [first?._tag === "Message" ? first.message._tag : "content"]
      yield* session.say(1, { _tag: "Cancel" })
      let received = 0
      while (said.at(-1) !== "Refused cancelled" && said.length < 3) {
        const heard = yield* session.hear
        if (heard?._tag === "Content") received += heard.bytes.length
        else if (heard?._tag === "Message") {
          said.push(heard.message._tag === "Refused" ? `Refused ${heard.message.reason}` : heard.message._tag)
        }
      }
      assert.deepStrictEqual(said, ["Sending", "Refused cancelled"])
      assert.isBelow(received, large.length / 2)
      yield* session.say(2, { _tag: "Describe", name })
      const answer = yield* session.hear
      assert.strictEqual(answer?._tag === "Message" ? answer.message._tag : undefined, "Described")
    }).pipe(Effect.scoped, Effect.provide(world()))
  )
})

describe("a client that lies", () => {
  const packed = (offset: number, length: number) => packRanges([{ offset, length }])
  const expectClosed = (session: HostileClient.HostileSession) =>
    Effect.map(session.hearAll, (heard) => {
      const last = heard.at(-1)
      assert.deepStrictEqual(last?._tag === "Message" ? last.message : undefined, {
        _tag: "Closing",
        reason: "protocol-violation"
      })
    })

  const wrong: ReadonlyArray<readonly [string, ReadonlyArray<ClientMessage>]> = [
    [
      "copies into an upload",
      [
        { _tag: "Upload", name: FileName.make("new"), size: 9, modified: 0 },
        { _tag: "Copies", ranges: packed(0, 9) }
      ]
    ],
    [
      "copies beyond the base",
      [
        { _tag: "Para", name, size: 9, modified: 0 },
        { _tag: "Copies", ranges: packed(base.length, 1) }
      ]
    ],
    [
      "a question about an upload",
      [
        { _tag: "Upload", name: FileName.make("new"), size: 9, modified: 0 },
        { _tag: "NeedChunks", first: 0, count: 1 }
      ]
    ],
    [
      "a wish during a para",
      [
        { _tag: "Para", name, size: 9, modified: 0 },
        { _tag: "Want", ranges: packed(0, 1) }
      ]
    ],
    [
      "a question about more than is answered",
      [
        { _tag: "Para", name, size: 9, modified: 0 },
        {
          _tag: "NeedBlocks",
          // Each range is fine; together they are more than one message may ask to be read.
          ranges: packRanges(
            Array.from({ length: 1 + blocksAskedBytesMax / hintBytesMax }, () => ({ offset: 0, length: hintBytesMax }))
          )
        }
      ]
    ],
    ["a question when nothing was asked", [{ _tag: "NeedBlocks", ranges: packed(0, 1) }]]
  ]
  for (const [title, messages] of wrong) {
    it.effect(`${title} ends the session and changes nothing`, () =>
      Effect.gen(function* () {
        yield* saveFile(name, [new Uint8Array(0)])
        yield* saveFile(name, [title.startsWith("a question about more") ? new Uint8Array(hintBytesMax + 2) : base])
        const session = yield* HostileClient.login(yield* dial, Fixture.ada)
        for (const [index, message] of messages.entries()) {
          yield* session.say(1, message)
          // Its answer first: what follows is about a transfer that is under way.
          if (index === 0 && messages.length > 1) yield* session.hear
        }
        yield* session.cut
        yield* expectClosed(session)
        yield* Effect.andThen(settle, TestClock.adjust(2 * goodbyeMillisecondsMax))
        assert.deepStrictEqual(yield* staged, [])
        const store = yield* FileStore
        assert.isAtLeast((yield* store.stat(name)).size, base.length)
      }).pipe(Effect.scoped, Effect.provide(world()))
    )
  }

  it.effect("copies that make other content than was declared are a digest mismatch, and nothing changed", () =>
    Effect.gen(function* () {
      yield* saveFile(name, [base])
      const session = yield* HostileClient.login(yield* dial, Fixture.ada)
      yield* session.say(1, { _tag: "Para", name, size: 2_000_000, modified: 0, head: "0".repeat(32) })
      yield* session.hear
      yield* session.say(1, { _tag: "Copies", ranges: packed(7, 2_000_000) })
      yield* session.say(1, {
        _tag: "Commit",
        size: 2_000_000,
        digest: yield* Fixture.digest(base.subarray(0, 2_000_000))
      })
      const answer = yield* session.hear
      const message = answer?._tag === "Message" ? answer.message : undefined
      assert.strictEqual(message?._tag === "Refused" ? message.reason : message?._tag, "digest-mismatch")
      assert.isTrue(Bytes.equals(yield* loadFile(name), base))
      assert.deepStrictEqual(yield* staged, [])
    }).pipe(Effect.scoped, Effect.provide(world()))
  )
})
