/**
 * What most tests start from: accounts that are known, content that can be made again, sources and sinks in memory.
 */
import { Effect, Layer, Redacted } from "effect"
import { SecureRandom } from "effect/crypto"
import * as Bytes from "../Bytes.ts"
import { UserName } from "../channel/HandshakeMessage.ts"
import {
  Opaque,
  type OpaqueRejected,
  type Password,
  type RegistrationRecord,
  type ServerSetup
} from "../channel/Opaque.ts"
import { type ContentDigest, Digest, digestOf } from "../file/Digest.ts"
import type { FileSize, Milliseconds } from "../file/FileEntry.ts"
import { Accounts } from "../session/Accounts.ts"
import type { Source } from "../transfer/Outgoing.ts"

/** An account whose password a test may know. */
export interface Credentials {
  readonly user: UserName
  readonly password: Password
}

/** The first account of `accounts`. */
export const ada: Credentials = { user: UserName.make("ada"), password: Redacted.make("correct horse battery") }

/** The second account of `accounts`. */
export const grace: Credentials = { user: UserName.make("grace"), password: Redacted.make("staple nanosecond") }

/** Everything that a server knows of both. */
export interface Registered {
  readonly setup: ServerSetup
  readonly records: ReadonlyMap<UserName, RegistrationRecord>
}

/** Fresh secrets of a server that knows `ada` and `grace`. With `Opaque.layerQuick` this costs next to nothing. */
export const registered: Effect.Effect<Registered, OpaqueRejected, Opaque> = Effect.gen(function* () {
  const opaque = yield* Opaque
  const setup = yield* opaque.createSetup
  const records = yield* Effect.forEach([ada, grace], ({ password, user }) =>
    Effect.map(opaque.register(setup, { user, password, stretching: 1 }), (record) => [user, record] as const)
  )
  return { setup, records: new Map(records) }
})

/** Accounts in memory with both. */
export const accounts: Layer.Layer<Accounts, OpaqueRejected, Opaque> = Accounts.layerPasswords([ada, grace])

/** Numbers from 0 up to 1, the same for the same seed (Mulberry32). Not for secrets. */
export const seeded = (seed: number): (() => number) => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** `SecureRandom` that is not: the same bytes for the same seed, so that keys, salts and names come again. */
export const secureRandom = (seed: number): Layer.Layer<SecureRandom.SecureRandom> =>
  Layer.sync(SecureRandom.SecureRandom, () => {
    const random = seeded(seed)
    return SecureRandom.make((size) => Uint8Array.from({ length: size }, () => random() * 256))
  })

/** Content that differs by seed and repeats nowhere: no two blocks of it are equal. */
export const bytes = (seed: number, length: number): Uint8Array => {
  const random = seeded(seed)
  const content = new Uint8Array(length)
  for (let index = 0; index < length; index++) content[index] = random() * 256
  return content
}

/** Content as a client sends it. */
export interface MemorySource extends Source<never> {
  readonly modified: Milliseconds
}

/** A source that is wholly in memory and never changes. */
export const source = (content: Uint8Array, modified: Milliseconds = 0): MemorySource => ({
  size: content.length,
  modified,
  read: (offset, length) => Effect.sync(() => content.slice(offset, offset + length)),
  unchanged: Effect.void
})

/** Where a download goes in a test. */
export interface Sink {
  readonly write: (parts: Bytes.Parts) => Effect.Effect<void>
  readonly commit: (expected: { readonly size: FileSize; readonly digest: ContentDigest }) => Effect.Effect<void>
  /** everything that was written */
  readonly content: () => Uint8Array
  /** what the server vouched for; undefined before the commit */
  readonly committed: () => { readonly size: FileSize; readonly digest: ContentDigest } | undefined
}

/** Keeps what is written in memory, verified or not: the test looks at it. */
export const sink = (): Sink => {
  const parts: Array<Uint8Array> = []
  let committed: ReturnType<Sink["committed"]>
  return {
    write: (more) => Effect.sync(() => void parts.push(...more.map((part) => part.slice()))),
    commit: (expected) => Effect.sync(() => void (committed = expected)),
    content: () => Bytes.concat([...parts, new Uint8Array(0)]),
    committed: () => committed
  }
}

/** The digest of content in memory, by the layer at hand. */
export const digest = (content: Uint8Array): Effect.Effect<ContentDigest, never, Digest> =>
  Effect.map(Digest, (layer) => digestOf(layer, [content]))
