/**
 * A client that mirrors a folder: what is in it is on the server, and nothing else is there below PREFIX.
 *
 *   PARADROP_PASSWORD=... node mirror.ts FOLDER HOST:PORT USER PREFIX [--watch]
 *
 * New files are uploaded, changed ones sent as their differences, those that are gone removed. A file whose size and
 * time are those of the server's is taken to be equal, as rsync does; `fetchWith({ digests: true })` would leave no doubt.
 */
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Config, Console, Effect, Layer, Schedule, Stream } from "effect"
import { type FileEntry, FileName, HandshakeMessage, Opaque } from "paradrop"
import { Client, LocalFiles } from "paradrop/client"
import { DialNode, LocalFilesNode } from "paradrop/client/node"
import { CipherNode, DigestNode, KemNode, SocketNode } from "paradrop/node"

type Local = Extract<LocalFiles.LocalFound, { readonly _tag: "File" }>

/** Sends one file, as differences when the server has an older one; says what it did. */
const send = Effect.fnUntraced(function* (path: string, name: FileName.FileName, known: boolean) {
  const session = yield* Client.Client
  const source = yield* (yield* LocalFiles.LocalFiles).open(path)
  if (source === undefined) return "gone meanwhile"
  yield* known ? session.para(name, source) : session.upload(name, source)
  return known ? "updated" : "sent"
}, Effect.scoped)

// [mirror
/** One round; gives a line for each file that it had to do something about. */
export const mirror = Effect.fnUntraced(function* (folder: string, prefix: string) {
  const session = yield* Client.Client
  const files = yield* LocalFiles.LocalFiles
  const there = new Map<string, FileEntry.FileEntry>()
  yield* Stream.runForEach(session.fetch, (entry) =>
    Effect.sync(() => void (entry.name.startsWith(`${prefix}/`) && there.set(entry.name, entry)))
  )
  const here = new Map<string, Local>()
  yield* Stream.runForEach(
    files.walk(folder, () => true),
    Effect.fnUntraced(function* (found) {
      // What cannot be read is not gone: a folder that is not mounted would empty the server's.
      if (found._tag === "Failed") return yield* found.error
      if (found._tag === "File") here.set(`${prefix}/${found.name}`, found)
    })
  )
  const sent = yield* Effect.forEach(
    [...here].filter(([name, { modified, size }]) => {
      const known = there.get(name)
      return known?.size !== size || known.modified !== modified
    }),
    Effect.fnUntraced(function* ([text, { name }]) {
      const did = yield* send(files.join(folder, name), yield* FileName.parse(text), there.has(text))
      return `${text} ${did}`
    }),
    { concurrency: 8 }
  )
  const gone = [...there.values()].filter(({ name }) => !here.has(name))
  const removed = yield* Effect.forEach(gone, ({ name }) => Effect.as(session.remove(name), `${name} removed`))
  return [...sent, ...removed]
})
// mirror]

// [service
/** A session as a service: the connection is there as long as the layer, and says goodbye with it. */
export const session = (host: string, port: number, user: string) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const password = yield* Config.Redacted("PARADROP_PASSWORD")
      return Client.Client.layer({
        server: `${host}:${port}`,
        dial: DialNode.dial({ host, port }),
        user: HandshakeMessage.UserName.make(user),
        password
      })
    })
  ).pipe(Layer.provide([CipherNode.layer, DigestNode.layer, KemNode.layer, Opaque.Opaque.layer, SocketNode.owned]))
// service]

if (import.meta.main) {
  const [folder = ".", address = "127.0.0.1:8080", user = "ada", prefix = "mirror"] = process.argv.slice(2)
  const { hostname, port } = new URL(`paradrop://${address}`)
  const round = Effect.flatMap(mirror(folder, prefix), (lines) => Effect.forEach(lines, (line) => Console.log(line)))
  const rounds = Effect.repeat(round, Schedule.spaced("1 second"))
  const services = Layer.merge(session(hostname, Number(port), user), LocalFilesNode.layer).pipe(
    Layer.provide([DigestNode.layer, NodeCrypto.layerSecureRandom])
  )
  const program = process.argv.includes("--watch") ? Effect.asVoid(rounds) : Effect.asVoid(round)
  NodeRuntime.runMain(Effect.provide(program, services))
}
