/**
 * What a server answers within one request: the next message, unless it is a refusal, and the one that is due.
 */
import { Effect } from "effect"
import * as Bytes from "../domain/Bytes.ts"
import { printable } from "../domain/file/Printable.ts"
import type { ServerMessage } from "../domain/wire/Message.ts"
import type { Refusal } from "../domain/wire/Refusal.ts"
import { type CommandError, ProtocolBroken, RequestRefused } from "./ClientError.ts"
import type { Answer, Request } from "./Requests.ts"

/** The next message; content in its place breaks the protocol. */
export const next = (request: Request, name: string): Effect.Effect<ServerMessage, CommandError> =>
  Effect.flatMap(request.next, (answer) => Effect.flatMap(messageOf(answer), (message) => unlessRefused(message, name)))

export const messageOf = (answer: Answer): Effect.Effect<ServerMessage, ProtocolBroken> =>
  answer._tag === "Message" ? Effect.succeed(answer.message) : Effect.fail(new ProtocolBroken({ detail: "content" }))

/** @param name whom or what the refusal is about, for people */
export const unlessRefused = (message: ServerMessage, name: string): Effect.Effect<ServerMessage, RequestRefused> =>
  message._tag === "Refused" ? Effect.fail(refused(name, message)) : Effect.succeed(message)

/** That there is no such file is a refusal too. */
export const unlessMissing = (message: ServerMessage, name: string): Effect.Effect<ServerMessage, RequestRefused> =>
  message._tag === "SameFileNotHere" ? Effect.fail(refused(name, { reason: "no-such-file" })) : Effect.succeed(message)

/** Content frames of one run of bytes, whatever their sizes: all of it or an error. */
export const content = Effect.fnUntraced(function* <E>(
  request: Request,
  name: string,
  length: number,
  take: (parts: Bytes.Parts) => Effect.Effect<void, E>
): Effect.fn.Return<void, CommandError | E> {
  for (let received = 0; received < length;) {
    const answer = yield* request.nextJoined(length - received)
    if (answer._tag === "Message") {
      const { _tag } = yield* unlessRefused(answer.message, name)
      return yield* new ProtocolBroken({ detail: `${_tag} before all content` })
    }
    received += Bytes.lengthOf(answer.parts)
    // Refused before it is written: a server cannot fill the disk beyond its word.
    if (received > length) return yield* new ProtocolBroken({ detail: "more content than was declared" })
    yield* take(answer.parts)
  }
})

/** A refusal in a client's words. */
export const refused = (name: string, { detail = "", reason }: Refusal): RequestRefused =>
  new RequestRefused({ name: printable(name), reason, detail: printable(detail) })

/** The message, which must be the one that is due. */
export const expect = <Tag extends ServerMessage["_tag"]>(
  message: ServerMessage,
  tag: Tag
): Effect.Effect<Extract<ServerMessage, { readonly _tag: Tag }>, ProtocolBroken> =>
  hasTag(message, tag) ? Effect.succeed(message) : Effect.fail(unexpected(message._tag))

/** How much the server has staged: nothing of what it could not know again, and never more than there is. */
export const staged = (from: number, most: number): Effect.Effect<number, ProtocolBroken> =>
  from > most ? Effect.fail(new ProtocolBroken({ detail: "more is staged than can be" })) : Effect.succeed(from)

export const unexpected = (tag: string): ProtocolBroken => new ProtocolBroken({ detail: `unexpected ${tag}` })

const hasTag = <Tag extends ServerMessage["_tag"]>(
  message: ServerMessage,
  tag: Tag
): message is Extract<ServerMessage, { readonly _tag: Tag }> => message._tag === tag
