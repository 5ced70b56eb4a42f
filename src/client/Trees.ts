/**
 * Whole folders: what is here, what is there, a plan of it (`Plan`), and then all of it at once (`Batch`).
 *
 * Nothing moves before the plan is made, so that what cannot be at the other end is told first: but an `upload` that
 * removes nothing looks at the server only when that refuses something (`Obstacles`). Nothing is removed but
 * what the plan says: below the named folders, on the side that is brought up to date, and only when both sides were
 * seen whole and everything else went well. A local file goes only when the server says of its name that there is none:
 * a listing leaves out what the server may not look into.
 */
import { Effect, Scope, Semaphore } from "effect"
import { type ContentDigest, Digest, digestOf } from "../domain/file/Digest.ts"
import type { FileEntry } from "../domain/file/FileEntry.ts"
import * as FileName from "../domain/file/FileName.ts"
import { bundlesOf, costOfFile } from "../domain/file/PackedFiles.ts"
import { printable } from "../domain/file/Printable.ts"
import { deltaBytesMin, filesAheadMax, largeFilesAheadMax, listingNamesMax } from "../domain/limits.ts"
import type { RefusalReason } from "../domain/wire/Refusal.ts"
import * as Batch from "./Batch.ts"
import { LocalFileFailed, type RequestRefused } from "./ClientError.ts"
import type { OnUnlisted } from "./ClientSession.ts"
import * as Failures from "./Failures.ts"
import * as Filter from "./Filter.ts"
import * as Glob from "./Glob.ts"
import * as Listed from "./Listed.ts"
import { LocalFiles, type LocalPlace, type LocalTree } from "./LocalFiles.ts"
import * as Unlisted from "./Unlisted.ts"
import * as Obstacles from "./Obstacles.ts"
import * as Plan from "./Plan.ts"
import * as Reconnect from "./Reconnect.ts"
import { Reporter, type TransferCommand } from "./Reporter.ts"
import * as Sender from "./Sender.ts"
import { type NoSession, Sessions } from "./Sessions.ts"
import * as Transfer from "./Transfer.ts"
import * as TreeSelection from "./TreeSelection.ts"

/** What a person has asked for besides the folders themselves. */
export interface TreeOptions extends Filter.Patterns {
  /** say what would be done, and do nothing */
  readonly dryRun: boolean
  /** remove files of the side that is brought up to date which the other does not have */
  readonly remove: boolean
  /** compare digests instead of times */
  readonly checksum: boolean
}

// Written out: who exports what is made of this writes its name down, and Transfer is nobody else's.
type Services = Digest | LocalFiles | Reporter | Sessions

// -----------------------------------------------------------------------------
// To the server
// -----------------------------------------------------------------------------

/** A local file, under the name that it is to have at the server. */
interface ToSend extends Plan.Known {
  readonly place: LocalPlace
}

/**
 * Sends folders, and files beside them. `upload` sends every file; `para` those that the server does not have like
 * that.
 *
 * @param as the server's folder that they go into
 */
