/**
 * A session as it looks from one of the server's folders: names are said and shown without the folder's part.
 */
import { Effect, Stream } from "effect"
import type { FileEntry } from "../domain/file/FileEntry.ts"
import * as FileName from "../domain/file/FileName.ts"
import { printable } from "../domain/file/Printable.ts"
import { type CommandError, RequestRefused } from "./ClientError.ts"
import type { ClientSession } from "./ClientSession.ts"
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
      Stream.filter(({ name }) => name.startsWith(start)),
      Stream.map((entry) => renamed(entry, entry.name.slice(start.length)))
    )
  /** The whole name: longer and deeper than the part that was checked when it was typed. */
  const whole = (name: FileName.FileName): Effect.Effect<FileName.FileName, CommandError> =>
    Effect.mapError(FileName.parse(`${start}${name}`), ({ rule }) => {
      const detail = `limit on names (${rule})`
      return new RequestRefused({ name: printable(`${start}${name}`), reason: "not-a-file", detail })
    })
  return {
    ...session,
    fetch: inside(session.fetch),
    fetchWithDigests: inside(session.fetchWithDigests),
    describe: (name) => Effect.flatMap(whole(name), session.describe),
    upload: (name, ...rest) => Effect.flatMap(whole(name), (name) => session.upload(name, ...rest)),
    download: (name, ...rest) => Effect.flatMap(whole(name), (name) => session.download(name, ...rest)),
    update: (name, ...rest) => Effect.flatMap(whole(name), (name) => session.update(name, ...rest)),
    para: (name, ...rest) => Effect.flatMap(whole(name), (name) => session.para(name, ...rest)),
    remove: (name, ...rest) => Effect.flatMap(whole(name), (name) => session.remove(name, ...rest)),
    rename: (name, to, ...rest) =>
      Effect.flatMap(whole(name), (name) => Effect.flatMap(whole(to), (to) => session.rename(name, to, ...rest)))
  }
}

const renamed = (entry: FileEntry, name: string): FileEntry => ({ ...entry, name: FileName.FileName.make(name) })
