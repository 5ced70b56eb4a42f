/**
 * What one listing lacks, as it is found: for the client, and for the log. However much it is, little of it is kept.
 */
import { Effect } from "effect"
import type { FileName } from "../domain/file/FileName.ts"
import { packNames } from "../domain/file/PackedFiles.ts"
import { peerTextCharactersMax, unlistedNamesMax, unnamedFoldersMax, unnamedNamesMax } from "../domain/limits.ts"
import type { Unnamed, Where } from "../domain/store/FileStore.ts"
import type * as Message from "../domain/wire/Message.ts"

/** What one listing lacks. */
export interface Lacking {
  /** What a store is to tell. */
  readonly heard: Required<Pick<Where, "onUnlisted" | "onUnnamed">>
  /** What the client is told of it, behind the pages. */
  readonly messages: () => ReadonlyArray<Message.ServerMessage>
  /** What there is to log of it. */
  readonly found: () => Found
}

/** How much of each kind, and the first of it by its name below the account's folder. */
export interface Found {
  readonly closed: { readonly count: number; readonly first: FileName | undefined }
  readonly unnamed: { readonly count: number; readonly first: Unnamed | undefined }
}

/** The last part of its path as it can be sent, and still shows what it was. */
const partOf = ({ kind, part }: Unnamed): string =>
  `${part.slice(0, peerTextCharactersMax - 1)}${kind === "folder" ? "/" : ""}`.toWellFormed()

/** Of one folder. */
interface Place {
  count: number
  readonly names: Array<string>
}

export const make = (): Lacking => {
  let closed = 0
  const names: Array<FileName> = []
  let unnamed = 0
  let first: Unnamed | undefined
  /** by folder; `""` is the outermost */
  const places = new Map<FileName | "", Place>()
  let elsewhere = 0
  const onUnlisted = (name: FileName) =>
    Effect.sync(() => {
      closed += 1
      if (names.length < unlistedNamesMax) names.push(name)
    })
  const onUnnamed = (one: Unnamed) =>
    Effect.sync(() => {
      unnamed += 1
      first ??= one
      const known = places.get(one.folder ?? "")
      if (known === undefined && places.size === unnamedFoldersMax) {
        elsewhere += 1
        return
      }
      const place = known ?? { count: 0, names: [] }
      places.set(one.folder ?? "", place)
      place.count += 1
      if (place.names.length < unnamedNamesMax) place.names.push(partOf(one))
    })
  const messages = (): ReadonlyArray<Message.ServerMessage> => [
    ...(closed === 0 ? [] : [{ _tag: "Unlisted", names: packNames(names), count: closed } as const]),
    ...Array.from(places, ([folder, { count, names }]): Message.ServerMessage => {
      return folder === "" ? { _tag: "Unnamed", count, names } : { _tag: "Unnamed", count, names, folder }
    }),
    ...(elsewhere === 0 ? [] : [{ _tag: "Unnamed", count: elsewhere, names: [] } as const])
  ]
  return {
    heard: { onUnlisted, onUnnamed },
    messages,
    found: () => ({ closed: { count: closed, first: names[0] }, unnamed: { count: unnamed, first } })
  }
}
