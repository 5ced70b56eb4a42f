/**
 * What every `Control` layer keeps. Each case runs on a server of its own, at time 0, that knows `ada` and `grace`.
 */
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { utf8Length } from "../../domain/Bytes.ts"
import * as limits from "../../domain/limits.ts"
import { type ContractCase, equal } from "../../domain/testing/Contract.ts"
import { type Ban, Control } from "../Control.ts"
import { LoginGuard } from "../LoginGuard.ts"
import * as Peer from "../Peer.ts"
import { type Look, ServerStatus } from "../ServerStatus.ts"

/** What the cases act on, and ask. */
export type Controlled = Control | LoginGuard | ServerStatus

const idle: ReturnType<Look> = {
  state: "idle",
  peer: "192.0.2.1",
  since: 0,
  user: "ada",
  received: 3,
  sent: 4,
  receivedPerSecond: 0.5,
  sentPerSecond: 2
}

const attend = (look: ReturnType<Look>) => Effect.flatMap(ServerStatus, (status) => status.attend(() => look))

/** Tries as often as is needed to be banned as that user at that address, and no more. */
export const ban = (user: string, address: string) =>
  Effect.gen(function* () {
    const guard = yield* LoginGuard
    const peer = Peer.fromAddress(address)
    while ((yield* guard.attempt(user, peer))._tag === "Allowed");
  })

const retryAfterMilliseconds = limits.attemptPerUserAndAddressMilliseconds
const adasBan: Ban = { user: "ada", address: "192.0.2.1", loopback: false, retryAfterMilliseconds }

const subjects = Effect.gen(function* () {
  const { bans } = yield* (yield* Control).bans
  return bans.map(({ address, user }) => `${user} ${address}`)
})

const lift = (which: { readonly user?: string; readonly address?: string }) =>
  Effect.flatMap(Control, (control) => control.lift(which))

