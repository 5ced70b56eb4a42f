/**
 * What a server must answer: the whole of its behaviour that a client can see, over files in a map.
 *
 * Knows no store, no encryption and no time. Every answer of the server follows from what was said before, as long as
 * whoever speaks waits for the answers: `SessionCheck` does, and compares.
 */
import { Result } from "effect"
import * as Bytes from "../Bytes.ts"
import { type ContentDigest, type Digest, digestOf } from "../file/Digest.ts"
import { type FileEntry, mayRun } from "../file/FileEntry.ts"
import { type FileName, key, segmentKey, segments } from "../file/FileName.ts"
import { packPieces, unpackRanges } from "../file/Packed.ts"
import { type BundledFile, packSent, unpackFiles, unpackNames } from "../file/PackedFiles.ts"
import { bundleBytesMax, bundleFilesMax, deltaBytesMin, loginAttemptsMax, smallFileBytesMax } from "../limits.ts"
import {
  blockHash,
  blockRules,
  makeBuilder,
  makeCutter,
  offerOf,
  type Piece,
  type Signature
} from "../transfer/Signature.ts"
import type { ClientMessage, ServerMessage } from "../wire/Message.ts"
import type { Refusal } from "../wire/Refusal.ts"

/** What a client sends: a message, content, or what breaks the rules below messages (`Broken`). */
export type Said =
  | { readonly _tag: "Message"; readonly id: number; readonly message: ClientMessage }
  | { readonly _tag: "Content"; readonly id: number; readonly bytes: Uint8Array }
  | { readonly _tag: "Broken"; readonly where: "record" | "plaintext"; readonly bytes: Uint8Array }
  | { readonly _tag: "End" }

/** What must come back. */
export type Answer =
  | { readonly _tag: "Message"; readonly id: number; readonly message: ServerMessage }
  /** a message under the key that the server has drawn for a signature: its offer, or pieces of what it last offered */
  | { readonly _tag: "Keyed"; readonly id: number; readonly message: (key: Uint8Array) => ServerMessage }
  /** content frames that are these bytes together */
  | { readonly _tag: "Content"; readonly id: number; readonly bytes: Uint8Array }
  /**
   * pages with these entries in any order, and their count; a digest only where `digest` asks for it; with `content`
   * between them what is small among the first
   */
  | {
      readonly _tag: "Listing"
      readonly id: number
      readonly entries: ReadonlyArray<File>
      readonly digest: boolean
      readonly content: boolean
    }
  /** the server proves its end */
  | { readonly _tag: "Ended" }
  /** the connection breaks without that proof */
  | { readonly _tag: "Lost" }

/** What a server says to one step, in order. */
export type Answers = ReadonlyArray<Answer>

type Command = Extract<
  ClientMessage,
  {
    readonly _tag:
      "Describe" | "Download" | "DownloadBundle" | "Fetch" | "Para" | "Remove" | "Rename" | "Upload" | "UploadBundle"
  }
>
type Incoming = Extract<Command, { readonly _tag: "Para" | "Upload" }>

/** A committed version of a file. */
export interface File extends FileEntry {
  readonly content: Uint8Array
  readonly digest: ContentDigest
}

/** The request that waits for its client. */
export type Waiting =
  | { readonly _tag: "Offering"; readonly id: number; readonly file: File }
  | {
      readonly _tag: "Receiving"
      readonly id: number
      readonly command: Incoming
      readonly base: File | undefined
      readonly received: Uint8Array
    }
  | {
      readonly _tag: "Gathering"
      readonly id: number
      readonly files: ReadonlyArray<BundledFile>
      readonly received: Uint8Array
    }

/** One connection that has said Hello. */
export interface Session {
  lastId: number
  waiting: Waiting | undefined
  queue: Array<{ readonly id: number; readonly command: Command }>
  /** refused requests whose content may still come, oldest first */
  readonly discarding: Set<number>
  ending: boolean
}

/** What a server holds, as far as its clients can tell. */
export interface Model {
  readonly digest: Digest["Service"]
  /** by folded name */
  readonly files: Map<string, File>
}

/** A server without files. */
export const make = (digest: Digest["Service"]): Model => ({ digest, files: new Map() })

/** A client that has just been admitted. */
export const newSession = (): Session => ({
  lastId: 0,
  waiting: undefined,
  queue: [],
  discarding: new Set(),
  ending: false
})

