/**
 * Your store, held to what ours are held to: every promise of the contract, and whole sessions drawn by seed.
 *
 *   node checkStore.ts              the store of sqliteStore.ts
 *   node checkStore.ts --broken     the same, broken on purpose: what is found, and how small it is made
 *
 * In a test of yours, with any runner: `it.effect(name, () => ...)` instead of `promise` and `sessions` below.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Cause, Console, Effect, Exit, Layer, Logger } from "effect"
import { type Digest, FileStore, Opaque } from "paradrop"
import { CipherNode, DigestNode, KemNode } from "paradrop/node"
import { Server } from "paradrop/server"
import { Fixture, fileStoreContract, MemorySocket, SessionCheck } from "paradrop/testing"
import * as SqliteStore from "./sqliteStore.ts"

type Store = Layer.Layer<FileStore.FileStore, never, Digest.Digest>

/** Each promise on a store of its own; gives the number of those that were kept. */
export const contract = (store: Store) =>
  Effect.forEach(fileStoreContract.fileStoreContract, ({ effect, name }) =>
    effect.pipe(
      Effect.provide(Layer.provideMerge(store, DigestNode.layer)),
      Effect.tapCause((cause) => Console.log(`BROKEN  ${name}\n        ${Cause.squash(cause)}`)),
      // What a store throws breaks this promise alone.
      Effect.exit,
      Effect.map((exit) => (Exit.isSuccess(exit) ? 1 : 0))
    )
  ).pipe(Effect.map((kept) => kept.reduce<number>((total, one) => total + one, 0)))

// [sessions
/** A server over the store and up to three clients, step by step, against a model of what a server must answer. */
export const sessions = (store: Store, options: SessionCheck.Options = {}) =>
  SessionCheck.check(
    Server.layer.pipe(
      Layer.provideMerge(MemorySocket.layer),
      Layer.provide([store, Fixture.accounts]),
      Layer.provideMerge([CipherNode.layer, DigestNode.layer, KemNode.layer, Opaque.Opaque.layerQuick])
    ),
    options
  )
// sessions]

/** Says that it has removed a file, and keeps it. */
export const broken: Store = Layer.effect(
  FileStore.FileStore,
  FileStore.FileStore.useSync((store) => ({ ...store, remove: ({ name }) => store.stat(name) }))
).pipe(Layer.provide(SqliteStore.layer(":memory:")))

if (import.meta.main) {
  // A seed gives the same sessions each time; without one they are drawn anew.
  const [store, options] = process.argv.includes("--broken")
    ? [broken, { runs: 200, seed: 5 }]
    : [SqliteStore.layer(":memory:"), {}]
  const all = fileStoreContract.fileStoreContract.length
  const program = Effect.gen(function* () {
    yield* Console.log(`${yield* contract(store)} of ${all} promises are kept`)
    yield* Console.log(`${yield* sessions(store, options)} sessions: the server answers what the model says`)
  })
  NodeRuntime.runMain(
    // What the server logs of thousands of connections is of no interest here.
    Effect.tapError(program, ({ message }) => Console.log(message)).pipe(Effect.provide(Logger.layer([]))),
    { disableErrorReporting: true }
  )
}
