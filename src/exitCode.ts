/**
 * How a process ends, for both executables: with which code, by which signal, and without its output. A disk that hangs
 * holds up no signal.
 */
import process from "node:process"
import { isatty } from "node:tty"
import { Cause, Exit, Predicate, Schema } from "effect"

/** The code of a process that such a signal ended: 128 and its number, as a shell has it. */
const signalCodes = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const

/** What ends a program, unless it listens. */
export type Signal = keyof typeof signalCodes

/**
 * Node makes a pipe or a socket that it reads or writes non-blocking, and undoes it only when it exits; it may be
 * another program's too, which would then lose what it writes. Node shows nobody how it is undone.
 */
const makeBlocking = (stream: object): void => {
  if (!Predicate.hasProperty(stream, "_handle") || !Predicate.hasProperty(stream._handle, "setBlocking")) return
  const handle = stream._handle
  if (Predicate.isFunction(handle.setBlocking)) handle.setBlocking(true)
}

/** As if nobody had listened: to exit would wait for what the disk or a name server is at, which may hang. */
export const endBy = (signal: Signal): void => {
  if (isatty(0)) process.stdin.setRawMode(false)
  for (const stream of [process.stdin, process.stdout, process.stderr]) makeBlocking(stream)
  process.removeAllListeners(signal)
  process.kill(process.pid, signal)
}

/**
 * The last of the runtime: from then on each of these signals ends the process, which hears nothing any more.
 *
 * The code is what the program has given, and 1 for a defect, which was reported. A process that a signal has
 * interrupted ends by it, but on Windows: by a code alone a shell takes it that the program has dealt with Ctrl-C by
 * itself, and goes on with a loop; and systemd takes it for a failure.
 *
 * @param interruptedBy of an interrupted program; nothing when it was only told that its work is done
 */
export const teardown =
  (signals: ReadonlyArray<Signal>, interruptedBy: () => Signal | undefined) =>
  (exit: Exit.Exit<unknown, unknown>, onExit: (code: number) => void): void => {
    // It waits for what the disk is at, and a signal that is listened to would wait with it.
    for (const signal of signals) process.removeAllListeners(signal)
    if (Exit.isSuccess(exit)) return onExit(typeof exit.value === "number" ? exit.value : 0)
    if (!Cause.hasInterruptsOnly(exit.cause)) return onExit(1)
    const signal = interruptedBy()
    if (signal === undefined) return onExit(0)
    if (process.platform !== "win32") process.once("exit", () => endBy(signal))
    onExit(signalCodes[signal])
  }

/** Standard output takes nothing more. `EPIPE`: its reader has gone, as `head` does; that is no error. */
export class OutputEnded extends Schema.TaggedError<OutputEnded>()("OutputEnded", { code: Schema.String }) {
  override get message(): string {
    return `standard output cannot be written (${this.code})`
  }
}
