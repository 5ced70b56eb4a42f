/**
 * Deltas between contents in memory: everything is counted, and applying one is a few lines that anyone can check.
 */
import { Effect } from "effect"
import { type ContentDigest, Digest, digestOf, type Hasher } from "../../../src/domain/file/Digest.ts"
import * as DigestNode from "../../../src/domain/file/DigestNode.ts"
import { signatureKeyBytes } from "../../../src/domain/limits.ts"
import { rulesFor } from "../../../src/domain/transfer/Chunker.ts"
import { type DeltaOptions, type Op, sendDelta } from "../../../src/domain/transfer/Delta.ts"
import {
  blockHash,
  blockRules,
  chunkHash,
  type Group,
  groupHeads,
  makeBuilder,
  makeCutter,
  type Piece,
  pieceDigest
} from "../../../src/domain/transfer/Signature.ts"

export const digest: Digest["Service"] = Effect.runSync(Effect.provide(Digest, DigestNode.layer))

/** The key of all signatures here. */
export const key: Uint8Array = Uint8Array.from({ length: signatureKeyBytes }, (_, index) => 7 * index + 1)

/** The digest of a whole content. */
export const wholeOf = (bytes: Uint8Array): ContentDigest => digestOf(digest, [bytes])

/** Random bytes of a seed: xorshift32, four bytes a step. */
export const random = (seed: number, length: number): Uint8Array => {
  const words = new Uint32Array(Math.ceil(length / 4))
  let state = (Math.imul(seed, 0x9e37_79b1) ^ 0x2545_f491) | 1
  for (let index = 0; index < words.length; index++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    words[index] = Math.imul(state, 0x9e37_79b1)
  }
  return new Uint8Array(words.buffer, 0, length)
}

