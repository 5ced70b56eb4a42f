/**
 * A server that lies: each of its answers is drawn by a seed, and with the same seed it is the same liar. It tells what
 * it likes of its files, names some twice, refuses for any reason, and leaves in the middle.
 */
import { Effect, Result } from "effect"
import type { ContentDigest } from "../../src/domain/file/Digest.ts"
import { type FileEntry, mayRun, millisecondsMax } from "../../src/domain/file/FileEntry.ts"
import { FileName, isBelow } from "../../src/domain/file/FileName.ts"
import { packPieces, pieceBytes, unpackRanges } from "../../src/domain/file/Packed.ts"
import { packEntries, packNames, packSent, unpackFiles, unpackNames } from "../../src/domain/file/PackedFiles.ts"
import { contentBlockBytes, deltaBytesMin, fileBytesMax, smallFileBytesMax } from "../../src/domain/limits.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import type { HostileSession } from "../../src/domain/testing/HostileServer.ts"
import type { ClientMessage, ServerMessage } from "../../src/domain/wire/Message.ts"
import { RefusalReason } from "../../src/domain/wire/Refusal.ts"
import { blockHash, blockRules, makeCutter, type Piece } from "../../src/domain/transfer/Signature.ts"
import { pick } from "../draw.ts"
import { type Base, baseOf, cutAll, digest, key, splice, wholeOf } from "../domain/transfer/deltas.ts"

/** What no terminal may be given. */
const nasty = "\u001b[31m\u202e\u0007\r\n\u009b2J"

/** Names that meet on one disk or another, and such as nobody expects. */
const names = [
  "docs/a",
  "docs/A",
  "docs/b",
  "docs/\u00e9",
  "docs/e\u0301",
  "docs/a/x",
  "docs",
  "docs/C/d/e",
  "docs/c/d/f",
  `docs/.a.1200000-1000.${"a".repeat(24)}.part`,
  "docs/a\u200b",
  "other/z",
  "here/docs/a",
  `docs/${"n".repeat(250)}`,
  `docs/${"d/".repeat(30)}x`,
  "docs/big",
  "docs/sub/f1",
  "a"
].map((name) => FileName.make(name))

/** All that a file can hold, at both ends. */
export const contents = [0, 1, 10, 300, 40_000, 70_000, 200_000, 1_200_000].map((size) => Fixture.bytes(size, size))

// What goes on from an older copy: something is put in, and something is another.
const [large = new Uint8Array()] = contents.slice(-1)
contents.push(splice(large, 300_000, 0, Fixture.bytes(1, 5000)), splice(large, 700_000, 100, Fixture.bytes(2, 100)))

/** What a liar is made of. */
interface Liar {
  readonly random: () => number
  /** how often, from 0 to 1, an answer is another than it should be */
  readonly lies: number
  /** the names that it lists */
  readonly listed: ReadonlyArray<FileName>
  /** what it has sent with the right digest: whatever is put in place here must be among these */
  readonly sent: Set<string>
  readonly chosen: Map<string, Uint8Array>
}

/** @param lies how often, from 0 to 1, an answer is another than it should be */
export const make = (random: () => number, lies: number): Liar => ({
  random,
  lies,
  listed: names.filter(() => random() < 0.5),
  sent: new Set(),
  chosen: new Map()
})

/** How a liar remembers what it has sent. */
export const noted = (name: string, content: Uint8Array): string => `${name}\n${wholeOf(content)}`

const isHonest = ({ lies, random }: Liar): boolean => random() >= lies

const anyOf = ({ random }: Liar): Uint8Array =>
  contents[Math.floor(random() ** 2 * contents.length)] ?? new Uint8Array()

const contentOf = (liar: Liar, name: string): Uint8Array => {
  const content = (isHonest(liar) ? liar.chosen.get(name) : undefined) ?? anyOf(liar)
  liar.chosen.set(name, content)
  return content
}

const timeOf = (liar: Liar, name: string): number =>
  isHonest(liar)
    ? 1000 + (liar.chosen.get(name)?.length ?? 0)
    : pick(liar.random, [0, 1, 5000, 253_402_300_799_998, millisecondsMax])

