/**
 * Who asks a server over a socket is told what one in its process is: the same steps come to the same, also where a
 * question is interrupted.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Schema } from "effect"
import { TestClock } from "effect/testing"
import { Opaque } from "../../src/domain/channel/Opaque.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as MemorySocket from "../../src/domain/testing/MemorySocket.ts"
import { Control } from "../../src/server/Control.ts"
import * as ControlSocket from "../../src/server/ControlSocket.ts"
import { LoginGuard } from "../../src/server/LoginGuard.ts"
import * as Peer from "../../src/server/Peer.ts"
import { type Look, ServerStatus } from "../../src/server/ServerStatus.ts"

const user = Schema.Literals(["ada", "grace", "hunter2", "\u0000\u001b[2J", "\ud800", "ü".repeat(32), ""])
// Nobody has so long a name, but somebody may ask for it.
const asked = Schema.Literals([...user.literals, "ü".repeat(300)])
const address = Schema.Literals(["192.0.2.1", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", "127.0.0.1", "loopback"])
const which = Schema.Struct({ user: Schema.optionalKey(asked), address: Schema.optionalKey(address) })
const Step = Schema.Union([
  Schema.Struct({ do: Schema.tag("tries"), user, address, times: Schema.Literals([1, 10, 25, 1_000]) }),
  Schema.Struct({ do: Schema.tag("lift"), which, shown: Schema.Boolean, interrupted: Schema.Boolean }),
  Schema.Struct({ do: Schema.tag("waits"), milliseconds: Schema.Literals([1, 5_000, 30_000, 10_000_000]) }),
  Schema.Struct({ do: Schema.tag("session"), user, name: user, bytes: Schema.Literals([0, 0.1, 1e300]) })
])
type Step = (typeof Step)["Type"]

const lookOf = ({ bytes, name, user }: Extract<Step, { readonly do: "session" }>): ReturnType<Look> => ({
  state: "transferring",
  peer: "192.0.2.1",
  since: bytes,
  user,
  received: bytes,
  sent: 0,
  receivedPerSecond: bytes,
  sentPerSecond: 0,
  transfer: { command: "upload", name, bytes }
})

/** What is answered at every step. */
const answers = Effect.fnUntraced(function* (steps: ReadonlyArray<Step>) {
  const { bans, lift, status } = yield* Control
  const guard = yield* LoginGuard
  const sessions = yield* ServerStatus
  const all: Array<unknown> = []
  for (const step of steps) {
    if (step.do === "waits") yield* TestClock.adjust(step.milliseconds)
    else if (step.do === "session") yield* sessions.attend(() => lookOf(step))
    else if (step.do === "tries") {
      const tried = guard.attempt(step.user, Peer.fromAddress(step.address))
      for (let count = 0; count < step.times; count += 1) yield* tried
    } else {
      const { user } = (yield* bans).bans.find((one) => one.user !== undefined) ?? {}
      const meant = step.shown && user !== undefined ? { ...step.which, user } : step.which
      // Whether or not it was done: it may be asked again, and then it is.
      if (step.interrupted) {
        yield* Effect.flatMap(Effect.forkChild(lift(meant), { startImmediately: true }), Fiber.interrupt)
        yield* lift(meant)
      } else all.push(yield* lift(meant))
    }
    all.push(yield* status, yield* bans)
  }
  return all
}, Effect.scoped)

const parts = Layer.merge(LoginGuard.layer, ServerStatus.layer)
// Of both: their key hashes the names.
const accounts = Layer.orDie(Layer.provide(Fixture.accounts, Opaque.layerQuick))
const inProcess = Layer.provideMerge(Control.layer(Effect.undefined), parts)
const overSocket = Layer.unwrap(
  Effect.map(MemorySocket.MemoryNetwork, ({ dial }) => ControlSocket.layer(dial, () => "nobody listens"))
).pipe(
  Layer.provide(Layer.provide(Layer.effectDiscard(ControlSocket.serve), inProcess)),
  Layer.provideMerge(Layer.merge(parts, MemorySocket.layer))
)

describe("a server that is asked over a socket", () => {
  it.effect.prop(
    "answers as it does in its process",
    [Schema.Array(Step).check(Schema.isMaxLength(8))],
    ([steps]) =>
      Effect.gen(function* () {
        const run = <R>(layer: Layer.Layer<Control | LoginGuard | ServerStatus, never, R>) =>
          answers(steps).pipe(Effect.provide(Layer.fresh(layer)), Effect.provide(TestClock.layer()))
        assert.deepStrictEqual(yield* run(overSocket), yield* run(inProcess))
      }).pipe(Effect.provide(accounts)),
    { arbitrary: { runs: 60 } }
  )
})
