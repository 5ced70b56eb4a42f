/**
 * The server's side of bundles: many small files at once, without a request, a descriptor or a log line for each.
 *
 * The content of a bundle that comes is held until it is whole (`bundleBytesMax`), and then all its files go to their
 * names in a few steps of the disk. Each file succeeds or fails by itself.
 */
import { Effect, Result } from "effect"
import * as Bytes from "../domain/Bytes.ts"
import type { ChannelFailed } from "../domain/channel/ChannelError.ts"
import { type ContentDigest, type Digest, digestOf } from "../domain/file/Digest.ts"
import { type FileEntry, mayRun } from "../domain/file/FileEntry.ts"
import type { FileName } from "../domain/file/FileName.ts"
import { contentsOf, packSent, type SentFile } from "../domain/file/PackedFiles.ts"
import { printable } from "../domain/file/Printable.ts"
import { bundleBytesMax, contentBlockBytes, deltaBytesMin, smallFileBytesMax } from "../domain/limits.ts"
import type { FrameChannel } from "../domain/session/FrameChannel.ts"
import type { ActionResult, FileRefusal, SessionOutput } from "../domain/session/SessionState.ts"
import type { Confined } from "../domain/store/Confined.ts"
import type { SmallFile } from "../domain/store/FileStore.ts"
import * as SmallFiles from "../domain/store/SmallFiles.ts"
import { StoreFailed } from "../domain/store/StoreError.ts"
import type { RequestId } from "../domain/wire/Frame.ts"
import * as Message from "../domain/wire/Message.ts"
import type { Refusal } from "../domain/wire/Refusal.ts"
import * as Gathering from "./Gathering.ts"
import type { AliveMeanwhile } from "./KeepAlive.ts"
import { log } from "./LogEvent.ts"
import { refusalOf, refusalOfTarget, type Refusals, type Stopped } from "./Refusals.ts"
import type { SignatureMaker } from "./SignatureMaker.ts"
import type { SessionWatch } from "./SessionWatch.ts"

type Asked<Tag extends SessionOutput["_tag"]> = Extract<SessionOutput, { readonly _tag: Tag }>

export interface Bundles {
  /** Reads small files together: what each is now, and its digest while it is small. What is not read is left out. */
  readonly digested: (names: ReadonlyArray<FileName>) => Effect.Effect<ReadonlyMap<FileName, Digested>>
  readonly gather: (asked: Asked<"Gather">) => Effect.Effect<void>
  readonly keep: (content: Bytes.Parts) => Effect.Effect<void>
  /** Puts the files of the bundle to their names, to the end whatever becomes of the session. */
  readonly place: (id: RequestId) => Effect.Effect<ActionResult>
  /** Reads and sends what is asked for, as much at once as one bundle holds. */
  readonly send: (asked: Asked<"SendBundle">, unlessStopped: Guard) => Effect.Effect<ActionResult, SendError>
  /** Sends what is small among the first entries of a listing, as much as one bundle holds: by their places in it. */
  readonly sendAlong: (
    id: RequestId,
    first: ReadonlyArray<FileEntry>,
    unlessStopped: Guard
  ) => Effect.Effect<void, SendError>
  /** Lets go of the bundle under way. */
  readonly discard: () => void
}

/** A file as it was read. */
export interface Digested {
  readonly entry: FileEntry
  readonly digest: ContentDigest | undefined
}

/** Runs work unless the peer has cancelled. */
export type Guard = <A, E>(id: RequestId, work: Effect.Effect<A, E>) => Effect.Effect<A, E | Stopped>

/** A bundle on its way. */
interface Coming extends Asked<"Gather"> {
  readonly content: Gathering.Gathering
}

type SendError = ChannelFailed | Stopped

/** What is logged of one new file, sent alone or in a bundle. */
export const uploadedText = (name: string): string => `File '${name}' uploaded successfully.`

