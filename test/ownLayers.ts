/**
 * The example of docs/TESTING.md: a store of one's own against the session model. Kept equal by test/docs.test.ts.
 */
// [own-layers
import { Layer } from "effect"
import { type Digest, type FileStore, Opaque } from "../src/domain/index.ts"
import { CipherNode, DigestNode, KemNode } from "../src/domain/node.ts"
import { Fixture, MemorySocket, SessionCheck } from "../src/domain/testing/index.ts"
import { Server } from "../src/server/index.ts"

export const checkStore = <E>(store: Layer.Layer<FileStore.FileStore, E, Digest.Digest>) =>
  SessionCheck.check(
    Server.layer.pipe(
      Layer.provideMerge(MemorySocket.layer),
      Layer.provide([store, Fixture.accounts]),
      Layer.provideMerge([CipherNode.layer, DigestNode.layer, KemNode.layer, Opaque.Opaque.layerQuick])
    ),
    { runs: 20 }
  )
// own-layers]
