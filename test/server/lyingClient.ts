/**
 * A client that lies: each of its steps is drawn by a seed, and with the same seed it is the same liar. Most of them a
 * server takes; now and then one is another than it should be. When that has ended the session the liar dials again.
 */
import { Effect } from "effect"
import * as Bytes from "../../src/domain/Bytes.ts"
import { type ContentDigest, Digest, digestOf } from "../../src/domain/file/Digest.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import { packRanges } from "../../src/domain/file/Packed.ts"
import { packFiles, packNames } from "../../src/domain/file/PackedFiles.ts"
import { contentBlockBytes, fileBytesMax, headBytes, resumeBytesMin } from "../../src/domain/limits.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as HostileClient from "../../src/domain/testing/HostileClient.ts"
import { MemoryNetwork } from "../../src/domain/testing/MemorySocket.ts"
import { shortDigest } from "../../src/domain/transfer/Signature.ts"
import type { ClientMessage, ServerMessage } from "../../src/domain/wire/Message.ts"
import { pick } from "../draw.ts"
import { settle } from "./world.ts"

/** Names that meet: the same for a server, or one a folder of the other. Some come more often. */
export const names = ["a", "a", "big", "big", "b/c", "A", "b", "b/c/e", "B/d", "\u00e9", "e\u0301", "x/1", "x/2"].map(
  (name) => FileName.make(name)
)

const large = Fixture.bytes(9, resumeBytesMin + 300_000)
const small = [0, 1, 10, 300, 40_000].map((size) => Fixture.bytes(size, size))
const contents = [
  ...small,
  ...[65_536, 70_000, 200_000].map((size) => Fixture.bytes(size, size)),
  large,
  large.with(600_000, 1),
  large.subarray(0, resumeBytesMin + 50_000)
]

/** What a liar is made of. */
export interface Liar {
  readonly random: () => number
  /** how often, from 0 to 1, a step is another than it should be */
  readonly lies: number
  /** digests that it has told: whatever the store holds must have one of them */
  readonly declared: Set<ContentDigest>
  /** steps that are left to it, over all its sessions */
  left: number
}

/** A body that is on its way. */
interface Body {
  readonly id: number
  readonly kind: "bundle" | "para" | "upload"
  readonly content: Uint8Array
  sent: number
}

/** One session of it. */
interface Talk {
  readonly liar: Liar
  readonly session: HostileClient.HostileSession
  readonly digest: Digest["Service"]
  readonly bodies: Array<Body>
  /** what the server has said to each request: the size of its own file, or that there will be nothing */
  readonly answers: Map<number, number | "over">
  lastId: number
  closed: boolean
}

const isHonest = ({ lies, random }: Liar): boolean => random() >= lies

const oneOf = <A>(random: () => number, all: ReadonlyArray<A>, otherwise: A): A =>
  all[Math.floor(random() * all.length)] ?? otherwise

const anyOf = ({ random }: Liar, among = contents): Uint8Array => oneOf(random, among, large)

const nameOf = ({ random }: Liar): FileName => oneOf(random, names, FileName.make("a"))

/** The digest of the content, as it is told. */
const told = ({ digest, liar }: Talk, content: Uint8Array): ContentDigest => {
  const said = digestOf(digest, [isHonest(liar) ? content : anyOf(liar)])
  liar.declared.add(said)
  return said
}

const hear = (talk: Talk, id: number, message: ServerMessage): void => {
  const { answers } = talk
  if (message._tag === "Proceed") answers.set(id, 0)
  if (message._tag === "SameFileHere") answers.set(id, message.size)
  if (message._tag === "Sending" && message.signature !== undefined) answers.set(id, message.size)
  if (message._tag === "Refused" || message._tag === "SameFileNotHere") answers.set(id, "over")
  if (message._tag === "Closing") talk.closed = true
}

/** The answer, if there is one soon. */
const answerTo = Effect.fnUntraced(function* ({ answers }: Talk, id: number) {
  for (let turn = 0; turn < 20 && !answers.has(id); turn += 1) yield* settle
  return answers.get(id)
})

/** Ranges of a file, or such as it does not have. */
const rangesOf = ({ liar }: Talk, size: number): Uint8Array => {
  const { random } = liar
  if (size === 0 || !isHonest(liar)) return packRanges([{ offset: fileBytesMax - 1, length: 70_000_000 }])
  const some = Array.from({ length: 1 + Math.floor(random() * 3) }, () => {
    const offset = Math.floor(random() * size)
    return { offset, length: 1 + Math.floor(random() * (size - offset)) }
  })
  return packRanges(some)
}

/** More of a body: all that is left, or another part, or more than there is. */
const sendMore = Effect.fnUntraced(function* ({ liar, session }: Talk, body: Body) {
  const rest = body.content.length - body.sent
  const amount = isHonest(liar) ? rest : pick(liar.random, [1, 1000, rest, rest + 5, 0])
  const from = isHonest(liar) ? body.content : anyOf(liar)
  const end = body.sent + amount
  while (body.sent < end) {
    const block = from.slice(body.sent, Math.min(end, body.sent + contentBlockBytes))
    if (block.length === 0) return
    yield* session.content(body.id, block)
    body.sent += block.length
  }
})

