/**
 * Content on its way out: reads a source block by block, hashes it and sends it, reading ahead while earlier blocks
 * leave.
 *
 * The same code sends an upload and a download. Memory, whatever the file's size: those of `readAheadBlocksMax` blocks
 * that are being sent, as many that wait behind them, and one that is being read.
 */
import { Effect, Schema, Stream } from "effect"
import type { ContentDigest, Digest } from "../file/Digest.ts"
import type { FileSize } from "../file/FileEntry.ts"
import { contentBlockBytes, readAheadBlocksMax } from "../limits.ts"
import { fill, type Readable } from "../store/ReadWindow.ts"
import type { Range } from "../file/Packed.ts"

/** Something to read from. */
export interface Source<E> extends Readable<E> {
  /** bytes */
  readonly size: FileSize
  /** Succeeds when everything read is of one version. */
  readonly unchanged: Effect.Effect<void, E>
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
  else if (source.size > 0) yield* Stream.runForEach(blocks(source, { offset: 0, length: source.size }), hashAndSend)
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
    ({ length, offset }) =>
      // What fits into one block needs no reading ahead.
      length <= contentBlockBytes
        ? Effect.flatMap(readBlock(options.source, offset, new Uint8Array(length)), options.send)
        : Stream.runForEach(blocks(options.source, { offset, length }), options.send),
    { discard: true }
  )

/** Blocks through a ring of buffers: one is good until the stream has gone on past all that are read ahead. */
const blocks = <E>(source: Source<E>, { length, offset }: Range): Stream.Stream<Uint8Array, E | SourceShrank> =>
  Stream.suspend(() => {
    const ring = new Map<number, Uint8Array>()
    let turn = 0
    const next = (done: number) => {
      turn = (turn + 1) % ringBuffers
      const wanted = Math.min(contentBlockBytes, length - done)
      const known = ring.get(turn)
      const buffer = known === undefined || known.length < wanted ? new Uint8Array(wanted) : known
      ring.set(turn, buffer)
      return readBlock(source, offset + done, buffer.subarray(0, wanted))
    }
    return Stream.unfold(0, (done) =>
      done >= length ? Effect.undefined : Effect.map(next(done), (block) => [block, done + block.length] as const)
    ).pipe(Stream.buffer({ capacity: readAheadBlocksMax }))
  })

// Those that were taken together and leave one by one, as many that wait behind them, the one that is being offered,
// the one that is being read, and one to spare. Fewer would overwrite what has not left.
const ringBuffers = 2 * readAheadBlocksMax + 3

const readBlock = <E>(
  source: Source<E>,
  offset: number,
  target: Uint8Array
): Effect.Effect<Uint8Array, E | SourceShrank> =>
  Effect.flatMap(fill(source, offset, target), (block) =>
    block.length < target.length ? Effect.fail(new SourceShrank()) : Effect.succeed(block)
  )