/** Attempts that are left on a connection after that many have failed. */
export const attemptsLeft = (failed: number): number => loginAttemptsMax - failed

const message = (id: number, message: ServerMessage): Answer => ({ _tag: "Message", id, message })
const keyed = (id: number, message: (key: Uint8Array) => ServerMessage): Answer => ({ _tag: "Keyed", id, message })
const refused = (id: number, refusal: Refusal): Answer => message(id, { _tag: "Refused", ...refusal })
const closing = (reason: string): Answers => [message(0, { _tag: "Closing", reason }), { _tag: "Ended" }]
/** What the server answers to what no state allows. */
export const violation: Answers = closing("protocol-violation")

// -----------------------------------------------------------------------------
// Names
// -----------------------------------------------------------------------------

/** Every prefix of every name that is there, folded: a folder, or a file at its end. */
const nodesOf = ({ files }: Model) =>
  new Map(
    Array.from(files.values()).flatMap((file) =>
      segments(file.name).map((_, index, parts) => {
        const spelling = parts.slice(0, index + 1).join("/")
        return [segmentKey(spelling), { spelling, isFile: index === parts.length - 1 }] as const
      })
    )
  )

/** The file that reading a name finds. */
const find = (model: Model, name: FileName): File | Refusal => {
  const file = model.files.get(key(name))
  if (file !== undefined) return file
  const there = Array.from(model.files.values(), ({ name }): string => name)
  if (there.some((other) => other.startsWith(`${name}/`))) return { reason: "not-a-file", detail: "folder" }
  if (there.some((other) => name.startsWith(`${other}/`))) return { reason: "not-a-file", detail: "file-as-folder" }
  return { reason: "no-such-file" }
}

/** Why a file cannot be put there; undefined when it can. */
const obstacle = (model: Model, name: FileName): Refusal | undefined => {
  const nodes = nodesOf(model)
  const parts = segments(name)
  for (const index of parts.keys()) {
    const prefix = parts.slice(0, index + 1).join("/")
    const node = nodes.get(segmentKey(prefix))
    if (node === undefined) return undefined
    if (node.spelling !== prefix) return { reason: "name-collision", detail: node.spelling }
    const last = index === parts.length - 1
    if (node.isFile !== last) return { reason: "not-a-file", detail: last ? "folder" : "file-as-folder" }
  }
  return undefined
}

// -----------------------------------------------------------------------------
// Requests
// -----------------------------------------------------------------------------

/** The signature that a server offers of a file, under its key. */
const signatureOf = ({ digest }: Model, { content }: File, key: Uint8Array): Signature => {
  const builder = makeBuilder(digest, key, content.length)
  builder.push(content)
  return builder.end()
}

/** What is said of a file with its offer; a small one has none. */
const withOffer = (
  model: Model,
  id: number,
  file: File,
  said: Extract<ServerMessage, { readonly _tag: "SameFileHere" | "Sending" }>
): Answer =>
  file.content.length < deltaBytesMin
    ? message(id, said)
    : keyed(id, (key) => ({ ...said, signature: offerOf(signatureOf(model, file, key)) }))

/** Too small for an offer, and not so small that there is nothing to spare. */
const isSmall = ({ size }: File): boolean => size > 0 && size < deltaBytesMin

const isFile = (found: File | Refusal): found is File => "content" in found

