/**
 * Commands that do not end: the server's copy follows local files as they change, and a listing the server's files.
 *
 * Both are passes: one looks at everything and does what is to be done, so one more is never wrong, and after a loss
 * the next one finds out by itself where the last one stood. What is told here is when a pass runs.
 *
 * - After a local change it runs when nothing has changed for `watchQuietMilliseconds`, at the latest
 *   `watchQuietMillisecondsMax` after the first change.
 * - When the network is lost it runs again after a pause, 1 s at first and twice as long each time, up to a minute.
 *   Before the first pass has ended well a failure ends the command: a name or a password was probably mistyped.
 */
import { Deferred, Effect, Option, Queue, Stream } from "effect"
import type { FileEntry } from "../domain/file/FileEntry.ts"
import { printable } from "../domain/file/Printable.ts"
import {
  fetchWatchEntriesMax,
  fetchWatchMilliseconds,
  fetchWatchPauseFactor,
  watchAgainMilliseconds,
  watchBlindMilliseconds,
  watchQuietMilliseconds,
  watchQuietMillisecondsMax,
  watchRescanMilliseconds,
  watchRetryMilliseconds,
  watchRetryMillisecondsMax
} from "../domain/limits.ts"
import * as Monotonic from "../domain/Monotonic.ts"
import { SourceMissing, TooManyToWatch, WatchedGone } from "./ClientError.ts"
import * as Glob from "./Glob.ts"
import * as Unlisted from "./Unlisted.ts"
import { LocalWatch } from "./LocalWatch.ts"
import { type ListingChange, Reporter } from "./Reporter.ts"
import { type NoSession, Sessions } from "./Sessions.ts"

// -----------------------------------------------------------------------------
// Passes that survive the network
// -----------------------------------------------------------------------------

/** The pause that the server asks for before the next try, in milliseconds; undefined when none can do better. */
const pauseAfter = (error: NoSession | TooManyToWatch): number | undefined => {
  switch (error._tag) {
    case "ConnectionLost":
      return error.isFinal ? undefined : 0
    case "ConnectFailed":
      return error.reason === "other-version" ? undefined : 0
    case "LoginRejected":
      return error.retryAfterMilliseconds
    case "RequestRefused":
      // A server that stops refuses what waits, and one whose disk fails may be mended.
      return error.reason === "draining" || error.reason === "store-failed" ? 0 : undefined
    default:
      return undefined
  }
}

/** @param again the try before has failed too: a network that is cut comes back otherwise */
const textOf = (error: NoSession | TooManyToWatch, again: boolean): string => {
  if (error._tag !== "ConnectionLost") return error.message
  const versions = again && error.mayBeOtherVersion ? ", and versions may differ" : ""
  return `the connection was lost (${error.reason})${versions}`
}

