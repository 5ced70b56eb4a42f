/**
 * The PROXY protocol, version 2 (haproxy's proxy-protocol.txt, section 2.2): how a balancer says whose connection it
 * passes on, in bytes before all others.
 *
 * Only what a balancer of TCP sends is taken: version 2, over IPv4 or IPv6, or LOCAL for a connection of its own. What
 * else a header holds is skipped.
 */
import { Effect, Result, Schema } from "effect"
import { NetAddress } from "effect/net"
import * as Bytes from "../domain/Bytes.ts"
import type { ChannelFailed } from "../domain/channel/ChannelError.ts"
import type { Transport } from "../domain/channel/Transport.ts"
import { proxyHeaderBytesMax } from "../domain/limits.ts"

/** A trusted proxy did not say whose connection it is, or not in a way that is understood. */
export class ProxyRefused extends Schema.TaggedError<ProxyRefused>()("ProxyRefused", {
  detail: Schema.Literals([
    "no PROXY header",
    "another version",
    "unknown command",
    "not over TCP and IP",
    "shorter than its addresses",
    "too long"
  ])
}) {
  override get message(): string {
    return `the PROXY header is refused: ${this.detail}`
  }
}

/** Whose connection it is: the source address, as text; undefined when it is the proxy's own (LOCAL). */
export type Source = string | undefined

/** What the first bytes of a header announce. */
export interface Announced {
  readonly local: boolean
  readonly family: 4 | 6 | undefined
  /** bytes that follow */
  readonly length: number
}

/** The part of a header that each one has, bytes. */
const announcedBytes = 16

const signature = Uint8Array.of(0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a)
const version = 2
const [localCommand, proxyCommand] = [0, 1]
const [tcp4, tcp6] = [0x11, 0x21]
/** Two addresses and two ports. */
const addressBytes = { 4: 12, 6: 36 }

const refused = (detail: ProxyRefused["detail"]) => Result.fail(new ProxyRefused({ detail }))

/** Reads the first `announcedBytes`. Refuses before anything else is waited for. */
export const announced = (bytes: Uint8Array): Result.Result<Announced, ProxyRefused> => {
  if (!Bytes.equals(bytes.subarray(0, signature.length), signature)) return refused("no PROXY header")
  const [commands = 0, protocol = 0, high = 0, low = 0] = bytes.subarray(signature.length, announcedBytes)
  if (commands >> 4 !== version) return refused("another version")
  const command = commands & 0x0f
  if (command !== localCommand && command !== proxyCommand) return refused("unknown command")
  const local = command === localCommand
  const length = high * 256 + low
  if (length > proxyHeaderBytesMax) return refused("too long")
  // Of a connection of its own a proxy may say anything, which means nothing.
  if (local) return Result.succeed({ local, family: undefined, length })
  const family = protocol === tcp4 ? 4 : protocol === tcp6 ? 6 : undefined
  if (family === undefined) return refused("not over TCP and IP")
  return length < addressBytes[family]
    ? refused("shorter than its addresses")
    : Result.succeed({ local, family, length })
}

/** The source in the `length` bytes that follow. */
export const sourceOf = ({ family }: Announced, rest: Uint8Array): Source => {
  if (family === undefined) return undefined
  return family === 4
    ? NetAddress.formatIp(NetAddress.ipv4FromBytesUnsafe(rest.slice(0, 4)))
    : NetAddress.formatIp(NetAddress.ipv6FromBytesUnsafe(rest.slice(0, 16)))
}

/** Takes the header, and nothing behind it. */
export const take = Effect.fnUntraced(function* (
  transport: Pick<Transport, "take">
): Effect.fn.Return<Source, ChannelFailed | ProxyRefused> {
  // Who speaks something else may have less to say than a header has, and would be waited for.
  const first = Bytes.concat(yield* transport.take(1))
  if (first[0] !== signature[0]) return yield* Effect.fromResult(refused("no PROXY header"))
  const others = yield* transport.take(announcedBytes - 1)
  const head = yield* Effect.fromResult(announced(Bytes.concat([first, ...others])))
  return sourceOf(head, Bytes.concat(yield* transport.take(head.length)))
})
