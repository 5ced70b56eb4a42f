import { assert, describe, it } from "@effect/vitest"
import { asciiJson } from "../../src/domain/file/Printable.ts"
import type { Ban, Status } from "../../src/server/Control.ts"
import type { SessionStatus } from "../../src/server/ServerStatus.ts"
import * as StatusText from "../../src/server/StatusText.ts"

const since = Date.UTC(2026, 10, 24, 12, 53)
const quiet: Status = {
  time: since + 60_000,
  since,
  receivedPerSecond: 0,
  sentPerSecond: 0,
  sessions: [],
  sessionsLeftOut: 0,
  bans: [],
  bansLeftOut: 0
}
const stranger: SessionStatus = {
  id: 1,
  state: "before-login",
  peer: "192.0.2.1",
  since,
  received: 0,
  sent: 0,
  receivedPerSecond: 0,
  sentPerSecond: 0
}
const ada: SessionStatus = {
  ...stranger,
  id: 12,
  state: "transferring",
  user: "ada",
  received: 1_048_576,
  receivedPerSecond: 2_097_152,
  transfer: { command: "upload", name: "big.iso", size: 4_194_304, bytes: 1_048_576 }
}
const ban: Ban = { user: "grace", address: "192.0.2.1", loopback: false, retryAfterMilliseconds: 30_000 }

const lines = (text: string) => text.split("\n")

describe("StatusText", () => {
  it("a quiet server is one line", () => {
    const text = "serving, started 2026-11-24 12:53 UTC; 0 sessions, 0 transfers; receives 0 B/s, sends 0 B/s"
    assert.strictEqual(StatusText.status(quiet), text)
    assert.match(StatusText.status({ ...quiet, notReady: "starting" }), /^starting, started /)
    assert.match(StatusText.status({ ...quiet, notReady: "stopping" }), /^stopping, started /)
    assert.match(StatusText.status({ ...quiet, notReady: "audit-failed" }), /^refusing commands: the audit log /)
  })

  it("sessions and bans are tables, and what has no room is counted", () => {
    const busy = { ...quiet, receivedPerSecond: 2_097_152, sessions: [stranger, ada], sessionsLeftOut: 7 }
    assert.deepStrictEqual(lines(StatusText.status({ ...busy, bans: [ban], bansLeftOut: 1 })), [
      "serving, started 2026-11-24 12:53 UTC; 9 sessions, 1 transfer; receives 2.0 MiB/s, sends 0 B/s",
      "",
      "SESSION  USER  PEER       SINCE (UTC)       RECEIVED  SENT  NOW",
      "1        -     192.0.2.1  2026-11-24 12:53  0 B       0 B   before login",
      "12       ada   192.0.2.1  2026-11-24 12:53  1.0 MiB   0 B   upload big.iso 25 % of 4.0 MiB, 2.0 MiB/s",
      "and 7 more",
      "",
      "USER   ADDRESS    MAY TRY IN",
      "grace  192.0.2.1  0:30",
      "and 1 more"
    ])
  })

  it("a session shows what it is about", () => {
    const doing = (session: Partial<SessionStatus>) =>
      lines(StatusText.status({ ...quiet, sessions: [{ ...ada, ...session }] }))[3]
        ?.split("  ")
        .at(-1)
        ?.trim()
    const { transfer: _, ...idle } = ada
    const shown = lines(StatusText.status({ ...quiet, sessions: [{ ...idle, state: "idle" }] }))[3]
    assert.match(shown ?? "", / idle$/)
    assert.strictEqual(doing({ transfer: { command: "fetch", bytes: 0 } }), "fetch 0 B, 2.0 MiB/s")
    const empty = { command: "download", name: "e", size: 0, bytes: 0 } as const
    assert.strictEqual(doing({ transfer: empty }), "download e 100 % of 0 B, 2.0 MiB/s")
  })

  it("a ban says of whom and from where", () => {
    const { address: _a, user: _u, ...any } = ban
    const rows = [ban, { ...any, address: "2001:db8:0:0::/64" }, { ...any, user: "unknown:0123456789abcdef" }]
    const local = { ...any, user: "ada", loopback: true }
    assert.deepStrictEqual(lines(StatusText.bans({ bans: [...rows, local], bansLeftOut: 0 })).slice(1), [
      "grace                     192.0.2.1          0:30",
      "*                         2001:db8:0:0::/64  0:30",
      "unknown:0123456789abcdef  *                  0:30",
      "ada                       loopback           0:30"
    ])
  })

  it("nothing that a server says reaches the terminal unescaped", () => {
    const nasty = "\u001b[2J\u202e\u009b"
    const session = {
      ...ada,
      user: nasty,
      peer: nasty,
      transfer: { command: "upload", name: nasty, bytes: 0 } as const
    }
    const status = { ...quiet, sessions: [session], bans: [{ ...ban, user: nasty, address: nasty }] }
    assert.notMatch(StatusText.status(status).replaceAll("\n", ""), /[^ -~]/)
    assert.notMatch(asciiJson(status), /[^ -~]/)
    assert.deepStrictEqual(JSON.parse(asciiJson(status)), status)
  })
})
