/**
 * The process's own outputs.
 */
import { fstatSync, statSync } from "node:fs"
import { devNull } from "node:os"
import process from "node:process"
import { Effect, Layer } from "effect"
import { OutputEnded } from "../exitCode.ts"
import { type Output, Screen } from "./Screen.ts"

/** Named here too, for the declarations of whoever passes `ended` on. */
export type { OutputEnded } from "../exitCode.ts"

/** @param isNeeded whether what cannot be written ends the program: the stream's own error event tells it (`ended`) */
const output = (stream: NodeJS.WriteStream, fd: number, isNeeded: boolean): Output => ({
  write: (text) =>
    Effect.callback<void>((resume) => {
      // Whoever went on at once would be done before the event comes, and nobody would hear of it. Whoever never did
      // would wait for ever where he cannot be interrupted.
      stream.write(text, (error) => resume(isNeeded && error ? Effect.yieldNow : Effect.void))
    }),
  // Node honours NO_COLOR, FORCE_COLOR and TERM here.
  colours: stream.isTTY && stream.hasColors(),
  // A terminal that was given no size, as over a serial line, says 0.
  columns: () => (stream.isTTY ? stream.columns || columnsUnsaid : undefined),
  // Where it was closed (`>&-`) Node has opened the null device in its place, and writes there without an error.
  isLost: () => {
    const [own, none] = [fstatSync(fd), statSync(devNull, { throwIfNoEntry: false })]
    return own.isCharacterDevice() && own.rdev === none?.rdev
  }
})

const columnsUnsaid = 80

/** This process's standard output and standard error. */
export const layer: Layer.Layer<Screen> = Layer.sync(Screen, () => {
  const err = output(process.stderr, 2, false)
  // Nothing can be drawn there twice: progress is told in lines, as in a file.
  const dumb = process.env["TERM"] === "dumb"
  return Screen.of({ out: output(process.stdout, 1, true), err: dumb ? { ...err, columns: () => undefined } : err })
})

/** Fails when standard output ends. What cannot be said on standard error is lost without harm. */
export const ended: Effect.Effect<never, OutputEnded> = Effect.callback((resume) => {
  process.stderr.on("error", () => {})
  process.stdout.on("error", (error: NodeJS.ErrnoException) =>
    resume(Effect.fail(new OutputEnded({ code: error.code ?? "unknown" })))
  )
})