const digestOf = (liar: Liar, content: Uint8Array): ContentDigest => wholeOf(isHonest(liar) ? content : anyOf(liar))

const entryOf = (liar: Liar, name: FileName, digests: boolean): FileEntry => {
  const content = contentOf(liar, name)
  const size = isHonest(liar) ? content.length : pick(liar.random, [0, 5, fileBytesMax, 1_048_576])
  const digest = digests && isHonest(liar) ? { digest: digestOf(liar, content) } : {}
  return { name, size, modified: timeOf(liar, name), ...mayRun(!isHonest(liar)), ...digest }
}

const reasonOf = ({ random }: Liar): RefusalReason =>
  RefusalReason.literals[Math.floor(random() * RefusalReason.literals.length)] ?? "conflict"

/** Says something else than what is due, now and then; true then. */
const disturb = Effect.fnUntraced(function* (liar: Liar, far: HostileSession, id: number) {
  if (isHonest(liar)) return false
  const { random } = liar
  const refused = far.say(id, { _tag: "Refused", reason: reasonOf(liar), detail: pick(random, [nasty, "", "folder"]) })
  const reason = pick(random, [nasty, "idle", "x: revoked"])
  yield* pick(random, [
    refused,
    refused,
    refused,
    far.cut,
    far.end,
    far.say(0, { _tag: "Closing", reason }),
    far.say(id, { _tag: "SameFileNotHere" }),
    far.content(id, Uint8Array.of(1, 2)),
    Effect.void
  ])
  return true
})

const sendContent = Effect.fnUntraced(function* (liar: Liar, far: HostileSession, id: number, content: Uint8Array) {
  for (let at = 0; at < content.length; at += contentBlockBytes) {
    if (liar.random() < 0.25 && (yield* disturb(liar, far, id))) return
    yield* far.content(id, content.subarray(at, at + contentBlockBytes))
  }
})

/** One file of a bundle; false when it was left out. */
const sendOne = Effect.fnUntraced(function* (liar: Liar, far: HostileSession, id: number, index: number, name: string) {
  const content = contentOf(liar, name)
  if (content.length > smallFileBytesMax || !isHonest(liar)) return false
  const digest = digestOf(liar, content)
  if (digest === wholeOf(content)) liar.sent.add(noted(name, content))
  const files = packSent([{ index, size: content.length, modified: timeOf(liar, name), digest }])
  yield* far.say(id, { _tag: "BundleSending", files })
  yield* sendContent(liar, far, id, content)
  return true
})

type Asked<Tag> = Extract<ClientMessage, { readonly _tag: Tag }>

const fetch = Effect.fnUntraced(function* (liar: Liar, far: HostileSession, id: number, message: Asked<"Fetch">) {
  const twice = liar.listed.filter(() => !isHonest(liar))
  const all = [...liar.listed, ...twice].map((name) => entryOf(liar, name, message.digest === true))
  const said = isHonest(liar) ? all : all.toReversed()
  for (const entries of said.flatMap((entry) => packEntries([entry]))) {
    if (liar.random() < 0.2 && (yield* disturb(liar, far, id))) return
    yield* far.say(id, { _tag: "Page", entries })
  }
  const meant = said.findIndex(({ name }) => message.alike?.some((one) => name === one || isBelow(one, name)) === true)
  const first = said[meant]
  if (message.content === true && first !== undefined) yield* sendOne(liar, far, id, 0, first.name)
  else if (!isHonest(liar)) {
    const unlisted = { _tag: "Unlisted", names: packNames(names.slice(0, 2)), count: 3 } as const
    const unnamed = { _tag: "Unnamed", count: 3, names: [`${nasty}.`] } as const
    yield* far.say(id, pick<ServerMessage>(liar.random, [unlisted, unnamed]))
  }
  yield* far.say(id, { _tag: "Listed", count: said.length })
})

const bundle = Effect.fnUntraced(function* (liar: Liar, far: HostileSession, id: number, names: Uint8Array) {
  let count = 0
  for (const [index, name] of Result.getOrThrow(unpackNames(names)).entries()) {
    if (liar.random() < 0.25 && (yield* disturb(liar, far, id))) return
    if (yield* sendOne(liar, far, id, index, name)) count += 1
    else yield* far.say(id, { _tag: "FileRefused", index, reason: pick(liar.random, ["too-large", reasonOf(liar)]) })
  }
  yield* far.say(id, { _tag: "BundleDone", count })
})

