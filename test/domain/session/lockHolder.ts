/**
 * A process that holds a lock until it is killed: `lockHolder.ts PATH`.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect } from "effect"
import { StateLock } from "../../../src/domain/session/StateLock.ts"
import * as StateLockNode from "../../../src/domain/session/StateLockNode.ts"

Effect.gen(function* () {
  yield* (yield* StateLock).acquire(process.argv[2] ?? "")
  yield* Console.log("held")
  return yield* Effect.never
}).pipe(Effect.scoped, Effect.provide(StateLockNode.layer), NodeRuntime.runMain)
