/**
 * What every `Digest` layer keeps to: two functions, BLAKE3 and AES-256-GMAC, whatever the pieces.
 */
import { hexToBytes } from "@noble/hashes/utils.js"
import { Effect } from "effect"
import * as Bytes from "../Bytes.ts"
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

/** Bytes of the longest of them: more than any layer takes in one step. */
const longest = 102_400
const digestOfLongest = "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085"

const hex = (digits: string): Uint8Array => hexToBytes(digits)

/**
 * Of McGrew and Viega, The Galois/Counter Mode of Operation, test case 13, and of NIST CAVP, gcmEncryptExtIV256.rsp,
 * [PTlen = 0, AADlen = 128] count 0.
 */
const tagVectors: ReadonlyArray<readonly [key: string, nonce: string, content: string, tag: string]> = [
  ["00".repeat(32), "00".repeat(12), "", "530f8afbc74536b9a963b4f1c4cb738b"],
  [
    "78dc4e0aaf52d935c3c01eea57428f00ca1fd475f5da86a49c8dd73d68c8e223",
    "d79cf22d504cc793c3fb6c8a",
    "b96baa8c1c75a671bfb2d08d06be5f36",
    "3e5d486aa2e30b22e040b85723a06e76"
  ]
]

const [, [vectorKey, vectorNonce] = ["", ""]] = tagVectors
const keys = [hex(vectorKey), hex(vectorNonce)] as const

const tagOf = (make: ReturnType<Digest["Service"]["tagger"]>, parts: Bytes.Parts): string => {
  const tagger = make()
  for (const part of parts) tagger.update(part)
  return tagger.tag()
}

/** What all layers give for contents of every length about the block, and of some thousand bytes: made by OpenSSL. */
const tagsOfInput = "b234e2d856fc44b772bccac4a04c93f89b83460e6e8026289cf32a01b6c4f859"

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
      const long = input(longest)
      const parts = [100, 34_133, 51_200].map((cut, index, cuts) => long.subarray(cut, cuts[index + 1]))
      yield* equal<string>("long parts", digestOf(digest, [long.subarray(0, 100), ...parts]), digestOfLongest)
    })
  },
  {
    name: "what was taken until now is told at any time, and the run goes on",
    effect: Effect.gen(function* () {
      const digest = yield* Digest
      const long = input(longest)
      const ends = [11_025, 27_410, 27_411, 65_536, 90_000]
      const prefixes = ends.map((end) => digestOf(digest, [long.subarray(0, end)]))
      const hasher = digest.make()
      for (const [index, [length, expected]] of vectors.entries()) {
        hasher.update(input(length).subarray(vectors[index - 1]?.[0] ?? 0))
        yield* equal<string>(`${length} bytes`, hasher.sofar(), expected)
        yield* equal<string>(`${length} bytes again`, hasher.sofar(), expected)
      }
      for (const [index, end] of ends.entries()) {
        hasher.update(long.subarray(ends[index - 1] ?? 1025, end))
        yield* equal<string>(`${end} bytes`, hasher.sofar(), prefixes[index] ?? "")
      }
      hasher.update(long.subarray(90_000))
      yield* equal<string>("the end", hasher.digest(), digestOfLongest)
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
      // Long ones, of which a layer may hold something back.
      const long = input(longest)
      const turned = long.toReversed()
      const [forth, back] = [digest.make(), digest.make()]
      for (let from = 0; from < longest; from += 20_001) {
        forth.update(long.subarray(from, from + 20_001))
        back.update(turned.subarray(from, from + 20_001))
      }
      yield* equal<string>("forth", forth.digest(), digestOfLongest)
      yield* equal<string>("back", back.digest(), digestOf(digest, [turned]))
    })
  },
  {
    name: "the published tags",
    effect: Effect.gen(function* () {
      const digest = yield* Digest
      for (const [key, nonce, content, expected] of tagVectors) {
        yield* equal(`tag of ${content}`, tagOf(digest.tagger(hex(key), hex(nonce)), [hex(content)]), expected)
      }
      // Lengths that fill no block: a digest of their tags, as OpenSSL 3 gives them.
      const make = digest.tagger(...keys)
      const lengths = [...Array.from({ length: 34 }, (_, length) => length), 5000]
      const tags = lengths.map((length) => tagOf(make, [input(length)]))
      yield* equal<string>("tags", digestOf(digest, [Bytes.fromUtf8(tags.join(" "))]), tagsOfInput)
    })
  },
  {
    name: "a tag is the same for any pieces, which may be changed afterwards, and knows nothing of others",
    effect: Effect.gen(function* () {
      const digest = yield* Digest
      const make = digest.tagger(...keys)
      const bytes = input(5000)
      const whole = tagOf(make, [bytes])
      const [tagger, other] = [make(), make()]
      for (let offset = 0; offset < bytes.length; offset += 777) {
        const piece = bytes.slice(offset, offset + 777)
        tagger.update(piece)
        other.update(piece.subarray(1))
        piece.fill(0)
      }
      yield* equal("pieces that are changed", tagger.tag(), whole)
      yield* equal("views", tagOf(make, [bytes.subarray(0, 3), bytes.subarray(3, 3), bytes.subarray(3)]), whole)
      yield* equal("other content", tagOf(make, [bytes.subarray(1)]) === whole, false)
      yield* equal("another nonce", tagOf(digest.tagger(keys[0], hex("00".repeat(12))), [bytes]) === whole, false)
    })
  }
]