export const send = (
  command: "para" | "upload",
  paths: ReadonlyArray<string>,
  as: string | undefined,
  options: TreeOptions
): Effect.Effect<boolean, NoSession, Services> =>
  Effect.gen(function* () {
    const reporter = yield* Reporter
    const filter = Filter.make(options)
    // The server is asked while the folders are gone through: neither end waits for the other. An upload that removes
    // nothing is told by the answers what is in the way: it begins a round trip earlier.
    const meant = outermostOfLocal(yield* LocalFiles, paths, as)
    const optional = command === "upload" && !options.remove
    let lacks: Unlisted.Unlisted | undefined
    const onUnlisted: OnUnlisted = (unlisted) => Effect.sync(() => void (lacks = unlisted))
    const began = yield* Effect.cached(Effect.andThen(loggedIn, Batch.moment))
    const there = yield* Effect.cached(Effect.andThen(began, listing(command, meant, { optional, onUnlisted })))
    const blind = optional && !options.dryRun
    const asking = blind ? Effect.forkScoped(began) : Effect.forkScoped(there)
    const here = yield* TreeSelection.local(command, paths, as, filter, asking)
    let failed = here.failed
    if (here.files.length === 0 && here.roots.length === 0) return failed === 0
    // With nothing to send only an answer tells that the session has come about.
    const listed = blind && here.files.length > 0 ? yield* Effect.as(began, []) : yield* there
    if (listed === undefined) return false

    const removing = options.remove && here.whole
    if (options.remove && !here.whole) yield* reporter.note(notWhole, "bad")
    if (options.remove) yield* tellEmpty(here.empty, "it is empty here")
    if (removing && lacks !== undefined) yield* Unlisted.tellKept(lacks, mayGo(here, filter))
    const compare =
      command === "upload"
        ? "never"
        : options.checksum
          ? yield* sameToSend(here.files, { among: meant, listed })
          : "quick"
    const made = Plan.make<ToSend>({
      source: here.files,
      target: listed,
      compare,
      removes: (name) => removing && here.mayRemove(name)
    })
    failed += yield* reportRefused(command, made)
    const plan = yield* removingOnlyWhen(failed === 0, made)
    const before = { equal: plan.equal.length, failed, began: yield* began }
    if (options.dryRun) return yield* tell(command, plan, before)
    const inTheWay = Effect.map(there, (target = []) => refusedBeside(here.files, target)).pipe(
      Effect.catchTag("RequestRefused", () => Effect.succeed(new Map())),
      Scope.provide(yield* Effect.scope)
    )
    const obstacles = yield* Obstacles.make<Services>(blind ? inTheWay : Effect.succeed(new Map()))
    const sending = ({ file, why }: Plan.Transfer<ToSend>): Batch.Item<Services> =>
      new Sent(file, command === "para" && why === "changed" && file.size >= deltaBytesMin, obstacles)
    return yield* Batch.run(command, [plan.makeRoom.map(removal), plan.transfers.map(sending)], true, {
      before,
      removals: plan.remove.map(removal),
      together: obstacles.together(Transfer.sendTogether),
      told: yield* tellsEach
    })
  }).pipe(Effect.scoped)

/** Whether something at the server, a file or a folder, would go because nothing here is called so. */
const mayGo =
  ({ mayRemove, roots }: TreeSelection.LocalSelection, filter: Filter.Filter) =>
  (name: string): boolean =>
    mayRemove(name) &&
    roots.some((root) => {
      const own = FileName.below(root, name)
      return own !== undefined && filter.enters(own)
    })

/** Which of the files cannot be beside what is there, and why. */
const refusedBeside = (source: ReadonlyArray<ToSend>, target: ReadonlyArray<Plan.Known>) => {
  const { refused } = Plan.make({ source, target, compare: "never", removes: () => false })
  return new Map(refused.map(({ error, file }) => [file.name, error]))
}

