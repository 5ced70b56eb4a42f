/**
 * Transports for tests: over a memory socket, over a script of bytes, and with a hand on the bytes that leave.
 */
import { Effect, Layer, Redacted } from "effect"
import * as Bytes from "../../../src/domain/Bytes.ts"
import { channelFailed } from "../../../src/domain/channel/ChannelError.ts"
import { ciphertextBytes, Kem, publicKeyBytes } from "../../../src/domain/channel/Kem.ts"
import { open, type Transport } from "../../../src/domain/channel/Transport.ts"
import { pair } from "../../../src/domain/testing/MemorySocket.ts"

/** Reads a fixed stream, then its end; keeps what is written. */
export interface Scripted {
  readonly transport: Transport
  readonly written: Array<Uint8Array>
  /** bytes taken so far */
  readonly taken: () => number
}

export const scripted = (inbound: Uint8Array): Scripted => {
  const written: Array<Uint8Array> = []
  let offset = 0
  return {
    written,
    taken: () => offset,
    transport: {
      take: (length) =>
        Effect.suspend(() => {
          const bytes = inbound.subarray(offset, offset + length)
          offset += bytes.length
          return bytes.length === length ? Effect.succeed([bytes]) : Effect.fail(channelFailed("truncated"))
        }),
      ready: Effect.void,
      follow: () => {},
      write: (parts) =>
        Effect.sync(() => void written.push(Uint8Array.from(Bytes.concat([...parts, new Uint8Array(0)])))),
      finish: Effect.void,
      drain: Effect.void
    }
  }
}

/** What to do to the bytes that leave an end: gets their offset in the stream, gives what leaves instead. */
export type Tamper = (offset: number, bytes: Uint8Array) => Uint8Array

export const untouched: Tamper = (_offset, bytes) => bytes

/** Flips one bit of the byte at `at`. */
export const flipAt =
  (at: number, bit: number): Tamper =>
  (offset, bytes) =>
    bytes.map((byte, index) => (offset + index === at ? byte ^ (1 << bit) : byte))

/** Lets `length` bytes out, none after. */
export const cutAt =
  (length: number): Tamper =>
  (offset, bytes) =>
    bytes.subarray(0, Math.max(0, length - offset))

/** Passes writes through a tamperer; closes the direction when bytes were held back, as a cut does. */
export const tampered = (transport: Transport, tamper: Tamper, flights: Array<number> = []): Transport => {
  let offset = 0
  return {
    ...transport,
    ready: Effect.void,
    write: (parts) =>
      Effect.suspend(() => {
        const bytes = Bytes.concat([...parts, new Uint8Array(0)])
        const changed = tamper(offset, bytes)
        offset += bytes.length
        flights.push(bytes.length)
        const written = transport.write(changed.length === 0 ? [] : [changed])
        return changed.length < bytes.length ? Effect.andThen(written, transport.finish) : written
      })
  }
}

/**
 * Runs both ends over a connection in memory; each closes its side when it is done, whatever happened.
 */
export const between = <A, E, B, F, R, S>(
  client: (transport: Transport) => Effect.Effect<A, E, R>,
  server: (transport: Transport) => Effect.Effect<B, F, S>
) =>
  Effect.gen(function* () {
    const [near, far] = yield* pair
    return yield* Effect.all(
      [
        Effect.result(Effect.scoped(Effect.flatMap(Effect.orDie(open(near)), client))),
        Effect.result(Effect.scoped(Effect.flatMap(Effect.orDie(open(far)), server)))
      ],
      { concurrency: 2 }
    )
  })

/** A key exchange without randomness: both ends share the secret of `seed`. Makes a whole session repeatable. */
export const fixedKem = (seed: number): Layer.Layer<Kem> =>
  Layer.succeed(Kem, {
    keyPair: Effect.succeed({
      publicKey: new Uint8Array(publicKeyBytes).fill(seed),
      decapsulate: () => Effect.sync(() => Redacted.make(new Uint8Array(32).fill(seed)))
    }),
    encapsulate: () =>
      Effect.sync(() => ({
        ciphertext: new Uint8Array(ciphertextBytes).fill(seed),
        secret: Redacted.make(new Uint8Array(32).fill(seed))
      }))
  })
