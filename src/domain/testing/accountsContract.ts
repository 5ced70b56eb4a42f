/**
 * The contract suite of the `Accounts` port, as data: any test runner can run it on any layer.
 *
 * Each case starts with accounts that are empty, and fails with `ContractBroken` (or with the layer's own failure) when
 * the layer does not keep the contract.
 */
import { Effect, Redacted, Result } from "effect"
import * as Bytes from "../Bytes.ts"
import { UserName } from "../channel/HandshakeMessage.ts"
import { recordBytes, type RegistrationRecord, setupBytes } from "../channel/Opaque.ts"
import { Accounts } from "../session/Accounts.ts"
import { everything, type Grant, type Right, rights } from "../session/Grant.ts"
import { FileName } from "../file/FileName.ts"
import { equal, failure } from "./Contract.ts"
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

const some: Grant = {
  root: FileName.make("teams/e.v_e"),
  rights: ["list", "write"],
  quota: { bytes: 0, files: 7 },
  bytesPerSecond: { up: 1 }
}

const addsWithAGrant = Effect.gen(function* () {
  const accounts = yield* Accounts
  yield* accounts.add(eve, record(1), 5, some)
  yield* accounts.add(ada, record(2), 6, everything)
  const grants = yield* accounts.grants
  yield* equal("the grant that was given", grants(eve), some)
  yield* equal("the grant of another", grants(ada), everything)
  yield* equal("the grant of nobody", grants(bob), undefined)
  yield* equal("the list", yield* accounts.list, [
    { user: ada, created: 6, disabled: false, grant: everything },
    { user: eve, created: 5, disabled: false, grant: some }
  ])
})

const addsOnce = Effect.gen(function* () {
  const accounts = yield* Accounts
  const both = [accounts.add(ada, record(1), 5, everything), accounts.add(ada, record(2), 6, some)]
  const outcomes = yield* Effect.forEach(both, (add) => Effect.result(add), { concurrency: "unbounded" })
  yield* equal("additions of one name at once", outcomes.filter(Result.isSuccess).length, 1)
  const again = yield* failure("adding again", accounts.add(ada, record(3), 7, some))
  yield* equal("the refusal", again._tag, "AccountExists")
  const first = outcomes.findIndex(Result.isSuccess)
  yield* expectFound(ada, record(first + 1))
})

const changesOnlyWhatIsChanged = Effect.gen(function* () {
  const accounts = yield* Accounts
  yield* accounts.add(ada, record(1), 5, everything)
  yield* accounts.change(ada, (before) => ({ ...before, grant: some }))
  yield* expectFound(ada, record(1))
  yield* accounts.put(ada, record(2), 9)
  yield* expectFound(ada, record(2))
  yield* equal("the grant after a new password", (yield* accounts.grants)(ada), some)
  const nobody = yield* failure(
    "changing nobody",
    accounts.change(bob, (before) => before)
  )
  yield* equal("the refusal", nobody._tag, "NoSuchAccount")
  yield* expectList([[ada, 5]])
})

const disabledIsLikeNone = Effect.gen(function* () {
  const accounts = yield* Accounts
  yield* accounts.add(ada, record(1), 5, some)
  const early = yield* accounts.grants
  yield* accounts.change(ada, (before) => ({ ...before, disabled: true }))
  yield* expectFound(ada, undefined)
  yield* equal("the grant of a disabled account", (yield* accounts.grants)(ada), undefined)
  yield* equal("an earlier look", early(ada), some)
  const [listed] = yield* accounts.list
  yield* equal("the list", listed, { user: ada, created: 5, revoked: 1, disabled: true, grant: some })
  // A new password does not bring it back: only enabling does.
  yield* accounts.put(ada, record(2), 6)
  yield* expectFound(ada, undefined)
  yield* accounts.change(ada, (before) => ({ ...before, disabled: false }))
  yield* expectFound(ada, record(2))
  yield* equal("the grant again", (yield* accounts.grants)(ada), some)
})

