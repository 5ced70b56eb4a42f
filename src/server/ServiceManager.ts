/**
 * What a server and the service manager that started it (systemd) say to each other: sd_notify(3), sd_listen_fds(3).
 *
 * Node has no datagram sockets of the Unix kind, so messages go through the manager's own `systemd-notify`, a process
 * for each; the unit must say `NotifyAccess=all`. A message that cannot be sent is logged, and stops nothing.
 */
import { Effect, type Scope } from "effect"
import { log } from "./LogEvent.ts"

export interface ServiceManager {
  /** Clients may connect. */
  readonly ready: Effect.Effect<void>
  /** Reloads, and tells of it while clients may connect: its end is said in the words that end a start. */
  readonly reloading: <R>(reload: Effect.Effect<void, never, R>) => Effect.Effect<void, never, R>
  /** The server stops, and may take so long for it: a reload meanwhile may make it another time, which is told too. */
  readonly stopping: (milliseconds: () => number) => Effect.Effect<void>
  /** Says that the server is alive, twice in each time that the manager waits for it; ends with the scope. */
  readonly beat: Effect.Effect<void, never, Scope.Scope>
}

export interface Options {
  readonly environment: { readonly [name: string]: string | undefined }
  readonly pid: number
  /** microseconds of the clock that does not jump (CLOCK_MONOTONIC) */
  readonly monotonic: Effect.Effect<bigint>
  /** Sends one message; fails with why it could not. */
  readonly send: (assignments: ReadonlyArray<string>) => Effect.Effect<void, string>
}

/** Silent when no service manager listens (`NOTIFY_SOCKET` is not set). */
export const make = ({ environment, monotonic, pid, send }: Options): ServiceManager => {
  const listens = (environment["NOTIFY_SOCKET"] ?? "") !== ""
  const tell = (...assignments: ReadonlyArray<string>) =>
    listens
      ? Effect.catch(send(assignments), (why) =>
          log("service-manager-unheard", "the service manager could not be told", { detail: why })
        )
      : Effect.void
  const microseconds = Number(environment["WATCHDOG_USEC"])
  const watched = [undefined, "", String(pid)].includes(environment["WATCHDOG_PID"])
  let serving = false
  const whileServing = (told: Effect.Effect<void>) => Effect.suspend(() => (serving ? told : Effect.void))
  let stopMilliseconds: (() => number) | undefined
  const stops = Effect.suspend(() =>
    stopMilliseconds === undefined
      ? Effect.void
      : tell("STOPPING=1", `EXTEND_TIMEOUT_USEC=${stopMilliseconds() * 1000}`)
  )
  const begins = Effect.flatMap(monotonic, (now) => tell("RELOADING=1", `MONOTONIC_USEC=${now}`))
  return {
    ready: Effect.suspend(() => {
      serving = true
      return tell("READY=1")
    }),
    reloading: (reload) =>
      Effect.suspend(() =>
        serving
          ? Effect.andThen(Effect.andThen(begins, reload), whileServing(tell("READY=1")))
          : Effect.andThen(reload, stops)
      ),
    stopping: (milliseconds) =>
      Effect.suspend(() => {
        serving = false
        stopMilliseconds = milliseconds
        return stops
      }),
    beat:
      listens && watched && microseconds > 0
        ? tell("WATCHDOG=1").pipe(
            Effect.andThen(Effect.sleep(microseconds / 2000)),
            Effect.forever,
            Effect.forkScoped,
            Effect.asVoid
          )
        : Effect.void
  }
}

/** The first descriptor that a service manager hands over (SD_LISTEN_FDS_START). */
const firstDescriptor = 3

/** How many sockets the service manager has opened for this very process. */
export const socketsGiven = ({ environment, pid }: Pick<Options, "environment" | "pid">): ReadonlyArray<number> => {
  const count = Number(environment["LISTEN_FDS"])
  if (environment["LISTEN_PID"] !== String(pid) || !Number.isInteger(count) || count < 1) return []
  return Array.from({ length: Math.min(count, socketsGivenMax) }, (_, index) => firstDescriptor + index)
}

/** More are counted as so many: a server listens on one. */
const socketsGivenMax = 16
