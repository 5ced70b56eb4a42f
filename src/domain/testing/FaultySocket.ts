/**
 * A socket that misbehaves as networks do, by seed: the same seed and the same traffic give the same faults.
 */
import { Deferred, Effect, Exit, Scope } from "effect"
import { Socket } from "effect/socket"
import * as Bytes from "../Bytes.ts"
import { seeded } from "./Fixture.ts"

/** What happens to the bytes of one direction. Positions are counted in bytes from the first of that direction. */
export interface Faults {
  /** pieces of 1 to so many bytes */
  readonly fragmentBytesMax?: number
  /** what is written, or read, at once is one piece */
  readonly coalesce?: boolean
  /** each piece waits 0 to so many milliseconds */
  readonly delayMillisecondsMax?: number
  /** bytes take their time: so many in a second, piece by piece */
  readonly throttleBytesPerSecond?: number
  /** after so many bytes the connection breaks, in both directions */
  readonly cutAfterBytes?: number
  /** after so many bytes this direction ends in order, and what follows is lost */
  readonly halfCloseAfterBytes?: number
  /** one bit of the byte at this position is flipped */
  readonly corruptAt?: number
  /** the byte at this position comes twice */
  readonly duplicateAt?: number
}

/** The seed, and what goes wrong in each direction. */
export interface Options {
  readonly seed: number
  /** faults of what the holder of the socket writes */
  readonly writes?: Faults
  /** faults of what it reads */
  readonly reads?: Faults
  /** writes to a connection that was cut, and the one that cuts it, wait for ever, as TCP's may, instead of failing */
  readonly hangWhenCut?: boolean
  /** the connection breaks when this ends */
  readonly cutWhen?: Effect.Effect<void>
}

const cutError = new Socket.SocketError({ reason: new Socket.SocketReadError({ cause: "the connection was cut" }) })
const writeError = new Socket.SocketError({ reason: new Socket.SocketWriteError({ cause: "the connection was cut" }) })
const endError = new Socket.SocketError({ reason: new Socket.SocketCloseError({ code: 1000 }) })

/** One direction: takes bytes, gives what comes of them, and how it goes on. */
interface Passed {
  readonly pieces: ReadonlyArray<{ readonly bytes: Uint8Array; readonly delayMilliseconds: number }>
  readonly after: "open" | "cut" | "ended"
}

const direction = (faults: Faults, random: () => number) => {
  const { coalesce = false, cutAfterBytes = Infinity, halfCloseAfterBytes = Infinity } = faults
  const limit = Math.min(cutAfterBytes, halfCloseAfterBytes)
  const transmission = (bytes: number): number =>
    faults.throttleBytesPerSecond === undefined ? 0 : (bytes * 1000) / faults.throttleBytesPerSecond
  let offset = 0

  const damaged = (bytes: Uint8Array): Uint8Array => {
    const copy = Uint8Array.from(bytes)
    const corrupt = (faults.corruptAt ?? -1) - offset
    if (corrupt >= 0 && corrupt < copy.length) copy[corrupt] = (copy[corrupt] ?? 0) ^ (1 << Math.floor(random() * 8))
    const twice = (faults.duplicateAt ?? -1) - offset
    const doubled =
      twice >= 0 && twice < copy.length
        ? Bytes.concat([copy.subarray(0, twice + 1), copy.subarray(twice, copy.length)])
        : copy
    offset += bytes.length
    return doubled
  }

  const cutUp = (bytes: Uint8Array): ReadonlyArray<Uint8Array> => {
    const { fragmentBytesMax } = faults
    if (fragmentBytesMax === undefined) return [bytes]
    const pieces: Array<Uint8Array> = []
    for (let at = 0; at < bytes.length;) {
      const length = 1 + Math.floor(random() * fragmentBytesMax)
      pieces.push(bytes.subarray(at, at + length))
      at += length
    }
    return pieces
  }

  return (chunks: ReadonlyArray<Uint8Array>): Passed => {
    const allowed = Math.max(0, limit - offset)
    const together = coalesce ? [Bytes.concat([...chunks, new Uint8Array(0)])] : chunks
    const kept = Number.isFinite(allowed) ? Bytes.slice(together, 0, allowed) : together
    const reached = Bytes.lengthOf(together) >= allowed
    const pieces = kept
      .flatMap((chunk) => cutUp(damaged(chunk)))
      .map((bytes) => ({
        bytes,
        delayMilliseconds: Math.floor(random() * (faults.delayMillisecondsMax ?? 0)) + transmission(bytes.length)
      }))
    return { pieces, after: !reached ? "open" : cutAfterBytes <= halfCloseAfterBytes ? "cut" : "ended" }
  }
}

