/**
 * The bound of what Node can do: one file through a bare TLS pipe, in blocks of 1 MiB, without names to check, without
 * digests, without staging. `node test/bench/pipe.ts serve HOST KEY CERT ROOT | put|get HOST:PORT CERT FROM TO`
 *
 * A connection begins with a line, `put NAME` or `get NAME`.
 */
import { open } from "node:fs/promises"
import { readFileSync } from "node:fs"
import { once } from "node:events"
import { join } from "node:path"
import { connect, createServer, type TLSSocket } from "node:tls"

const blockBytes = 1024 * 1024

/** Reads one block ahead of what is sent. */
const send = async (path: string, socket: TLSSocket): Promise<void> => {
  const file = await open(path)
  const read = (at: number) => file.read(Buffer.allocUnsafeSlow(blockBytes), 0, blockBytes, at)
  const ahead = [read(0)]
  for (let at = 0; ;) {
    const { buffer, bytesRead } = (await ahead.shift()) ?? { buffer: Buffer.alloc(0), bytesRead: 0 }
    if (bytesRead === 0) break
    at += bytesRead
    ahead.push(read(at))
    if (!socket.write(buffer.subarray(0, bytesRead))) await once(socket, "drain")
  }
  await file.close()
  socket.end()
}

/** Writes what has come while the last write was under way, all of it at once. */
const receive = async (socket: TLSSocket, path: string): Promise<void> => {
  const file = await open(path, "w")
  let waiting: Array<Buffer> = []
  let bytes = 0
  let wake = (): void => undefined
  let ended = false
  socket.on("data", (chunk: Buffer) => {
    waiting.push(chunk)
    bytes += chunk.length
    if (bytes >= 4 * blockBytes) socket.pause()
    if (bytes >= blockBytes) wake()
  })
  socket.on("end", () => {
    ended = true
    wake()
  })
  while (!ended || bytes > 0) {
    if (bytes < blockBytes && !ended) await new Promise<void>((resolve) => (wake = resolve))
    const all = waiting
    waiting = []
    bytes = 0
    if (all.length > 0) await file.writev(all)
    socket.resume()
  }
  await file.close()
}

const line = async (socket: TLSSocket): Promise<string> => {
  let text = ""
  while (!text.endsWith("\n")) {
    const byte: Buffer | null = socket.read(1)
    if (byte === null) await once(socket, "readable")
    else text += byte.toString()
  }
  return text.trim()
}

const answer = async (socket: TLSSocket, root: string): Promise<void> => {
  const [verb, name = ""] = (await line(socket)).split(" ")
  if (verb === "get") return send(join(root, name), socket)
  await receive(socket, join(root, name))
  socket.end("done\n")
}

const serve = (host: string, key: string, cert: string, root: string): void => {
  const server = createServer(
    { key: readFileSync(key), cert: readFileSync(cert), minVersion: "TLSv1.3", allowHalfOpen: true },
    (socket) => {
      socket.on("error", () => undefined)
      void answer(socket, root)
    }
  )
  server.listen(0, host, () => {
    const address = server.address()
    console.log(`listening on ${host}:${typeof address === "object" ? address?.port : ""}`)
  })
}

const transfer = async (verb: string, server: string, cert: string, from: string, to: string): Promise<void> => {
  const [host = "", port] = server.split(":")
  const options = { host, port: Number(port), ca: readFileSync(cert), allowHalfOpen: true }
  const socket = connect(options)
  await once(socket, "secureConnect")
  socket.write(`${verb} ${verb === "put" ? to : from}\n`)
  if (verb === "get") {
    await receive(socket, to)
    socket.end()
  } else {
    await send(from, socket)
    if ((await line(socket)) !== "done") process.exitCode = 1
  }
}

const [verb = "", server = "", one = "", two = "", three = ""] = process.argv.slice(2)
if (verb === "serve") serve(server, one, two, three)
else await transfer(verb, server, one, two, three)
