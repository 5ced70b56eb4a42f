/**
 * The test that README.md shows: a whole server in memory. Kept equal by test/docs.test.ts, which runs it.
 */
// [testing
import { Effect, Layer } from "effect"
import { Client } from "../src/client/index.ts"
import { FileName, FileStoreMemory, Opaque } from "../src/domain/index.ts"
import { CipherNode, DigestNode, KemNode } from "../src/domain/node.ts"
import { Fixture, MemorySocket } from "../src/domain/testing/index.ts"
import { Server } from "../src/server/index.ts"

/** Network, store and accounts in memory; `layerQuick` makes a login cost next to nothing. */
const world = Server.layer.pipe(
  Layer.provideMerge([MemorySocket.layer, FileStoreMemory.layer()]),
  Layer.provide(Fixture.accounts),
  Layer.provideMerge([CipherNode.layer, DigestNode.layer, KemNode.layer, Opaque.Opaque.layerQuick])
)

export const roundTrip = Effect.gen(function* () {
  const { dial } = yield* MemorySocket.MemoryNetwork
  const session = yield* Client.connect({ server: "memory", dial, ...Fixture.ada })
  const name = FileName.FileName.make("notes/today.txt")
  const uploaded = yield* session.upload(name, Fixture.source(new TextEncoder().encode("hello")))
  return { uploaded, described: yield* session.describe(name) }
}).pipe(Effect.scoped, Effect.provide(world))
// testing]
