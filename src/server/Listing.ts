/**
 * A listing on its way to the client: pages of entries, what is not in them, and content that goes along.
 */
import { Effect, Stream } from "effect"
import type { ChannelFailed } from "../domain/channel/ChannelError.ts"
import type { FileEntry } from "../domain/file/FileEntry.ts"
import * as FileName from "../domain/file/FileName.ts"
import { bundlesOf, costOfFile, packEntries } from "../domain/file/PackedFiles.ts"
import { printable } from "../domain/file/Printable.ts"
import { bundleFilesMax, deltaBytesMin, listingPageEntriesMax } from "../domain/limits.ts"
import type { FrameChannel } from "../domain/session/FrameChannel.ts"
import type { ActionResult, SessionOutput } from "../domain/session/SessionState.ts"
import type { Confined } from "../domain/store/Confined.ts"
import type { OpenFile } from "../domain/store/FileStore.ts"
import type { StoreError } from "../domain/store/StoreError.ts"
import type { Signatures } from "../domain/transfer/Signatures.ts"
import * as Message from "../domain/wire/Message.ts"
import type { Bundles, Guard } from "./Bundles.ts"
import type * as KeepAlive from "./KeepAlive.ts"
import * as Lacking from "./Lacking.ts"
import { log } from "./LogEvent.ts"
import type { Stopped } from "./Refusals.ts"

type Asked = Extract<SessionOutput, { readonly _tag: "List" }>

/** The listings of one session. */
export const make = (options: {
  readonly channel: FrameChannel
  readonly files: Confined
  readonly signatures: Signatures["Service"]
  readonly bundles: Bundles
  readonly user: () => string
  readonly unlessStopped: Guard
  readonly aliveMeanwhile: Effect.Success<ReturnType<typeof KeepAlive.make>>
}): ((asked: Asked) => Effect.Effect<ActionResult, ChannelFailed | Stopped | StoreError>) => {
  const { aliveMeanwhile, bundles, channel, files, signatures, unlessStopped, user } = options
  const { store } = files

  const digested = (file: OpenFile) =>
    Effect.map(signatures.of(file), ({ digest, size }): FileEntry => ({ ...file.entry, size, digest }))

  /** The entry with its digest; without, when the file is gone or changes just now. */
  const withDigest = (id: Asked["id"], entry: FileEntry) =>
    unlessStopped(id, Effect.scoped(Effect.flatMap(store.open(entry.name), digested))).pipe(
      // It may be another version than the one that was listed: all that is said is of this one.
      Effect.map((now): FileEntry => ({ ...now, name: entry.name })),
      Effect.catchIf(
        (error) => error._tag !== "Stopped",
        () => Effect.succeed(entry)
      )
    )

  /** The entries with their digests: what is too small to have its digest kept is read together. */
  const withDigests = Effect.fnUntraced(function* (id: Asked["id"], page: ReadonlyArray<FileEntry>) {
    const small = page.flatMap(({ name, size }) => (size < deltaBytesMin ? [name] : []))
    const found = yield* unlessStopped(id, bundles.digested(small))
    return yield* Effect.forEach(page, (entry) => {
      const now = found.get(entry.name)
      return now?.digest === undefined
        ? withDigest(id, entry)
        : Effect.succeed({ ...now.entry, name: entry.name, digest: now.digest })
    })
  })

  const tell = logging(files, user)
  return ({ alike, content, digest: wanted, id }) =>
    Effect.suspend(() => {
      let count = 0
      const first: Array<FileEntry> = []
      const lacking = Lacking.make()
      const say = (message: Message.ServerMessage) =>
        unlessStopped(id, channel.send({ kind: "message", id, body: Message.Server.encode(message) }))
      const all = store.list({ ...(alike && { alike }), ...lacking.heard })
      const tellPage = (page: ReadonlyArray<FileEntry>) => {
        count += page.length
        if (content !== undefined && first.length < bundleFilesMax) {
          const some = page.filter(({ name }) => FileName.isWithin(content, name))
          first.push(...some.slice(0, bundleFilesMax - first.length))
        }
        return Effect.forEach(packEntries(page), (entries) => say({ _tag: "Page", entries }), { discard: true })
      }
      const digestPage = (page: ReadonlyArray<FileEntry>) =>
        Effect.flatMap(aliveMeanwhile(withDigests(id, page)), tellPage)
      // How long the disk takes is no silence of the client's; that it does not take its pages is.
      const pages = Stream.transformPull(Stream.rechunk(all, listingPageEntriesMax), (pull) =>
        Effect.succeed(aliveMeanwhile(pull))
      )
      return Stream.runForEachArray(pages, (page) =>
        // Those of small files are told together, as many as would be read for one bundle.
        wanted
          ? Effect.forEach(
              bundlesOf(page, ({ name, size }) => costOfFile(name, size)),
              digestPage,
              { discard: true }
            )
          : tellPage(page)
      ).pipe(
        Effect.andThen(
          Effect.suspend(() =>
            Effect.andThen(tell(lacking.found()), Effect.forEach(lacking.messages(), say, { discard: true }))
          )
        ),
        Effect.andThen(content !== undefined ? bundles.sendAlong(id, first, unlessStopped) : Effect.void),
        Effect.map((): ActionResult => ({ _tag: "Listed", id, count }))
      )
    })
}

/** Says in the log what a listing lacks. Whoever watches lists every second: once in a session is enough. */
const logging = ({ root, whole }: Confined, user: () => string) => {
  const told = { closed: false, unnamed: false }
  return ({ closed, unnamed }: Lacking.Found): Effect.Effect<void> =>
    Effect.gen(function* () {
      if (closed.first !== undefined && !told.closed) {
        told.closed = true
        const name = printable(whole(closed.first))
        const text = `a listing lacks what may not be looked into: '${name}'`
        yield* log("unlisted", text, { name, count: closed.count, user: user() })
      }
      if (unnamed.first !== undefined && !told.unnamed) {
        told.unnamed = true
        const { folder, part } = unnamed.first
        const name = printable([root, folder, part].filter((one) => one !== undefined).join("/"))
        const text = `a listing lacks what is called as nothing can be: '${name}'`
        yield* log("unnamed", text, { name, count: unnamed.count, user: user() })
      }
    })
}
