/**
 * Content on its way out: reads a source block by block, hashes it and sends it, reading ahead while earlier blocks
 * leave.
 *
 * The same code sends an upload and a download. Memory, whatever the file's size: twice `readAheadBlocksMax` blocks.
 */
import { Effect, Schema } from "effect"
import type { ContentDigest, Digest } from "../file/Digest.ts"
import type { FileSize } from "../file/FileEntry.ts"
import { contentBlockBytes, readAheadBlocksMax } from "../limits.ts"
import * as ReadWindow from "../store/ReadWindow.ts"
import type { Range } from "../file/Packed.ts"

/** Something to read from. */
export interface Source<E> extends ReadWindow.Readable<E> {
  /** bytes */
  readonly size: FileSize
  /** Succeeds when everything read is of one version. */
  readonly unchanged: Effect.Effect<void, E>
  /**
   * Whether its size or time is another now: then nobody can go on with what was sent of it. Where it is missing, that
   * is not known.
   */
  readonly isAnother?: Effect.Effect<boolean>
}

/** The source became shorter while it was read. */
export class SourceShrank extends Schema.TaggedError<SourceShrank>()("SourceShrank", {}) {
  override get message(): string {
    return "the file became shorter while it was read: send it again"
  }
}

/**
 * Sends the whole source and gives what a Commit or Sent must say. The source is checked again at the end, so that a
 * file that changed meanwhile is never vouched for.
 */
export const sendAll = Effect.fnUntraced(function* <E, SendError>(options: {
  readonly source: Source<E>
  readonly digest: Digest["Service"]
  /** Takes one block of at most `contentBlockBytes` bytes, which is good until its effect has ended. */
  readonly send: (block: Uint8Array) => Effect.Effect<void, SendError>
}): Effect.fn.Return<{ readonly size: FileSize; readonly digest: ContentDigest }, E | SendError | SourceShrank> {
  const { digest, send, source } = options
  const hasher = digest.make()
  const hashAndSend = (block: Uint8Array) => {
    hasher.update(block)
    return send(block)
  }
  if (source.size > 0 && source.size <= contentBlockBytes)
    yield* Effect.flatMap(readBlock(source, 0, new Uint8Array(source.size)), hashAndSend)
  else yield* sendRange(source, { offset: 0, length: source.size }, hashAndSend)
  yield* source.unchanged
  return { size: source.size, digest: hasher.digest() }
})

/** Sends parts of a source, in the order given. What the whole is, is not vouched for. */
export const sendRanges = <E, SendError>(options: {
  readonly source: Source<E>
  readonly ranges: ReadonlyArray<Range>
  readonly send: (block: Uint8Array) => Effect.Effect<void, SendError>
}): Effect.Effect<void, E | SendError | SourceShrank> =>
  Effect.forEach(
    options.ranges,
    (range) =>
      // What fits into one block needs no reading ahead.
      range.length <= contentBlockBytes
        ? Effect.flatMap(readBlock(options.source, range.offset, new Uint8Array(range.length)), options.send)
        : sendRange(options.source, range, options.send),
    { discard: true }
  )

/** Blocks through two buffers: while those of one leave, the other is filled. A block is good until it was sent. */
const sendRange = Effect.fnUntraced(function* <E, SendError>(
  source: Source<E>,
  { length, offset }: Range,
  send: (block: Uint8Array) => Effect.Effect<void, SendError>
): Effect.fn.Return<void, E | SendError | SourceShrank> {
  const ahead = Math.min(length, readAheadBlocksMax * contentBlockBytes)
  const window = ReadWindow.make(source, offset + length, ahead)
  for (let done = 0; done < length;) {
    const wanted = Math.min(contentBlockBytes, length - done)
    const block = yield* window.read(offset + done, wanted)
    if (block.length < wanted) return yield* new SourceShrank()
    yield* send(block)
    done += wanted
  }
})

const readBlock = <E>(
  source: Source<E>,
  offset: number,
  target: Uint8Array
): Effect.Effect<Uint8Array, E | SourceShrank> =>
  Effect.flatMap(ReadWindow.fill(source, offset, target), (block) =>
    block.length < target.length ? Effect.fail(new SourceShrank()) : Effect.succeed(block)
  )
