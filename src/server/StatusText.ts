/**
 * A server's status as a person reads it, and as a script does.
 */
import * as Figures from "../domain/file/Figures.ts"
import { printable } from "../domain/file/Printable.ts"
import type { Ban, Bans, Status } from "./Control.ts"
import type { SessionStatus } from "./ServerStatus.ts"

/** How the server is, each session in a line, and each ban. */
export const status = (now: Status): string => {
  const { sessions, sessionsLeftOut } = now
  const state = now.notReady === undefined ? "serving" : notReady[now.notReady]
  const transfers = sessions.filter((session) => session.state === "transferring").length
  const rates = `receives ${Figures.rate(now.receivedPerSecond)}, sends ${Figures.rate(now.sentPerSecond)}`
  const counts = `${counted(sessions.length + sessionsLeftOut, "session")}, ${counted(transfers, "transfer")}`
  return [
    `${state}, started ${Figures.minute(now.since)} UTC; ${counts}; ${rates}`,
    ...(sessions.length === 0
      ? []
      : [
          "",
          ...table([
            ["SESSION", "USER", "PEER", "SINCE (UTC)", "RECEIVED", "SENT", "NOW"],
            ...sessions.map((session) => sessionRow(session))
          ]),
          ...leftOut(sessionsLeftOut)
        ]),
    ...(now.bans.length === 0 ? [] : ["", bans(now)])
  ].join("\n")
}

/** Each ban in a line. */
export const bans = ({ bans, bansLeftOut }: Bans): string =>
  [...table([["USER", "ADDRESS", "MAY TRY IN"], ...bans.map(banRow)]), ...leftOut(bansLeftOut)].join("\n")

const notReady = {
  starting: "starting",
  stopping: "stopping",
  "audit-failed": "refusing commands: the audit log cannot be written",
  "accounts-failed": "letting nobody in: the accounts cannot be read ('user list' says why)",
  "root-moved": "serving a folder that is not at its path any more: restart it"
} as const

const sessionRow = (session: SessionStatus): ReadonlyArray<string> => [
  String(session.id),
  printable(session.user ?? "-"),
  printable(session.peer),
  Figures.minute(session.since),
  Figures.size(session.received),
  Figures.size(session.sent),
  doing(session)
]

const doing = ({ receivedPerSecond, sentPerSecond, state, transfer }: SessionStatus): string => {
  if (transfer === undefined) return state === "before-login" ? "before login" : state
  const { bytes, command, name, size } = transfer
  const share =
    size === undefined
      ? Figures.size(bytes)
      : `${size === 0 ? 100 : Math.floor((100 * bytes) / size)} % of ${Figures.size(size)}`
  const rate = Figures.rate(Math.max(receivedPerSecond, sentPerSecond))
  return [command, ...(name === undefined ? [] : [printable(name)]), `${share},`, rate].join(" ")
}

/** `*` is no user name and no address: everybody, or everywhere but on this machine. */
const banRow = ({ address, loopback, retryAfterMilliseconds, user }: Ban): ReadonlyArray<string> => [
  printable(user ?? "*"),
  printable(address ?? (loopback ? "loopback" : "*")),
  Figures.clock(retryAfterMilliseconds)
]

const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`

const leftOut = (count: number): ReadonlyArray<string> => (count === 0 ? [] : [`and ${count} more`])

/** Columns as wide as their widest cell; the last one is as it is. */
const table = (rows: ReadonlyArray<ReadonlyArray<string>>): ReadonlyArray<string> => {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows.map((row) =>
    row.map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0))).join("  ")
  )
}
