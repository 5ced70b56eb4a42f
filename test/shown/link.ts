/**
 * A slow link: passes TCP on to a port of this machine, with a rate, a round-trip time, and a place to break.
 *
 * `node test/shown/link.ts PORT [--mbit 100] [--rtt 40] [--cut BYTES]`, 0 for none. Both directions have the rate and
 * half of the round trip each; a sender is held back when `queueBytesMax` wait. `--cut` breaks the first connection
 * when so many bytes have come from the client. Prints the port, and at its end the bytes of each connection.
 */
import { connect, createServer, type Socket } from "node:net"
import { parseArgs } from "node:util"

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    mbit: { type: "string", default: "0" },
    rtt: { type: "string", default: "0" },
    cut: { type: "string", default: "0" }
  }
})
const millisecondsPerByte = Number(values.mbit) === 0 ? 0 : 8 / (Number(values.mbit) * 1000)
const oneWay = Number(values.rtt) / 2
const cut = Number(values.cut)
/** What a router holds: the product of rate and delay of 100 Mbit/s and 40 ms. */
const queueBytesMax = 512 * 1024
let connections = 0

const pass = (from: Socket, to: Socket, told: (bytes: number) => void): void => {
  // In the order in which they came: an end has no bytes.
  const waiting: Array<{ readonly at: number; readonly chunk: Buffer | undefined }> = []
  let free = 0
  let queued = 0
  let timer = false

  const deliver = (chunk: Buffer | undefined): void => {
    if (to.destroyed) return
    if (chunk === undefined) return void to.end()
    // What the receiver does not take waits here, and holds the sender back.
    to.write(chunk, () => {
      queued -= chunk.length
      if (queued <= queueBytesMax && !from.destroyed) from.resume()
    })
  }
  const pump = (): void => {
    timer = false
    for (let head = waiting[0]; head !== undefined && head.at <= performance.now(); head = waiting[0]) {
      waiting.shift()
      deliver(head.chunk)
    }
    const [next] = waiting
    if (next === undefined || timer) return
    timer = true
    setTimeout(pump, Math.max(1, next.at - performance.now()))
  }
  const take = (chunk: Buffer | undefined): void => {
    free = Math.max(performance.now(), free) + (chunk?.length ?? 0) * millisecondsPerByte
    waiting.push({ at: free + oneWay, chunk })
    if (!timer) pump()
  }

  from.on("data", (chunk: Buffer) => {
    told(chunk.length)
    queued += chunk.length
    if (queued > queueBytesMax) from.pause()
    take(chunk)
  })
  from.on("end", () => take(undefined))
  from.on("error", () => to.destroy())
  from.on("close", () => {
    if (from.errored) to.destroy()
  })
}

const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
  const breaks = cut > 0 && connections === 0
  connections += 1
  const target = connect({ port: Number(positionals[0]), host: "127.0.0.1", noDelay: true, allowHalfOpen: true })
  const bytes = { sent: 0, received: 0 }
  pass(client, target, (count) => {
    bytes.sent += count
    if (!breaks || bytes.sent < cut) return
    client.destroy()
    target.destroy()
  })
  pass(target, client, (count) => (bytes.received += count))
  client.on("close", () => console.log(JSON.stringify(bytes)))
})
server.listen(0, "127.0.0.1", () => {
  const address = server.address()
  console.log(`listening on 127.0.0.1:${typeof address === "object" ? address?.port : ""}`)
})
process.on("SIGTERM", () => process.exit(0))
