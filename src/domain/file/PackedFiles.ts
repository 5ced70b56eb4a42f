/**
 * The files of a bundle and of a listing, packed: many of them in one message cost a structure each otherwise.
 *
 * ```
 * file  = name length u16 | name (UTF-8) | size u24 | modified u48 | digest (32)     whole, on its way to the server
 * name  = name length u16 | name (UTF-8)                                             asked for
 * sent  = index u16 | size u24 | modified u48 | digest (32)                          on its way to the client
 * entry = name length u16 | name (UTF-8) | size u64 | modified u48 | facts u8 | digest (32)?     of a listing
 * ```
 *
 * The top bit of a bundled size says that the file may be run. Facts are a sum: 1 the file may be run, 2 its digest
 * follows. Numbers are big-endian. What does not fit exactly is refused
 * before anything is done with it.
 */
import { bytesToHex } from "@noble/hashes/utils.js"
import { Result, Schema } from "effect"
import * as Bytes from "../Bytes.ts"
import { bundleBytesMax, bundleFilesMax, bundleFirstFilesMax, fileBytesMax, packedBytesMax } from "../limits.ts"
import { type ContentDigest, digestAsMade } from "./Digest.ts"
import { type FileEntry, mayRun, type Milliseconds, millisecondsMax } from "./FileEntry.ts"
import { type FileName, isName } from "./FileName.ts"

/** What is said of one small file beside its name. */
export interface BundledContent {
  /** bytes */
  readonly size: number
  readonly modified: Milliseconds
  readonly digest: ContentDigest
  readonly executable?: true
}

/** A small file that is sent to the server. */
export interface BundledFile extends BundledContent {
  readonly name: FileName
}

/** A small file that the server sends: of those that were asked for the one at `index`. */
export interface SentFile extends BundledContent {
  readonly index: number
}

/** A packed list is not what it should be. The session ends. */
export class BundleRefused extends Schema.TaggedError<BundleRefused>()("BundleRefused", {
  reason: Schema.Literals(["length", "count", "name", "size", "modified", "facts", "order", "too-much-content"])
}) {
  override get message(): string {
    return `the peer sent a list of files that makes no sense (${this.reason})`
  }
}

/** Of one packed file: everything but its name, which has `utf8Length` bytes. */
const bundledBytes = 2 + 3 + 6 + 32

/** Of one packed name: everything but the name itself. */
const bundledNameBytes = 2

const sentBytes = 2 + 3 + 6 + 32

/** Bytes of a packed name. */
const lengthOfName = (name: FileName): number => bundledNameBytes + Bytes.utf8Length(name)

/** Files fit into one message, and their content into `bundleBytesMax`. The caller takes care of that. */
export const packFiles = (files: ReadonlyArray<BundledFile>): Uint8Array => {
  const bytes = new Uint8Array(files.reduce((total, { name }) => total + lengthOfName(name) + contentBytes, 0))
  let at = 0
  for (const file of files) {
    at = writeName(bytes, at, file.name)
    at = writeContent(bytes, at, file)
  }
  return bytes
}

/** Names fit into one message. */
export const packNames = (all: ReadonlyArray<FileName>): Uint8Array => {
  const bytes = new Uint8Array(all.reduce((total, name) => total + lengthOfName(name), 0))
  let at = 0
  for (const name of all) at = writeName(bytes, at, name)
  return bytes
}

/** `sentBytes` for each file, in order. */
export const packSent = (files: ReadonlyArray<SentFile>): Uint8Array => {
  const bytes = new Uint8Array(files.length * sentBytes)
  let at = 0
  for (const file of files) {
    writeU16(bytes, at, file.index)
    at = writeContent(bytes, at + 2, file)
  }
  return bytes
}

