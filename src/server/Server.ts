/**
 * The server: accepts connections and supervises one fiber for each.
 *
 * A failure or defect in one connection never reaches another. When the server's scope closes it stops accepting, lets
 * transfers end until a deadline, then interrupts what is left; every resource is released.
 */
import { Effect, Fiber, FiberSet, Layer, Option, type Scope } from "effect"
import { SecureRandom } from "effect/crypto"
import { type Socket, SocketServer } from "effect/socket"
import * as Monotonic from "../domain/Monotonic.ts"
import type { FileStore } from "../domain/store/FileStore.ts"
import { Meter } from "../domain/store/Meter.ts"
import { SignatureKeep } from "../domain/transfer/SignatureKeep.ts"
import { Signatures } from "../domain/transfer/Signatures.ts"
import { Bandwidth } from "./Bandwidth.ts"
import * as Connection from "./Connection.ts"
import * as Doorman from "./Doorman.ts"
import * as LiveWait from "./LiveWait.ts"
import { LoginGuard } from "./LoginGuard.ts"
import { Members } from "./Members.ts"
import { Seats } from "./Seats.ts"
import { ServerLimits } from "./ServerLimits.ts"
import { ServerStatus } from "./ServerStatus.ts"
import { SignatureMaker } from "./SignatureMaker.ts"
import * as Stopping from "./Stopping.ts"

/**
 * Serves in the background until the scope closes.
 *
 * Needs what a connection needs, a `SocketServer`, and nothing else: every part may be another layer.
 */
export const serve: Effect.Effect<
  void,
  never,
  Connection.ConnectionServices | Scope.Scope | SocketServer.SocketServer
> = Effect.gen(function* () {
  const server = yield* SocketServer.SocketServer
  const limits = yield* ServerLimits
  const time = yield* Monotonic.clock
  const stopping = yield* Stopping.make
  const doorman = yield* Doorman.make
  // All connections are interrupted at once; the socket server alone would end them one after the other.
  const connections = yield* FiberSet.make<void, never>()
  const handler = (socket: Socket.Socket) =>
    Effect.gen(function* () {
      const fiber = yield* FiberSet.run(connections, Connection.serve(socket, stopping))
      // Who asks the doorman leaves the socket to the connection: a fiber that waits is memory of each session.
      if ((yield* Doorman.Visitor) === undefined) yield* Fiber.await(fiber)
    })
  // Runs before the two finalizers that came earlier: nothing is accepted any more, and transfers get their time.
  yield* Effect.addFinalizer(() =>
    Effect.andThen(
      Effect.andThen(stopping.begin, doorman.close),
      Effect.suspend(() => {
        const since = time()
        // A reload meanwhile may give transfers more time, or less.
        const over = LiveWait.all(() => since + limits.drainMilliseconds - time())
        return Effect.raceFirst(FiberSet.awaitEmpty(connections), over)
      })
    )
  )
  yield* Effect.forkScoped(Effect.provideService(server.run(handler), Doorman.Doorman, doorman))
})

/**
 * The server as a layer, with its own seats, login guard, members and meter. It gives `ServerStatus` and `LoginGuard`
 * to those who want to look on: `Control.layer` is made of them.
 *
 * As any layer it is built once in a program, however often it is used: each of several servers is made with
 * `Layer.fresh`.
 *
 * Signatures are kept in the `SignatureKeep` of the context when there is one, otherwise in memory; their keys come
 * from its `SecureRandom` or, without one, from Web Crypto.
 */
export const layer: Layer.Layer<
  LoginGuard | ServerStatus,
  never,
  | FileStore
  | Exclude<
      Connection.ConnectionServices,
      Bandwidth | LoginGuard | Members | Meter | Seats | ServerStatus | SignatureMaker | Signatures
    >
  | SocketServer.SocketServer
> = Layer.effectDiscard(serve).pipe(
  Layer.provideMerge(Layer.merge(LoginGuard.layer, ServerStatus.layer)),
  Layer.provide([Bandwidth.layer, Members.layer, Meter.layer, Seats.layer, SignatureMaker.layer]),
  Layer.provide(
    Layer.unwrap(
      Effect.gen(function* () {
        const keep = Option.match(yield* Effect.serviceOption(SignatureKeep), {
          onNone: () => SignatureKeep.layerMemory,
          onSome: (kept) => Layer.succeed(SignatureKeep, kept)
        })
        const random = Option.match(yield* Effect.serviceOption(SecureRandom.SecureRandom), {
          onNone: () => SecureRandom.layerWebCrypto,
          onSome: (drawn) => Layer.succeed(SecureRandom.SecureRandom, drawn)
        })
        return Layer.provide(Signatures.layer, [keep, random])
      })
    )
  )
)
