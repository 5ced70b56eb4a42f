/**
 * One end of a session without its manners: sends any frame, message, record or byte, in any order.
 */
import { Effect } from "effect"
import * as Bytes from "../Bytes.ts"
import type { ChannelFailed } from "../channel/ChannelError.ts"
import type { SecureChannel } from "../channel/SecureChannel.ts"
import type { Transport } from "../channel/Transport.ts"
import * as Frame from "../wire/Frame.ts"
import type { MessageRefused } from "../wire/Message.ts"

/** A message that came, or content. */
export type Heard<In> =
  | { readonly _tag: "Message"; readonly id: Frame.RequestId; readonly message: In }
  | { readonly _tag: "Content"; readonly id: Frame.RequestId; readonly bytes: Uint8Array }

/** One side of a session that keeps no rule: it says `Out` and hears `In`. */
export interface RawSession<In, Out> {
  /** One message in a record of its own. */
  readonly say: (id: number, message: Out) => Effect.Effect<void, ChannelFailed>
  /** One content frame in a record of its own. */
  readonly content: (id: number, bytes: Uint8Array) => Effect.Effect<void, ChannelFailed>
  /** One authentic record of any plaintext. */
  readonly record: (plaintext: Uint8Array) => Effect.Effect<void, ChannelFailed>
  /** Bytes beside all records: what follows them will not verify. */
  readonly raw: (bytes: Uint8Array) => Effect.Effect<void, ChannelFailed>
  /** Proves the end of our stream. */
  readonly end: Effect.Effect<void, ChannelFailed>
  /** Closes our direction without that proof. */
  readonly cut: Effect.Effect<void>
  /** The next thing the other end said; undefined at the proved end of its stream. */
  readonly hear: Effect.Effect<Heard<In> | undefined, ChannelFailed | Frame.FrameRefused | MessageRefused>
  /** Everything until the other end proves its end or the connection does. */
  readonly hearAll: Effect.Effect<ReadonlyArray<Heard<In>>>
}

/** How messages of the two sides are written and read. */
export interface Codec<In, Out> {
  readonly encode: (message: Out) => Uint8Array
  readonly decode: (body: Uint8Array) => Effect.Effect<In, MessageRefused>
}

/** A session over a channel that is logged in already, and the transport below it. */
export const make = <In, Out>(
  transport: Transport,
  secure: SecureChannel,
  { decode, encode }: Codec<In, Out>
): RawSession<In, Out> => {
  const waiting: Array<Frame.Frame> = []

  const hear = Effect.gen(function* () {
    while (waiting.length === 0) {
      const received = yield* secure.receive
      if (received._tag === "End") return undefined
      waiting.push(...(yield* Effect.fromResult(Frame.decodeAll(received.plaintext))))
    }
    const frame = waiting.shift()
    return frame === undefined ? undefined : yield* heard(frame)
  })

  const heard = (frame: Frame.Frame): Effect.Effect<Heard<In>, MessageRefused> =>
    frame.kind === "content"
      ? Effect.succeed({ _tag: "Content", id: frame.id, bytes: Bytes.concat(frame.parts) })
      : Effect.map(decode(frame.body), (message): Heard<In> => ({ _tag: "Message", id: frame.id, message }))

  const send = (frame: Frame.Frame) => secure.send(Frame.encode(frame))

  return {
    say: (id, message) => send({ kind: "message", id: Frame.RequestId.make(id), body: encode(message) }),
    content: (id, bytes) => send({ kind: "content", id: Frame.RequestId.make(id), parts: [bytes] }),
    record: (plaintext) => secure.send([plaintext]),
    raw: (bytes) => transport.write([bytes]),
    end: secure.end,
    cut: transport.finish,
    hear,
    hearAll: Effect.gen(function* () {
      const all: Array<Heard<In>> = []
      while (true) {
        const next = yield* Effect.catch(hear, () => Effect.undefined)
        if (next === undefined) return all
        all.push(next)
      }
    })
  }
}
