/**
 * The files that arguments mean, here and at the server: a name is itself, a pattern is every file that fits.
 */
import { Effect, Stream } from "effect"
import * as FileName from "../domain/file/FileName.ts"
import { printable } from "../domain/file/Printable.ts"
import { type LocalFileFailed, RequestRefused } from "./ClientError.ts"
import * as Glob from "./Glob.ts"
import * as LeftOut from "./LeftOut.ts"
import { LocalFiles } from "./LocalFiles.ts"
import { type NoSession, Sessions } from "./Sessions.ts"

/** A local path, and its size when there is a file. */
export interface Local {
  readonly path: string
  readonly size: number | undefined
}

/** A pattern that nothing fits stays as it is: whoever opens it says that there is no such file. */
export const local = Effect.fnUntraced(function* (
  paths: ReadonlyArray<string>
): Effect.fn.Return<ReadonlyArray<Local>, never, LocalFiles> {
  const files = yield* LocalFiles
  const all = yield* Effect.forEach(paths, (path) =>
    Effect.gen(function* () {
      const here = yield* Effect.orElseSucceed(files.look(path), () => undefined)
      if (here !== undefined) return [{ path, size: here.size }]
      if (!Glob.isPattern(path)) return [{ path, size: undefined }]
      const found = yield* fitting(path, false)
      return found.files.length > 0 ? found.files : [{ path, size: undefined }]
    })
  )
  return all.flat()
})

/** What fits a local pattern, and the folders that could not be read, in which more may fit. */
export interface Fitting {
  readonly files: ReadonlyArray<Local>
  readonly failed: ReadonlyArray<{ readonly path: string; readonly error: LocalFileFailed }>
}

/**
 * What fits a local pattern: from the folder that it names outright, and no deeper than it speaks of.
 *
 * @param folders whether folders fit as well; what is below such a one is not looked at
 */
export const fitting = Effect.fnUntraced(function* (
  pattern: string,
  folders: boolean
): Effect.fn.Return<Fitting, never, LocalFiles> {
  const files = yield* LocalFiles
  const parts = pattern.split(/[/\\]/)
  const first = parts.findIndex(Glob.isPattern)
  const folder = first === 0 ? "." : parts.slice(0, first).join("/") || "/"
  const wanted = parts.slice(first)
  const depth = wanted.includes("**") ? Number.POSITIVE_INFINITY : wanted.length
  const pathOf = (name: string) => (first === 0 ? name : files.join(folder, name))
  const fits: Array<Local> = []
  const failed: Array<Fitting["failed"][number]> = []
  const enter = (name: string) => {
    const whole = folders && Glob.matchesPath(wanted.join("/"), name)
    if (whole) fits.push({ path: pathOf(name), size: undefined })
    return !whole && name.split("/").length < depth
  }
  yield* Stream.runForEach(files.walk(folder, enter), (one) =>
    Effect.sync(() => {
      if (one._tag === "Failed") failed.push({ path: pathOf(one.name), error: one.error })
      if (one._tag !== "File" || !Glob.matchesPath(wanted.join("/"), one.name)) return
      fits.push({ path: pathOf(one.name), size: one.size })
    })
  )
  return { files: fits, failed }
})

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
  readonly lacks: LeftOut.Heard
}

/**
 * Names as they are; for patterns the files that fit as they do for `fetch`, from one listing for all of them. A file
 * is named once, however many patterns it fits.
 */
export const remote = Effect.fnUntraced(function* (
  texts: ReadonlyArray<string>
): Effect.fn.Return<Remote, NoSession, Sessions> {
  const patterns = texts.filter(Glob.isPattern)
  const files = new Map<string, Named>()
  const fitting = new Set<string>()
  const lacks = LeftOut.make(patterns, LeftOut.mayFit)
  if (patterns.length > 0) {
    const session = yield* (yield* Sessions).session
    const named = new Set(texts)
    yield* Stream.runForEach(session.fetchWith({ onLeftOut: lacks.onLeftOut }), ({ name, size }) =>
      Effect.sync(() => {
        const fits = patterns.filter((pattern) => Glob.matches(pattern, name))
        if (fits.length > 0 || named.has(name)) files.set(name, { name, size })
        if (named.has(name)) fitting.add(name)
        fits.forEach((pattern) => fitting.add(pattern))
      })
    )
  }
  const missing: Array<Remote["missing"][number]> = []
  for (const text of texts.filter((text) => !fitting.has(text))) {
    const rule = FileName.brokenRule(text)
    if (Glob.isPattern(text)) {
      if (lacks.mayHold(text)) continue
      const error = new RequestRefused({ name: printable(text), reason: "no-such-file", detail: "" })
      missing.push({ name: text, error })
    } else if (rule !== undefined) {
      missing.push({ name: text, error: new FileName.NameRefused({ name: printable(text), rule }) })
    } else files.set(text, { name: FileName.FileName.make(text), size: undefined })
  }
  return { files: [...files.values()], missing, lacks }
})
