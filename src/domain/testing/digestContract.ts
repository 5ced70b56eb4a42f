/**
 * What every `Digest` layer keeps to: one function, BLAKE3, whatever the pieces.
 */
import { Effect } from "effect"
import { Digest, digestOf } from "../file/Digest.ts"
import { type ContractCase, equal } from "./Contract.ts"

// The input of the published vectors (BLAKE3 team, test_vectors.json): bytes that count up to 250 and start again.
const input = (length: number): Uint8Array => Uint8Array.from({ length }, (_, index) => index % 251)

/** From the same file. */
const vectors: ReadonlyArray<readonly [length: number, digest: string]> = [
  [0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"],
  [1, "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"],
  [1023, "10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11"],
  [1024, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7"],
  [1025, "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444"]
]

/** Every promise of `Digest`: run each case on the layer. */
export const digestContract: ReadonlyArray<ContractCase<Digest>> = [
  {
    name: "the published digests",
    effect: Effect.gen(function* () {
      const digest = yield* Digest
      for (const [length, expected] of vectors) {
        yield* equal<string>(`${length} bytes`, digestOf(digest, [input(length)]), expected)
      }
    })
  },
  {
    name: "any pieces give the same, views and empty ones included, and may be changed afterwards",
    effect: Effect.gen(function* () {
      const digest = yield* Digest
      const bytes = input(5000)
      const whole = digestOf(digest, [bytes])
      const hasher = digest.make()
      for (let offset = 0; offset < bytes.length; offset += 777) {
        const piece = bytes.slice(offset, offset + 777)
        hasher.update(piece)
        piece.fill(0)
      }
      yield* equal("pieces that are changed", hasher.digest(), whole)
      const views = [bytes.subarray(0, 3), bytes.subarray(3, 3), bytes.subarray(3)]
      yield* equal("views", digestOf(digest, views), whole)
    })
  },
  {
    name: "what was taken until now is told at any time, and the run goes on",
    effect: Effect.gen(function* () {
      const digest = yield* Digest
      const hasher = digest.make()
      for (const [index, [length, expected]] of vectors.entries()) {
        hasher.update(input(length).subarray(vectors[index - 1]?.[0] ?? 0))
        yield* equal<string>(`${length} bytes`, hasher.sofar(), expected)
        yield* equal<string>(`${length} bytes again`, hasher.sofar(), expected)
      }
      yield* equal<string>("the end", hasher.digest(), vectors[4]?.[1] ?? "")
    })
  },
  {
    name: "two that run at once know nothing of each other",
    effect: Effect.gen(function* () {
      const digest = yield* Digest
      const one = digest.make()
      const other = digest.make()
      one.update(input(1000))
      other.update(input(1))
      one.update(input(1025).subarray(1000))
      yield* equal<string>("one", one.digest(), vectors[4]?.[1] ?? "")
      yield* equal<string>("other", other.digest(), vectors[1]?.[1] ?? "")
    })
  }
]