/** Goes on with a body that was begun, or gives it up. */
const goOn = Effect.fnUntraced(function* (talk: Talk, body: Body) {
  const { bodies, liar, session } = talk
  const forget = () => void bodies.splice(bodies.indexOf(body), 1)
  const answer = isHonest(liar) ? yield* answerTo(talk, body.id) : 0
  if (answer === undefined || answer === "over") return forget()
  const asks = body.kind === "para" && liar.random() < 0.3
  if (asks || !isHonest(liar)) {
    const message = pick<ClientMessage>(liar.random, [
      { _tag: "Copies", ranges: rangesOf(talk, answer) },
      { _tag: "NeedChunks", first: 0, count: 96 },
      { _tag: "NeedBlocks", ranges: rangesOf(talk, answer) }
    ])
    return yield* session.say(body.id, message)
  }
  if (liar.random() < 0.1) {
    forget()
    return yield* session.say(body.id, { _tag: "Cancel", ...(liar.random() < 0.5 && { drop: true }) })
  }
  yield* sendMore(talk, body)
  if (body.sent < body.content.length && isHonest(liar)) return
  forget()
  if (body.kind === "bundle") return
  const size = isHonest(liar) ? body.content.length : anyOf(liar).length
  yield* session.say(body.id, { _tag: "Commit", size, digest: told(talk, body.content) })
})

/** Begins to send a file, or several. */
const beginBody = Effect.fnUntraced(function* (talk: Talk, id: number) {
  const { bodies, digest, liar, session } = talk
  const { random } = liar
  if (random() < 0.35) {
    const some = names.filter(() => random() < 0.4).map((name) => ({ name, content: anyOf(liar, small) }))
    const files = some.map(({ content, name }) => {
      return { name, size: content.length, modified: 7, digest: told(talk, content) }
    })
    if (some.length === 0) return
    const content = Bytes.concat(some.map(({ content }) => content))
    bodies.push({ id, kind: "bundle", content, sent: 0 })
    return yield* session.say(id, { _tag: "UploadBundle", files: packFiles(files) })
  }
  const content = anyOf(liar)
  const goesOn = content.length >= resumeBytesMin && random() < 0.8
  const facts = {
    name: nameOf(liar),
    size: isHonest(liar) ? content.length : anyOf(liar).length,
    modified: pick(random, [0, 5, 1000]),
    ...(random() < 0.1 && { executable: true as const }),
    ...(goesOn && { head: shortDigest(digest, [content.subarray(0, headBytes)]) })
  }
  const kind = random() < 0.5 ? "upload" : "para"
  bodies.push({ id, kind, content, sent: 0 })
  if (kind === "upload") return yield* session.say(id, { _tag: "Upload", ...facts })
  const expect = random() < 0.3 && { expect: digestOf(digest, [anyOf(liar)]) }
  yield* session.say(id, { _tag: "Para", ...facts, ...expect })
})

/** Asks for something, or changes a name. */
const ask = Effect.fnUntraced(function* (talk: Talk, id: number) {
  const { digest, liar, session } = talk
  const { random } = liar
  const name = nameOf(liar)
  const expect = random() < 0.2 && { expect: digestOf(digest, [anyOf(liar)]) }
  const message = pick<ClientMessage>(random, [
    { _tag: "Rename", name, to: nameOf(liar), replace: random() < 0.7, ...expect },
    { _tag: "Remove", name, ...expect },
    { _tag: "Fetch", digest: true },
    { _tag: "Fetch", alike: [name], content: true },
    { _tag: "Describe", name },
    { _tag: "DownloadBundle", names: packNames([name, nameOf(liar)]) },
    { _tag: "Download", name, delta: random() < 0.5 }
  ])
  yield* session.say(id, message)
  if (message._tag !== "Download" || message.delta !== true) return
  const size = yield* answerTo(talk, id)
  if ((size === undefined || size === "over") && isHonest(liar)) return
  const ranges = rangesOf(talk, typeof size === "number" ? size : 0)
  const questions = pick<ClientMessage>(random, [
    { _tag: "NeedChunks", first: 0, count: 3 },
    { _tag: "NeedBlocks", ranges }
  ])
  if (random() < 0.5) yield* session.say(id, questions)
  yield* session.say(id, pick<ClientMessage>(random, [{ _tag: "Want", ranges }, { _tag: "Cancel" }]))
})

const step = (talk: Talk) =>
  Effect.suspend(() => {
    const { bodies, liar } = talk
    const { random } = liar
    const body = bodies.at(isHonest(liar) ? -1 : Math.floor(random() * bodies.length))
    if (body !== undefined && random() < 0.6) return goOn(talk, body)
    talk.lastId += isHonest(liar) ? 1 : pick(random, [1, 2, 0])
    return random() < 0.5 ? beginBody(talk, talk.lastId) : ask(talk, talk.lastId)
  })

/** One session, until the liar has had enough or the server has. */
export const talk = Effect.fnUntraced(function* (liar: Liar, who: Fixture.Credentials) {
  const { dial } = yield* MemoryNetwork
  const { random } = liar
  // Also when nothing comes of it.
  liar.left -= 1
  const session = yield* HostileClient.login(yield* dial, who)
  const digest = yield* Digest
  const own: Talk = { liar, session, digest, bodies: [], answers: new Map(), lastId: 0, closed: false }
  const hears = Effect.gen(function* () {
    while (true) {
      const heard = yield* session.hear
      if (heard === undefined) return
      if (heard._tag === "Message") hear(own, heard.id, heard.message)
    }
  })
  // Some do not take what the server says.
  if (random() < 0.95) yield* Effect.forkScoped(Effect.ignore(hears))
  while (liar.left > 0 && !own.closed) {
    liar.left -= 1
    yield* step(own)
    if (random() < 0.5) yield* settle
  }
  const bye = session.say(0, { _tag: "Bye" })
  yield* pick<Effect.Effect<unknown, unknown>>(random, [session.end, session.cut, bye, Effect.void, settle])
})
