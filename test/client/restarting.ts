/**
 * A server in memory that stops, or loses its power, and starts again with the same files and accounts; and the time in
 * which clients live beside it.
 */
import { Cause, Context, Deferred, Effect, Exit, Layer, Logger, Scope } from "effect"
import { SecureRandom } from "effect/crypto"
import { Socket } from "effect/socket"
import { Accounts } from "../../src/domain/session/Accounts.ts"
import { Disk } from "../../src/domain/store/Disk.ts"
import * as FileStoreDisk from "../../src/domain/store/FileStoreDisk.ts"
import * as FaultySocket from "../../src/domain/testing/FaultySocket.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import type * as MemoryDisk from "../../src/domain/testing/MemoryDisk.ts"
import * as MemorySocket from "../../src/domain/testing/MemorySocket.ts"
import * as Server from "../../src/server/Server.ts"
import type * as Simulation from "../simulation/Simulation.ts"
import * as VirtualMachine from "../simulation/VirtualMachine.ts"

type Shared = Effect.Success<typeof Simulation.shared>

const refused = new Socket.SocketError({
  reason: new Socket.SocketOpenError({
    kind: "Unknown",
    cause: Object.assign(new Error("refused"), { code: "ECONNREFUSED" })
  })
})
const nobody = Socket.make({ reader: Effect.fail(refused), writer: Effect.never })

/**
 * A server on that disk, of which nothing is lost but what a power cut loses; nobody listens while it is stopped.
 */
export const makeServer = Effect.fnUntraced(function* (
  shared: Shared,
  { control, disk }: Effect.Success<ReturnType<typeof MemoryDisk.make>>,
  seed: number
) {
  const { records, setup } = shared.registered
  const accounts = yield* Effect.provide(Accounts, Accounts.layerMemory(setup, 1, records))
  const random = Fixture.seeded(seed)
  const bytes = (size: number) => Uint8Array.from({ length: size }, () => Math.floor(random() * 256))
  const store = Layer.provide(FileStoreDisk.layer(), Layer.succeed(Disk, disk))
  const layer = Server.layer.pipe(
    Layer.provideMerge([store, MemorySocket.layer, Layer.succeed(Accounts, accounts)]),
    Layer.provide(Layer.succeed(SecureRandom.SecureRandom, SecureRandom.make(bytes))),
    Layer.provide(Layer.succeedContext(shared.services)),
    Layer.provideMerge(Logger.layer([]))
  )
  let running: { scope: Scope.Closeable; dial: Effect.Effect<Socket.Socket>; gone: Deferred.Deferred<void> } | undefined
  const start = Effect.gen(function* () {
    const scope = yield* Scope.make()
    const gone = yield* Deferred.make<void>()
    const built = yield* Layer.buildWithMemoMap(layer, Layer.makeMemoMapUnsafe(), scope)
    running = { scope, dial: Context.get(built, MemorySocket.MemoryNetwork).dial, gone }
  })
  const stop = Effect.suspend(() => {
    const one = running
    running = undefined
    return one === undefined
      ? Effect.void
      : Effect.andThen(Scope.close(one.scope, Exit.void), Deferred.succeed(one.gone, undefined))
  })
  /** Nothing reaches the disk any more, every connection breaks, and what was not synced is lost. */
  const powerOff = Effect.gen(function* () {
    yield* control.cutAt((yield* control.operations) + 1)
    if (running !== undefined) yield* Deferred.succeed(running.gone, undefined)
    yield* stop
    yield* control.crash
  })
  const dial = Effect.suspend(() => {
    const one = running
    if (one === undefined) return Effect.succeed(nobody)
    return Effect.map(one.dial, (socket) => FaultySocket.wrap(socket, { seed, cutWhen: Deferred.await(one.gone) }))
  })
  return { accounts, start: Effect.orDie(start), stop: Effect.asVoid(stop), powerOff, dial }
})

/**
 * Lives in virtual time, 20 days at most.
 *
 * @param live takes what it finds wrong
 * @returns what is wrong: an end that is none, a failure, somebody who still sleeps, defects, and what `live` has found
 */
export const wrongIn = <E>(
  seed: number,
  live: (machine: VirtualMachine.Machine, wrong: Array<string>) => Effect.Effect<void, E>
): ReadonlyArray<string> => {
  const wrong: Array<string> = []
  const options = { seed, choices: 1 + (seed % 4), tasksMax: 30_000_000, millisecondsMax: 20 * 24 * 60 * 60_000 }
  const { machine, outcome } = VirtualMachine.run(options, (machine) => live(machine, wrong))
  if (outcome._tag !== "Ended") wrong.push(`${outcome._tag} after ${machine.elapsed()} ms`)
  else if (Exit.isFailure(outcome.exit)) wrong.push(Cause.pretty(outcome.exit.cause))
  else if (machine.sleeping() > 0) wrong.push("somebody still sleeps")
  return [...wrong, ...machine.defects.map((defect) => `a defect: ${defect}`)]
}