/** The same pass, run again until it ends in another way than by a loss. Made once for all passes of a command. */
const surviving = <A, E extends NoSession | TooManyToWatch, R>(
  pass: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R | Reporter> => {
  let everWell = false
  return Effect.gen(function* () {
    const reporter = yield* Reporter
    let pause = watchRetryMilliseconds
    let away = false
    while (true) {
      const outcome = yield* Effect.result(pass)
      if (outcome._tag === "Success") {
        everWell = true
        if (away) yield* reporter.note("the server is there again, and all that has changed meanwhile is seen", "good")
        return outcome.success
      }
      const asked = pauseAfter(outcome.failure)
      if (!everWell || asked === undefined) return yield* Effect.fail(outcome.failure)
      const text = textOf(outcome.failure, away)
      away = true
      // Whoever asks has proved nothing: a server never asks for more than the longest pause.
      const wait = Math.max(Math.min(asked, watchRetryMillisecondsMax), pause)
      yield* reporter.note(`${text}: the next try is in ${Math.ceil(wait / 1000)} s`, "bad")
      yield* Effect.sleep(wait)
      pause = Math.min(pause * 2, watchRetryMillisecondsMax)
    }
  })
}

// -----------------------------------------------------------------------------
// Local files
// -----------------------------------------------------------------------------

/**
 * Tells each file that has followed, and nothing of a pass that has found nothing to do. What was there when it began
 * was named well: it has gone since.
 *
 * @param named the paths as they are told
 * @param before what the pass before has not found
 * @param gone takes what this one does not find
 */
const quietly = (
  reporter: Reporter["Service"],
  named: ReadonlySet<string>,
  before: ReadonlySet<string>,
  gone: Set<string>
): Reporter["Service"] => ({
  ...reporter,
  tellsEach: true,
  failed: (failure) =>
    Effect.suspend(() => {
      if (!(failure.error instanceof SourceMissing)) return reporter.failed(failure)
      const { path } = failure.error
      // Once: the next try finds the same.
      const isKnown = before.has(path) || gone.has(path)
      gone.add(path)
      if (isKnown) return Effect.void
      return reporter.failed({ ...failure, error: new WatchedGone({ path, isNamed: named.has(path) }) })
    }),
  summed: (summary) =>
    summary.files === summary.equal && summary.failed + summary.removed === 0 ? Effect.void : reporter.summed(summary)
})

/**
 * The pass, telling of what stays as it is only what the pass before did not tell: all of it is found again each time.
 * Made once for all passes of a command.
 */
const withNews = <R>(pass: Effect.Effect<boolean, NoSession, R>): Effect.Effect<boolean, NoSession, R | Reporter> => {
  let before = new Set<string>()
  return Effect.gen(function* () {
    const reporter = yield* Reporter
    const now = new Set<string>()
    const once = (text: string, tell: Effect.Effect<void>): Effect.Effect<void> =>
      Effect.suspend(() => {
        now.add(text)
        return before.has(text) ? Effect.void : tell
      })
    const telling: Reporter["Service"] = {
      ...reporter,
      leftOut: (one) => once(`${one.kind} ${one.path}`, reporter.leftOut(one)),
      note: (text, mood) => once(text, reporter.note(text, mood))
    }
    // A pass that the network has cut short has not come to all of it.
    const cut = Effect.sync(() => void (before = before.union(now)))
    const well = yield* Effect.tapError(Effect.provideService(pass, Reporter, telling), () => cut)
    before = now
    return well
  })
}

/**
 * Runs the pass, and again whenever something at the paths has changed.
 *
 * @param pass brings the server up to date with all of the paths; false when some of it failed, which it has reported
 */
export const follow = <R>(
  paths: ReadonlyArray<string>,
  pass: Effect.Effect<boolean, NoSession, R>
): Effect.Effect<never, NoSession, LocalWatch | R | Reporter> =>
  Effect.gen(function* () {
    const reporter = yield* Reporter
    const { changes } = yield* LocalWatch
    const changed = yield* Queue.sliding<true>(1)
    const ready = yield* Deferred.make<void>()
    let rescan = watchRescanMilliseconds
    yield* Effect.forkScoped(
      Stream.runForEach(changes(paths), (change): Effect.Effect<unknown> => {
        if (change._tag === "Ready") return Deferred.succeed(ready, undefined)
        if (change._tag === "Changed") return Queue.offer(changed, true)
        rescan = watchBlindMilliseconds
        const told = reporter.note(
          `${printable(change.path)} cannot be watched (${change.code}): it is looked at every ${rescan / 1000} s`
        )
        // The wait under way is too long, and something may have been lost.
        return Effect.andThen(told, Effect.when(Queue.offer(changed, true), Deferred.isDone(ready)))
      })
    )
    // What changes during a pass is told, and leads to another.
    yield* Deferred.await(ready)
    const run = surviving(withNews(pass))
    let repeated = !(yield* run)
    yield* reporter.note(`watching ${paths.map(printable).join(", ")}: Ctrl-C ends it`)
    const named = new Set(paths.map(printable))
    let before: ReadonlySet<string> = new Set()
    while (true) {
      const told = yield* Effect.timeoutOption(Queue.take(changed), repeated ? watchAgainMilliseconds : rescan)
      if (Option.isSome(told)) yield* settled(changed)
      const gone = new Set<string>()
      const well = yield* Effect.provideService(run, Reporter, quietly(reporter, named, before, gone))
      before = gone
      // Once: what fails for good is not told again and again.
      repeated = !well && (Option.isSome(told) || !repeated)
    }
  }).pipe(Effect.scoped)

/** Waits until nothing has changed for a while. */
const settled = Effect.fnUntraced(function* (changed: Queue.Dequeue<true>) {
  const began = yield* Monotonic.now
  while (true) {
    const left = began + watchQuietMillisecondsMax - (yield* Monotonic.now)
    if (left <= 0) return
    const more = yield* Effect.timeoutOption(Queue.take(changed), Math.min(watchQuietMilliseconds, left))
    if (Option.isNone(more)) return
  }
})

// -----------------------------------------------------------------------------
// The server's files
// -----------------------------------------------------------------------------

type Listing = ReadonlyMap<string, FileEntry>

const differs = (one: FileEntry, other: FileEntry): boolean =>
  one.size !== other.size ||
  one.modified !== other.modified ||
  one.digest !== other.digest ||
  one.executable !== other.executable

/** What has happened between two listings, by name. */
const changesBetween = (before: Listing, after: Listing): ReadonlyArray<ListingChange> => {
  const changes: Array<ListingChange> = []
  for (const entry of after.values()) {
    const known = before.get(entry.name)
    if (known === undefined) changes.push({ kind: "added", entry })
    else if (differs(known, entry)) changes.push({ kind: "changed", entry })
  }
  for (const entry of before.values()) if (!after.has(entry.name)) changes.push({ kind: "removed", entry })
  return changes.toSorted((a, b) => (a.entry.name < b.entry.name ? -1 : 1))
}

/** Lists the server's files, then what is added, changed and removed, as it happens. */
export const fetch = (
  pattern: string | undefined,
  digests: boolean
): Effect.Effect<never, NoSession | TooManyToWatch, Reporter | Sessions> =>
  Effect.gen(function* () {
    const reporter = yield* Reporter
    let before: { readonly known: Listing; readonly lacking: string } | undefined
    const listing = Effect.gen(function* () {
      const session = yield* (yield* Sessions).session
      // The login counts not: the next listing has none.
      const began = yield* Monotonic.now
      const entries = new Map<string, FileEntry>()
      let count = 0
      const lacks = Unlisted.make([pattern ?? "**"], Unlisted.fitting)
      const gone = Unlisted.make([], Unlisted.naming)
      let lacking = ""
      const onUnlisted = (unlisted: Unlisted.Unlisted) => {
        lacking = JSON.stringify(unlisted)
        return Effect.andThen(lacks.onUnlisted(unlisted), gone.onUnlisted(unlisted))
      }
      yield* Stream.runForEachArray(session.fetchWith({ digests, onUnlisted }), (page) => {
        for (const entry of page) {
          if (pattern !== undefined && !Glob.matches(pattern, entry.name)) continue
          entries.set(entry.name, entry)
          count += 1
        }
        // A name that is told again and again would go on for ever.
        return count > fetchWatchEntriesMax ? Effect.fail(new TooManyToWatch()) : Effect.void
      })
      return { entries, lacks, gone, lacking, took: (yield* Monotonic.now) - began }
    })
    const pass = surviving(listing)
    while (true) {
      const { entries, gone, lacking, lacks, took } = yield* pass
      if (before === undefined) {
        const sorted = [...entries.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1))
        yield* reporter.listed(sorted, { digests })
        yield* lacks.tell("fetch")
        yield* reporter.note("watching: Ctrl-C ends it")
      } else {
        // What may be where the server may not look any more is not known to be gone.
        for (const entry of before.known.values()) {
          if (!entries.has(entry.name) && gone.mayHold(entry.name)) entries.set(entry.name, entry)
        }
        // Or they would be more with each listing that has other names.
        if (entries.size > fetchWatchEntriesMax) return yield* new TooManyToWatch()
        yield* reporter.listingChanged(changesBetween(before.known, entries), { digests })
        if (lacking !== before.lacking) yield* lacks.tell("fetch")
      }
      before = { known: entries, lacking }
      yield* Effect.sleep(Math.max(fetchWatchMilliseconds, took * fetchWatchPauseFactor))
    }
  })
