/**
 * A session as it looks from one of the server's folders: names are said and shown without the folder's part.
 */
import { Effect, Result, Stream } from "effect"
import type { FileEntry } from "../domain/file/FileEntry.ts"
import * as FileName from "../domain/file/FileName.ts"
import { printable } from "../domain/file/Printable.ts"
import { RequestRefused } from "./ClientError.ts"
import type { Refusals, SmallDownload, SmallUpload } from "./Bundles.ts"
import type { ClientSession, OnUnlisted } from "./ClientSession.ts"
import type { Sessions } from "./Sessions.ts"
import type { Place } from "./ShellPlace.ts"

/** The same sessions from that place. */
export const sessions = (all: Sessions["Service"], place: Place): Sessions["Service"] =>
  place === ""
    ? all
    : {
        ...all,
        session: Effect.map(all.session, (session) => within(session, place)),
        // What stands here is never what stands at the top: it is made there and seen from here.
        renewed: (make) => Effect.map(all.renewed(make), (session) => within(session, place)),
        standing: Effect.map(all.standing, (session) => session && within(session, place))
      }

/** The same session from that place, which is not the top. */
export const within = (session: ClientSession, place: Place): ClientSession => {
  const start = `${place}/`
  const inside = (entries: ClientSession["fetch"]): ClientSession["fetch"] =>
    entries.pipe(
      Stream.map((entry) => {
        const short = below(place, entry.name)
        return short === undefined ? undefined : renamed(entry, short)
      }),
      Stream.filter((entry) => entry !== undefined)
    )
  /** The whole name: longer and deeper than the part that was checked when it was typed. */
  const whole = (name: FileName.FileName): Effect.Effect<FileName.FileName, RequestRefused> =>
    Effect.mapError(FileName.parse(`${start}${name}`), ({ rule }) => {
      const detail = `limit on names (${rule})`
      return new RequestRefused({ name: printable(`${start}${name}`), reason: "not-a-file", detail })
    })
  /** A request about one file. */
  const at = <A, E, R>(
    name: FileName.FileName,
    request: (name: FileName.FileName) => Effect.Effect<A, E | RequestRefused, R>
  ) => Effect.flatMap(whole(name), (name) => refusedWithin(place)(request(name)))
  /** As the server spells it; the place itself may be spelt otherwise. */
  const own = (name: FileName.FileName): FileName.FileName => {
    const short = below(place, name)
    return short !== undefined && FileName.isName(short) ? short : name
  }
  /** Many at once; what has no name there is refused, and the others keep their places. */
  const many = Effect.fnUntraced(function* <A, E>(
    all: ReadonlyArray<A>,
    nameOf: (one: A) => FileName.FileName,
    run: (inside: ReadonlyArray<Within<A>>) => Effect.Effect<Refusals, E>
  ): Effect.fn.Return<Refusals, E> {
    const refusals = new Map<number, RequestRefused>()
    const inside: Array<Within<A>> = []
    for (const [position, one] of all.entries()) {
      const name = yield* Effect.result(whole(nameOf(one)))
      if (Result.isSuccess(name)) inside.push({ one, name: name.success, position })
      else refusals.set(position, name.failure)
    }
    for (const [index, refusal] of yield* run(inside)) {
      refusals.set(inside[index]?.position ?? index, saidWithin(place, refusal))
    }
    return refusals
  })
  return {
    ...session,
    uploadBundle: (files, onCrossed) =>
      many(
        files,
        ({ name }) => name,
        (inside) =>
          session.uploadBundle(
            inside.map(({ name, one }) => withName(one, name)),
            onCrossed
          )
      ),
    downloadBundle: (names, take, onCrossed) =>
      many(
        names,
        (name) => name,
        (inside) =>
          session.downloadBundle(
            inside.map(({ name }) => name),
            (files) => take(files.map((file) => withIndex(file, inside[file.index]?.position ?? file.index))),
            onCrossed
          )
      ),
    fetch: inside(session.fetch),
    // All names of this session have the place's outermost part.
    fetchWith: ({ alike, onUnlisted, ...options }) => {
      const wanted = alike !== undefined && FileName.isName(place) ? { ...options, alike: [place] } : options
      return inside(
        session.fetchWith({ ...wanted, ...(onUnlisted && { onUnlisted: unlistedWithin(place, onUnlisted) }) })
      )
    },
    fetchToGet: (names, onUnlisted) =>
      Effect.flatMap(Effect.forEach(names, whole), (all) =>
        session.fetchToGet(all, onUnlisted && unlistedWithin(place, onUnlisted))
      ).pipe(Effect.flatMap((entries) => Stream.runCollect(inside(Stream.fromIterable(entries))))),
    describe: (name) => at(name, session.describe),
    upload: (name, ...rest) => at(name, (name) => session.upload(name, ...rest)),
    download: (name, ...rest) => at(name, (name) => session.download(name, ...rest)),
    update: (name, ...rest) => at(name, (name) => session.update(name, ...rest)),
    para: (name, ...rest) => at(name, (name) => session.para(name, ...rest)),
    remove: (name, ...rest) =>
      Effect.map(
        at(name, (name) => session.remove(name, ...rest)),
        own
      ),
    rename: (name, to, ...rest) =>
      at(name, (name) =>
        Effect.flatMap(whole(to), (wholeTo) =>
          Effect.mapError(session.rename(name, wholeTo, ...rest), (error) =>
            // Of a refusal about both names the first is made short below.
            error instanceof RequestRefused && error.name === printable(`${name} -> ${wholeTo}`)
              ? saidOf(error, printable(`${name} -> ${to}`))
              : error
          )
        )
      ).pipe(Effect.map(({ name, to }) => ({ name: own(name), to: own(to) })))
  }
}

