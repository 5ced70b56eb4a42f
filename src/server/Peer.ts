/**
 * Who is at the other end of a connection, as far as the network tells.
 */
import { Context, Effect, Result } from "effect"
import { IpNetwork, NetAddress } from "effect/net"

/**
 * How to learn the address of the connection that is being served: an IP address, or undefined when there is none.
 * A reference and not a service, so that sockets in memory need nothing; a `Doorman` has it from the TCP socket.
 */
export const PeerAddress = Context.Reference<Effect.Effect<string | undefined>>("paradrop/server/PeerAddress", {
  defaultValue: () => Effect.undefined
})

/** Whether an address is that of a proxy, which says whose connections it passes on (`ProxyHeader`). Unset: none is. */
export const TrustedProxies = Context.Reference<(address: string | undefined) => boolean>(
  "paradrop/server/TrustedProxies",
  { defaultValue: () => () => false }
)

/** Peers without an address share this key; being of the same process, they count as loopback. */
const local = "local"

/** What stands behind the address of this machine when a proxy names it. */
const byProxy = " by proxy"

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
  const plain = plainOf(address)
  const key = plain.includes(":") ? network64(plain) : plain
  return { address: plain, key, loopback: isLoopback(plain), proxy: false }
}

/** Whom a proxy names: never of this machine, so that nobody from outside has what its own people have. */
export const proxied = (address: string): Peer => {
  const peer = fromAddress(address)
  return peer.loopback ? { ...peer, key: `${peer.key}${byProxy}`, loopback: false } : peer
}

/**
 * IPv4 written as IPv6 is IPv4 here: so an IPv4 client of a dual-stack socket appears. `::ffff:10.0.0.0/104` is
 * `10.0.0.0/8`.
 */
const unmapped = (text: string): string =>
  text.replace(/^::ffff:(\d+\.\d+\.\d+\.\d+)(?:\/(\d+))?$/i, (_, address: string, bits?: string) =>
    bits === undefined ? address : `${address}/${Number(bits) - 96}`
  )

/** The address that a socket names, without the interface by which it was reached. */
const plainOf = (address: string): string => unmapped(address.replace(/%.*$/, "")).toLowerCase()

/** The network that a text names: an address is a network of itself. */
const networkOf = (written: string): Result.Result<IpNetwork.IpNetwork, NetAddress.NetAddressError> => {
  const text = unmapped(written)
  return Result.orElse(IpNetwork.fromString(text), () =>
    Result.flatMap(NetAddress.ipFromString(text), (address) =>
      IpNetwork.fromAddress(address, NetAddress.width(address))
    )
  )
}

/** Whether a text names an address or a network: `192.0.2.1`, `10.0.0.0/8`, `2001:db8::/32`. */
export const isNetwork = (text: string): boolean => Result.isSuccess(networkOf(text))

/** For `TrustedProxies`: the addresses in those networks. What names none is none. */
export const trusting = (texts: ReadonlyArray<string>): ((address: string | undefined) => boolean) => {
  const networks = texts.flatMap((text) =>
    Result.match(networkOf(text), { onFailure: () => [], onSuccess: (one) => [one] })
  )
  return (address) =>
    networks.length > 0 &&
    address !== undefined &&
    Result.match(NetAddress.ipFromString(plainOf(address)), {
      onFailure: () => false,
      onSuccess: (ip) => networks.some((network) => IpNetwork.contains(network, ip))
    })
}

/** Whether a text may say where somebody comes from: an address, or what a list of bans shows in the place of one. */
export const isPlace = (text: string): boolean => {
  const plain = plainOf(text.replace(byProxy, ""))
  // An IPv6 address is counted by its /64, and no other network is.
  const address = plain.includes(":") ? plain.replace(/\/64$/, "") : plain
  return text === "loopback" || text === local || Result.isSuccess(NetAddress.ipFromString(address))
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
