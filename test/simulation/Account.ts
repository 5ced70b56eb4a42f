/**
 * Accounts of a simulation: passwords that change while sessions are open, and the root of each.
 *
 * A password is a register like a name of the store: it may be any that a change has put there that has begun, unless
 * the change was refused or another was acknowledged since. Every login is judged against it.
 */
import { Cause, Context, Effect, Exit, Option, Redacted, type Scope } from "effect"
import type { Socket } from "effect/socket"
import * as Client from "../../src/client/Client.ts"
import type { CommandError, LoginError } from "../../src/client/ClientError.ts"
import type { ClientSession } from "../../src/client/ClientSession.ts"
import { fromUtf8 } from "../../src/domain/Bytes.ts"
import type { UserName } from "../../src/domain/channel/HandshakeMessage.ts"
import type { Password } from "../../src/domain/channel/Opaque.ts"
import { type ContentDigest, Digest, digestOf } from "../../src/domain/file/Digest.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import type { Change } from "./History.ts"
import * as World from "./World.ts"

/** Who uses an account, and what they believe its password to be: by number, 0 is the one of the beginning. */
export interface Owner {
  readonly user: UserName
  password: number
}

const passwordOf = (user: UserName, number: number): Password => {
  const first = user === Fixture.ada.user ? Fixture.ada.password : Fixture.grace.password
  return number === 0 ? first : Redacted.make(`password ${number} of ${user}`)
}

const heldAs = (world: World.World, user: UserName, number: number): ContentDigest =>
  digestOf(Context.get(world.shared.services, Digest), [fromUtf8(Redacted.value(passwordOf(user, number)))])

/** Puts a password there, from now on; known for those who are told. */
export const begin = (world: World.World, user: UserName, number: number): Change => {
  const known = world.passwordsOf.get(user) ?? []
  world.passwordsOf.set(user, known.includes(number) ? known : [...known, number])
  return world.passwords.begin(user, { _tag: "Content", digest: heldAs(world, user, number), size: 0 })
}

/** The passwords that the account began with. */
export const register = (world: World.World): void => {
  for (const user of world.shared.registered.records.keys()) world.passwords.end(begin(world, user, 0), "acknowledged")
}

/** The passwords that may have held at some moment since then, the youngest first. */
const candidates = (world: World.World, user: UserName, since: number): ReadonlyArray<number> => {
  const held = new Set(world.passwords.contents(user, since, world.passwords.now()).map(({ digest }) => digest))
  return (world.passwordsOf.get(user) ?? []).filter((number) => held.has(heldAs(world, user, number))).toReversed()
}

/** Whether that password was to be refused, or to be taken, at any moment since then. */
export const verdict = (world: World.World, { password, user }: Owner, since: number): "wrong" | "right" | "either" => {
  const all = candidates(world, user, since)
  if (!all.includes(password)) return "wrong"
  return all.length === 1 ? "right" : "either"
}

interface Attempt extends Owner {
  readonly dial: Effect.Effect<Socket.Socket>
  /** who tries, for a violation */
  readonly who: string
}

/** One login, judged. */
const logIn = Effect.fnUntraced(function* (world: World.World, { dial, password, user, who }: Attempt) {
  const began = world.passwords.now()
  const judge = (exit: Exit.Exit<unknown, LoginError | CommandError>): void => {
    const must = verdict(world, { user, password }, began)
    const failure = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.findErrorOption(exit.cause)) : undefined
    if (Exit.isSuccess(exit) && must === "wrong")
      World.violate(world, `${who} logged in as ${user} with password ${password}, which does not hold`)
    if (failure?._tag === "LoginIncorrect" && must === "right")
      World.violate(world, `${who} was refused as ${user} with password ${password}, which holds`)
    if (failure?._tag !== "LoginIncorrect" || must === "right") return
    World.note(world, `${who} was refused as ${user} with password ${password}`)
    World.count(world, "a password that was replaced is refused")
  }
  return yield* Effect.onExit(
    Client.connect({ server: "memory", dial, user, password: passwordOf(user, password) }),
    (exit) => Effect.sync(() => judge(exit))
  )
})

/** Logs in as its owner would: after a wrong password with the ones that others of the account have set since. */
export const connect = (
  world: World.World,
  owner: Owner,
  dial: Effect.Effect<Socket.Socket>,
  who: string
): Effect.Effect<ClientSession, LoginError | CommandError, Client.ClientServices | Scope.Scope> => {
  const attempt = (left: ReadonlyArray<number>): ReturnType<typeof connect> => {
    const { password, user } = owner
    return Effect.catchTag(logIn(world, { user, password, dial, who }), "LoginIncorrect", (incorrect) => {
      const [next, ...rest] = left.filter((number) => number !== password)
      if (next === undefined) return Effect.fail(incorrect)
      owner.password = next
      return Effect.tap(attempt(rest), () =>
        Effect.sync(() => World.count(world, "a login with what another session has set"))
      )
    })
  }
  return Effect.suspend(() => attempt(candidates(world, owner.user, world.passwords.now())))
}

/** Somebody who knows a password of before the last change: of the first account, the one it began with. */
export const latecomer = Effect.fnUntraced(function* (world: World.World, id: number): Effect.fn.Return<void> {
  const { user } = Fixture.ada
  const held = candidates(world, user, world.passwords.now())
  const password = (world.passwordsOf.get(user) ?? []).find((number) => !held.includes(number)) ?? 0
  const exit = yield* Effect.exit(
    Effect.scoped(logIn(world, { user, password, dial: World.dial(world, Effect.never), who: `#${id}` }))
  ).pipe(Effect.provide(world.shared.services))
  World.note(world, `#${id} password ${password} of ${user}: ${Exit.isSuccess(exit) ? "taken" : "refused"}`)
  if (Exit.isFailure(exit) && Option.isNone(Cause.findErrorOption(exit.cause)))
    World.violate(world, `#${id} ended with a defect`)
})

/** What a command of a session that changes the password is asked for. */
export const change = (owner: Owner, next: number) => ({
  user: owner.user,
  current: passwordOf(owner.user, owner.password),
  next: passwordOf(owner.user, next)
})