/** @param offers what was offered, by request */
const download = Effect.fnUntraced(function* (
  liar: Liar,
  far: HostileSession,
  id: number,
  { delta, name, partial }: Asked<"Download">,
  offers: Map<number, Offer>
) {
  const content = contentOf(liar, name)
  const goesOn = partial !== undefined && partial.size === content.length
  const { from, modified } = goesOn ? partial : { from: 0, modified: timeOf(liar, name) }
  const digest = digestOf(liar, content)
  if (digest === wholeOf(content)) liar.sent.add(noted(name, content))
  const sending = { _tag: "Sending", size: content.length, modified, from } as const
  if (delta === true && content.length >= deltaBytesMin) {
    offers.set(id, { name, content })
    return yield* far.say(id, { ...sending, signature: offerOf(liar, content, digest) })
  }
  yield* far.say(id, sending)
  yield* sendContent(liar, far, id, content.subarray(from))
  yield* far.say(id, { _tag: "Sent", size: content.length, digest })
})

/** A file whose signature was offered. */
interface Offer {
  readonly name: string
  readonly content: Uint8Array
}

/** Nothing was. */
const noOffer: Offer = { name: "", content: new Uint8Array() }

/** The ranges that are wanted, or as much of something else. */
const want = Effect.fnUntraced(function* (
  liar: Liar,
  far: HostileSession,
  id: number,
  ranges: Uint8Array,
  { content, name }: Offer
) {
  const digest = digestOf(liar, content)
  if (digest === wholeOf(content)) liar.sent.add(noted(name, content))
  for (const { length, offset } of Result.getOrThrow(unpackRanges(ranges, content.length))) {
    const sent = content.slice(offset, offset + length)
    if (!isHonest(liar)) sent.reverse()
    yield* sendContent(liar, far, id, sent)
  }
  yield* far.say(id, { _tag: "Sent", size: content.length, digest })
})

/** What was asked for of a signature. */
const piecesOf = (
  message: Asked<"NeedBlocks"> | Asked<"NeedChunks">,
  content: Uint8Array
): ReadonlyArray<ReadonlyArray<Piece>> => {
  if (message._tag === "NeedChunks") {
    const { count, first } = message
    return signed(content)
      .groups.slice(first, first + count)
      .map(({ chunks }) => chunks)
  }
  return Result.getOrThrow(unpackRanges(message.ranges, content.length)).map(({ length, offset }) =>
    cutAll(content.subarray(offset, offset + length), makeCutter(blockHash(digest), blockRules, offset))
  )
}

/** All lists of an answer; a liar's have the right lengths and each another's digest, or too many, or overlap. */
const pieces = Effect.fnUntraced(function* (
  liar: Liar,
  far: HostileSession,
  id: number,
  lists: ReadonlyArray<ReadonlyArray<Piece>>
) {
  const honest = lists.flat()
  const moved = honest.map((piece, index) => ({ ...piece, digest: honest.at(index - 1)?.digest ?? piece.digest }))
  const said = isHonest(liar)
    ? honest
    : pick(liar.random, [moved, moved, moved, honest.slice(1), [...honest, ...honest]])
  const packed = packPieces(said)
  const cut = Math.floor((liar.random() * packed.length) / pieceBytes) * pieceBytes
  if (cut > 0) yield* far.say(id, { _tag: "Pieces", pieces: packed.subarray(0, cut), last: !isHonest(liar) })
  yield* far.say(id, { _tag: "Pieces", pieces: packed.subarray(cut), last: isHonest(liar) })
})

const bases = new Map<Uint8Array, Base>()

/** Made once for each. */
const signed = (content: Uint8Array): Base => {
  const base = bases.get(content) ?? baseOf(content)
  bases.set(content, base)
  return base
}

/** A liar's groups have the right lengths, and each the digest of another. */
const offerOf = (liar: Liar, content: Uint8Array, digest = digestOf(liar, content)) => {
  const { averageLog2, groups } = signed(content)
  const moved = groups.map((group, index) => ({ ...group, digest: groups.at(index - 1)?.digest ?? group.digest }))
  return { digest, key, averageLog2, groups: packPieces(isHonest(liar) ? groups : moved) }
}