/** Entries of a listing, in order: as many in each part as fit into one message. */
export const packEntries = (entries: ReadonlyArray<FileEntry>): ReadonlyArray<Uint8Array> => {
  const pages: Array<Uint8Array> = []
  const lengths = entries.map(({ name }) => lengthOfName(name))
  const lengthOf = (index: number): number =>
    (lengths[index] ?? 0) + entryBytes + (entries[index]?.digest === undefined ? 0 : digestBytes)
  for (let from = 0; from < entries.length;) {
    let length = 0
    let to = from
    for (; to < entries.length && length + lengthOf(to) <= packedBytesMax; to += 1) length += lengthOf(to)
    const page = new Uint8Array(length)
    let at = 0
    for (const entry of entries.slice(from, to)) at = writeEntry(page, writeName(page, at, entry.name), entry)
    pages.push(page)
    from = to
  }
  return pages
}

/** At least one entry. */
export const unpackEntries = (packed: Uint8Array): Result.Result<ReadonlyArray<FileEntry>, BundleRefused> => {
  const bytes = Bytes.plain(packed)
  const entries: Array<FileEntry> = []
  for (let at = 0; at < bytes.length;) {
    const name = readName(bytes, at)
    if (Result.isFailure(name)) return Result.fail(name.failure)
    const entry = readEntry(bytes, name.success.end, name.success.name)
    if (Result.isFailure(entry)) return Result.fail(entry.failure)
    at = name.success.end + entryBytes + (entry.success.digest === undefined ? 0 : digestBytes)
    entries.push(entry.success)
  }
  return entries.length === 0 ? refused("count") : Result.succeed(entries)
}

/** At least one file, at most `bundleFilesMax`, with at most `bundleBytesMax` of content together. */
export const unpackFiles = (packed: Uint8Array): Result.Result<ReadonlyArray<BundledFile>, BundleRefused> => {
  const bytes = Bytes.plain(packed)
  const files: Array<BundledFile> = []
  let total = 0
  for (let at = 0; at < bytes.length;) {
    const name = readName(bytes, at)
    if (Result.isFailure(name)) return Result.fail(name.failure)
    at = name.success.end
    const content = readContent(bytes, at)
    if (Result.isFailure(content)) return Result.fail(content.failure)
    at += contentBytes
    total += content.success.size
    files.push({ name: name.success.name, ...content.success })
    if (files.length > bundleFilesMax) return refused("count")
  }
  if (files.length === 0) return refused("count")
  return total > bundleBytesMax ? refused("too-much-content") : Result.succeed(files)
}

/** At least one name, at most `bundleFilesMax`. */
export const unpackNames = (packed: Uint8Array): Result.Result<ReadonlyArray<FileName>, BundleRefused> => {
  const bytes = Bytes.plain(packed)
  const names: Array<FileName> = []
  for (let at = 0; at < bytes.length;) {
    const name = readName(bytes, at)
    if (Result.isFailure(name)) return Result.fail(name.failure)
    at = name.success.end
    names.push(name.success.name)
    if (names.length > bundleFilesMax) return refused("count")
  }
  return names.length === 0 ? refused("count") : Result.succeed(names)
}

/**
 * At least one file, with at most `bundleBytesMax` of content together.
 *
 * @param from the first index that may come
 * @param count how many files were asked for
 */
export const unpackSent = (
  packed: Uint8Array,
  from: number,
  count: number
): Result.Result<ReadonlyArray<SentFile>, BundleRefused> => {
  const bytes = Bytes.plain(packed)
  if (bytes.length === 0 || bytes.length % sentBytes !== 0) return refused("length")
  const files: Array<SentFile> = []
  let next = from
  let total = 0
  for (let at = 0; at < bytes.length; at += sentBytes) {
    const index = readU16(bytes, at)
    if (index < next || index >= count) return refused("order")
    next = index + 1
    const content = readContent(bytes, at + 2)
    if (Result.isFailure(content)) return Result.fail(content.failure)
    total += content.success.size
    files.push({ index, ...content.success })
  }
  return total > bundleBytesMax ? refused("too-much-content") : Result.succeed(files)
}

/** What a file takes of a bundle. */
export interface BundleCost {
  /** bytes of its packed form */
  readonly packed: number
  /** bytes of its content */
  readonly content: number
  /** the folder that it is in, where files of one folder are cheaper together */
  readonly folder?: string
}

