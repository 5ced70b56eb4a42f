/**
 * A connection in memory does what one of TCP does: the same steps come to the same, also when a write is interrupted.
 */
import { connect, createServer, type Socket as Connection } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Result, Schema, Scope } from "effect"
import type { Socket } from "effect/socket"
import * as Bytes from "../../../src/domain/Bytes.ts"
import * as SocketNode from "../../../src/domain/channel/SocketNode.ts"
import * as Fixture from "../../../src/domain/testing/Fixture.ts"
import * as MemorySocket from "../../../src/domain/testing/MemorySocket.ts"

const side = Schema.Literals([0, 1])
const Step = Schema.Union([
  Schema.Struct({
    do: Schema.Literals(["write", "write", "interrupted"]),
    side,
    sizes: Schema.Array(Schema.Literals([0, 1, 5_000, 70_000])).check(Schema.isMinLength(1), Schema.isMaxLength(3))
  }),
  Schema.Struct({ do: Schema.Literals(["large", "read", "read", "end"]), side })
])
type Step = (typeof Step)["Type"]

/** More than either takes while nobody reads. */
const large = Fixture.bytes(3, 12 * 1024 * 1024)

/** One end, and what its other end has to know of it. */
interface End {
  readonly reader: Socket.Reader
  readonly writer: Socket.Writer
  readonly readerScope: Scope.Closeable
  readonly writerScope: Scope.Closeable
  /** bytes that were written, and those that were read */
  written: number
  read: number
  ended: boolean
}

const open = Effect.fnUntraced(function* (
  socket: Socket.Socket
): Effect.fn.Return<End, Socket.SocketError, Scope.Scope> {
  const scope = yield* Scope.Scope
  const readerScope = yield* Scope.fork(scope)
  const writerScope = yield* Scope.fork(scope)
  const reader = yield* Scope.provide(socket.reader, readerScope)
  const writer = yield* Scope.provide(socket.writer, writerScope)
  return { reader, writer, readerScope, writerScope, written: 0, read: 0, ended: false }
})

const told = ({ reason }: Socket.SocketError) =>
  reason._tag === "SocketCloseError" ? [reason._tag, reason.code] : [reason._tag]

/** All that the other has written, and why nothing comes behind it. */
const readAll = Effect.fnUntraced(function* (from: End, to: End) {
  const parts: Array<Uint8Array> = []
  while (to.read < from.written || from.ended) {
    const came = yield* Effect.result(to.reader.pull)
    if (Result.isFailure(came)) return [sumOf(parts), told(came.failure)]
    for (const chunk of came.success) {
      const part = Bytes.fromChunk(chunk).slice()
      parts.push(part)
      to.read += part.length
    }
  }
  return [sumOf(parts)]
})

/** Tells content from other content, wherever it was cut. */
const sumOf = (parts: Bytes.Parts) => {
  let [sum, length] = [0, 0]
  for (const part of parts) for (const byte of part) sum = (Math.imul(sum, 31) + byte + (length += 1)) | 0
  return [length, sum]
}

const act = Effect.fnUntraced(function* (ends: readonly [End, End], step: Step) {
  const [own, other] = step.side === 0 ? ends : [ends[1], ends[0]]
  if (step.do === "read") return yield* readAll(other, own)
  if (step.do === "end") {
    own.ended = true
    return yield* Scope.close(own.writerScope, Exit.void)
  }
  const [first, ...more] = "sizes" in step ? step.sizes.map((size) => Fixture.bytes(size, size)) : [large]
  if (first === undefined) return undefined
  const chunks = [first, ...more] as const
  const hasRoom = own.written - other.read < 500_000
  const writing = own.writer.writeAll(chunks)
  const count = own.ended ? 0 : Bytes.lengthOf(chunks)
  own.written += count
  if (step.do === "write" && hasRoom)
    return yield* Effect.match(writing, { onFailure: told, onSuccess: () => "written" })
  // Whoever is interrupted has written all of it: nobody can take back what is on its way.
  const fiber = yield* Effect.forkChild(writing, { startImmediately: true })
  yield* Fiber.interrupt(fiber)
  return "interrupted"
})

/** What each step came to, and how it ends when one of both goes. */
const outcomes = Effect.fnUntraced(function* (
  steps: ReadonlyArray<Step>,
  sockets: readonly [Socket.Socket, Socket.Socket]
) {
  const ends = [yield* open(sockets[0]), yield* open(sockets[1])] as const
  const all: Array<unknown> = []
  for (const step of steps) all.push([step.do, yield* act(ends, step)])
  const [near, far] = ends
  // Whoever goes with something unread takes from the other what that had still to read.
  all.push(yield* readAll(far, near))
  yield* Scope.close(near.readerScope, Exit.void)
  near.ended = true
  all.push(yield* readAll(near, far))
  all.push(yield* Effect.flip(Effect.map(near.reader.pull, String)).pipe(Effect.map(told)))
  // TCP hears of it some time later.
  const inVain = Effect.forever(Effect.andThen(far.writer.write(new Uint8Array(1)), Effect.sleep(0)))
  all.push(yield* Effect.map(Effect.flip(inVain), told))
  return all
})

const connected = Effect.acquireRelease(
  Effect.callback<readonly [Connection, Connection]>((resume) => {
    const server = createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1", () => {
      const address = server.address()
      if (address === null || typeof address === "string") return
      const far = connect({ port: address.port, host: "127.0.0.1", allowHalfOpen: true })
      server.once("connection", (near) => {
        server.close()
        resume(Effect.succeed([near, far]))
      })
    })
  }),
  (both) => Effect.sync(() => both.map((one) => one.destroy()))
)

const overTcp = Effect.map(connected, ([near, far]) => [SocketNode.make(near), SocketNode.make(far)] as const)

describe("a connection in memory", () => {
  it.live.prop(
    "does what one of TCP does",
    [Schema.Array(Step).check(Schema.isMaxLength(12))],
    ([steps]) =>
      Effect.gen(function* () {
        const there = yield* Effect.scoped(Effect.flatMap(overTcp, (sockets) => outcomes(steps, sockets)))
        const here = yield* Effect.scoped(Effect.flatMap(MemorySocket.pair, (sockets) => outcomes(steps, sockets)))
        assert.deepStrictEqual(here, there)
      }),
    { arbitrary: { runs: 40 } }
  )

  it.live("keeps so many bytes before the writer waits, in however many writes", () =>
    Effect.gen(function* () {
      const [near, far] = yield* MemorySocket.pair
      const { write } = yield* near.writer
      for (let count = 0; count < 1_000; count += 1) yield* write(new Uint8Array(1))
      yield* write(new Uint8Array(MemorySocket.memorySocketBytesMax - 1_000))
      const waiting = yield* Effect.forkChild(write(new Uint8Array(1)), { startImmediately: true })
      yield* Effect.yieldNow
      assert.isUndefined(waiting.pollUnsafe())
      const { pull } = yield* far.reader
      assert.strictEqual(Bytes.lengthOf((yield* pull).map(Bytes.fromChunk)), MemorySocket.memorySocketBytesMax + 1)
      yield* Fiber.join(waiting)
    }).pipe(Effect.scoped)
  )
})
