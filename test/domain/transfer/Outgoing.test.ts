import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Schema } from "effect"
import { contentBlockBytes, readAheadBlocksMax } from "../../../src/domain/limits.ts"
import { sendAll, sendRanges, type Source, SourceShrank } from "../../../src/domain/transfer/Outgoing.ts"
import { digest, join, random, wholeOf } from "./deltas.ts"

class Broken extends Schema.TaggedError<Broken>()("Broken", { where: Schema.String }) {}

const content = random(1, 40 * contentBlockBytes + 17)

/** A source that counts the blocks that are read of it, and may fail or be shorter than it says. */
const sourceOf = (bytes: Uint8Array, size = bytes.length, change: Effect.Effect<void, Broken> = Effect.void) => {
  const counts = { reads: 0, checks: 0 }
  const source: Source<Broken> = {
    size,
    read: (offset, length) =>
      Effect.sync(() => {
        counts.reads += Math.ceil(length / contentBlockBytes)
        return bytes.subarray(offset, offset + length)
      }),
    unchanged: Effect.suspend(() => {
      counts.checks += 1
      return change
    })
  }
  return { source, counts }
}

const collecting = () => {
  const blocks: Array<Uint8Array> = []
  return { blocks, send: (block: Uint8Array) => Effect.sync(() => void blocks.push(block)) }
}

/** Lets every fiber run until nothing moves. */
const settle = Effect.repeat(Effect.yieldNow, { times: 200 })

describe("a whole source", () => {
  it.effect("leaves in blocks, and what is said about it is right", () =>
    Effect.gen(function* () {
      const sizes = [
        1,
        contentBlockBytes - 1,
        contentBlockBytes,
        contentBlockBytes + 1,
        3 * contentBlockBytes,
        content.length
      ]
      for (const size of sizes) {
        const bytes = content.subarray(0, size)
        const { counts, source } = sourceOf(bytes)
        const { blocks, send } = collecting()
        const sent = yield* sendAll({ source, digest, send })
        assert.deepStrictEqual(sent, { size, digest: wholeOf(bytes) })
        assert.strictEqual(wholeOf(join(...blocks)), sent.digest)
        assert.isTrue(blocks.every(({ length }) => length > 0 && length <= contentBlockBytes))
        assert.deepStrictEqual(counts, { reads: Math.ceil(size / contentBlockBytes), checks: 1 })
      }
    })
  )

  it.effect("that is empty sends nothing and reads nothing", () =>
    Effect.gen(function* () {
      const { counts, source } = sourceOf(new Uint8Array(0))
      const { blocks, send } = collecting()
      assert.deepStrictEqual(yield* sendAll({ source, digest, send }), { size: 0, digest: wholeOf(new Uint8Array(0)) })
      assert.deepStrictEqual([blocks.length, counts.reads, counts.checks], [0, 0, 1])
    })
  )

  it.effect("that became shorter is not vouched for, wherever it ends", () =>
    Effect.gen(function* () {
      for (const left of [0, 1, contentBlockBytes - 1, contentBlockBytes, 2 * contentBlockBytes + 5]) {
        for (const size of [left + 1, left + contentBlockBytes, left + 7 * contentBlockBytes]) {
          const { counts, source } = sourceOf(content.subarray(0, left), size)
          const { blocks, send } = collecting()
          const error = yield* Effect.flip(sendAll({ source, digest, send }))
          assert.instanceOf(error, SourceShrank)
          assert.strictEqual(join(...blocks).length, Math.floor(left / contentBlockBytes) * contentBlockBytes)
          assert.strictEqual(counts.checks, 0)
        }
      }
    })
  )

  it.effect("that grew is sent at the size it had", () =>
    Effect.gen(function* () {
      const { source } = sourceOf(content, 2 * contentBlockBytes + 3)
      const { blocks, send } = collecting()
      yield* sendAll({ source, digest, send })
      assert.strictEqual(join(...blocks).length, 2 * contentBlockBytes + 3)
    })
  )

  it.effect("that changed is not vouched for", () =>
    Effect.gen(function* () {
      for (const size of [0, 5, content.length]) {
        const changed = new Broken({ where: "changed" })
        const { source } = sourceOf(content.subarray(0, size), size, Effect.fail(changed))
        assert.deepStrictEqual(yield* Effect.flip(sendAll({ source, digest, send: () => Effect.void })), changed)
      }
    })
  )

  it.effect("is read ahead of sending, and not far", () =>
    Effect.gen(function* () {
      const { counts, source } = sourceOf(content)
      const gates = yield* Effect.forEach(Array.from({ length: 41 }), () => Deferred.make<void>())
      let sending = 0
      const send = () =>
        Effect.suspend(() => {
          const gate = gates[sending++]
          return gate === undefined ? Effect.void : Deferred.await(gate)
        })
      const fiber = yield* Effect.forkChild(sendAll({ source, digest, send }))
      for (const [index, gate] of gates.entries()) {
        yield* settle
        const ahead = counts.reads - (index + 1)
        // While the blocks of one buffer leave, the other is full.
        assert.isAtMost(ahead, 2 * readAheadBlocksMax - 1)
        if (index + 1 + readAheadBlocksMax <= gates.length) assert.isAtLeast(ahead, readAheadBlocksMax)
        yield* Deferred.succeed(gate, undefined)
      }
      assert.strictEqual((yield* Fiber.join(fiber)).digest, wholeOf(content))
    })
  )

  it.effect("leaves unharmed through buffers that are used again, however slow sending is", () =>
    Effect.gen(function* () {
      const { source } = sourceOf(content)
      const readInto = (offset: number, target: Uint8Array) =>
        Effect.sync(() => {
          const part = content.subarray(offset, offset + target.length)
          target.set(part)
          return part.length
        })
      const blocks: Array<Uint8Array> = []
      // As much as can be is read ahead before a block is looked at.
      const send = (block: Uint8Array) =>
        Effect.andThen(
          settle,
          Effect.sync(() => void blocks.push(block.slice()))
        )
      const sent = yield* sendAll({ source: { ...source, readInto }, digest, send })
      assert.strictEqual(wholeOf(join(...blocks)), wholeOf(content))
      assert.strictEqual(sent.digest, wholeOf(content))
    })
  )

  it.effect("is read no further when sending fails, or when it is interrupted", () =>
    Effect.gen(function* () {
      const failing = sourceOf(content)
      let sends = 0
      const send = () => (sends++ < readAheadBlocksMax - 1 ? Effect.void : Effect.fail(new Broken({ where: "send" })))
      const error = yield* Effect.flip(sendAll({ source: failing.source, digest, send }))
      assert.deepStrictEqual(error, new Broken({ where: "send" }))
      const afterFailure = { ...failing.counts }
      assert.isAtMost(afterFailure.reads, 2 * readAheadBlocksMax)

      const slow = sourceOf(content)
      const fiber = yield* Effect.forkChild(sendAll({ source: slow.source, digest, send: () => Effect.never }))
      yield* settle
      yield* Fiber.interrupt(fiber)
      const afterInterrupt = { ...slow.counts }
      yield* settle
      assert.deepStrictEqual([failing.counts, slow.counts], [afterFailure, afterInterrupt])
      assert.deepStrictEqual([failing.counts.checks, slow.counts.checks], [0, 0])
    })
  )

  it.effect("that cannot be read fails after what was read before", () =>
    Effect.gen(function* () {
      for (const place of [0, 5]) {
        const { source } = sourceOf(content)
        const { blocks, send } = collecting()
        const read: typeof source.read = (offset, length) =>
          offset <= place * contentBlockBytes && offset + length > place * contentBlockBytes
            ? Effect.fail(new Broken({ where: "read" }))
            : source.read(offset, length)
        const error = yield* Effect.flip(sendAll({ source: { ...source, read }, digest, send }))
        assert.deepStrictEqual(error, new Broken({ where: "read" }))
        assert.isAtMost(blocks.length, place)
      }
    })
  )
})

