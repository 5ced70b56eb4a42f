/**
 * What the delta engine costs, by itself: no network, no disk, one random file in memory.
 *
 * ```
 * node test/bench/delta.ts [MiB, default 256]
 * ```
 *
 * Prints how long a signature takes, and for each update the time of the walk, the bytes that leave as they are, and
 * what was asked about the other file (18 bytes a piece, 16 a range). For people to compare; nothing is asserted.
 */
import { Duration, Effect } from "effect"
import { contentBlockBytes } from "../../src/domain/limits.ts"
import { makeBuilder } from "../../src/domain/transfer/Signature.ts"
import { pieceBytes, rangeBytes } from "../../src/domain/file/Packed.ts"
import { type Base, digest, join, random, walk } from "../domain/transfer/deltas.ts"

const mebibyte = 1024 * 1024
const size = Number(process.argv[2] ?? 256) * mebibyte

const content = random(1, size)
const half = size / 2

/** Places that have nothing to do with chunks. */
const places = Array.from({ length: 100 }, (_, index) => Math.floor(((index + 0.37) * (size - 102_400)) / 100))

const overwritten = (length: number): Uint8Array => {
  const target = content.slice()
  for (const [index, at] of places.entries()) target.set(random(index + 2, length), at)
  return target
}

const updates: Record<string, () => Uint8Array> = {
  identical: () => content.slice(),
  "100 overwrites of 100 KiB": () => overwritten(102_400),
  "1 MiB inserted at the start": () => join(random(2, mebibyte), content),
  "100 single bytes": () => overwritten(1),
  "100 MiB appended": () => join(content, random(3, 100 * mebibyte)),
  "halves swapped": () => join(content.subarray(half), content.subarray(0, half))
}

const line = (name: string, ...columns: ReadonlyArray<string>): string =>
  name.padEnd(28) + columns.map((column) => column.padStart(13)).join("")

const signature = Effect.sync((): Base => {
  const builder = makeBuilder(digest, size)
  for (let at = 0; at < size; at += contentBlockBytes) builder.push(content.subarray(at, at + contentBlockBytes))
  const { averageLog2, groups } = builder.end()
  return { content, averageLog2, groups }
})

const timed = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<readonly [A, number], E> =>
  Effect.map(Effect.timed(effect), ([took, value]) => [value, Duration.toMillis(took)] as const)

const bench = Effect.gen(function* () {
  // Once to warm up.
  yield* signature
  const [base, built] = yield* timed(signature)
  const pieces = base.groups.reduce((total, { chunks }) => total + chunks.length, 0)
  const rate = (bytes: number, milliseconds: number) => `${(bytes / mebibyte / (milliseconds / 1000)).toFixed(0)} MiB/s`
  console.log(`${size / mebibyte} MiB: ${base.groups.length} groups, ${pieces} chunks`)
  console.log(`signature: ${built.toFixed(0)} ms, ${rate(size, built)}`)
  console.log(line("update", "walk ms", "MiB/s", "literal B", "asked B", "questions", "hashed x"))
  for (const [name, make] of Object.entries(updates)) {
    const target = make()
    const [{ cost, literals }, took] = yield* timed(walk(base, target))
    const asked = (cost.chunksAsked + cost.blocksAsked) * pieceBytes + cost.rangesAsked * rangeBytes
    const questions = `${cost.chunkQuestions}+${cost.blockQuestions}`
    const hashed = (cost.hashed / target.length).toFixed(2)
    console.log(
      line(name, took.toFixed(0), rate(target.length, took).slice(0, -6), `${literals}`, `${asked}`, questions, hashed)
    )
  }
})

await Effect.runPromise(bench)
