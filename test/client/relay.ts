/**
 * A network on one machine: what goes to the server can be held at any byte, and cut.
 */
import { once } from "node:events"
import * as net from "node:net"

export interface Relay {
  readonly port: number
  /** Lets so many more bytes through to the server, and holds what comes behind them. */
  readonly holdAfter: (bytes: number) => void
  readonly release: () => void
  /** Ends every connection at once, as a network does. */
  readonly cut: () => void
  /** bytes that went to the server so far */
  readonly sent: () => number
  readonly close: () => void
}

/** @param target the server's port */
export const relay = async (target: () => number): Promise<Relay> => {
  const pairs = new Set<readonly [net.Socket, net.Socket]>()
  let sent = 0
  let room = Number.POSITIVE_INFINITY
  const server = net.createServer((client) => {
    const far = net.connect(target(), "127.0.0.1")
    const pair = [client, far] as const
    pairs.add(pair)
    const end = () => {
      pairs.delete(pair)
      client.destroy()
      far.destroy()
    }
    client.on("data", (chunk) => {
      sent += chunk.length
      room -= chunk.length
      far.write(chunk)
      if (room <= 0) client.pause()
    })
    far.on("data", (chunk) => void client.write(chunk))
    for (const socket of pair) socket.on("error", end).on("close", end)
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    holdAfter: (bytes) => void (room = bytes),
    release: () => {
      room = Number.POSITIVE_INFINITY
      for (const [client] of pairs) client.resume()
    },
    cut: () => {
      room = Number.POSITIVE_INFINITY
      for (const [client, far] of pairs) {
        client.destroy()
        far.destroy()
      }
    },
    sent: () => sent,
    close: () => {
      server.close()
      for (const [client, far] of pairs) {
        client.destroy()
        far.destroy()
      }
    }
  }
}