/** The socket with faults. Its two directions break together, as a connection does. */
export const wrap = (socket: Socket.Socket, options: Options): Socket.Socket => {
  // Each has numbers of its own: what one direction carries does not change the faults of the other.
  const outgoing = direction(options.writes ?? {}, seeded(options.seed))
  const incoming = direction(options.reads ?? {}, seeded(~options.seed))
  const broken = Deferred.makeUnsafe<never, Socket.SocketError>()
  let connection: Scope.Closeable | undefined

  // The far end learns of a cut too: the connection below is closed.
  const cut = Effect.suspend(() =>
    Effect.andThen(
      Deferred.fail(broken, cutError),
      connection === undefined ? Effect.void : Scope.close(connection, Exit.void)
    )
  )
  const isCut = Effect.sync(() => Deferred.isDoneUnsafe(broken))
  const dead: Effect.Effect<void, Socket.SocketError> = options.hangWhenCut ? Effect.never : Effect.fail(writeError)

  const reader = Effect.gen(function* () {
    connection = yield* Scope.fork(yield* Effect.scope)
    const inner = yield* Scope.provide(socket.reader, connection)
    if (options.cutWhen !== undefined) yield* Effect.forkScoped(Effect.andThen(options.cutWhen, cut))
    let ended = false
    const pull: Socket.Reader["pull"] = Effect.gen(function* () {
      while (true) {
        if (ended) return yield* endError
        const chunks = yield* Effect.raceFirst(inner.pull, Deferred.await(broken))
        const { pieces, after } = incoming(chunks.map(Bytes.fromChunk))
        for (const { delayMilliseconds } of pieces) if (delayMilliseconds > 0) yield* Effect.sleep(delayMilliseconds)
        if (after === "cut") yield* cut
        if (after === "ended") ended = true
        const [first, ...rest] = pieces.map(({ bytes }) => bytes)
        if (first !== undefined) return [first, ...rest]
        if (after === "cut") return yield* cutError
      }
    })
    return { pull, upgrade: inner.upgrade } satisfies Socket.Reader
  })

  const writer = Effect.gen(function* () {
    const inside = yield* Scope.fork(yield* Effect.scope)
    const inner = yield* Scope.provide(socket.writer, inside)
    let ended = false
    const pass = Effect.fnUntraced(function* (chunks: ReadonlyArray<Uint8Array>) {
      if (yield* isCut) return yield* dead
      if (ended) return
      const { pieces, after } = outgoing(chunks)
      for (const { bytes, delayMilliseconds } of pieces) {
        if (delayMilliseconds > 0) yield* Effect.sleep(delayMilliseconds)
        yield* inner.write(bytes)
      }
      if (after === "cut") yield* cut
      if (after === "cut" && options.hangWhenCut === true) return yield* dead
      if (after !== "ended") return
      ended = true
      yield* Scope.close(inside, Exit.void)
    })
    return {
      write: (chunk) => (Socket.isCloseEvent(chunk) ? inner.write(chunk) : pass([Bytes.fromChunk(chunk)])),
      writeAll: (chunks) => pass(chunks.map(Bytes.fromChunk))
    } satisfies Socket.Writer
  })

  return Socket.make({ reader, writer })
}