/** What the name is below that folder, however the two are spelt: the server takes any spelling of a file's name. */
const below = (folder: string, name: string): string | undefined => {
  const exact = FileName.below(folder, name)
  if (exact !== undefined) return exact
  const [parts, own] = [folder.split("/"), name.split("/")]
  const isBelow = own.length > parts.length && parts.every((part, index) => isSame(part, own[index] ?? ""))
  return isBelow ? own.slice(parts.length).join("/") : undefined
}

const isSame = (one: string, other: string): boolean => FileName.segmentKey(one) === FileName.segmentKey(other)

/** What stands at that name, in any spelling, for somebody who would stand there. */
export const standsAt = (place: Place, name: string): "file" | "some" | undefined => {
  if (isSame(place, name)) return "file"
  return below(place, name) === undefined ? undefined : "some"
}

/** What a listing lacks of a place: names as they are there, but of what holds the place itself. */
export const unlistedWithin =
  (place: Place, onUnlisted: OnUnlisted): OnUnlisted =>
  ({ count, names, unnamed }) => {
    const own = names.map((name) => below(place, name)).filter((name) => name !== undefined)
    const itself = names.find((name) => standsAt(name, place) !== undefined)
    // What was not named may be here.
    const others = count - names.length
    // What is above the place is not in it, whatever it is called.
    const unnamedHere = unnamed.flatMap((one) => {
      const folder = isSame(one.folder, place) ? "" : below(place, one.folder)
      return one.names.length === 0 ? [one] : folder === undefined ? [] : [{ ...one, folder }]
    })
    if (own.length + others + unnamedHere.length === 0 && itself === undefined) return Effect.void
    return onUnlisted({
      count: own.length + others,
      names: own.filter(FileName.isName),
      unnamed: unnamedHere,
      ...(itself !== undefined && { itself: `/${itself}` })
    })
  }

/** A refusal as it is said at the place: names below it without its part, others from the top. */
const refusedWithin =
  (place: Place) =>
  <A, E, R>(request: Effect.Effect<A, E | RequestRefused, R>): Effect.Effect<A, E | RequestRefused, R> =>
    Effect.mapError(request, (error) => (error instanceof RequestRefused ? saidWithin(place, error) : error))

const saidWithin = (place: Place, { detail, name, reason }: RequestRefused): RequestRefused => {
  const start = `${printable(place)}/`
  const own = (text: string) => (text.startsWith(start) ? text.slice(start.length) : text)
  const isName = reason === "name-collision" || reason === "already-exists"
  const outside = isName && !detail.startsWith(start)
  // What stands elsewhere is the same name as a folder of the place: neither is short.
  const shown = outside && reason === "name-collision" && name.startsWith(start) ? `/${name}` : own(name)
  return new RequestRefused({ name: shown, reason, detail: outside ? `/${detail}` : isName ? own(detail) : detail })
}

const saidOf = ({ detail, reason }: RequestRefused, name: string) => new RequestRefused({ name, reason, detail })

const withName = (file: SmallUpload, name: FileName.FileName): SmallUpload => ({ ...file, name })

const withIndex = (file: SmallDownload, index: number): SmallDownload => ({ ...file, index })

/** A file of a bundle, under its whole name. */
interface Within<A> {
  readonly one: A
  readonly name: FileName.FileName
  /** in what was asked for */
  readonly position: number
}

const renamed = (entry: FileEntry, name: string): FileEntry => ({ ...entry, name: FileName.FileName.make(name) })
