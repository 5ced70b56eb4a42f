/**
 * What a write to a connection of Node's promises of the memory that it was given, over real connections of loopback.
 */
import { connect, createServer, type Socket as Connection } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Bytes from "../../../src/domain/Bytes.ts"
import * as SocketNode from "../../../src/domain/channel/SocketNode.ts"
import * as Transport from "../../../src/domain/channel/Transport.ts"
import { goodbyeMillisecondsMax, socketReadBytes } from "../../../src/domain/limits.ts"
import * as Fixture from "../../../src/domain/testing/Fixture.ts"

interface Pair {
  readonly near: Connection
  readonly far: Connection
}

/** A connection that keeps so many bytes before it says that it is full, and its other end, which reads nothing yet. */
const pair = (highWaterMark: number) =>
  Effect.acquireRelease(
    Effect.callback<Pair>((resume) => {
      const server = createServer({ highWaterMark }).listen(0, "127.0.0.1", () => {
        const address = server.address()
        if (address === null || typeof address === "string") return
        const far = connect({ port: address.port, host: "127.0.0.1" })
        far.on("error", () => undefined)
        server.once("connection", (near) => {
          server.close()
          resume(Effect.succeed({ near, far }))
        })
      })
    }),
    ({ far, near }) =>
      Effect.sync(() => {
        near.destroy()
        far.destroy()
      })
  )

const heard = (far: Connection, length: number) =>
  Effect.callback<Uint8Array>((resume) => {
    const parts: Array<Uint8Array> = []
    far.on("data", (part: Uint8Array) => {
      parts.push(part)
      if (Bytes.lengthOf(parts) >= length) resume(Effect.succeed(Bytes.concat(parts)))
    })
  })

const mebibyte = 1024 * 1024
// More than the kernel takes of a connection whose other end reads nothing.
const content = Fixture.bytes(7, 24 * mebibyte)

describe("a write to a connection of Node's", () => {
  for (const mark of [16 * 1024, socketReadBytes, 64 * mebibyte]) {
    it.effect(`of much ends when the kernel has all of it, with a mark of ${mark}`, () =>
      Effect.gen(function* () {
        const { far, near } = yield* pair(mark)
        const writer = yield* SocketNode.make(near).writer
        const writing = yield* Effect.forkChild(
          Effect.map(writer.writeAll([content.subarray(0, 5), content.subarray(5)]), () => near.writableLength),
          { startImmediately: true }
        )
        assert.isAbove(near.writableLength, 0)
        assert.isUndefined(writing.pollUnsafe())
        const received = yield* heard(far, content.length)
        assert.isTrue(Bytes.equals(received, content))
        assert.strictEqual(yield* Fiber.join(writing), 0)
      }).pipe(Effect.scoped)
    )
  }

  it.effect("gives memory back only behind that, so that the peer gets what was written", () =>
    Effect.gen(function* () {
      const { far, near } = yield* pair(64 * mebibyte)
      const transport = yield* Transport.open(SocketNode.make(near))
      const own = Bytes.copy(content)
      const writing = yield* Effect.forkChild(transport.write([own]), { startImmediately: true })
      assert.strictEqual(own.length, content.length)
      assert.isTrue(Bytes.equals(yield* heard(far, content.length), content))
      yield* Fiber.join(writing)
      assert.strictEqual(own.length, 0)
    }).pipe(Effect.scoped, Effect.provide(SocketNode.owned))
  )

  it.effect("waits from the size on from which memory is given back", () =>
    Effect.gen(function* () {
      const { near } = yield* pair(64 * mebibyte)
      const writer = yield* SocketNode.make(near).writer
      const write = (bytes: number) =>
        Effect.forkChild(writer.write(content.subarray(0, bytes)), { startImmediately: true })
      assert.isUndefined((yield* write(content.length)).pollUnsafe())
      assert.deepStrictEqual((yield* write(socketReadBytes - 1)).pollUnsafe(), Exit.void)
      assert.isUndefined((yield* write(socketReadBytes)).pollUnsafe())
    }).pipe(Effect.scoped)
  )

  it.effect("of little ends at once while there is room", () =>
    Effect.gen(function* () {
      const { near } = yield* pair(socketReadBytes)
      const writer = yield* SocketNode.make(near).writer
      const writing = yield* Effect.forkChild(writer.write(content.subarray(0, 100)), { startImmediately: true })
      assert.deepStrictEqual(writing.pollUnsafe(), Exit.void)
    }).pipe(Effect.scoped)
  )

  it.effect("fails when the connection breaks under it, and of one that is closed", () =>
    Effect.gen(function* () {
      const { far, near } = yield* pair(64 * mebibyte)
      near.on("error", () => undefined)
      const writer = yield* SocketNode.make(near).writer
      const writing = yield* Effect.forkChild(Effect.flip(writer.write(content)), { startImmediately: true })
      far.resetAndDestroy()
      assert.strictEqual((yield* Fiber.join(writing)).reason._tag, "SocketWriteError")
      near.destroy()
      assert.strictEqual((yield* Effect.flip(writer.write(content))).reason._tag, "SocketWriteError")
    }).pipe(Effect.scoped)
  )
})

describe("a connection of Node's whose session is over", () => {
  /** Its end of the session goes while the other end has read nothing of what was written. */
  const leaving = Effect.gen(function* () {
    const { far, near } = yield* pair(socketReadBytes)
    yield* Effect.gen(function* () {
      const socket = SocketNode.make(near)
      yield* socket.reader
      const { write } = yield* socket.writer
      yield* Effect.forkChild(Effect.ignore(write(content)), { startImmediately: true })
    }).pipe(Effect.scoped)
    yield* TestClock.adjust(goodbyeMillisecondsMax - 1)
    assert.isFalse(near.destroyed)
    return { far, near }
  })

  it.effect("is cut when the other end reads none of what was written: it would stay for ever", () =>
    Effect.gen(function* () {
      const { near } = yield* leaving
      yield* TestClock.adjust(1)
      assert.isTrue(near.destroyed)
    }).pipe(Effect.scoped)
  )

  it.effect("still gives the other end what was written, when that reads it", () =>
    Effect.gen(function* () {
      const { far } = yield* leaving
      assert.deepStrictEqual(yield* heard(far, content.length), content)
    }).pipe(Effect.scoped)
  )

  const ends = [
    { exit: Exit.void, how: "in order", code: undefined },
    {
      exit: Transport.givenUp,
      how: "with a reset when it is given up, for nothing may arrive later",
      code: "ECONNRESET"
    }
  ]
  it.effect.each(ends)("ends $how", ({ code, exit }) =>
    Effect.gen(function* () {
      const { far, near } = yield* pair(socketReadBytes)
      const over = Effect.callback<unknown>((resume) => {
        far.once("error", (error: NodeJS.ErrnoException) => resume(Effect.succeed(error.code)))
        far.once("end", () => resume(Effect.undefined))
        far.resume()
      })
      const scope = yield* Scope.make()
      const socket = SocketNode.make(near)
      yield* Scope.provide(socket.reader, scope)
      const { write } = yield* Scope.provide(socket.writer, scope)
      yield* write(content.subarray(0, 10))
      yield* Scope.close(scope, exit)
      assert.strictEqual(yield* over, code)
    }).pipe(Effect.scoped)
  )
})
