/**
 * The contract suite of the `Accounts` port, as data: any test runner can run it on any layer.
 *
 * Each case starts with accounts that are empty, and fails with `ContractBroken` (or with the layer's own failure) when
 * the layer does not keep the contract.
 */
import { Effect, Redacted } from "effect"
import * as Bytes from "../Bytes.ts"
import { UserName } from "../channel/HandshakeMessage.ts"
import { recordBytes, type RegistrationRecord, setupBytes } from "../channel/Opaque.ts"
import { Accounts } from "../session/Accounts.ts"
import { ContractBroken } from "./ContractBroken.ts"

/** One promise of the port and the effect that checks it. */
export interface AccountsCase {
  readonly name: string
  readonly effect: Effect.Effect<void, unknown, Accounts>
}

const ada = UserName.make("ada")
const bob = UserName.make("bob-2")
const eve = UserName.make("e.v_e")

const record = (seed: number): RegistrationRecord =>
  Redacted.make(Uint8Array.from({ length: recordBytes }, (_, index) => (index * 31 + seed * 101) & 0xff))

const expectEqual = (what: string, actual: string, expected: string): Effect.Effect<void, ContractBroken> =>
  actual === expected ? Effect.void : Effect.fail(new ContractBroken({ expected: `${what}: ${expected}`, actual }))

const hold = (found: RegistrationRecord | undefined): string =>
  found === undefined ? "no record" : Redacted.value(found).join(" ")

const expectFound = (user: UserName, expected: RegistrationRecord | undefined) =>
  Effect.gen(function* () {
    const found = yield* (yield* Accounts).find(user)
    yield* expectEqual(`the record of '${user}'`, hold(found), hold(expected))
  })

const expectList = (expected: ReadonlyArray<readonly [UserName, number]>) =>
  Effect.gen(function* () {
    const list = yield* (yield* Accounts).list
    const text = (pairs: ReadonlyArray<readonly [UserName, number]>) => JSON.stringify(pairs)
    yield* expectEqual("the list", text(list.map(({ created, user }) => [user, created])), text(expected))
  })

const findsWhatWasPut = Effect.gen(function* () {
  const accounts = yield* Accounts
  yield* expectList([])
  yield* expectFound(ada, undefined)
  yield* accounts.put(ada, record(1), 5)
  yield* expectFound(ada, record(1))
  yield* expectFound(bob, undefined)
})

const replacesAndKeepsTheDay = Effect.gen(function* () {
  const accounts = yield* Accounts
  yield* accounts.put(ada, record(1), 5)
  yield* accounts.put(ada, record(2), 9)
  yield* expectFound(ada, record(2))
  yield* expectList([[ada, 5]])
})

const removesOne = Effect.gen(function* () {
  const accounts = yield* Accounts
  yield* accounts.put(ada, record(1), 5)
  yield* accounts.put(bob, record(2), 6)
  yield* accounts.remove(ada)
  yield* expectFound(ada, undefined)
  yield* expectFound(bob, record(2))
  const again = yield* Effect.flip(accounts.remove(ada))
  yield* expectEqual("the second removal", again._tag, "NoSuchAccount")
  yield* expectList([[bob, 6]])
})

const listsByName = Effect.gen(function* () {
  const accounts = yield* Accounts
  for (const [index, user] of [eve, ada, bob].entries()) yield* accounts.put(user, record(index), index)
  yield* expectList([
    [ada, 1],
    [bob, 2],
    [eve, 0]
  ])
})

const setupStays = Effect.gen(function* () {
  const accounts = yield* Accounts
  const before = yield* accounts.setup
  yield* expectEqual("the setup's length", `${Redacted.value(before).length}`, `${setupBytes}`)
  yield* accounts.put(ada, record(1), 5)
  const after = yield* accounts.setup
  const same = Bytes.equals(Redacted.value(before), Redacted.value(after))
  yield* expectEqual("the setup after an edit", same ? "the same" : "another", "the same")
})

const editsAtOnce = Effect.gen(function* () {
  const accounts = yield* Accounts
  const users = Array.from({ length: 8 }, (_, index) => UserName.make(`user${index}`))
  yield* Effect.forEach(users, (user, index) => accounts.put(user, record(index), index), { concurrency: "unbounded" })
  yield* expectList(users.map((user, index) => [user, index]))
  for (const [index, user] of users.entries()) yield* expectFound(user, record(index))
})

const bytesAreItsOwn = Effect.gen(function* () {
  const accounts = yield* Accounts
  const given = record(1)
  yield* accounts.put(ada, given, 5)
  Redacted.value(given).fill(0)
  yield* expectFound(ada, record(1))
})

/** What every `Accounts` layer promises. */
export const accountsContract: ReadonlyArray<AccountsCase> = [
  { name: "finds the record that was put, and no other", effect: findsWhatWasPut },
  { name: "a second record replaces the first, and the account keeps its day", effect: replacesAndKeepsTheDay },
  { name: "removes one account, and says when there is none", effect: removesOne },
  { name: "lists by name, whatever the order of adding", effect: listsByName },
  { name: "the setup has its length and never changes", effect: setupStays },
  { name: "edits at once are all kept", effect: editsAtOnce },
  { name: "what the giver does with the bytes later does not matter", effect: bytesAreItsOwn }
]