/** A request's turn has come: what it is answered before it waits for its client, or finally. */
const begin = (model: Model, session: Session, id: number, command: Command): Answers => {
  if (command._tag === "Fetch") {
    const entries = Array.from(model.files.values())
    const { content = false, digest = false } = command
    return finish(model, session, [{ _tag: "Listing", id, entries, digest, content }])
  }
  if (command._tag === "Upload") {
    const why = obstacle(model, command.name)
    if (why === undefined) {
      session.waiting = { _tag: "Receiving", id, command, base: undefined, received: new Uint8Array(0) }
      return [message(id, { _tag: "Proceed", from: 0 })]
    }
    // Its content may be on its way.
    session.discarding.add(id)
    return finish(model, session, [refused(id, why)])
  }
  if (command._tag === "UploadBundle") return gather(model, session, id, unpackFiles(command.files))
  if (command._tag === "DownloadBundle") return deliver(model, session, id, unpackNames(command.names))
  const file = find(model, command.name)
  if (!isFile(file)) {
    const missing = command._tag === "Para" && file.reason === "no-such-file"
    return finish(model, session, [missing ? message(id, { _tag: "SameFileNotHere" }) : refused(id, file)])
  }
  const { digest, modified, size } = file
  const here = { size, modified, from: 0 }
  switch (command._tag) {
    case "Describe":
      return finish(model, session, [message(id, { _tag: "Described", size, modified, digest })])
    case "Download": {
      const sending = { _tag: "Sending", ...here } as const
      if (command.delta !== true || size < deltaBytesMin) {
        return [message(id, sending), ...send(model, session, id, file, [{ offset: 0, length: size }])]
      }
      session.waiting = { _tag: "Offering", id, file }
      return [withOffer(model, id, file, sending)]
    }
    case "Para":
      if (command.expect !== undefined && command.expect !== digest) {
        return finish(model, session, [refused(id, { reason: "conflict" })])
      }
      session.waiting = { _tag: "Receiving", id, command, base: file, received: new Uint8Array(0) }
      // A small one that may be equal is told by its digest alone.
      return [
        withOffer(model, id, file, {
          _tag: "SameFileHere",
          ...here,
          ...(isSmall(file) && size === command.size && { digest })
        })
      ]
    case "Remove":
    case "Rename":
      return finish(model, session, [change(model, id, file, command)])
  }
}

/** What is sent behind the entries of a listing: what is small among the first, as much as one bundle holds. */
export const along = (listed: ReadonlyArray<File | undefined>) => {
  const some: Array<File & { readonly index: number }> = []
  let room = bundleBytesMax
  for (const [index, file] of listed.slice(0, bundleFilesMax).entries()) {
    if (file === undefined || file.size > smallFileBytesMax) continue
    if (file.size > room) break
    some.push({ ...file, index })
    room -= file.size
  }
  return some
}

/** A bundle's turn: with its last byte all of its files go to their names. */
const gather = (
  model: Model,
  session: Session,
  id: number,
  unpacked: Result.Result<ReadonlyArray<BundledFile>, unknown>
): Answers => {
  if (Result.isFailure(unpacked)) return violation
  session.waiting = { _tag: "Gathering", id, files: unpacked.success, received: new Uint8Array(0) }
  return [message(id, { _tag: "Proceed", from: 0 }), ...append(model, session, id, new Uint8Array(0))]
}

const place = (model: Model, id: number, files: ReadonlyArray<BundledFile>, content: Uint8Array): Answers => {
  const no: Array<Answer> = []
  let offset = 0
  for (const [index, { digest, executable, modified, name, size }] of files.entries()) {
    const own = content.slice(offset, offset + size)
    offset += size
    const why =
      obstacle(model, name) ??
      (digestOf(model.digest, [own]) === digest ? undefined : ({ reason: "digest-mismatch" } as const))
    if (why === undefined) {
      model.files.set(key(name), { name, size, modified, digest, ...mayRun(executable), content: own })
    } else no.push(message(id, { _tag: "FileRefused", index, ...why }))
  }
  return [...no, message(id, { _tag: "BundleDone", count: files.length - no.length })]
}

/** As many files at once as fit into a bundle; what is refused among them is told first. */
const deliver = (
  model: Model,
  session: Session,
  id: number,
  unpacked: Result.Result<ReadonlyArray<FileName>, unknown>
): Answers => {
  if (Result.isFailure(unpacked)) return violation
  const names = unpacked.success
  const answers: Array<Answer> = []
  let count = 0
  for (let index = 0; index < names.length;) {
    const some: Array<{ readonly index: number; readonly file: File }> = []
    let room = bundleBytesMax
    for (let name = names[index]; name !== undefined; index += 1, name = names[index]) {
      const file = find(model, name)
      if (!isFile(file)) answers.push(message(id, { _tag: "FileRefused", index, ...file }))
      else if (file.size > bundleBytesMax) {
        answers.push(message(id, { _tag: "FileRefused", index, reason: "too-large" }))
      } else if (file.size > room) break
      else {
        some.push({ index, file })
        room -= file.size
      }
    }
    const files = packSent(some.map(({ file, index }) => ({ ...file, index })))
    const bytes = Bytes.concat([new Uint8Array(0), ...some.map(({ file }) => file.content), new Uint8Array(0)])
    if (some.length > 0) answers.push(message(id, { _tag: "BundleSending", files }))
    if (bytes.length > 0) answers.push({ _tag: "Content", id, bytes })
    count += some.length
  }
  return finish(model, session, [...answers, message(id, { _tag: "BundleDone", count })])
}

