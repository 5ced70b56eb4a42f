/**
 * What every `SignatureKeep` layer keeps. Each case runs on an empty keep of its own, bounded by
 * `signatureKeepBytesMax`.
 */
import { Effect } from "effect"
import { Digest } from "../file/Digest.ts"
import { signatureKeyBytes } from "../limits.ts"
import { makeBuilder, type Signature } from "../transfer/Signature.ts"
import { SignatureKeep } from "../transfer/SignatureKeep.ts"
import { type ContractCase, equal } from "./Contract.ts"
import { bytes } from "./Fixture.ts"

/** Room for a few of `signatureOf`, bytes. */
export const signatureKeepBytesMax = 1_000

/** A signature of content that differs by seed. */
export const signatureOf = (seed: number, length = 200_000): Effect.Effect<Signature, never, Digest> =>
  Effect.map(Digest, (digest) => {
    const builder = makeBuilder(digest, bytes(~seed, signatureKeyBytes), length)
    builder.push(bytes(seed, length))
    return builder.end()
  })

/** Every promise of `SignatureKeep`: run each case on an empty one. */
export const signatureKeepContract: ReadonlyArray<ContractCase<SignatureKeep | Digest>> = [
  {
    name: "what was put under a version is found under it, and under no other",
    effect: Effect.gen(function* () {
      const keep = yield* SignatureKeep
      const signature = yield* signatureOf(1)
      yield* equal("empty", yield* keep.get("1:2:3"), undefined)
      yield* keep.put("1:2:3", signature)
      yield* equal("found", yield* keep.get("1:2:3"), signature)
      for (const other of ["", "1:2:4", "1:2:3 ", "1:2:", "../1:2:3", "ü".repeat(128)]) {
        yield* equal(other, yield* keep.get(other), undefined)
      }
    })
  },
  {
    name: "an empty file has a signature like any other, and any text is a version",
    effect: Effect.gen(function* () {
      const keep = yield* SignatureKeep
      const empty = yield* signatureOf(1, 0)
      for (const version of ["", "../..", "a/b\0c", "ü".repeat(128)]) {
        yield* keep.put(version, empty)
        yield* equal(version, yield* keep.get(version), empty)
      }
    })
  },
  {
    name: "what was put last under a version is what it has",
    effect: Effect.gen(function* () {
      const keep = yield* SignatureKeep
      const later = yield* signatureOf(2, 1_000)
      yield* keep.put("one", yield* signatureOf(1, 1_000))
      yield* keep.put("one", later)
      yield* equal("the later", yield* keep.get("one"), later)
    })
  },
  {
    name: "puts at once are all kept, whole, as far as there is room",
    effect: Effect.gen(function* () {
      const keep = yield* SignatureKeep
      const one = yield* signatureOf(1, 1_000)
      const two = yield* signatureOf(2, 1_000)
      const puts = [keep.put("one", one), keep.put("two", two), keep.put("one", one), keep.put("two", two)]
      yield* Effect.all(puts, { concurrency: "unbounded" })
      yield* equal("one", yield* keep.get("one"), one)
      yield* equal("two", yield* keep.get("two"), two)
    })
  },
  {
    name: "what is larger than all that may be kept is not kept, drives nothing out, and putting it is no failure",
    effect: Effect.gen(function* () {
      const keep = yield* SignatureKeep
      const small = yield* signatureOf(2, 1_000)
      yield* keep.put("small", small)
      yield* keep.put("large", yield* signatureOf(1, 8_000_000))
      yield* equal("large", yield* keep.get("large"), undefined)
      yield* equal("small", yield* keep.get("small"), small)
    })
  }
]
