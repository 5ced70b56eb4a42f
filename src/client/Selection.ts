/**
 * The files that arguments mean, here and at the server: a name is itself, a pattern is every file that fits.
 */
import { Effect, Result, Stream } from "effect"
import * as FileName from "../domain/file/FileName.ts"
import { printable } from "../domain/file/Printable.ts"
import { listedFilesMax } from "../domain/limits.ts"
import { type LocalFileFailed, RequestRefused, TooManyListed, asPattern } from "./ClientError.ts"
import * as Glob from "./Glob.ts"
import * as Unlisted from "./Unlisted.ts"
import { LocalFiles, type LocalFound, type LeftOutKind } from "./LocalFiles.ts"
import * as Reconnect from "./Reconnect.ts"
import type { Reporter } from "./Reporter.ts"
import type { NoSession, Sessions } from "./Sessions.ts"

/** A local path, and its size when there is a file. */
export interface Local {
  readonly path: string
  readonly size: number | undefined
}

/** A link or special file that fits a pattern. */
export interface LeftOut {
  readonly path: string
  readonly kind: LeftOutKind
}

/** What arguments mean here, and what of it cannot be had: that is the person's to know. */
export interface Meant {
  readonly files: ReadonlyArray<Local>
  readonly failed: ReadonlyArray<{ readonly path: string; readonly error: LocalFileFailed }>
  readonly leftOut: ReadonlyArray<LeftOut>
}

/**
 * The path itself when something stands there, or nothing can: whoever opens it says why. Otherwise what fits it as a
 * pattern, from the folder that it names outright, and no deeper than it speaks of.
 *
 * @param folders whether folders fit as well; what is below such a one is not looked at
 */
export const meant = Effect.fnUntraced(function* (
  path: string,
  folders: boolean
): Effect.fn.Return<Meant, never, LocalFiles> {
  const here = yield* Effect.result((yield* LocalFiles).look(path))
  const size = Result.isSuccess(here) ? here.success?.size : undefined
  const itself = { files: [{ path, size }], failed: [], leftOut: [] }
  if (!Glob.isPattern(path) || Result.isFailure(here) || here.success !== undefined) return itself
  const found = yield* fitting(path, folders)
  return found.files.length + found.failed.length > 0 ? found : { ...itself, leftOut: found.leftOut }
})

/**
 * One spelling for the ways in which a path can be written with `.` and `/` before its last part. Where `..`, links
 * and an absolute path lead is not looked at.
 */
export const spelt = (path: string): string => path.replace(/\/(?:\.?\/)+/g, "/").replace(/^(?:\.\/)+(?=.)/, "")

const fitting = Effect.fnUntraced(function* (
  pattern: string,
  folders: boolean
): Effect.fn.Return<Meant, never, LocalFiles> {
  const files = yield* LocalFiles
  const parts = pattern.split(/[/\\]/)
  const first = parts.findIndex(Glob.isPattern)
  const folder = first === 0 ? "." : parts.slice(0, first).join("/") || "/"
  const wanted = parts.slice(first).join("/")
  const pathOf = (name: string) => (first === 0 ? name : files.join(folder, name))
  const fits: Array<Local> = []
  const failed: Array<Meant["failed"][number]> = []
  const leftOut: Array<LeftOut> = []
  const entered = new Set<string>()
  const enter = (name: string) => {
    const whole = folders && Glob.matchesPath(wanted, name)
    if (whole) fits.push({ path: pathOf(name), size: undefined })
    const enters = !whole && Glob.mayFitBelow(wanted, name)
    if (enters) entered.add(name)
    return enters
  }
  const take = (one: LocalFound): void => {
    const path = pathOf(one.name)
    // What is not there has nothing that fits.
    if (one._tag === "Failed" && one.name === "" && one.error.code === "ENOENT") return
    if (one._tag === "Failed" && (one.name === "" || entered.has(one.name))) {
      failed.push({ path: one.name === "" ? folder : path, error: one.error })
    } else if (Glob.matchesPath(wanted, one.name)) {
      if (one._tag === "File") fits.push({ path, size: one.size })
      if (one._tag === "Failed") failed.push({ path, error: one.error })
      if (one._tag === "LeftOut" && one.kind !== "empty-folder") leftOut.push({ path, kind: one.kind })
    }
  }
  yield* Stream.runForEach(files.walk(folder, enter), (one) => Effect.sync(() => take(one)))
  return { files: fits, failed, leftOut }
})

/** The name that a text is when it only looks like a pattern, which may be said from the top. */
const outright = (text: string): string => (Glob.isPattern(text) ? text.replace(/^\//, "") : text)

/** A file of the server; its size when a listing was asked for. */
export interface Named {
  readonly name: FileName.FileName
  readonly size: number | undefined
}

/** What a server has of what was asked for. */
export interface Remote {
  readonly files: ReadonlyArray<Named>
  readonly missing: ReadonlyArray<{ readonly name: string; readonly error: FileName.NameRefused | RequestRefused }>
  /** what the listing lacks, if there was one */
  readonly lacks: Unlisted.Heard
}

/**
 * Names as they are; for patterns the files that fit as they do for `fetch`, from one listing for all of them. A file
 * is named once, however many patterns it fits.
 */
export const remote = Effect.fnUntraced(function* (
  texts: ReadonlyArray<string>
): Effect.fn.Return<Remote, NoSession, Reporter | Sessions> {
  const patterns = texts.filter(Glob.isPattern)
  const files = new Map<string, Named>()
  const fitting = new Set<string>()
  const lacks = Unlisted.make(patterns, Unlisted.fitting)
  if (patterns.length > 0) {
    const named = new Set(texts.map(outright))
    let count = 0
    const take = ({ name, size }: Named) =>
      Effect.suspend(() => {
        const fits = patterns.filter((pattern) => Glob.matches(pattern, name))
        if (fits.length === 0 && !named.has(name)) return Effect.void
        files.set(name, { name, size })
        count += 1
        if (named.has(name)) texts.filter((text) => outright(text) === name).forEach((text) => fitting.add(text))
        fits.forEach((pattern) => fitting.add(pattern))
        // A name that is told again and again would go on for ever.
        return count > listedFilesMax ? Effect.fail(new TooManyListed()) : Effect.void
      })
    yield* Reconnect.persistently(({ fetchWith }) =>
      Effect.suspend(() => {
        // What a try has told that was cut off does not count.
        files.clear()
        fitting.clear()
        count = 0
        const listed = Stream.runForEach(fetchWith({ onUnlisted: lacks.onUnlisted }), take)
        return Effect.andThen(lacks.onUnlisted(Unlisted.nothing), listed)
      })
    )
  }
  const missing: Array<Remote["missing"][number]> = []
  for (const text of texts.filter((text) => !fitting.has(text))) {
    const rule = FileName.brokenRule(text)
    if (Glob.isPattern(text)) {
      if (lacks.mayHold(text)) continue
      const error = new RequestRefused({ name: printable(text), reason: "no-such-file", detail: asPattern })
      missing.push({ name: text, error })
    } else if (rule !== undefined) {
      missing.push({ name: text, error: new FileName.NameRefused({ name: printable(text), rule }) })
    } else files.set(text, { name: FileName.FileName.make(text), size: undefined })
  }
  return { files: [...files.values()], missing, lacks }
})