/** A name goes or changes, in one step. */
const change = (
  model: Model,
  id: number,
  file: File,
  command: Extract<Command, { readonly _tag: "Remove" | "Rename" }>
): Answer => {
  const { name } = file
  if (command.expect !== undefined && command.expect !== file.digest) return refused(id, { reason: "conflict" })
  if (command._tag === "Rename" && command.to !== name) {
    const { replace, to } = command
    const why = obstacle(model, to)
    if (why !== undefined && why.detail !== name) return refused(id, why)
    const taken = why === undefined && model.files.has(key(to))
    if (taken && replace !== true) return refused(id, { reason: "already-exists", detail: to })
    model.files.delete(key(name))
    model.files.set(key(to), { ...file, name: to })
  }
  if (command._tag === "Remove") model.files.delete(key(name))
  return message(id, command._tag === "Remove" ? { _tag: "Removed", name } : { _tag: "Renamed", name, to: command.to })
}

interface Range {
  readonly offset: number
  readonly length: number
}

const slices = ({ content }: File, ranges: ReadonlyArray<Range>): Uint8Array =>
  Bytes.concat([
    new Uint8Array(0),
    ...ranges.map(({ length, offset }) => content.subarray(offset, offset + length)),
    new Uint8Array(0)
  ])

const send = (model: Model, session: Session, id: number, file: File, ranges: ReadonlyArray<Range>): Answers => {
  const { digest, size } = file
  const bytes = slices(file, ranges)
  const sent = message(id, { _tag: "Sent", size, digest })
  return finish(model, session, bytes.length === 0 ? [sent] : [{ _tag: "Content", id, bytes }, sent])
}

/** A request is over: the next one's turn, or the end. */
const finish = (model: Model, session: Session, answers: Answers): Answers => {
  session.waiting = undefined
  const next = session.queue.shift()
  if (next !== undefined) return [...answers, ...begin(model, session, next.id, next.command)]
  return session.ending ? [...answers, { _tag: "Ended" }] : answers
}

const commit = (
  model: Model,
  session: Session,
  { base, command, id, received }: Extract<Waiting, { readonly _tag: "Receiving" }>,
  wanted: { readonly size: number; readonly digest: string }
): Answers => {
  const no = (refusal: Refusal): Answers => finish(model, session, [refused(id, refusal)])
  const { modified, size } = command
  const digest = digestOf(model.digest, [received])
  const offered = base !== undefined && base.size > 0
  const equal = offered && wanted.digest === base.digest && wanted.size === base.size && size === base.size
  if (equal && received.length < size) {
    const done = { _tag: "SuccessfullyParallelized", size, digest: base.digest } as const
    return finish(model, session, [message(id, done)])
  }
  if (wanted.size !== received.length || wanted.size !== size) return no({ reason: "size-mismatch" })
  if (wanted.digest !== digest) return no({ reason: "digest-mismatch" })
  const name = base?.name ?? command.name
  const why = obstacle(model, name)
  if (why !== undefined) return no(why)
  if (command._tag === "Para" && command.expect !== undefined && model.files.get(key(name)) !== base) {
    return no({ reason: "conflict" })
  }
  model.files.set(key(name), { name, size, modified, digest, content: received })
  const _tag = command._tag === "Para" ? "SuccessfullyParallelized" : "Uploaded"
  return finish(model, session, [message(id, { _tag, size, digest })])
}

/** More of a file; content that is too much is refused, and what else comes of it is dropped. */
const append = (model: Model, session: Session, id: number, bytes: Uint8Array): Answers => {
  const { waiting } = session
  if (waiting === undefined || waiting._tag === "Offering" || waiting.id !== id) return violation
  const received = Bytes.concat([waiting.received, bytes])
  if (waiting._tag === "Gathering") {
    const declared = waiting.files.reduce((total, { size }) => total + size, 0)
    if (received.length === declared) return finish(model, session, place(model, id, waiting.files, received))
    if (received.length < declared) {
      session.waiting = { ...waiting, received }
      return []
    }
  } else if (received.length <= waiting.command.size) {
    session.waiting = { ...waiting, received }
    return []
  }
  session.discarding.add(id)
  return finish(model, session, [refused(id, { reason: "size-mismatch" })])
}

