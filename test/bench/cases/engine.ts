/**
 * What the delta engine costs by itself: signature and walk over content in memory, without network or disk.
 *
 * Rates are by CPU time of the process, so that a busy machine changes them little; `hashed` is how often each byte of
 * the new version went through a digest, `asked` what was asked of the other side.
 */
import { readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import { Effect } from "effect"
import { contentBlockBytes } from "../../../src/domain/limits.ts"
import { makeBuilder } from "../../../src/domain/transfer/Signature.ts"
import { pieceBytes, rangeBytes } from "../../../src/domain/file/Packed.ts"
import { type Base, digest, key, walk } from "../../domain/transfer/deltas.ts"
import type { Bench, Case } from "../Bench.ts"
import * as Data from "../Data.ts"
import { edits } from "../Edits.ts"
import { loopback } from "../Place.ts"

const contestant = "paradrop"

/** Files larger than that are not held in memory. */
const mibMax = 512

const signatureOf = (content: Uint8Array): Effect.Effect<Base> =>
  Effect.sync(() => {
    const builder = makeBuilder(digest, key, content.length)
    for (let at = 0; at < content.length; at += contentBlockBytes) {
      builder.push(content.subarray(at, at + contentBlockBytes))
    }
    const { averageLog2, groups } = builder.end()
    return { content, averageLog2, groups }
  })

/** Not Node's `Buffer`: its elements are read more slowly. */
const contentOf = (path: string): Uint8Array => new Uint8Array(readFileSync(path).buffer)

const measure = async (bench: Bench, path: string, round: number): Promise<void> => {
  const content = contentOf(path)
  const record = (name: string, unit: string, value: number): void => {
    const key = { case: "engine", contestant, name, round }
    if (round > 0 && !bench.hasFigure(key)) bench.recordFigure({ ...key, unit, value })
  }
  const timed = async <A, E>(bytes: number, name: string, work: Effect.Effect<A, E>): Promise<A> => {
    const before = process.cpuUsage()
    const value = await Effect.runPromise(work)
    const { system, user } = process.cpuUsage(before)
    record(name, "MiB/s of CPU", (bytes / Data.mebibyte / (user + system)) * 1e6)
    return value
  }
  const base = await timed(content.length, "signature", signatureOf(content))
  const version = `${path}.version`
  for (const { make, what } of edits) {
    bench.check()
    make(path, content.length, version)
    const target = contentOf(version)
    const { cost } = await timed(target.length, `walk of ${what}`, walk(base, target))
    record(`hashed in ${what}`, "times", cost.hashed / target.length)
    const asked = (cost.chunksAsked + cost.blocksAsked) * pieceBytes + cost.rangesAsked * rangeBytes
    record(`asked in ${what}`, "kB", asked / 1000)
  }
  rmSync(version)
}

const mibOf = (mib: number): number => Math.min(mibMax, mib)

export const engine: Case = {
  name: "engine",
  about: ({ mib }) => `the delta engine by itself, ${mibOf(mib)} MiB in memory`,
  wire: loopback,
  run: async (bench) => {
    if (!bench.contestants.some(({ name }) => name === contestant)) return
    const path = Data.file(join(bench.data, "engine"), mibOf(bench.scale.mib) * Data.mebibyte)
    try {
      for (let round = 0; round <= bench.options.rounds; round += 1) await measure(bench, path, round)
    } finally {
      rmSync(path)
    }
  }
}
