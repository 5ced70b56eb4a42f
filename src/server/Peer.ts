/**
 * Who is at the other end of a connection, as far as the network tells.
 */
import { Context, Effect } from "effect"

/**
 * How to learn the address of the connection that is being served: an IP address, or undefined when there is none.
 * A reference and not a service, so that sockets in memory need nothing; `main` reads it from the TCP socket.
 */
export const PeerAddress = Context.Reference<Effect.Effect<string | undefined>>("paradrop/server/PeerAddress", {
  defaultValue: () => Effect.undefined
})

/** Peers without an address share this key; being of the same process, they count as loopback. */
const local = "local"

/** Who is at the other end, as far as a socket can tell. */
export interface Peer {
  /** what the log shows */
  readonly address: string
  /** what limits count by: the IPv4 address, or the /64 network of an IPv6 address */
  readonly key: string
  readonly loopback: boolean
  /** whether it is a proxy, which has yet to say whose connection it is */
  readonly proxy: boolean
}

/** From the address as the socket names it; undefined for a peer of the same process. */
export const fromAddress = (address: string | undefined): Peer => {
  if (address === undefined) return { address: local, key: local, loopback: true, proxy: false }
  // An IPv4 client of a dual-stack socket appears as ::ffff:a.b.c.d.
  const plain = address
    .replace(/^::ffff:(?=\d+\.)/i, "")
    .replace(/%.*$/, "")
    .toLowerCase()
  const key = plain.includes(":") ? network64(plain) : plain
  return { address: plain, key, loopback: isLoopback(plain), proxy: false }
}

/** Whether an IP address or host name can only be reached from this machine. */
export const isLoopback = (host: string): boolean =>
  host === "::1" || host === "localhost" || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host)

// One household or machine has a whole /64 (RFC 6177): counting single addresses would count nothing.
const network64 = (address: string): string => {
  const [head = "", tail] = address.split("::")
  const first = head === "" ? [] : head.split(":")
  const last = tail === undefined || tail === "" ? [] : tail.split(":")
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - first.length - last.length)
  const groups = [...first, ...Array.from({ length: zeros }, () => "0"), ...last]
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(":")}::/64`
}