export const make = (options: {
  readonly aliveMeanwhile: AliveMeanwhile
  readonly channel: FrameChannel
  readonly digest: Digest["Service"]
  readonly files: Confined
  /** the digest of a committed file, where knowing it costs no reading of much */
  readonly known: (name: FileName) => Effect.Effect<ContentDigest | undefined>
  readonly maker: SignatureMaker["Service"]
  /** whether the memory of what comes may be given back (see Transport.Owned) */
  readonly ours: boolean
  readonly refusals: Refusals
  readonly user: () => string
  readonly watch: SessionWatch
}): Bundles => {
  const { aliveMeanwhile, channel, digest, files, known, maker, ours, refusals, user, watch } = options
  const { store } = files
  const { logged } = refusals
  let coming: Coming | undefined

  /** What was read is not looked at again. */
  const letGo = (contents: Bytes.Parts): void => {
    if (ours) Bytes.giveBackBuffers(contents)
  }

  const digested = Effect.fnUntraced(function* (names: ReadonlyArray<FileName>) {
    const all = new Map<FileName, Digested>()
    for (let from = 0; from < names.length;) {
      const read = yield* SmallFiles.readAll(store, names.slice(from), bundleBytesMax)
      for (const [index, one] of read.entries()) {
        const [name, found] = [names[from + index], Result.getOrUndefined(one)]
        if (name === undefined || found === undefined) continue
        const { content, entry } = found
        all.set(name, { entry, digest: content && digestOf(digest, [content]) })
      }
      letGo(read.flatMap((one) => (Result.isSuccess(one) ? (one.success.content ?? []) : [])))
      from += Math.max(1, read.length)
    }
    return all
  })

  /** What the files held before, where somebody wants to know. Of a new one nothing is asked for. */
  const digestsBefore = Effect.fnUntraced(function* (all: ReadonlyArray<FileName>) {
    const digests = new Map<FileName, ContentDigest>()
    if (!watch.audited) return digests
    for (const [name, { digest, entry }] of yield* digested(yield* SmallFiles.present(store, all))) {
      const before = digest ?? (yield* known(entry.name))
      if (before !== undefined) digests.set(name, before)
    }
    return digests
  })

  const place = Effect.fnUntraced(function* (id: RequestId): Effect.fn.Return<ActionResult> {
    const bundle = coming
    coming = undefined
    if (bundle === undefined) return { _tag: "Refused", id, refusal: { reason: "store-failed" } }
    const all = wholeFiles(bundle)
    const before = yield* digestsBefore(all.map(({ name }) => name))
    const outcomes = yield* SmallFiles.placeAll(store, all, bundle.target)
    bundle.content.giveBack()
    const refused: Array<FileRefusal> = []
    for (const [index, file] of bundle.files.entries()) {
      const outcome = outcomes[index] ?? Result.fail(missing)
      const had = before.get(file.name)
      const seen = { bytes: file.size, ...(had !== undefined && { before: had }) }
      if (Result.isSuccess(outcome)) {
        watch.file(id, index, { ...seen, outcome: "done", after: file.digest })
        // A bundle may name a file twice.
        before.set(file.name, file.digest)
        if (file.size >= deltaBytesMin) yield* maker.committed(files.whole(file.name), file.size)
        continue
      }
      yield* logged(id, outcome.failure, file.name)
      const refusal = refusalOfTarget(bundle.target, outcome.failure)
      watch.file(id, index, { ...seen, outcome: refusal.reason })
      refused.push({ index, refusal })
    }
    const count = all.length - refused.length
    const first = all.find((_, index) => !refused.some((one) => one.index === index))
    if (first !== undefined) {
      const whose = printable(files.whole(first.name))
      const fields = { user: user() }
      yield* count === 1
        ? log("file-committed", uploadedText(whose), fields)
        : log("files-committed", `${count} files uploaded successfully, '${whose}' first.`, fields)
    }
    return { _tag: "Placed", id, count, refused }
  })

  const refuse = (id: RequestId, index: number, refusal: Refusal) => {
    watch.file(id, index, { bytes: 0, outcome: refusal.reason })
    const body = Message.Server.encode({ _tag: "FileRefused", index, ...refusal })
    return channel.send({ kind: "message", id, body })
  }

  /** Files that are sent together: what they are, and then their content. */
  const sending = (id: RequestId) => {
    const sent: Array<SentFile> = []
    const parts: Array<Uint8Array> = []
    return {
      add: (index: number, { executable, modified }: FileEntry, content: Uint8Array) => {
        const size = content.length
        sent.push({ index, size, modified, digest: digestOf(digest, [content]), ...mayRun(executable) })
        parts.push(content)
      },
      send: Effect.gen(function* () {
        if (sent.length > 0) {
          const body = Message.Server.encode({ _tag: "BundleSending", files: packSent(sent) })
          yield* channel.send({ kind: "message", id, body })
        }
        for (const frame of Bytes.runsOf(parts, contentBlockBytes)) {
          yield* channel.send({ kind: "content", id, parts: frame })
        }
        letGo(parts)
        return sent
      })
    }
  }

  /** Sends what fits into one bundle of those that are left; gives how many it went through and how many it sent. */
  const sendSome = Effect.fnUntraced(function* (id: RequestId, names: ReadonlyArray<FileName>, from: number) {
    const read = yield* aliveMeanwhile(SmallFiles.readAll(store, names.slice(from), bundleBytesMax))
    const bundle = sending(id)
    for (const [offset, outcome] of (read.length > 0 ? read : [Result.fail(missing)]).entries()) {
      const index = from + offset
      if (Result.isFailure(outcome)) {
        yield* logged(id, outcome.failure, names[index])
        yield* refuse(id, index, refusalOf(outcome.failure))
      } else if (outcome.success.content === undefined) yield* refuse(id, index, { reason: "too-large" })
      else bundle.add(index, outcome.success.entry, outcome.success.content)
    }
    const sent = yield* bundle.send
    for (const { digest, index, size } of sent) watch.file(id, index, { bytes: size, outcome: "done", after: digest })
    return { seen: Math.max(1, read.length), sent: sent.length }
  })

  const sendAlong = Effect.fnUntraced(function* (id: RequestId, first: ReadonlyArray<FileEntry>) {
    const places: Array<number> = []
    let room = bundleBytesMax
    for (const [index, { size }] of first.entries()) {
      if (size > smallFileBytesMax) continue
      if (size > room) break
      room -= size
      places.push(index)
    }
    const names = places.flatMap((index) => first[index]?.name ?? [])
    const bundle = sending(id)
    const read = yield* aliveMeanwhile(SmallFiles.readAll(store, names, bundleBytesMax))
    for (const [at, outcome] of read.entries()) {
      const index = places[at]
      // What cannot be read now is refused when it is asked for.
      if (index === undefined || Result.isFailure(outcome) || outcome.success.content === undefined) continue
      bundle.add(index, outcome.success.entry, outcome.success.content)
    }
    for (const { digest, index, size } of yield* bundle.send) {
      const name = first[index]?.name
      if (name !== undefined) watch.sentAlong(id, name, { bytes: size, outcome: "done", after: digest })
    }
  })

  return {
    digested,
    gather: (asked) =>
      Effect.sync(() => {
        const declared = asked.files.reduce((total, { size }) => total + size, 0)
        coming = { ...asked, content: Gathering.make(declared, ours) }
      }),
    keep: (parts) => Effect.sync(() => coming?.content.keep(parts)),
    place: (id) => watch.place(id, place(id)),
    send: Effect.fnUntraced(function* ({ id, names }, unlessStopped) {
      let count = 0
      for (let from = 0; from < names.length;) {
        const { seen, sent } = yield* unlessStopped(id, sendSome(id, names, from))
        from += seen
        count += sent
      }
      return { _tag: "BundleSent", id, count }
    }),
    sendAlong: (id, first, unlessStopped) => unlessStopped(id, sendAlong(id, first)),
    discard: () => void (coming = undefined)
  }
}

/** A store that says nothing of a file. */
const missing = new StoreFailed({ operation: "bundle", code: "EIO" })

const wholeFiles = ({ content, files }: Coming): ReadonlyArray<SmallFile> => {
  const contents = contentsOf(files, content.parts())
  return files.map(({ digest, executable, modified, name }, index) => ({
    name,
    modified,
    digest,
    parts: contents[index] ?? [],
    ...mayRun(executable)
  }))
}
