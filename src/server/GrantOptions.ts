/**
 * What an administrator says of an account's grant on the command line, and a grant as text.
 */
import { Effect, Option, Schema } from "effect"
import { Flag } from "effect/cli"
import * as Figures from "../domain/file/Figures.ts"
import * as FileName from "../domain/file/FileName.ts"
import { printable } from "../domain/file/Printable.ts"
import { fileBytesMax, quotaFilesMax } from "../domain/limits.ts"
import type { AccountSummary } from "../domain/session/Accounts.ts"
import { type Grant, Rights, rights as allRights } from "../domain/session/Grant.ts"
import { WrongUsage } from "./ServerConfig.ts"

const text = (name: string, metavar: string, description: string) =>
  Flag.String(name).pipe(Flag.withMetavar(metavar), Flag.withDescription(description), Flag.optional)

/** The flags of `user add` and `user change`. */
export const flags = {
  folder: text("folder", "DIR", "the folder below the served root that the account sees as its root; / for all of it"),
  rights: text("rights", "LIST", `some of ${allRights.join(",")}; or all, or none`),
  quotaBytes: text("quota-bytes", "N", "bytes that its root may hold, as 500M or 10G; or none"),
  quotaFiles: text("quota-files", "N", "files that its root may hold; or none"),
  upRate: text("up-rate", "N", "bytes each second that it may send, as 5M; or none"),
  downRate: text("down-rate", "N", "bytes each second that it may get, as 5M; or none")
}

/** What was said; what was not said stays as it is. */
export type GrantOptions = { readonly [Name in keyof typeof flags]: Option.Option<string> }

/** Whether anything was said at all. */
export const isEmpty = (options: GrantOptions): boolean => Object.values(options).every(Option.isNone)

/** Parses what was said: a change of any grant. What was not said stays as it is. */
export const parse = Effect.fnUntraced(function* (
  options: GrantOptions
): Effect.fn.Return<(before: Grant) => Grant, WrongUsage> {
  const folder = yield* said(options.folder, parseFolder)
  const given = yield* said(options.rights, parseRights)
  const bytes = yield* said(options.quotaBytes, amount("--quota-bytes", 0, fileBytesMax))
  const files = yield* said(options.quotaFiles, amount("--quota-files", 0, quotaFilesMax))
  const up = yield* said(options.upRate, amount("--up-rate", 1, fileBytesMax))
  const down = yield* said(options.downRate, amount("--down-rate", 1, fileBytesMax))
  return (before) => {
    const root = folder(before.root)
    const quota = defined({ bytes: bytes(before.quota?.bytes), files: files(before.quota?.files) })
    const rates = defined({ up: up(before.bytesPerSecond?.up), down: down(before.bytesPerSecond?.down) })
    return {
      rights: given(before.rights),
      ...(root !== undefined && { root }),
      ...(Object.keys(quota).length > 0 && { quota }),
      ...(Object.keys(rates).length > 0 && { bytesPerSecond: rates })
    }
  }
})

const isDefined = (value: unknown): boolean => value !== undefined

const defined = <Name extends string>(values: { readonly [Key in Name]: number | undefined }) => {
  const kept: { [Key in Name]?: number } = {}
  for (const name in values) {
    const value = values[name]
    if (value !== undefined) kept[name] = value
  }
  return kept
}

const said = <A>(
  option: Option.Option<string>,
  parse: (text: string) => Effect.Effect<A, WrongUsage>
): Effect.Effect<(before: A) => A, WrongUsage> =>
  Option.match(option, {
    onNone: () => Effect.succeed((before: A) => before),
    onSome: (text) => Effect.map(parse(text), (value) => () => value)
  })

const wrong = (detail: string) => Effect.fail(new WrongUsage({ detail }))

const parseFolder = (folder: string): Effect.Effect<FileName.FileName | undefined, WrongUsage> => {
  if (folder === "/") return Effect.undefined
  return Effect.mapError(
    FileName.parse(folder.replace(/\/$/, "")),
    ({ message }) => new WrongUsage({ detail: `--folder: ${message}` })
  )
}

const isRights = Schema.is(Rights)

const parseRights = (list: string): Effect.Effect<Rights, WrongUsage> => {
  if (list === "all") return Effect.succeed(allRights)
  const named: ReadonlyArray<string> = list === "none" ? [] : list.split(",").map((part) => part.trim())
  if (isRights(named)) return Effect.succeed(named)
  return wrong(`'${printable(list)}' is no list of rights: some of ${allRights.join(",")}, each once; or all, or none`)
}

const amount =
  (flag: string, minimum: number, maximum: number) =>
  (given: string): Effect.Effect<number | undefined, WrongUsage> => {
    if (given === "none") return Effect.undefined
    const value = Figures.parseSize(given)
    return value !== undefined && value >= minimum && value <= maximum
      ? Effect.succeed(value)
      : wrong(`${flag} is ${minimum} to ${maximum}, with K, M, G or T if you like, or none; not '${printable(given)}'`)
  }

/** An account in one line, without its name. */
export const describe = ({ created, disabled, grant }: AccountSummary): string => {
  const { bytesPerSecond, quota, rights, root } = grant
  const parts = [
    new Date(created).toISOString().slice(0, 10),
    disabled ? "disabled" : "enabled",
    rights.length === allRights.length ? "all" : rights.length === 0 ? "none" : rights.join(","),
    printable(root ?? "/"),
    quota?.bytes === undefined ? undefined : `quota-bytes=${quota.bytes}`,
    quota?.files === undefined ? undefined : `quota-files=${quota.files}`,
    bytesPerSecond?.up === undefined ? undefined : `up-rate=${bytesPerSecond.up}`,
    bytesPerSecond?.down === undefined ? undefined : `down-rate=${bytesPerSecond.down}`
  ]
  return parts.filter(isDefined).join("  ")
}
