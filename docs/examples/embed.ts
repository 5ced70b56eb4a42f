/**
 * Paradrop inside a program that has a web server already: one store, one log, one tracer.
 *
 *   PARADROP_PASSWORD=... node embed.ts FOLDER [PORT [HTTP-PORT]]
 *
 * What the user ada uploads through Paradrop, everybody on this machine can look at with a browser.
 */
import { createServer } from "node:http"
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import { Config, Console, Effect, type Exit, Layer, Logger, type Redacted, Stream, Tracer } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { SocketServer } from "effect/socket"
import { Accounts, FileName, FileStore, FileStoreDisk, HandshakeMessage, Opaque } from "paradrop"
import { CipherNode, DigestNode, DiskNode, KemNode } from "paradrop/node"
import { Server } from "paradrop/server"

// [server
/** A Paradrop server for one user, over whatever `FileStore` the application has. */
export const paradrop = (port: number, password: Redacted.Redacted<string>) =>
  Server.layer.pipe(
    Layer.provideMerge(NodeSocketServer.layer({ host: "127.0.0.1", port, noDelay: true, allowHalfOpen: true })),
    Layer.provide(Accounts.Accounts.layerPasswords([{ user: HandshakeMessage.UserName.make("ada"), password }])),
    Layer.provide([CipherNode.layer, DigestNode.layer, KemNode.layer, Opaque.Opaque.layer]),
    Layer.provide(NodeCrypto.layerSecureRandom),
    // Each call is a server of its own: otherwise several of one program would be the first of them.
    Layer.fresh
  )
// server]

/** The store in a folder: everything is staged, verified, fsynced and renamed. */
export const folder = (path: string) =>
  FileStoreDisk.layer().pipe(
    Layer.provide([DiskNode.layer(path), DigestNode.layer]),
    Layer.provide(NodeCrypto.layerSecureRandom)
  )

const blockBytes = 65_536

/** The content of a file, block by block; a file that is replaced meanwhile is read on as it was. */
const contentOf = ({ entry, read }: FileStore.OpenFile) =>
  Stream.range(0, Math.ceil(entry.size / blockBytes) - 1).pipe(
    Stream.mapEffect((block) => read(block * blockBytes, blockBytes))
  )

/** `GET /` lists the same store, `GET /files/NAME` shows a file of it. */
export const web = Layer.mergeAll(
  HttpRouter.add(
    "GET",
    "/",
    FileStore.FileStore.use(({ list }) =>
      Effect.flatMap(Stream.runCollect(list()), (all) => HttpServerResponse.json(all))
    )
  ),
  HttpRouter.add(
    "GET",
    "/files/*",
    Effect.gen(function* () {
      const store = yield* FileStore.FileStore
      const { "*": path = "" } = yield* HttpRouter.params
      // The router has decoded it.
      const file = yield* store.open(yield* FileName.parse(path))
      return HttpServerResponse.stream(contentOf(file), { contentLength: file.entry.size })
    }).pipe(
      Effect.catchTag(["NameRefused", "NoSuchFile", "NotAFile"], ({ message }) =>
        Effect.succeed(HttpServerResponse.text(message, { status: 404 }))
      )
    )
  )
)

/** A tracer of the application's own: one line for each command, and how long it took. */
class ToldSpan extends Tracer.NativeSpan {
  override end(endTime: bigint, exit: Exit.Exit<unknown, unknown>): void {
    super.end(endTime, exit)
    const milliseconds = Number((endTime - this.startTime) / 1_000_000n)
    if (this.name.startsWith("paradrop.")) process.stderr.write(`${this.name} took ${milliseconds} ms\n`)
  }
}
const tracer = Layer.succeed(Tracer.Tracer, Tracer.make({ span: (options) => new ToldSpan(options) }))

/** One line on standard output, once everything that is named before it listens. */
export const say = (also = "") =>
  Layer.effectDiscard(
    SocketServer.SocketServer.use(({ address }) =>
      address._tag === "UnixPathAddress" ? Effect.void : Console.log(`listening on ${address}${also}`)
    )
  )

/** The password never stands in an argument. */
export const password = Config.Redacted("PARADROP_PASSWORD")

if (import.meta.main) {
  const [root = "files", port = "8080", httpPort = "8081"] = process.argv.slice(2)
  const application = Layer.unwrap(
    Effect.map(password, (secret) =>
      say().pipe(
        Layer.provide(paradrop(Number(port), secret)),
        Layer.merge(HttpRouter.serve(web)),
        Layer.provide(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: Number(httpPort) })),
        Layer.provide([folder(root), tracer, Logger.layer([Logger.consoleLogFmt])])
      )
    )
  )
  NodeRuntime.runMain(Layer.launch(application))
}