export const join = (...parts: ReadonlyArray<Uint8Array>): Uint8Array => {
  const whole = new Uint8Array(parts.reduce((total, part) => total + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

/** A unit again and again, up to a length. */
export const periodic = (unit: Uint8Array, length: number): Uint8Array => {
  const whole = new Uint8Array(length)
  for (let at = 0; at < length; at += unit.length) whole.set(unit.subarray(0, length - at), at)
  return whole
}

/** The content with some bytes replaced by others. */
export const splice = (bytes: Uint8Array, at: number, drop: number, put: Uint8Array): Uint8Array =>
  join(bytes.subarray(0, at), put, bytes.subarray(at + drop))

/** What is known of the other file: its content, and its signature. */
export interface Base {
  readonly content: Uint8Array
  readonly averageLog2: number
  readonly groups: ReadonlyArray<Group>
  /** offered without the digests of beginnings, and without heads */
  readonly plain?: boolean
  /** turns of the others until an answer is there; 0: at once */
  readonly turns?: number
}

/** As the product makes it: chunks of 64 KiB and more. */
export const baseOf = (content: Uint8Array): Base => {
  const builder = makeBuilder(digest, key, content.length)
  builder.push(content)
  const { averageLog2, groups } = builder.end()
  return { content, averageLog2, groups }
}

export const cutAll = (bytes: Uint8Array, cutter: ReturnType<typeof makeCutter>): ReadonlyArray<Piece> => {
  const pieces = cutter.push(bytes)
  const end = cutter.end()
  return end === undefined ? pieces : [...pieces, end]
}

/** With chunks and groups so small that a little content has many. */
export const smallBaseOf = (content: Uint8Array, averageLog2: number, groupBytes: number): Base => {
  const groups: Array<Group> = []
  let chunks: Array<Piece> = []
  const endGroup = () => {
    const offset = chunks[0]?.offset ?? 0
    const length = chunks.reduce((total, chunk) => total + chunk.length, 0)
    const own = pieceDigest(chunkHash(digest, key), [content.subarray(offset, offset + length)])
    const prefix = pieceDigest(blockHash(digest), [content.subarray(0, offset + length)])
    if (length > 0) groups.push({ offset, length, digest: own, prefix, chunks })
    chunks = []
  }
  for (const chunk of cutAll(content, makeCutter(chunkHash(digest, key), rulesFor(averageLog2)))) {
    chunks.push(chunk)
    if (chunk.offset + chunk.length - (chunks[0]?.offset ?? 0) >= groupBytes) endGroup()
  }
  endGroup()
  return { content, averageLog2, groups }
}

/** What a delta cost. */
export interface Cost {
  hashed: number
  read: number
  /** questions for chunks, and the groups they named */
  chunkQuestions: number
  readonly groupsAsked: Array<number>
  chunksAsked: number
  blockQuestions: number
  rangesAsked: number
  rangeBytesAsked: number
  blocksAsked: number
}

export interface Walk {
  readonly ops: ReadonlyArray<Op>
  readonly digest: ContentDigest
  readonly equal: boolean
  readonly literals: number
  readonly walked: number
  readonly cost: Cost
}

/** Counts what is hashed. */
const counting = (inner: Digest["Service"], cost: Cost): Digest["Service"] => ({
  make: (): Hasher => {
    const hasher = inner.make()
    return {
      sofar: hasher.sofar,
      digest: hasher.digest,
      update: (bytes) => {
        cost.hashed += bytes.length
        hasher.update(bytes)
      }
    }
  },
  tagger: (key, nonce) => {
    const make = inner.tagger(key, nonce)
    return () => {
      const { tag, update } = make()
      return {
        tag,
        update: (bytes) => {
          cost.hashed += bytes.length
          update(bytes)
        }
      }
    }
  }
})

export const sourceOf = (content: Uint8Array) => ({
  size: content.length,
  read: (offset: number, length: number) => Effect.sync(() => content.subarray(offset, offset + length))
})

/** Options of a walk with an honest peer, and what it costs. */
export const optionsOf = (base: Base, target: Uint8Array, from = 0, inner: Digest["Service"] = digest) => {
  const cost: Cost = {
    hashed: 0,
    read: 0,
    chunkQuestions: 0,
    groupsAsked: [],
    chunksAsked: 0,
    blockQuestions: 0,
    rangesAsked: 0,
    rangeBytesAsked: 0,
    blocksAsked: 0
  }
  const ops: Array<Op> = []
  let walked = 0
  const options: DeltaOptions<never, never, never> = {
    local: {
      size: target.length,
      read: (offset, length) =>
        Effect.sync(() => {
          cost.read += length
          return target.subarray(offset, offset + length)
        })
    },
    from,
    coarse: {
      size: base.content.length,
      averageLog2: base.averageLog2,
      key,
      digest: digestOf(inner, [base.content]),
      groups: base.groups,
      // A peer may leave them out.
      ...(base.plain !== true && {
        prefixes: base.groups.map(({ prefix }) => prefix),
        heads: groupHeads(base)
      })
    },
    digest: counting(inner, cost),
    chunksOf: (first, count) =>
      Effect.suspend(() => {
        const lists = base.groups.slice(first, first + count).map(({ chunks }) => chunks)
        cost.chunkQuestions += 1
        for (let group = first; group < first + count; group++) cost.groupsAsked.push(group)
        cost.chunksAsked += lists.flat().length
        const turns = base.turns ?? 0
        return Effect.as(turns === 0 ? Effect.void : Effect.repeat(Effect.yieldNow, { times: turns }), lists)
      }),
    blocksOf: (ranges) =>
      Effect.sync(() => {
        cost.blockQuestions += 1
        cost.rangesAsked += ranges.length
        const lists = ranges.map(({ length, offset }) => {
          cost.rangeBytesAsked += length
          return cutAll(
            base.content.subarray(offset, offset + length),
            makeCutter(blockHash(inner), blockRules, offset)
          )
        })
        cost.blocksAsked += lists.flat().length
        return lists
      }),
    send: (op) => Effect.sync(() => void ops.push(op)),
    walked: (bytes) => void (walked += bytes)
  }
  return { options, ops, cost, walked: () => walked }
}

/** The delta of a target against a base. */
export const walk = Effect.fnUntraced(function* (base: Base, target: Uint8Array, from = 0, inner = digest) {
  const { cost, ops, options, walked } = optionsOf(base, target, from, inner)
  const delta = yield* sendDelta(options)
  const literals = ops.reduce((total, op) => total + (op._tag === "Literal" ? op.length : 0), 0)
  const done: Walk = { ops, ...delta, literals, walked: walked(), cost }
  return done
})

/** The first thing that is wrong with ops as such: gaps, literals out of order, copies beyond the base. */
export const flawOf = (ops: ReadonlyArray<Op>, baseSize: number, size: number, from: number): string | undefined => {
  let at = from
  for (const { _tag, length, offset } of ops) {
    if (length < 1) return "an empty op"
    if (_tag === "Literal" && offset !== at) return `a literal of ${offset} at ${at}`
    if (_tag === "Copy" && (offset < 0 || offset + length > baseSize)) return `a copy beyond the end at ${at}`
    at += length
  }
  return at === size ? undefined : `${at} bytes of ${size}`
}

/** What a receiver has in the end. */
export const patch = (base: Uint8Array, target: Uint8Array, ops: ReadonlyArray<Op>, from = 0): Uint8Array =>
  join(
    target.subarray(0, from),
    ...ops.map(({ _tag, length, offset }) => (_tag === "Copy" ? base : target).subarray(offset, offset + length))
  )