/** What every `Control` layer promises. */
export const controlContract: ReadonlyArray<ContractCase<Controlled>> = [
  {
    name: "a server without sessions and bans says so, and since when it runs",
    effect: Effect.gen(function* () {
      yield* TestClock.adjust(5_000)
      yield* equal("status", yield* (yield* Control).status, {
        time: 5_000,
        since: 0,
        receivedPerSecond: 0,
        sentPerSecond: 0,
        sessions: [],
        sessionsLeftOut: 0,
        bans: [],
        bansLeftOut: 0
      })
      yield* equal("bans", yield* (yield* Control).bans, { bans: [], bansLeftOut: 0 })
      yield* equal("lifted", yield* lift({}), 0)
    })
  },
  {
    name: "sessions are shown as they are, a peer's text escaped, and their rates are added",
    effect: Effect.scoped(
      Effect.gen(function* () {
        const transfer = { command: "upload", size: 10, bytes: 3 } as const
        yield* attend(idle)
        yield* attend({ ...idle, state: "transferring", transfer: { ...transfer, name: "a\u001b[2J\u202eb" } })
        const { receivedPerSecond, sentPerSecond, sessions } = yield* (yield* Control).status
        yield* equal("sessions", sessions, [
          { id: 1, ...idle },
          { id: 2, ...idle, state: "transferring", transfer: { ...transfer, name: "a\\x1b[2J\\u{202e}b" } }
        ])
        yield* equal("rates", [receivedPerSecond, sentPerSecond], [1, 4])
      })
    )
  },
  {
    name: "a list is cut where it has no room, and what is left out is counted and its rates too",
    effect: Effect.scoped(
      Effect.gen(function* () {
        const client = "c".repeat(4_000)
        yield* Effect.forEach(Array.from({ length: 300 }), () => attend({ ...idle, client }), { discard: true })
        const status = yield* (yield* Control).status
        const { sentPerSecond, sessions, sessionsLeftOut } = status
        yield* equal("all", sessions.length + sessionsLeftOut, 300)
        yield* equal("rates", sentPerSecond, 600)
        const room = limits.controlListBytesMax - utf8Length(JSON.stringify(sessions))
        yield* equal(`room for none (${room})`, room >= -1 && room < 4_200, true)
        yield* equal("answer", utf8Length(JSON.stringify(status)) < limits.controlAnswerBytesMax, true)
      })
    )
  },
  {
    name: "bans are shown, the longest first, and a name that no account has only as a hash",
    effect: Effect.gen(function* () {
      yield* ban("hunter2", "192.0.2.2")
      yield* TestClock.adjust(1)
      yield* ban("ada", "192.0.2.1")
      const { bans } = yield* (yield* Control).bans
      yield* equal("bans", bans.length, 2)
      yield* equal("ada's", bans[0], adasBan)
      const { user = "", ...other } = bans[1] ?? adasBan
      const rest = { address: "192.0.2.2", loopback: false, retryAfterMilliseconds: retryAfterMilliseconds - 1 }
      yield* equal("the other", other, rest)
      yield* equal(`hash ${user}`, /^unknown:[0-9a-f]{16}$/.test(user), true)
      yield* equal("status shows the same", (yield* (yield* Control).status).bans, bans)
    })
  },
  {
    name: "a ban passes by itself",
    effect: Effect.gen(function* () {
      yield* ban("ada", "192.0.2.1")
      yield* TestClock.adjust(retryAfterMilliseconds - 1)
      yield* equal("bans", yield* (yield* Control).bans, {
        bans: [{ ...adasBan, retryAfterMilliseconds: 1 }],
        bansLeftOut: 0
      })
      yield* TestClock.adjust(1)
      yield* equal("bans", yield* subjects, [])
    })
  },
  {
    name: "lift takes who matches all that is said, and counts",
    effect: Effect.gen(function* () {
      for (const user of ["ada", "grace"]) for (const last of [1, 2]) yield* ban(user, `192.0.2.${last}`)
      // Two users were tried from each address, which is as much as it may.
      const all = ["ada 192.0.2.1", "ada 192.0.2.2", "grace 192.0.2.1", "grace 192.0.2.2"]
      const sorted = Effect.map(subjects, (found) => found.filter((one) => !one.startsWith("undefined")).toSorted())
      yield* equal("all", yield* sorted, all)
      yield* equal("nobody", yield* lift({ user: "alan" }), 0)
      yield* equal("both", yield* lift({ user: "ada", address: "192.0.2.1" }), 1)
      yield* equal("the others", yield* sorted, all.slice(1))
      yield* equal("a user", yield* lift({ user: "ada" }), 1)
      yield* equal("the others", yield* sorted, all.slice(2))
      yield* equal("an address: alone, and with grace", yield* lift({ address: "192.0.2.1" }), 2)
      yield* equal("the other", yield* sorted, all.slice(3))
      yield* equal("all", yield* lift({}), 2)
      yield* equal("none", yield* subjects, [])
    })
  },
  {
    name: "lift takes a name as it is shown or as it was typed, and any address of a network",
    effect: Effect.gen(function* () {
      const guard = yield* LoginGuard
      for (const by of ["hash", "name", "network"]) {
        yield* ban("hunter2", "2001:db8:1:2:3:4:5:6")
        const { bans } = yield* (yield* Control).bans
        yield* equal("network", bans[0]?.address, "2001:db8:1:2::/64")
        const hash = bans[0]?.user ?? ""
        const which =
          by === "hash" ? { user: hash } : by === "name" ? { user: "hunter2" } : { address: "2001:db8:1:2::/64" }
        yield* equal(by, yield* lift(which), 1)
        const verdict = yield* guard.attempt("hunter2", Peer.fromAddress("2001:db8:1:2::9"))
        yield* equal("may try", verdict._tag, "Allowed")
        yield* lift({})
      }
    })
  },
  {
    name: "lift finds nobody by a name or an address that is longer than any",
    effect: Effect.gen(function* () {
      yield* ban("ada", "192.0.2.1")
      const long = "x".repeat(limits.controlTextCharactersMax + 1)
      yield* equal("user", yield* lift({ user: long }), 0)
      yield* equal("address", yield* lift({ user: "ada", address: long }), 0)
      yield* equal("still", yield* subjects, ["ada 192.0.2.1"])
    })
  },
  {
    name: "lift takes an address as it is shown: this machine, and one that a proxy names",
    effect: Effect.gen(function* () {
      const guard = yield* LoginGuard
      const proxied = Peer.proxied("::1")
      for (let attempt = 0; attempt < limits.attemptsPerUserAndAddressMax; attempt++)
        yield* guard.attempt("ada", proxied)
      const { bans } = yield* (yield* Control).bans
      yield* equal("shown", bans.length, 1)
      yield* equal("by proxy", yield* lift({ address: bans[0]?.address ?? "" }), 1)
      const here = Peer.fromAddress("127.0.0.1")
      const factor = limits.loopbackAttemptsFactor
      const attempts = limits.attemptsPerUserAndAddressMax * factor
      for (let attempt = 0; attempt < attempts; attempt++) yield* guard.attempt("ada", here)
      yield* equal("loopback", yield* lift({ address: "loopback" }), 1)
    })
  }
]
