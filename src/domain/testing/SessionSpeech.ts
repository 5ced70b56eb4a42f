/**
 * What a client says for a step of a script, by what it has heard so far: the ids, sizes, digests and ranges that the
 * script leaves out.
 */
import * as Bytes from "../Bytes.ts"
import { ContentDigest, digestOf } from "../file/Digest.ts"
import { FileName, key } from "../file/FileName.ts"
import { packRanges } from "../file/Packed.ts"
import { packFiles, packNames } from "../file/PackedFiles.ts"
import * as Frame from "../wire/Frame.ts"
import * as Message from "../wire/Message.ts"
import { type File, type Model, newSession, type Said, type Session } from "./SessionModel.ts"
import { type Action, contents, names } from "./SessionScript.ts"

/** One client that has logged in. */
export interface Speaker {
  readonly session: Session
  /** what it declared, by request */
  readonly sources: Map<number, Uint8Array>
}

/** A client that has just been admitted and has said nothing. */
export const newSpeaker = (): Speaker => ({ session: newSession(), sources: new Map() })

type Asked<Tag extends Action["_tag"]> = Extract<Action, { readonly _tag: Tag }>

const nobody: ContentDigest = ContentDigest.make("0".repeat(64))

// A position beyond the end cannot come out of a script; the first will do.
const nameAt = (index: number): FileName => names[index] ?? FileName.make("a")
const sourceAt = (index: number) => contents[index] ?? { content: new Uint8Array(0), modified: 0 }

const say = (id: number, message: Message.ClientMessage): Said => ({ _tag: "Message", id, message })

/** Everything a client says at once; nothing when the step has no meaning here. */
export const utter = (model: Model, speaker: Speaker, action: Action): ReadonlyArray<Said> => {
  const { lastId } = speaker.session
  switch (action._tag) {
    case "Fetch":
    case "Describe":
    case "Download":
    case "Upload":
    case "Put":
    case "PutBundle":
    case "GetBundle":
    case "Para":
    case "Pipeline":
    case "Remove":
    case "Rename":
      // After Bye any request would be a violation: that is `Illegal`'s business.
      return speaker.session.ending ? [] : request(model, speaker, action)
    case "Content":
    case "Copies":
    case "Commit":
    case "NeedChunks":
    case "NeedBlocks":
    case "Want":
      return goOn(model, speaker, action)
    case "Cancel":
      return [say(Math.max(1, lastId - action.back), { _tag: "Cancel" })]
    case "Ping":
      return [say(lastId, { _tag: "Ping" })]
    case "Bye":
      return [say(0, { _tag: "Bye" })]
    case "End":
      return [{ _tag: "End" }]
    case "Illegal":
      return [illegal(lastId, action.what)]
    case "Disconnect":
    case "Idle":
    case "Update":
    case "WrongPassword":
      return []
  }
}

type Request = Asked<
  | "Describe"
  | "Download"
  | "Fetch"
  | "GetBundle"
  | "Para"
  | "Pipeline"
  | "Put"
  | "PutBundle"
  | "Remove"
  | "Rename"
  | "Upload"
>

const request = (model: Model, speaker: Speaker, action: Request): ReadonlyArray<Said> => {
  const id = speaker.session.lastId + 1
  switch (action._tag) {
    case "Fetch":
      return [
        say(id, { _tag: "Fetch", ...(action.digest && { digest: true }), ...(action.content && { content: true }) })
      ]
    case "Describe":
      return [say(id, { _tag: "Describe", name: nameAt(action.name) })]
    case "Download":
      return [say(id, { _tag: "Download", name: nameAt(action.name), ...(action.delta && { delta: true }) })]
    case "Upload":
      return [begin(speaker, id, "Upload", action)]
    case "Put":
      return put(model, speaker, id, action)
    case "PutBundle":
      return action.names.length === 0 ? [] : putBundle(model, speaker, id, action)
    case "GetBundle": {
      const names = packNames(action.names.map(nameAt))
      return action.names.length === 0 ? [] : [say(id, { _tag: "DownloadBundle", names })]
    }
    case "Para": {
      const said = begin(speaker, id, "Para", action)
      return [said._tag === "Message" ? { ...said, message: { ...said.message, ...expected(model, action) } } : said]
    }
    case "Remove":
      return [say(id, { _tag: "Remove", name: nameAt(action.name), ...expected(model, action) })]
    case "Rename": {
      const { name, replace, to } = action
      const names = { name: nameAt(name), to: nameAt(to) }
      return [say(id, { _tag: "Rename", ...names, ...(replace && { replace }), ...expected(model, action) })]
    }
    case "Pipeline": {
      const { file, names } = action
      const then = id + names.length
      return [
        ...names.flatMap((name, index) => put(model, speaker, id + index, { name, file })),
        say(then, action.behind === "list" ? { _tag: "Fetch" } : { _tag: "Download", name: nameAt(names[0] ?? 0) })
      ]
    }
  }
}

/** The digest that the file is said to have. */
const expected = (model: Model, { expect, name }: Asked<"Para" | "Remove" | "Rename">) => {
  if (expect === "any") return {}
  const now = model.files.get(key(nameAt(name)))?.digest ?? nobody
  return { expect: expect === "now" ? now : nobody }
}

interface Named {
  readonly name: number
  readonly file: number
}

const begin = (speaker: Speaker, id: number, _tag: "Para" | "Upload", { file, name }: Named): Said => {
  const { content, modified } = sourceAt(file)
  speaker.sources.set(id, content)
  return say(id, { _tag, name: nameAt(name), size: content.length, modified })
}