/** @param offers what was offered, by request */
const para = Effect.fnUntraced(function* (
  liar: Liar,
  far: HostileSession,
  id: number,
  message: Asked<"Para">,
  offers: Map<number, Offer>
) {
  const content = contentOf(liar, message.name)
  const size = content.length
  const from = message.head !== undefined && !isHonest(liar) ? message.size : 0
  const here = { _tag: "SameFileHere", size, modified: timeOf(liar, message.name), from } as const
  if (size >= deltaBytesMin) {
    offers.set(id, { name: message.name, content })
    return yield* far.say(id, { ...here, signature: offerOf(liar, content) })
  }
  yield* far.say(id, { ...here, ...(size === message.size && { digest: digestOf(liar, content) }) })
})

/** What came of a bundle that was sent to it. */
const took = Effect.fnUntraced(function* (liar: Liar, far: HostileSession, id: number, count: number) {
  const refused = Array.from({ length: count }, (_, index) => index).filter(() => !isHonest(liar))
  for (const index of refused) {
    yield* far.say(id, { _tag: "FileRefused", index, reason: reasonOf(liar), detail: nasty })
  }
  yield* far.say(id, { _tag: "BundleDone", count: count - refused.length })
})

/** One session, to its end. */
export const script = Effect.fnUntraced(function* (liar: Liar, far: HostileSession) {
  const offers = new Map<number, Offer>()
  const bundles = new Map<number, { left: number; readonly count: number }>()
  const last = new Map<number, "SuccessfullyParallelized" | "Uploaded">()
  const answer = (id: number, message: ClientMessage) => {
    switch (message._tag) {
      case "Fetch":
        return fetch(liar, far, id, message)
      case "Describe": {
        const content = contentOf(liar, message.name)
        const facts = { size: content.length, modified: timeOf(liar, message.name), digest: digestOf(liar, content) }
        const isListed = liar.listed.includes(message.name)
        return far.say(id, isListed ? { _tag: "Described", ...facts } : { _tag: "SameFileNotHere" })
      }
      case "Remove":
        return far.say(id, { _tag: "Removed", name: isHonest(liar) ? message.name : FileName.make("b") })
      case "DownloadBundle":
        return bundle(liar, far, id, message.names)
      case "Download":
        return download(liar, far, id, message, offers)
      case "Want":
        return want(liar, far, id, message.ranges, offers.get(id) ?? noOffer)
      case "NeedBlocks":
      case "NeedChunks":
        return pieces(liar, far, id, piecesOf(message, (offers.get(id) ?? noOffer).content))
      case "Upload":
        last.set(id, "Uploaded")
        return far.say(id, { _tag: "Proceed", from: message.head !== undefined && !isHonest(liar) ? message.size : 0 })
      case "UploadBundle": {
        const files = Result.getOrThrow(unpackFiles(message.files))
        bundles.set(id, { left: files.reduce((sum, { size }) => sum + size, 0), count: files.length })
        return far.say(id, { _tag: "Proceed", from: 0 })
      }
      case "Para":
        last.set(id, "SuccessfullyParallelized")
        return para(liar, far, id, message, offers)
      case "Commit":
        return far.say(id, { _tag: last.get(id) ?? "Uploaded", size: message.size, digest: message.digest })
      default:
        return Effect.void
    }
  }
  while (true) {
    const heard = yield* far.hear
    if (heard === undefined) return yield* far.end
    const { id } = heard
    const message = heard._tag === "Message" ? heard.message : undefined
    if (message?._tag === "Ping") yield* far.say(0, { _tag: "Pong" })
    else if (message?._tag === "Cancel") yield* far.say(id, { _tag: "Refused", reason: "cancelled" })
    else if (message !== undefined && !(yield* disturb(liar, far, id))) yield* answer(id, message)
    const gathered = bundles.get(id)
    if (gathered === undefined) continue
    gathered.left -= heard._tag === "Content" ? heard.bytes.length : 0
    if (gathered.left > 0) continue
    bundles.delete(id)
    yield* took(liar, far, id, gathered.count)
  }
})
