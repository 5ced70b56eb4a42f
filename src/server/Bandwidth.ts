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
}

interface Line {
  received: TokenBucket.TokenBucket
  sent: TokenBucket.TokenBucket
}

const newLine = (): Line => ({ received: TokenBucket.full, sent: TokenBucket.full })

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

      const takeFrom = (line: Line, direction: Direction, bytesPerSecond: number, bytes: number): number => {
        if (bytesPerSecond === 0) return 0
        const { bucket, waitMilliseconds } = TokenBucket.take(line[direction], bytesPerSecond, now(), bytes)
        line[direction] = bucket
        return waitMilliseconds
      }

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
              Effect.sync(() => enter(user)),
              () => Effect.sync(() => leave(user))
            ),
            (account): Share => {
              const session = newLine()
              const accountRate = (direction: Direction): number =>
                direction === "received"
                  ? (rates?.up ?? limits.accountReceiveBytesPerSecond)
                  : (rates?.down ?? limits.accountSendBytesPerSecond)
              return {
                take: (direction, bytes) => {
                  const receives = direction === "received"
                  const ofServer = receives ? limits.receiveBytesPerSecond : limits.sendBytesPerSecond
                  const ofSession = receives ? limits.sessionReceiveBytesPerSecond : limits.sessionSendBytesPerSecond
                  return Math.max(
                    takeFrom(server, direction, ofServer, bytes),
                    takeFrom(account, direction, accountRate(direction), bytes),
                    takeFrom(session, direction, ofSession, bytes)
                  )
                }
              }
            }
          )
      })
    })
  )
}
