/**
 * The program that docs/ARCHITECTURE.md shows: a server inside a program of one's own. Kept equal by test/docs.test.ts.
 */
// [embedding
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import { Effect, Layer, type Redacted } from "effect"
import { Accounts, FileStoreDisk, HandshakeMessage, Opaque } from "../src/domain/index.ts"
import { CipherNode, DigestNode, DiskNode, KemNode } from "../src/domain/node.ts"
import { Server } from "../src/server/index.ts"

/** Serves a folder to one user, on loopback, as long as the layer lives. */
export const files = (root: string, port: number, password: Redacted.Redacted<string>) => {
  const user = HandshakeMessage.UserName.make("ada")
  const accounts = Layer.unwrap(
    Effect.gen(function* () {
      const opaque = yield* Opaque.Opaque
      const setup = yield* opaque.createSetup
      const record = yield* opaque.register(setup, { user, password, stretching: 1 })
      return Accounts.Accounts.layerMemory(setup, 1, new Map([[user, record]]))
    })
  )
  return Server.layer.pipe(
    Layer.provideMerge(NodeSocketServer.layer({ host: "127.0.0.1", port, noDelay: true, allowHalfOpen: true })),
    Layer.provide([accounts, Layer.provide(FileStoreDisk.layer(), DiskNode.layer(root))]),
    Layer.provide([CipherNode.layer, DigestNode.layer, KemNode.layer, Opaque.Opaque.layer]),
    Layer.provide(NodeCrypto.layerSecureRandom)
  )
}
// embedding]