describe("ranges of a source", () => {
  it.effect("leave in the order given", () =>
    Effect.gen(function* () {
      const { source } = sourceOf(content)
      const { blocks, send } = collecting()
      const ranges = [
        { offset: 5_000_000, length: 700_000 },
        { offset: 3, length: 1 },
        { offset: content.length - 9, length: 9 }
      ]
      yield* sendRanges({ source, ranges, send })
      const expected = join(...ranges.map(({ length, offset }) => content.subarray(offset, offset + length)))
      assert.strictEqual(wholeOf(join(...blocks)), wholeOf(expected))
      assert.isTrue(blocks.every(({ length }) => length <= contentBlockBytes))
      yield* sendRanges({ source, ranges: [], send: () => Effect.die("nothing to send") })
    })
  )

  it.effect("are all that is read", () =>
    Effect.gen(function* () {
      const { source } = sourceOf(content)
      const read: Array<boolean> = []
      const end = 3 + 2 * readAheadBlocksMax * contentBlockBytes
      const within: typeof source.read = (offset, length) => {
        read.push(offset >= 3 && offset + length <= end)
        return source.read(offset, length)
      }
      const ranges = [{ offset: 3, length: end - 3 }]
      yield* sendRanges({ source: { ...source, read: within }, ranges, send: () => settle })
      assert.isNotEmpty(read)
      assert.notInclude(read, false)
    })
  )

  it.effect("beyond a source that became shorter fail", () =>
    Effect.gen(function* () {
      const { source } = sourceOf(content.subarray(0, 100), 200)
      const error = yield* Effect.flip(
        sendRanges({ source, ranges: [{ offset: 50, length: 60 }], send: () => Effect.void })
      )
      assert.instanceOf(error, SourceShrank)
    })
  )
})