/** Of a file that is sent with so many bytes of content. */
export const costOfFile = (name: string, content: number): BundleCost => ({
  packed: bundledBytes + Bytes.utf8Length(name),
  content
})

/** Of a name that is asked for. */
export const costOfName = (name: string): BundleCost => ({
  packed: bundledNameBytes + Bytes.utf8Length(name),
  content: 0
})

/**
 * Cuts a list into bundles: each fits into one message, its content into `bundleBytesMax`, and it has no more files
 * than it may have. The first are small: the other end waits for a whole one before it begins. Where a folder's files
 * would be cut apart, what is there of them goes into the next one, if it fits and is at most a quarter: how much is
 * under way is counted in bundles (`bundlesAheadMax`).
 *
 * Each is cut when it is asked for: the first goes out before the others are known.
 */
export function* bundlesOf<A>(all: ReadonlyArray<A>, cost: (one: A) => BundleCost): Generator<ReadonlyArray<A>, void> {
  // What fits into one needs no other.
  let filesMax = all.length > bundleFilesMax ? bundleFirstFilesMax : bundleFilesMax
  let from = 0
  const bundle: BundleCosts = { files: 0, packed: 0, content: 0 }
  // What of the bundle is in the last file's folder.
  const last: BundleCosts = { files: 0, packed: 0, content: 0 }
  let lastFolder = ""
  let index = -1
  for (const one of all) {
    index += 1
    const { content, folder = "", packed } = cost(one)
    if (folder !== lastFolder) become(last, nothing)
    lastFolder = folder
    if (bundle.files > 0 && !fits(bundle, packed, content, filesMax)) {
      const kept = last.files * 4 <= bundle.files && fits(last, packed, content, bundleFilesMax) ? last : nothing
      yield all.slice(from, index - kept.files)
      filesMax = Math.min(bundleFilesMax, filesMax * 4)
      from = index - kept.files
      become(bundle, kept)
      become(last, kept)
    }
    add(bundle, packed, content)
    add(last, packed, content)
  }
  if (all.length > 0) yield all.slice(from)
}

/** What files take together. */
interface BundleCosts {
  files: number
  packed: number
  content: number
}

const nothing: Readonly<BundleCosts> = { files: 0, packed: 0, content: 0 }

const become = (costs: BundleCosts, other: Readonly<BundleCosts>): void => {
  costs.files = other.files
  costs.packed = other.packed
  costs.content = other.content
}

const add = (costs: BundleCosts, packed: number, content: number): void => {
  costs.files += 1
  costs.packed += packed
  costs.content += content
}

/** Whether one more file fits as well. */
const fits = (costs: BundleCosts, packed: number, content: number, filesMax: number): boolean =>
  costs.packed + packed <= packedBytesMax && costs.content + content <= bundleBytesMax && costs.files < filesMax

/** The content of each of a bundle's files: in one walk over the parts, however many there are. */
export const contentsOf = (
  files: ReadonlyArray<{ readonly size: number }>,
  parts: Bytes.Parts
): ReadonlyArray<Bytes.Parts> => {
  let part = 0
  let offset = 0
  return files.map(({ size }) => {
    const own: Array<Uint8Array> = []
    for (let left = size; left > 0;) {
      const whole = parts[part]
      if (whole === undefined) break
      const view = whole.subarray(offset, offset + left)
      if (view.length > 0) own.push(view)
      left -= view.length
      offset += view.length
      if (offset === whole.length) {
        part += 1
        offset = 0
      }
    }
    return own
  })
}

// -----------------------------------------------------------------------------
// Parts of an entry
// -----------------------------------------------------------------------------

const contentBytes = 3 + 6 + 32
const executableBit = 2 ** 23

// Written where it goes: to make bytes of its own for each name takes three times as long.
const writeName = (bytes: Uint8Array, at: number, name: FileName): number => {
  let index = 0
  for (let code = 0; index < name.length; index += 1) {
    code = name.charCodeAt(index)
    if (code >= 0x80) break
    bytes[at + 2 + index] = code
  }
  // Of most names that was all, and the way to the encoder costs as much again.
  const written =
    index + (index < name.length ? encoder.encodeInto(name.slice(index), bytes.subarray(at + 2 + index)).written : 0)
  writeU16(bytes, at, written)
  return at + 2 + written
}

