/**
 * Signatures of committed files: made by reading once, kept, and found again while the file is unchanged.
 *
 * A kept signature is trusted for one version of a file only (`OpenFile.version`: device, inode, size, modification and
 * change time). A version that is younger than the clock's grain could still change without a trace, so what was made
 * then is used once and not kept; nor is that of a file too small for a delta. The digest of a whole transfer decides
 * in any case: a wrong signature costs bytes, never content.
 */
import { Clock, Context, Effect, Layer, Semaphore } from "effect"
import { SecureRandom } from "effect/crypto"
import { Digest } from "../file/Digest.ts"
import { deltaBytesMin, signatureBuildsMax, signatureKeyBytes, versionGrainMilliseconds } from "../limits.ts"
import type { OpenFile } from "../store/FileStore.ts"
import * as ReadWindow from "../store/ReadWindow.ts"
import { SourceChanged, type StoreFailed } from "../store/StoreError.ts"
import type { Range } from "../file/Packed.ts"
import { SignatureKeep } from "./SignatureKeep.ts"
import { blockHash, blockRules, makeBuilder, makeCutter, type Piece, type Signature } from "./Signature.ts"

/** Port: signatures of open files. See above for what is trusted when. */
export class Signatures extends Context.Service<
  Signatures,
  {
    /** The signature of an open file, kept or made now. */
    readonly of: (file: OpenFile) => Effect.Effect<Signature, SourceChanged | StoreFailed>
    /** The signature, when one is kept for this version. Reads no content. */
    readonly kept: (file: OpenFile) => Effect.Effect<Signature | undefined>
    /**
     * The blocks of ranges of an open file that follow on each other, read at once and each cut by itself, one after
     * another: cut now, never kept. `SourceChanged` when it became shorter.
     */
    readonly blocksOf: (
      file: OpenFile,
      ranges: ReadonlyArray<Range>
    ) => Effect.Effect<ReadonlyArray<Piece>, SourceChanged | StoreFailed>
  }
>()("paradrop/transfer/Signatures") {
  static readonly layer: Layer.Layer<Signatures, never, Digest | SecureRandom.SecureRandom | SignatureKeep> =
    Layer.effect(
      Signatures,
      Effect.gen(function* () {
        const digest = yield* Digest
        const keep = yield* SignatureKeep
        const { randomBytes } = yield* SecureRandom.SecureRandom
        // Making one costs processor time: a few at once, others wait.
        const builds = yield* Semaphore.make(signatureBuildsMax)

        const build = Effect.fnUntraced(function* (file: OpenFile) {
          const began = yield* Clock.currentTimeMillis
          // Drawn once the content is there: whoever made that could not know it.
          const builder = makeBuilder(digest, yield* randomBytes(signatureKeyBytes), file.entry.size)
          yield* look(file, { offset: 0, length: file.entry.size }, builder.push)
          yield* file.unchanged
          const signature = builder.end()
          const grown = began - file.changed >= versionGrainMilliseconds
          if (grown && isKept(file)) yield* keep.put(file.version, signature)
          return signature
        }, builds.withPermit)

        const kept = (file: OpenFile) => (isKept(file) ? keep.get(file.version) : Effect.undefined)
        return Signatures.of({
          of: (file) =>
            Effect.flatMap(kept(file), (found) => (found === undefined ? build(file) : Effect.succeed(found))),
          kept,
          blocksOf: Effect.fnUntraced(function* (file, ranges) {
            const whole = ranges.map(({ length }) => length).reduce((sum, length) => sum + length, 0)
            const cut = cutting(digest, ranges)
            yield* look(file, { offset: ranges[0]?.offset ?? 0, length: whole }, cut.push)
            // Fewer blocks than were asked for would be none: the transfer ends here, and not with its digest.
            if (cut.taken() < whole) return yield* new SourceChanged({ name: file.entry.name })
            return cut.blocks
          })
        })
      })
    )
}

/** Cuts ranges that follow on each other, each by itself. */
const cutting = (digest: Digest["Service"], ranges: ReadonlyArray<Range>) => {
  const blocks: Array<Piece> = []
  let [taken, index] = [0, 0]
  let left = 0
  let cutter = makeCutter(blockHash(digest), blockRules, 0)
  const begin = (): void => {
    const range = ranges[index]
    left = range?.length ?? 0
    if (range !== undefined) cutter = makeCutter(blockHash(digest), blockRules, range.offset)
  }
  begin()
  const push = (content: Uint8Array): void => {
    for (let at = 0; at < content.length && index < ranges.length;) {
      const part = content.subarray(at, at + left)
      blocks.push(...cutter.push(part))
      at += part.length
      taken += part.length
      left -= part.length
      if (left > 0) continue
      const last = cutter.end()
      if (last !== undefined) blocks.push(last)
      index += 1
      begin()
    }
  }
  return { blocks, push, taken: () => taken }
}

/** A small file is read again sooner than what was kept of it, which would take as much room and a file of its own. */
const isKept = ({ entry }: OpenFile): boolean => entry.size >= deltaBytesMin

/** A file that became shorter ends early: whoever looks finds that out. */
const look = (file: OpenFile, range: Range, take: (block: Uint8Array) => void) =>
  ReadWindow.forEachBlock(ReadWindow.make(file, range.offset + range.length, range.length), range, (block) =>
    Effect.sync(() => take(block))
  )
