/**
 * A server that stops at any moment, wherever its fibers let others go on: what one of its sessions began to count has
 * an end.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Metric, Scheduler, Scope } from "effect"
import { SecureRandom } from "effect/crypto"
import { PrometheusMetrics } from "effect/observability"
import { FileName } from "../../src/domain/file/FileName.ts"
import * as FileStoreMemory from "../../src/domain/store/FileStoreMemory.ts"
import { Meter } from "../../src/domain/store/Meter.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as HostileClient from "../../src/domain/testing/HostileClient.ts"
import * as MemorySocket from "../../src/domain/testing/MemorySocket.ts"
import { SignatureKeep } from "../../src/domain/transfer/SignatureKeep.ts"
import { Signatures } from "../../src/domain/transfer/Signatures.ts"
import { Bandwidth } from "../../src/server/Bandwidth.ts"
import { LoginGuard } from "../../src/server/LoginGuard.ts"
import { Members } from "../../src/server/Members.ts"
import { Seats } from "../../src/server/Seats.ts"
import * as Server from "../../src/server/Server.ts"
import { defaultLimits, ServerLimits } from "../../src/server/ServerLimits.ts"
import { ServerStatus } from "../../src/server/ServerStatus.ts"
import { SignatureMaker } from "../../src/server/SignatureMaker.ts"
import { quickCrypto } from "../crypto.ts"
import { dial, yields } from "./world.ts"

const name = FileName.make("a")

/** A server that lets others go on after so many steps, with somebody who is told of transfers. */
const serving = (budget: number, maker: SignatureMaker["Service"]) =>
  Layer.effectDiscard(Server.serve).pipe(
    Layer.provideMerge(Layer.merge(LoginGuard.layer, ServerStatus.layer)),
    Layer.provide([Bandwidth.layer, Members.layer, Meter.layer, Seats.layer]),
    Layer.provide(Layer.succeed(SignatureMaker, maker)),
    Layer.provide(Layer.provide(Signatures.layer, [SignatureKeep.layerMemory, SecureRandom.layerWebCrypto])),
    Layer.provide(Layer.succeed(ServerLimits, { ...defaultLimits, drainMilliseconds: 0 })),
    Layer.provide(Layer.succeed(Scheduler.MaxOpsBeforeYield, budget)),
    Layer.provideMerge(Layer.sync(Metric.MetricRegistry, () => new Map())),
    Layer.provideMerge(MemorySocket.layer),
    Layer.provideMerge(Layer.orDie(Fixture.accounts)),
    Layer.provideMerge(FileStoreMemory.layer()),
    Layer.provideMerge(quickCrypto)
  )

/** What is left when the server stops so many turns after a client has come: transfers that were told, and gauges. */
const stoppedAfter = Effect.fnUntraced(function* (turns: number, budget: number) {
  let transfers = 0
  const maker = SignatureMaker.of({
    committed: () => Effect.void,
    transferring: (change) => Effect.sync(() => void (transfers += change))
  })
  const running = yield* Scope.make()
  const server = yield* Layer.buildWithScope(serving(budget, maker), running)
  const client = yield* Effect.forkChild(
    Effect.gen(function* () {
      const session = yield* HostileClient.login(yield* dial, Fixture.ada)
      yield* session.say(1, { _tag: "Upload", name, size: 100, modified: 0 })
      yield* Effect.never
    }).pipe(Effect.scoped, Effect.provideContext(server))
  )
  yield* yields(turns)
  const begun = transfers
  yield* Fiber.join(yield* Effect.forkChild(Scope.close(running, Exit.void)))
  yield* Fiber.interrupt(client)
  const measured = yield* Effect.provideContext(PrometheusMetrics.format(), server)
  const gauges = measured
    .split("\n")
    .filter((line) => /^paradrop_(sessions|commands_open|staging)/.test(line) && !line.endsWith(" 0"))
  return { begun, left: transfers === 0 ? gauges : [`transfers ${transfers}`, ...gauges] }
})

describe("a server that stops while a client logs in and begins to transfer", () => {
  for (const budget of [20, 24]) {
    it.effect(`leaves no count behind, at whatever moment, when others go on after ${budget} steps`, () =>
      Effect.gen(function* () {
        const left: Array<string> = []
        const transfers: Array<number> = []
        // Some moments behind the first at which a transfer was told of, and all before it.
        for (let turns = 0; turns < 300 && transfers.filter((begun) => begun > 0).length < 3; turns += 1) {
          const end = yield* stoppedAfter(turns, budget)
          transfers.push(end.begun)
          left.push(...end.left.map((what) => `after ${turns} turns: ${what}`))
        }
        assert.deepStrictEqual(left, [])
        assert.deepStrictEqual(transfers.slice(-4), [0, 1, 1, 1])
      })
    )
  }
})