const cancel = (model: Model, session: Session, id: number): Answers => {
  const { discarding, queue, waiting } = session
  if (discarding.delete(id)) return []
  if (waiting?.id === id) return finish(model, session, [refused(id, { reason: "cancelled" })])
  if (queue.some((one) => one.id === id)) {
    session.queue = queue.filter((one) => one.id !== id)
    return [refused(id, { reason: "cancelled" })]
  }
  return []
}

/** The file whose parts a client may ask for now, under that id. */
const inQuestion = ({ waiting }: Session, id: number): File | undefined => {
  if (waiting?.id !== id || waiting._tag === "Gathering") return undefined
  return waiting._tag === "Offering" ? waiting.file : waiting.base
}

const chunks = (model: Model, id: number, file: File, first: number, count: number): Answers => [
  keyed(id, (key) => {
    const groups = file.content.length < deltaBytesMin ? [] : signatureOf(model, file, key).groups
    return pieces(groups.slice(first, first + count).flatMap((group) => group.chunks))
  })
]

const blocks = (model: Model, id: number, file: File, ranges: ReadonlyArray<Range>): Answers => {
  const found = ranges.flatMap((range) => {
    const cutter = makeCutter(blockHash(model.digest), blockRules, range.offset)
    return [...cutter.push(slices(file, [range])), cutter.end()].filter((piece) => piece !== undefined)
  })
  return [message(id, pieces(found))]
}

/** So few pieces that they fit into one message: the model's files are small. */
const pieces = (found: ReadonlyArray<Piece>): ServerMessage => ({
  _tag: "Pieces",
  pieces: packPieces(found),
  last: true
})

// -----------------------------------------------------------------------------
// Messages
// -----------------------------------------------------------------------------

const hearMessage = (model: Model, session: Session, id: number, said: ClientMessage): Answers => {
  const { discarding, ending, lastId, queue, waiting } = session
  const dropped = discarding.has(id)
  switch (said._tag) {
    case "Fetch":
    case "Describe":
    case "Upload":
    case "UploadBundle":
    case "Download":
    case "DownloadBundle":
    case "Para":
    case "Remove":
    case "Rename":
      if (ending || id <= lastId) return violation
      session.lastId = id
      if (waiting === undefined) return begin(model, session, id, said)
      queue.push({ id, command: said })
      return []
    case "Commit":
      if (dropped) discarding.delete(id)
      else if (waiting?._tag !== "Receiving" || waiting.id !== id) return violation
      else return commit(model, session, waiting, said)
      return []
    case "Cancel":
      return cancel(model, session, id)
    case "Ping":
      return [message(id, { _tag: "Pong" })]
    case "Bye":
      if (id !== 0) return violation
      session.ending = true
      return waiting === undefined ? [{ _tag: "Ended" }] : []
    case "PasswordStart":
    case "PasswordFinish":
      // No client of the model changes a password.
      return violation
  }
  // What is left is about the file of the request that waits.
  const file = inQuestion(session, id)
  if (dropped && said._tag !== "Want" && said._tag !== "Hello") return []
  if (file === undefined || waiting === undefined || said._tag === "Hello") return violation
  if (said._tag === "NeedChunks") return chunks(model, id, file, said.first, said.count)
  const ranges = Result.getOrUndefined(unpackRanges(said.ranges, file.size))
  if (ranges === undefined) return violation
  if (said._tag === "NeedBlocks") return blocks(model, id, file, ranges)
  if (said._tag === "Copies") return append(model, session, id, slices(file, ranges))
  return waiting._tag === "Offering" ? send(model, session, id, file, ranges) : violation
}

/** What the server answers to one thing that a client says, and what it then knows. */
export const hear = (model: Model, session: Session, said: Said): Answers => {
  switch (said._tag) {
    case "Message":
      return hearMessage(model, session, said.id, said.message)
    case "Content":
      return session.discarding.has(said.id) ? [] : append(model, session, said.id, said.bytes)
    case "Broken":
      return [{ _tag: "Lost" }]
    case "End":
      // A request that waits for its client waits in vain.
      return session.waiting === undefined ? [{ _tag: "Ended" }] : closing("ended-early")
  }
}
