/**
 * A listing on its way to the client: pages of entries, what is not in them, and content that goes along.
 */
import { Effect, Stream } from "effect"
import type { ChannelFailed } from "../domain/channel/ChannelError.ts"
import type { FileEntry } from "../domain/file/FileEntry.ts"
import * as FileName from "../domain/file/FileName.ts"
import { packEntries, packNames } from "../domain/file/PackedFiles.ts"
import { printable } from "../domain/file/Printable.ts"
import { bundleFilesMax, unlistedNamesMax, listingPageEntriesMax } from "../domain/limits.ts"
import type { FrameChannel } from "../domain/session/FrameChannel.ts"
import type { ActionResult, SessionOutput } from "../domain/session/SessionState.ts"
import type { Confined } from "../domain/store/Confined.ts"
import type { StoreError } from "../domain/store/StoreError.ts"
import type { Signatures } from "../domain/transfer/Signatures.ts"
import * as Message from "../domain/wire/Message.ts"
import type { Bundles, Guard } from "./Bundles.ts"
import type * as KeepAlive from "./KeepAlive.ts"
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

  /** The entry with its digest; without, when the file is gone or changes just now. */
  const withDigest = (id: Asked["id"], entry: FileEntry) =>
    unlessStopped(id, Effect.scoped(Effect.flatMap(store.open(entry.name), signatures.of))).pipe(
      Effect.map((signature): FileEntry => ({ ...entry, size: signature.size, digest: signature.digest })),
      Effect.catchIf(
        (error) => error._tag !== "Stopped",
        () => Effect.succeed(entry)
      )
    )

  // Whoever watches lists every second: once in a session is enough.
  let told = false
  const tell = (count: number, [first]: ReadonlyArray<FileName.FileName>) =>
    Effect.suspend(() => {
      if (told || first === undefined) return Effect.void
      told = true
      const name = printable(files.whole(first))
      return log("unlisted", `a listing lacks what may not be looked into: '${name}'`, { name, count, user: user() })
    })

  return ({ alike, content, digest: wanted, id }) =>
    Effect.suspend(() => {
      let count = 0
      const first: Array<FileEntry> = []
      let closed = 0
      const names: Array<FileName.FileName> = []
      const onUnlisted = (name: FileName.FileName) =>
        Effect.sync(() => {
          closed += 1
          if (names.length < unlistedNamesMax) names.push(name)
        })
      const say = (message: Message.ServerMessage) =>
        unlessStopped(id, channel.send({ kind: "message", id, body: Message.Server.encode(message) }))
      const all = store.list({ ...(alike && { alike }), onUnlisted })
      const entries = wanted ? Stream.mapEffect(all, (entry) => withDigest(id, entry)) : all
      return Stream.runForEachArray(Stream.rechunk(entries, wanted ? 1 : listingPageEntriesMax), (page) => {
        count += page.length
        if (content !== undefined && first.length < bundleFilesMax) {
          const some = page.filter(({ name }) => FileName.isWithin(content, name))
          first.push(...some.slice(0, bundleFilesMax - first.length))
        }
        return Effect.forEach(packEntries(page), (entries) => say({ _tag: "Page", entries }), { discard: true })
      }).pipe(
        aliveMeanwhile,
        Effect.andThen(
          Effect.suspend(() =>
            closed === 0
              ? Effect.void
              : Effect.andThen(tell(closed, names), say({ _tag: "Unlisted", names: packNames(names), count: closed }))
          )
        ),
        Effect.andThen(content !== undefined ? bundles.sendAlong(id, first, unlessStopped) : Effect.void),
        Effect.map((): ActionResult => ({ _tag: "Listed", id, count }))
      )
    })
}
