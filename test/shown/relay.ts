/**
 * What a recording relay between client and server learns: with the real cipher nothing, with one that hides nothing
 * all but the password, which never crosses at all. `node test/shown/relay.ts`
 */
import { Effect, Layer } from "effect"
import { Socket } from "effect/socket"
import * as Client from "../../src/client/Client.ts"
import * as CipherNode from "../../src/domain/channel/CipherNode.ts"
import * as KemNode from "../../src/domain/channel/KemNode.ts"
import { Opaque } from "../../src/domain/channel/Opaque.ts"
import * as DigestNode from "../../src/domain/file/DigestNode.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import * as FileStoreMemory from "../../src/domain/store/FileStoreMemory.ts"
import * as FakeCipher from "../../src/domain/testing/FakeCipher.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as MemorySocket from "../../src/domain/testing/MemorySocket.ts"
import * as Server from "../../src/server/Server.ts"
import { claim } from "./processes.ts"

const secrets = {
  password: "correct horse battery",
  "user name": "ada",
  "file name": "very-secret-plans.txt",
  content: "the treasure lies under the old oak"
}

/** A socket that keeps a copy of all bytes, in both directions. */
const recording = (socket: Socket.Socket, tape: Array<Uint8Array>): Socket.Socket =>
  Socket.make({
    reader: Effect.map(socket.reader, ({ pull, upgrade }) => ({
      upgrade,
      pull: Effect.tap(pull, (chunks) =>
        Effect.sync(() => chunks.forEach((chunk) => tape.push(Uint8Array.from(Buffer.from(chunk)))))
      )
    })),
    writer: Effect.map(socket.writer, ({ write, writeAll }) => ({
      write,
      writeAll: (chunks) =>
        Effect.suspend(() => {
          chunks.forEach((chunk) => tape.push(Uint8Array.from(Buffer.from(chunk))))
          return writeAll(chunks)
        })
    }))
  })

const found = (cipher: typeof CipherNode.layer) =>
  Effect.scoped(
    Effect.gen(function* () {
      const tape: Array<Uint8Array> = []
      const { dial } = yield* MemorySocket.MemoryNetwork
      const session = yield* Client.connect({
        server: "memory",
        dial: Effect.map(dial, (socket) => recording(socket, tape)),
        ...Fixture.ada
      })
      const name = FileName.make(secrets["file name"])
      yield* session.upload(name, Fixture.source(Buffer.from(`${secrets.content}\n`.repeat(1_000))))
      yield* session.download(name, () => Effect.succeed(Fixture.sink()))
      const bytes = Buffer.concat(tape)
      return {
        bytes,
        what: Object.entries(secrets)
          .filter(([, text]) => bytes.includes(text))
          .map(([what]) => what)
      }
    })
  ).pipe(
    Effect.provide(
      Server.layer.pipe(
        Layer.provideMerge(MemorySocket.layer),
        Layer.provideMerge(Layer.orDie(Fixture.accounts)),
        Layer.provideMerge(FileStoreMemory.layer()),
        Layer.provideMerge(Layer.mergeAll(Opaque.layerQuick, KemNode.layer, cipher, DigestNode.layer))
      )
    ),
    Effect.runPromise
  )

const real = await found(CipherNode.layer)
// Three letters may turn up in random bytes by chance: their padded form in the login may not.
const realFinds = real.what.filter((what) => what !== "user name" || real.bytes.includes("ada\0\0\0\0"))
claim(
  `the real cipher shows ${realFinds.join(", ") || "nothing"} in ${real.bytes.length} bytes`,
  realFinds.length === 0
)
const open = await found(FakeCipher.layerTransparent)
claim(
  `the transparent cipher shows ${open.what.join(", ")}`,
  ["user name", "file name", "content"].every((what) => open.what.includes(what)) && open.bytes.includes("ada\0\0\0\0")
)
claim("the password is in neither: it never crosses", !open.what.includes("password"))