const writeContent = (
  bytes: Uint8Array,
  at: number,
  { digest, executable, modified, size }: BundledContent
): number => {
  Bytes.writeU24(bytes, at, executable === true ? size + executableBit : size)
  writeU16(bytes, at + 3, Math.floor(modified / 2 ** 32))
  Bytes.writeU32(bytes, at + 5, modified % 2 ** 32)
  Bytes.writeHex(bytes, at + 9, digest)
  return at + contentBytes
}

const encoder = new TextEncoder()

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

const readName = (
  bytes: Uint8Array,
  at: number
): Result.Result<{ readonly name: FileName; readonly end: number }, BundleRefused> => {
  const start = at + 2
  const end = start + readU16(bytes, at)
  if (end > bytes.length) return refused("length")
  const text = Result.try({ try: () => decoder.decode(bytes.subarray(start, end)), catch: () => undefined })
  return Result.isSuccess(text) && isName(text.success) ? Result.succeed({ name: text.success, end }) : refused("name")
}

const digestBytes = 32

/** What follows a packed entry's name, without its digest. */
const entryBytes = 8 + 6 + 1

const mayRunFact = 1
const digestFact = 2

const writeEntry = (bytes: Uint8Array, at: number, { digest, executable, modified, size }: FileEntry): number => {
  Bytes.writeU32(bytes, at, Math.floor(size / 2 ** 32))
  Bytes.writeU32(bytes, at + 4, size % 2 ** 32)
  writeU16(bytes, at + 8, Math.floor(modified / 2 ** 32))
  Bytes.writeU32(bytes, at + 10, modified % 2 ** 32)
  bytes[at + 14] = (executable === true ? mayRunFact : 0) + (digest === undefined ? 0 : digestFact)
  if (digest === undefined) return at + entryBytes
  Bytes.writeHex(bytes, at + entryBytes, digest)
  return at + entryBytes + digestBytes
}

const readEntry = (bytes: Uint8Array, at: number, name: FileName): Result.Result<FileEntry, BundleRefused> => {
  const end = at + entryBytes
  if (end > bytes.length) return refused("length")
  const size = Bytes.readU32(bytes, at) * 2 ** 32 + Bytes.readU32(bytes, at + 4)
  if (size > fileBytesMax) return refused("size")
  const modified = readU16(bytes, at + 8) * 2 ** 32 + Bytes.readU32(bytes, at + 10)
  if (modified > millisecondsMax) return refused("modified")
  const facts = bytes[at + 14] ?? 0
  if (facts > mayRunFact + digestFact) return refused("facts")
  const entry = { name, size, modified, ...mayRun((facts & mayRunFact) !== 0) }
  if ((facts & digestFact) === 0) return Result.succeed(entry)
  return end + digestBytes > bytes.length
    ? refused("length")
    : Result.succeed({ ...entry, digest: digestAt(bytes, end) })
}

const digestAt = (bytes: Uint8Array, at: number): ContentDigest =>
  digestAsMade(bytesToHex(bytes.subarray(at, at + digestBytes)))

const readContent = (bytes: Uint8Array, at: number): Result.Result<BundledContent, BundleRefused> => {
  if (at + contentBytes > bytes.length) return refused("length")
  const modified = readU16(bytes, at + 3) * 2 ** 32 + Bytes.readU32(bytes, at + 5)
  if (modified > millisecondsMax) return refused("modified")
  const digest = digestAt(bytes, at + 9)
  const facts = Bytes.readU24(bytes, at)
  const size = facts % executableBit
  return Result.succeed({ size, modified, digest, ...mayRun(facts >= executableBit) })
}

const readU16 = (bytes: Uint8Array, at: number): number => ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)

const writeU16 = (bytes: Uint8Array, at: number, value: number): void => {
  bytes[at] = value >>> 8
  bytes[at + 1] = value
}

const refused = (reason: BundleRefused["reason"]): Result.Result<never, BundleRefused> =>
  Result.fail(new BundleRefused({ reason }))