/** A whole upload; where an earlier request still waits, its content would have to wait too, and is left out. */
const put = (model: Model, speaker: Speaker, id: number, named: Named): ReadonlyArray<Said> => {
  const { content } = sourceAt(named.file)
  const request = begin(speaker, id, "Upload", named)
  if (speaker.session.waiting !== undefined) return [request]
  const body: ReadonlyArray<Said> = content.length === 0 ? [] : [{ _tag: "Content", id, bytes: content }]
  return [
    request,
    ...body,
    say(id, { _tag: "Commit", size: content.length, digest: digestOf(model.digest, [content]) })
  ]
}

/** Several files in one request; the first of a content, the others smaller, so that they fit. */
const putBundle = (
  model: Model,
  speaker: Speaker,
  id: number,
  { file, names, said }: Asked<"PutBundle">
): ReadonlyArray<Said> => {
  const files = names.map((name, index) => {
    const { content, modified } = sourceAt(index === 0 ? file : Math.min(file, index))
    const wrong = said === "wrong" && index === names.length - 1
    const digest = wrong ? nobody : digestOf(model.digest, [content])
    return { name: nameAt(name), size: content.length, modified, digest, content }
  })
  const content = Bytes.concat([new Uint8Array(0), ...files.map(({ content }) => content)])
  speaker.sources.set(id, content)
  const request = say(id, { _tag: "UploadBundle", files: packFiles(files) })
  const waits = said === "request" || speaker.session.waiting !== undefined || content.length === 0
  return waits ? [request] : [request, { _tag: "Content", id, bytes: content }]
}

type GoingOn = Asked<"Commit" | "Content" | "Copies" | "NeedBlocks" | "NeedChunks" | "Want">

/** What belongs to the request that waits for its client, or to one that was refused a moment ago. */
const goOn = (model: Model, { session, sources }: Speaker, action: GoingOn): ReadonlyArray<Said> => {
  const { discarding, waiting } = session
  const [dropped] = discarding
  const id = waiting?.id ?? dropped
  if (id === undefined) return []
  if (waiting?._tag === "Offering") return question(id, waiting.file, action)
  const source = sources.get(id) ?? new Uint8Array(0)
  const base = waiting?._tag === "Receiving" ? waiting.base : undefined
  const received = waiting?.received ?? new Uint8Array(0)
  switch (action._tag) {
    case "Content": {
      const bytes = contentOf(source, received.length, action.amount)
      return bytes.length === 0 ? [] : [{ _tag: "Content", id, bytes }]
    }
    case "Commit": {
      const whole = action.of === "what-was-declared" ? source : received
      const digest = action.of === "something-else" ? nobody : digestOf(model.digest, [whole])
      return [say(id, { _tag: "Commit", size: whole.length, digest })]
    }
    case "Copies": {
      const length = Math.min(base?.size ?? 0, source.length - received.length)
      return length === 0 ? [] : [say(id, { _tag: "Copies", ranges: packRanges([{ offset: 0, length }]) })]
    }
    default:
      return base === undefined ? [] : question(id, base, action)
  }
}

const contentOf = (source: Uint8Array, from: number, amount: Asked<"Content">["amount"]): Uint8Array => {
  const rest = source.subarray(from)
  switch (amount) {
    case "rest":
      return rest
    case "some":
      return rest.subarray(0, Math.ceil(rest.length / 2))
    case "too-much":
      return Bytes.concat([rest, Uint8Array.of(1)])
  }
}

const question = (id: number, { size }: File, action: GoingOn): ReadonlyArray<Said> => {
  if (action._tag === "NeedChunks") return [say(id, { _tag: "NeedChunks", first: 0, count: 2 })]
  if (size < 2) return []
  const half = Math.ceil(size / 2)
  const ends = packRanges([
    { offset: size - 1, length: 1 },
    { offset: 1, length: half }
  ])
  if (action._tag === "NeedBlocks") return [say(id, { _tag: "NeedBlocks", ranges: ends })]
  if (action._tag !== "Want") return []
  const all = packRanges([{ offset: 0, length: size }])
  return [say(id, { _tag: "Want", ranges: action.ranges === "all" ? all : ends })]
}

const illegal = (lastId: number, what: Asked<"Illegal">["what"]): Said => {
  const next = lastId + 1
  const plaintext = (bytes: Uint8Array): Said => ({ _tag: "Broken", where: "plaintext", bytes })
  const framed = (body: Uint8Array): Said =>
    plaintext(Bytes.concat(Frame.encode({ kind: "message", id: Frame.RequestId.make(next), body })))
  switch (what) {
    case "no-hello":
    case "old-id":
      return say(lastId, { _tag: "Fetch" })
    case "second-hello":
      return say(0, { _tag: "Hello", client: "again" })
    case "bye-with-id":
      return say(next, { _tag: "Bye" })
    case "content-unasked":
      return { _tag: "Content", id: next, bytes: Uint8Array.of(1) }
    case "commit-unasked":
      return say(next, { _tag: "Commit", size: 0, digest: nobody })
    case "want-unasked":
      return say(next, { _tag: "Want", ranges: packRanges([{ offset: 0, length: 1 }]) })
    case "no-frame":
      return plaintext(new Uint8Array(8))
    case "no-cbor":
      return framed(Uint8Array.of(0xff))
    case "no-name": {
      const body = Message.Client.encode({ _tag: "Describe", name: FileName.make("zz/a") })
      return framed(body.map((byte) => (byte === 0x7a ? 0x2e : byte)))
    }
    case "no-record":
      return { _tag: "Broken", where: "record", bytes: new Uint8Array(64) }
  }
}