/** A file to send. Of most nothing but its bundle is asked for. */
class Sent implements Batch.Item<Services> {
  readonly #file: ToSend
  /** whether the server's file is brought up to date; it is sent whole otherwise */
  readonly #updates: boolean
  readonly #obstacles: Obstacles.Obstacles<Services>
  readonly size: number
  readonly bundled: Batch.Bundled | undefined
  constructor(file: ToSend, updates: boolean, obstacles: Obstacles.Obstacles<Services>) {
    const { name, place, size } = file
    this.#file = file
    this.#updates = updates
    this.#obstacles = obstacles
    this.size = size
    this.bundled = !updates && FileName.isName(name) ? { name, place } : undefined
  }
  get name() {
    return this.#file.place.path
  }
  run(along: Batch.Along) {
    const { name, place } = this.#file
    const upload = this.#obstacles.alone(name, Transfer.send(Transfer.uploading, place, name, along))
    if (!this.#updates) return upload
    const update = Transfer.send(Transfer.parallelizing(undefined, true), place, name, along)
    // It went since the listing.
    return Effect.catchIf(update, isMissing, () => upload)
  }
}

const isMissing = (error: { readonly _tag: string; readonly reason?: string }): boolean =>
  error._tag === "RequestRefused" && error.reason === "no-such-file"

/** The same here: also when what a folder was is a file now. */
const isGone = ({ code }: LocalFileFailed): boolean => code === "ENOENT" || code === "ENOTDIR"

/** What somebody else has removed meanwhile is gone as well. So is what a try did whose answer was lost. */
const removal = (text: string): Batch.Item<Services> => ({
  name: text,
  size: 0,
  run: () =>
    Effect.gen(function* () {
      const name = yield* FileName.parse(text)
      const removing = Reconnect.persistently((session) => session.remove(name))
      const removed = yield* Effect.catchIf(removing, isMissing, () => Effect.undefined)
      if (removed !== undefined) yield* (yield* Reporter).changed({ command: "remove", name: removed })
      return gone
    })
})

const gone: Batch.Moved = { size: 0, reused: 0, equal: false, removed: true }

/** What the server is asked about: names by whose outermost parts it narrows its listing; undefined for everything. */
type Outermost = ReadonlyArray<FileName.FileName> | undefined

const outermost = (texts: ReadonlyArray<string>): Outermost => {
  const names = new Set(texts.map(FileName.outermost).filter(FileName.isName))
  // A name that is none would not be at the server either, but that is not for the listing to say.
  return texts.every((text) => text !== "") && names.size > 0 && names.size <= listingNamesMax
    ? Array.from(names)
    : undefined
}

/** Of what goes to the server. A pattern may mean any name. */
const outermostOfLocal = (
  files: LocalFiles["Service"],
  paths: ReadonlyArray<string>,
  as: string | undefined
): Outermost => {
  const into = TreeSelection.folderName(as ?? "")
  if (into !== "") return outermost([into])
  return paths.some(Glob.isPattern)
    ? undefined
    : outermost(paths.map((path) => TreeSelection.ownName(files.baseName(path))))
}

/** Of what comes from the server. */
const outermostOfRemote = (texts: ReadonlyArray<string>): Outermost =>
  texts.some(Glob.isPattern) ? undefined : outermost(texts.map(TreeSelection.folderName))

/** A question: it is asked again when the connection is lost. */
const describe = (name: FileName.FileName) => Reconnect.persistently((session) => session.describe(name))

const loggedIn = Effect.flatMap(Sessions, ({ session }) => session)

interface ListingOptions {
  /** whether an account that may not list goes without */
  readonly optional?: boolean
  /** whether what is listed is certain to be asked for */
  readonly toGet?: boolean
  readonly onUnlisted?: OnUnlisted
}

/** The server's files that are or may be in the way; undefined when they could not be listed, which was told. */
const listing = Effect.fnUntraced(function* (
  command: TransferCommand,
  among: Outermost,
  { onUnlisted, optional = false, toGet = false }: ListingOptions
): Effect.fn.Return<ReadonlyArray<FileEntry> | undefined, NoSession, Reporter | Scope.Scope | Sessions> {
  const reporter = yield* Reporter
  // What a try has told that was cut off does not count.
  const afresh = onUnlisted?.(Unlisted.nothing) ?? Effect.void
  const listed = Reconnect.persistently(({ fetchToGet, fetchWith }) => {
    if (among !== undefined && toGet) return Effect.andThen(afresh, fetchToGet(among, onUnlisted))
    return Effect.andThen(afresh, Listed.all(fetchWith({ alike: among, ...(onUnlisted && { onUnlisted }) })))
  })
  return yield* Effect.catchTag(listed, ["RequestRefused", "TooManyListed"], (error) =>
    optional && error._tag === "RequestRefused" && error.reason === "not-permitted"
      ? Effect.succeed([])
      : Effect.as(reporter.failed({ error, command }), undefined)
  )
})

// -----------------------------------------------------------------------------
// From the server
// -----------------------------------------------------------------------------

/** A file of the server, under the name that it is to have below the destination. */
interface ToGet extends Plan.Known {
  readonly remote: FileName.FileName
}

/** A file to get. Of most nothing but its bundle is asked for. */
class Got implements Batch.Item<Services> {
  readonly name: FileName.FileName
  readonly size: number
  readonly bundled: Batch.Bundled
  constructor({ remote, size }: ToGet, place: LocalPlace) {
    this.name = remote
    this.size = size
    this.bundled = { name: remote, place }
  }
  run(along: Batch.Along) {
    return Transfer.downloadOfMany({ ...this.bundled, size: this.size }, along)
  }
}

/**
 * Gets folders, and files beside them, but what is here already.
 *
 * @param to the local folder that they go into, made when it is missing; the working folder without it
 */
export const get = (
  texts: ReadonlyArray<string>,
  to: string | undefined,
  options: TreeOptions
): Effect.Effect<boolean, NoSession, Services> =>
  Effect.gen(function* () {
    const files = yield* LocalFiles
    // As of `--as`: an unset variable of a script does not mean this folder.
    if (to === "") return yield* new LocalFileFailed({ path: to, operation: "write", code: "ENOENT" })
    const folder = to ?? "."
    const filter = Filter.make(options)
    yield* Effect.forkScoped(digestsAhead)
    const toGet = options.dryRun ? undefined : yield* allToGet(texts, folder, options)
    const among = toGet ?? outermostOfRemote(texts)
    const began = yield* Effect.andThen(loggedIn, Batch.moment)
    // What is excluded is not missed, wherever it is below what was asked for.
    const lacks = Unlisted.make(texts.map(TreeSelection.folderName), {
      below: (name, text) => Unlisted.mayMean(name, text) && filter.enters(FileName.below(text, name) ?? name),
      file: (name, text) => Unlisted.mayMeanFile(name, text) && filter.takes(FileName.below(text, name) ?? name)
    })
    const listed = yield* listing("download", among, { toGet: toGet !== undefined, onUnlisted: lacks.onUnlisted })
    if (listed === undefined) return false
    const there = yield* TreeSelection.remote(texts, listed, filter, lacks.mayHold)
    let failed = there.failed + (yield* lacks.tell("download"))
    const target = yield* TreeSelection.destination(folder, there, filter, options.remove)
    failed += target.failed
    const removing = options.remove && failed === 0
    if (options.remove && !removing) yield* (yield* Reporter).note(notWhole, "bad")
    if (options.remove) yield* tellEmpty(there.empty, "the server has no file there")
    const compare = options.checksum ? yield* sameToGet(there.files, target.files, folder, { among, listed }) : "quick"
    const { removes, staying } = goingHere((name) => removing && there.mayRemove(name), target)
    const blocked = target.inTheWay.refuses
    const made = Plan.make<ToGet>({ source: there.files, target: target.files, compare, removes, blocked })
    for (const [why, names] of staying) yield* tellKept([...names], why, (name) => files.join(folder, name))
    failed += yield* reportRefused("download", made, ({ name, remote }, { _tag }) =>
      _tag === "LocalFileFailed" ? remote : name
    )
    const asked = yield* goneThere(yield* removingOnlyWhen(failed === 0, made), there.remoteNames, (name) =>
      files.join(folder, name)
    )
    failed += asked.failed
    const plan = yield* removingOnlyWhen(asked.failed === 0, asked.plan)
    const before = { equal: plan.equal.length, failed, began }
    const idle = plan.transfers.length + plan.makeRoom.length + plan.remove.length === 0
    if (options.dryRun && !idle && ((yield* files.look(folder))?.kind ?? "folder") !== "folder") {
      return yield* new LocalFileFailed({ path: printable(folder), operation: "write", code: "EEXIST" })
    }
    if (options.dryRun) return yield* tell("download", plan, before)
    if (idle) return yield* Batch.run<Services>("download", [], true, { before })

    const tree = yield* files.tree(folder, true)
    const known = new Map(target.files.map((file) => [file.name, file]))
    const away = (name: string) => removalHere(tree, name, files.join(folder, name), known.get(name))
    const getting = ({ file }: Plan.Transfer<ToGet>): Batch.Item<Services> => new Got(file, tree.place(file.name))
    return yield* Batch.run("download", [plan.makeRoom.map(away), plan.transfers.map(getting)], true, {
      before,
      removals: plan.remove.map(away),
      together: Transfer.getTogether,
      told: yield* tellsEach
    })
  }).pipe(
    Effect.catchTag("LocalFileFailed", (error) =>
      Effect.flatMap(Reporter, ({ failed }) => Effect.as(failed({ error, command: "download" }), false))
    ),
    Effect.scoped
  )

/** Which of the files here go of those that may, and by the reason what stays of these. */
const goingHere = (mayRemove: (name: string) => boolean, { inTheWay }: TreeSelection.Destination) => {
  const behindLink = new Set<string>()
  const unnameable = new Set<string>()
  const removes = (name: string): boolean => {
    if (!mayRemove(name)) return false
    if (FileName.brokenRule(name) !== undefined) unnameable.add(name)
    else if (inTheWay.refuses(name) !== undefined) behindLink.add(name)
    else return true
    return false
  }
  const staying = [
    ["whose names no server can have", unnameable],
    ["behind a link, through which nothing is removed", behindLink]
  ] as const
  return { removes, staying }
}

/** What was changed here since it was looked at, which may be long ago, stays: nobody else has what it holds now. */
const removalHere = (
  tree: LocalTree,
  name: string,
  at: string,
  known: Plan.Known | undefined
): Batch.Item<Services> => ({
  name,
  size: 0,
  run: () =>
    Effect.gen(function* () {
      const { path } = tree.place(name)
      const now = yield* (yield* LocalFiles).look(at)
      if (now !== undefined && (now.size !== known?.size || now.modified !== known.modified)) {
        return yield* new LocalFileFailed({ path: printable(path), operation: "write", code: "changed-meanwhile" })
      }
      const removed = yield* Effect.catchIf(Effect.as(tree.remove(name), true), isGone, () => Effect.succeed(false))
      if (removed) yield* (yield* Reporter).changed({ command: "remove", name: path, here: true })
      return gone
    })
})

/**
 * The folders that these arguments mean, when all that is in them will be asked for: nothing of them is here. Then the
 * server sends the first of it right behind the listing, a round trip earlier.
 */
const allToGet = Effect.fnUntraced(function* (
  texts: ReadonlyArray<string>,
  folder: string,
  { exclude, include }: TreeOptions
) {
  const files = yield* LocalFiles
  if (include.length + exclude.length > 0 || texts.length > listingNamesMax || texts.some(Glob.isPattern)) return
  const names: Array<FileName.FileName> = []
  for (const text of texts) {
    const name = TreeSelection.folderName(text)
    if (!FileName.isName(name) || TreeSelection.isContent(text)) return
    const found = yield* Effect.option(files.look(files.join(folder, name.slice(name.lastIndexOf("/") + 1))))
    if (found._tag === "None" || found.value !== undefined) return
    names.push(name)
  }
  return names
})

/** The first digest loads native code, 8 ms: while the server lists, nobody waits for it. */
const digestsAhead = loggedIn.pipe(
  Effect.andThen(Digest),
  Effect.map((digest) => void digestOf(digest, [])),
  Effect.ignore
)

/**
 * The plan without the removals of what the server does not call gone: it is asked about each name. What goes to make
 * room needs no question, for the server has another file there. Also how often it could not say, which is told.
 */
const goneThere = Effect.fnUntraced(function* (
  plan: Plan.Plan<ToGet>,
  remoteNames: TreeSelection.RemoteSelection["remoteNames"],
  pathOf: (name: string) => string
) {
  if (plan.remove.length === 0) return { plan, failed: 0 }
  const broken: Array<RequestRefused> = []
  const isGone = (text: string) =>
    Effect.flatMap(FileName.parse(text), describe).pipe(
      Effect.as(false),
      Effect.catchTag(["NameRefused", "RequestRefused"], (error) => {
        if (error._tag === "RequestRefused" && !saysWhat.has(error.reason)) broken.push(error)
        return Effect.succeed(isMissing(error))
      })
    )
  const answers = yield* Effect.forEach(
    plan.remove,
    (name) => Effect.map(Effect.forEach(remoteNames(name), isGone), (all) => all.every(Boolean)),
    { concurrency: filesAheadMax }
  )
  const reporter = yield* Reporter
  const failures = Failures.make(reporter, "download")
  yield* Effect.forEach(broken, (error) => failures.tell(error.name, error), { discard: true })
  yield* failures.rest
  const kept = plan.remove.filter((_, index) => answers[index] !== true)
  yield* tellKept(kept, "that the server does not list and does not call gone", pathOf)
  return { plan: { ...plan, remove: plan.remove.filter((_, index) => answers[index] === true) }, failed: broken.length }
})

/** Says what stays here, and why. */
const tellKept = Effect.fnUntraced(function* (
  kept: ReadonlyArray<string>,
  why: string,
  pathOf: (name: string) => string
) {
  const [first] = kept
  if (first === undefined) return
  const some = `${printable(pathOf(first))}${kept.length > 1 ? ", ..." : ""}`
  yield* (yield* Reporter).note(`${kept.length} kept ${why}: ${some}`, "bad")
})

/** What a server refuses that knows what is there, or may not tell; anything else went wrong. */
const saysWhat: ReadonlySet<RefusalReason> = new Set([
  "no-such-file",
  "name-collision",
  "not-a-file",
  "not-permitted",
  "no-access"
])

// -----------------------------------------------------------------------------
// What they share
// -----------------------------------------------------------------------------

/** Of a folder a person wants to know what failed and how much was done, and only sometimes of each file. */
const tellsEach = Effect.map(Reporter, (reporter) => reporter.tellsEach)

const notWhole = "nothing is removed: not all of what was asked for could be read"

/** A side that holds nothing is no reason to empty the other. */
const tellEmpty = Effect.fnUntraced(function* (folders: ReadonlyArray<string>, why: string) {
  const reporter = yield* Reporter
  yield* Effect.forEach(
    folders,
    (folder) => reporter.note(`nothing is removed below ${printable(folder)}: ${why}`, "bad"),
    { discard: true }
  )
})

/** The plan without its removals, which is told, when something has failed before. */
const removingOnlyWhen = Effect.fnUntraced(function* <Source>(well: boolean, plan: Plan.Plan<Source>) {
  if (well || plan.remove.length === 0) return plan
  yield* (yield* Reporter).note(Batch.nothingRemoved, "bad")
  return { ...plan, remove: [] }
})

/** Tells what cannot be at the other end; how many there are. */
const reportRefused = Effect.fnUntraced(function* <Source extends Plan.Known>(
  command: TransferCommand,
  { refused }: Plan.Plan<Source>,
  nameOf: (file: Source, error: Plan.Refused<Source>["error"]) => string = ({ name }) => name
) {
  const failures = Failures.make(yield* Reporter, command)
  yield* Effect.forEach(refused, ({ error, file }) => failures.tell(nameOf(file, error), error), { discard: true })
  yield* failures.rest
  return refused.length
})

/** A dry run: what would be done. */
const tell = Effect.fnUntraced(function* <Source extends Plan.Known>(
  command: TransferCommand,
  { makeRoom, remove, transfers }: Plan.Plan<Source>,
  { equal, failed }: Batch.Before
) {
  const going = [...makeRoom, ...remove]
  const moving = transfers.map(({ file: { name, size }, why }) => {
    return { command, action: why === "new" ? ("add" as const) : ("change" as const), name, size }
  })
  const add = moving.filter(({ action }) => action === "add").length
  yield* (yield* Reporter).planned(
    [...moving, ...going.map((name) => ({ command, action: "remove" as const, name, size: 0 }))],
    {
      command,
      add,
      change: moving.length - add,
      remove: going.length,
      equal,
      failed,
      size: moving.reduce((sum, { size }) => sum + size, 0)
    }
  )
  return failed === 0
})

/** Which local files have the content of the server's file of that name; both have the same size. */
const sameToSend = Effect.fnUntraced(function* (source: ReadonlyArray<ToSend>, seen: Seen) {
  const doubtful = new Map(Plan.doubtful(source, seen.listed).map(({ name, place }) => [name, place]))
  return yield* sameContent(
    seen.listed.flatMap(({ name, size }) => {
      const place = doubtful.get(name)
      return place === undefined ? [] : [{ name, size, place, remote: name }]
    }),
    seen
  )
})

const sameToGet = Effect.fnUntraced(function* (
  source: ReadonlyArray<ToGet>,
  target: ReadonlyArray<Plan.Known>,
  folder: string,
  seen: Seen
) {
  const doubtful = Plan.doubtful(source, target)
  if (doubtful.length === 0) return yield* sameContent([], seen)
  const tree = yield* (yield* LocalFiles).tree(folder, false)
  const pairs = doubtful.map(({ name, remote, size }) => ({ name, size, remote, place: tree.place(name) }))
  return yield* sameContent(pairs, seen)
})

/** A file here and one there whose contents are to be compared. */
interface Pair {
  /** which pair it is */
  readonly name: string
  /** bytes, of either */
  readonly size: number
  readonly place: LocalPlace
  readonly remote: FileName.FileName
}

/** What the server's files were found to be, and the names that were asked about. */
interface Seen {
  readonly among: Outermost
  readonly listed: ReadonlyArray<FileEntry>
}

const sameContent = (pairs: ReadonlyArray<Pair>, seen: Seen) =>
  areToldTogether(pairs, seen) ? sameByListing(pairs, seen) : sameByEach(pairs)

/**
 * Whether a listing tells the digests: those of many small files, when it has the server hash no more files and bytes
 * than as much again that nobody asks about. A request for each costs both ends more than to hash it.
 */
const areToldTogether = (pairs: ReadonlyArray<Pair>, { listed }: Seen): boolean => {
  const asked = new Set(pairs.map(({ remote }) => remote))
  const bytes = listed.reduce((sum, { size }) => sum + size, 0)
  const wanted = listed.reduce((sum, { name, size }) => sum + (asked.has(name) ? size : 0), 0)
  const mostly = bytes <= 2 * wanted && listed.length <= 2 * pairs.length
  return mostly && pairs.length > filesAheadMax && bytes <= listed.length * deltaBytesMin
}

const sameByListing = Effect.fnUntraced(function* (pairs: ReadonlyArray<Pair>, { among }: Seen) {
  const own = new Map<string, ContentDigest>()
  const hashed = Effect.forEach(
    bundlesOf(pairs, ({ remote, size }) => costOfFile(remote, size)),
    Effect.fnUntraced(function* (some) {
      const digests = yield* Transfer.digestsTogether(some.map(({ place, remote }) => ({ name: remote, place })))
      for (const [index, { name, place }] of some.entries()) {
        const digest = digests[index] ?? (yield* digestOrNone(place))
        if (digest !== undefined) own.set(name, digest)
      }
    }),
    { concurrency: largeFilesAheadMax, discard: true }
  )
  const there = new Map<string, ContentDigest | undefined>(pairs.map(({ remote }) => [remote, undefined]))
  const take = (page: ReadonlyArray<FileEntry>): void => {
    for (const { digest, name } of page) if (there.has(name)) there.set(name, digest)
  }
  // What cannot be compared is sent, as below.
  const told = Effect.catchTag(
    Reconnect.persistently(({ fetchWith }) =>
      Listed.each(fetchWith({ digests: true, ...(among && { alike: among }) }), take)
    ),
    ["RequestRefused", "TooManyListed"],
    () => Effect.sync(() => there.clear())
  )
  yield* Effect.all([told, hashed], { concurrency: 2, discard: true })
  const same = new Set<string>()
  for (const { name, remote } of pairs) {
    const digest = own.get(name)
    if (digest !== undefined && digest === there.get(remote)) same.add(name)
  }
  return (name: string) => same.has(name)
})

/** Digests are asked for one by one: the server hashes no file that nobody asks about. */
const sameByEach = Effect.fnUntraced(function* (pairs: ReadonlyArray<Pair>) {
  const reading = yield* Semaphore.make(largeFilesAheadMax)
  const same = new Set<string>()
  yield* Effect.forEach(
    pairs,
    ({ name, place, remote }) =>
      Effect.gen(function* () {
        const [own, { digest }] = yield* Effect.all([reading.withPermit(digestHere(place)), describe(remote)], {
          concurrency: 2
        })
        if (own === digest) same.add(name)
        // What cannot be compared is sent, and then it is told why that cannot be done.
      }).pipe(Effect.catchTag(["LocalFileFailed", "RequestRefused", "SourceShrank"], () => Effect.void)),
    { concurrency: filesAheadMax, discard: true }
  )
  return (name: string) => same.has(name)
})

const digestHere = Effect.fnUntraced(function* ({ open }: LocalPlace) {
  const source = yield* open
  if (source === undefined) return undefined
  const digest = yield* Sender.digestOf(yield* Digest, source)
  yield* source.unchanged
  return digest
}, Effect.scoped)

const digestOrNone = (place: LocalPlace) =>
  Effect.catchTag(digestHere(place), ["LocalFileFailed", "SourceShrank"], () => Effect.undefined)