const countsEnds = Effect.gen(function* () {
  const accounts = yield* Accounts
  const revoked = Effect.map(accounts.list, ([listed]) => listed?.revoked)
  yield* accounts.add(ada, record(1), 5, everything)
  yield* accounts.change(ada, (before) => ({ ...before, disabled: false, grant: { rights: ["list"] } }))
  yield* accounts.put(ada, record(2), 6)
  yield* equal("ends of an account that kept its sessions", yield* revoked, undefined)
  yield* accounts.change(ada, (before) => ({ ...before, disabled: true }))
  yield* accounts.change(ada, (before) => ({ ...before, disabled: true }))
  yield* accounts.change(ada, (before) => ({ ...before, disabled: false }))
  yield* equal("ends of one that was disabled", yield* revoked, 1)
  yield* accounts.change(ada, (before) => ({ ...before, grant: some }))
  yield* accounts.change(ada, (before) => ({ ...before, grant: everything }))
  yield* accounts.put(ada, record(3), 7)
  yield* equal("ends of one that was moved and moved back as well", yield* revoked, 3)
})

const editionsDiffer = Effect.gen(function* () {
  const accounts = yield* Accounts
  const seen = [yield* accounts.edition]
  const note = Effect.map(accounts.edition, (edition) => void seen.push(edition))
  yield* Effect.andThen(accounts.add(ada, record(1), 5, everything), note)
  yield* Effect.andThen(accounts.remove(ada), note)
  yield* expectEqual("editions after two edits", String(new Set(seen).size), "3")
  yield* Effect.ignore(accounts.remove(ada))
  yield* accounts.list
  yield* expectEqual("the edition after none", yield* accounts.edition, seen.at(-1) ?? "")
})

const changesAtOnce = Effect.gen(function* () {
  const accounts = yield* Accounts
  yield* accounts.add(ada, record(1), 5, { rights: [] })
  const give = (right: Right) =>
    accounts.change(ada, (before) => ({
      ...before,
      grant: { ...before.grant, rights: [...before.grant.rights, right] }
    }))
  yield* Effect.forEach(rights, give, { concurrency: "unbounded" })
  const held = (yield* accounts.grants)(ada)?.rights ?? []
  yield* equal("rights given at once", held.toSorted().join(), rights.toSorted().join())
})

const stretchesBeforeTheFirst = Effect.gen(function* () {
  const accounts = yield* Accounts
  yield* accounts.stretch(3)
  yield* equal("the stretching that was chosen", accounts.stretching, 3)
  yield* accounts.add(ada, record(1), 5, everything)
  yield* accounts.change(ada, (before) => ({ ...before, disabled: true }))
  const refused = yield* failure("another stretching", accounts.stretch(1))
  yield* equal("why there is no other", refused._tag, "StretchingFixed")
  yield* equal("the stretching that stays", accounts.stretching, 3)
  yield* accounts.remove(ada)
  yield* accounts.stretch(2)
  yield* equal("the stretching when nobody is left", accounts.stretching, 2)
})

/** What every `Accounts` layer promises. */
export const accountsContract: ReadonlyArray<AccountsCase> = [
  { name: "finds the record that was put, and no other", effect: findsWhatWasPut },
  { name: "a second record replaces the first, and the account keeps its day", effect: replacesAndKeepsTheDay },
  { name: "removes one account, and says when there is none", effect: removesOne },
  { name: "lists by name, whatever the order of adding", effect: listsByName },
  { name: "adds with a grant, and gives it back", effect: addsWithAGrant },
  { name: "adds a name once, also when two do it at once", effect: addsOnce },
  { name: "changes one thing of an account and leaves the others", effect: changesOnlyWhatIsChanged },
  { name: "a disabled account is like none, until it is enabled", effect: disabledIsLikeNone },
  { name: "counts how often an account's sessions were ended", effect: countsEnds },
  { name: "tells of an edit that was taken back", effect: editionsDiffer },
  { name: "each of several changes at once sees the one before", effect: changesAtOnce },
  { name: "the stretching is chosen while there is no account", effect: stretchesBeforeTheFirst },
  { name: "the setup has its length and never changes", effect: setupStays },
  { name: "edits at once are all kept", effect: editsAtOnce },
  { name: "what the giver does with the bytes later does not matter", effect: bytesAreItsOwn }
]
