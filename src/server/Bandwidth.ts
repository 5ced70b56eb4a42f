/**
 * How fast bytes may flow: over the whole server, over all sessions of an account, and over one session, each
 * direction apart.
 */
import { Context, Effect, Layer, type Scope } from "effect"
import * as TokenBucket from "../domain/channel/TokenBucket.ts"
import * as Monotonic from "../domain/Monotonic.ts"
import type { Grant } from "../domain/session/Grant.ts"
import { ServerLimits } from "./ServerLimits.ts"

/** As the server sees it. */
export type Direction = "received" | "sent"

/** The share of one session. */
export interface Share {
  /** Takes bytes of every level; how long they must wait, milliseconds. 0 where nothing is limited. */
  readonly take: (direction: Direction, bytes: number) => number
  /** How long what was taken last must still wait: a rate may be another one by now. */
  readonly left: (direction: Direction) => number
  /** What was taken last never flows: nobody waits for it. */
  readonly giveBack: (direction: Direction) => void
}

/** What flows in one direction, at one level. */
interface Pipe {
  bucket: TokenBucket.TokenBucket
  /** the rate by which the bucket's debt is to be paid */
  bytesPerSecond: number
  /** in all, without what was given back */
  taken: number
  /** of all sessions that share it */
  readonly tickets: Set<Ticket>
}

type Line = Readonly<Record<Direction, Pipe>>

const newPipe = (): Pipe => ({ bucket: TokenBucket.full, bytesPerSecond: 0, taken: 0, tickets: new Set() })
const newLine = (): Line => ({ received: newPipe(), sent: newPipe() })

/** What is owed is bytes: another rate pays them in another time. */
const setRate = (pipe: Pipe, bytesPerSecond: number, now: number): void => {
  if (bytesPerSecond === pipe.bytesPerSecond) return
  const owed = pipe.bucket.paidAt - now
  if (owed > 0) pipe.bucket = { paidAt: now + (owed * pipe.bytesPerSecond) / bytesPerSecond }
  pipe.bytesPerSecond = bytesPerSecond
}

/** What one session took last at one level. */
interface Ticket {
  readonly pipe: Pipe
  readonly rate: () => number
  bytes: number
  /** all that was taken until then */
  until: number
}

const ticketOf = (pipe: Pipe, rate: () => number): Ticket => {
  const ticket = { pipe, rate, bytes: 0, until: 0 }
  pipe.tickets.add(ticket)
  return ticket
}

const takeFrom = (ticket: Ticket, now: number, bytes: number): number => {
  const { pipe } = ticket
  const rate = ticket.rate()
  ticket.bytes = rate === 0 ? 0 : bytes
  if (rate === 0) return 0
  setRate(pipe, rate, now)
  const { bucket, waitMilliseconds } = TokenBucket.take(pipe.bucket, rate, now, bytes)
  pipe.bucket = bucket
  ticket.until = pipe.taken += bytes
  return waitMilliseconds
}

const leftOf = ({ bytes, pipe, rate, until }: Ticket, now: number): number => {
  const bytesPerSecond = rate()
  if (bytesPerSecond === 0 || bytes === 0) return 0
  setRate(pipe, bytesPerSecond, now)
  // Those who came later wait for more.
  return Math.max(0, pipe.bucket.paidAt - now - ((pipe.taken - until) * 1000) / bytesPerSecond)
}

const giveBackTo = (ticket: Ticket): void => {
  const { bytes, pipe, until } = ticket
  ticket.bytes = 0
  if (bytes === 0) return
  pipe.bucket = { paidAt: pipe.bucket.paidAt - (bytes * 1000) / pipe.bytesPerSecond }
  pipe.taken -= bytes
  // Those who came later move up; those who came before wait as long as they did.
  for (const other of pipe.tickets) if (other.until > until) other.until -= bytes
}

/** What a session takes of every level. */
type Tickets = Readonly<Record<Direction, ReadonlyArray<Ticket>>>

const ticketsOf = (
  limits: ServerLimits,
  { account, server, session }: { readonly [Level in "account" | "server" | "session"]: Line },
  rates: Grant["bytesPerSecond"]
): Tickets => ({
  received: [
    ticketOf(server.received, () => limits.receiveBytesPerSecond),
    ticketOf(account.received, () => rates?.up ?? limits.accountReceiveBytesPerSecond),
    ticketOf(session.received, () => limits.sessionReceiveBytesPerSecond)
  ],
  sent: [
    ticketOf(server.sent, () => limits.sendBytesPerSecond),
    ticketOf(account.sent, () => rates?.down ?? limits.accountSendBytesPerSecond),
    ticketOf(session.sent, () => limits.sessionSendBytesPerSecond)
  ]
})

/** Port: shares out the server's bandwidth. Buckets of an account live as long as one of its sessions. */
export class Bandwidth extends Context.Service<
  Bandwidth,
  {
    /** The share of a session of that user, whose account may have rates of its own. */
    readonly join: (user: string, rates: Grant["bytesPerSecond"]) => Effect.Effect<Share, never, Scope.Scope>
  }
>()("paradrop/server/Bandwidth") {
  static readonly layer: Layer.Layer<Bandwidth> = Layer.effect(
    Bandwidth,
    Effect.gen(function* () {
      const limits = yield* ServerLimits
      const now = yield* Monotonic.clock
      const server = newLine()
      const accounts = new Map<string, { readonly line: Line; sessions: number }>()

      const enter = (user: string): Line => {
        const known = accounts.get(user) ?? { line: newLine(), sessions: 0 }
        known.sessions += 1
        accounts.set(user, known)
        return known.line
      }

      const leave = (user: string): void => {
        const known = accounts.get(user)
        if (known === undefined) return
        known.sessions -= 1
        if (known.sessions === 0) accounts.delete(user)
      }

      return Bandwidth.of({
        join: (user, rates) =>
          Effect.map(
            Effect.acquireRelease(
              Effect.sync(() => ticketsOf(limits, { server, account: enter(user), session: newLine() }, rates)),
              (tickets) =>
                Effect.sync(() => {
                  for (const ticket of [...tickets.received, ...tickets.sent]) ticket.pipe.tickets.delete(ticket)
                  leave(user)
                })
            ),
            (tickets): Share => {
              const longest = (direction: Direction, of: (ticket: Ticket) => number): number =>
                tickets[direction].reduce((most, ticket) => Math.max(most, of(ticket)), 0)
              return {
                take: (direction, bytes) => {
                  const at = now()
                  return longest(direction, (ticket) => takeFrom(ticket, at, bytes))
                },
                left: (direction) => {
                  const at = now()
                  return longest(direction, (ticket) => leftOf(ticket, at))
                },
                giveBack: (direction) => tickets[direction].forEach(giveBackTo)
              }
            }
          )
      })
    })
  )
}
