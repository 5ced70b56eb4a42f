/**
 * What an account may do: its root folder, its rights, its quota and its rates. Data of the account, without secrets.
 */
import { Schema } from "effect"
import { FileName } from "../file/FileName.ts"
import { fileBytesMax, quotaFilesMax } from "../limits.ts"
import type { Command } from "./SessionState.ts"

/** One thing that an account may do. */
export const Right = Schema.Literals([
  /** see which files there are, with size and time */
  "list",
  /** see content, and the digests that name it */
  "read",
  /** make files that were not there */
  "write",
  /** put other content in place of a file */
  "replace",
  /** make a file go */
  "remove",
  /** give a file another name */
  "rename"
])
export type Right = typeof Right.Type

/** All of them, in the order in which they are shown. */
export const rights: ReadonlyArray<Right> = Right.literals

/** Rights, each at most once. */
export const Rights = Schema.Array(Right).check(
  Schema.makeFilter((all: ReadonlyArray<Right>) => new Set(all).size === all.length || "each right at most once")
)
export type Rights = typeof Rights.Type

/** Bytes for each second; at least 1. */
const Rate = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: fileBytesMax }))

/** What an account may do. What is absent is not limited. */
export const Grant = Schema.Struct({
  /** the folder of the served root that the account sees as its root; absent: the served root itself */
  root: Schema.optionalKey(FileName),
  rights: Rights,
  /** what the account's root may hold */
  quota: Schema.optionalKey(
    Schema.Struct({
      bytes: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: fileBytesMax }))),
      files: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: quotaFilesMax })))
    })
  ),
  /** over all sessions of the account together; `up` is what it sends, `down` what it gets */
  bytesPerSecond: Schema.optionalKey(Schema.Struct({ up: Schema.optionalKey(Rate), down: Schema.optionalKey(Rate) }))
})
export type Grant = typeof Grant.Type

/** Everything, without limits: what an account has that nobody has restricted. */
export const everything: Grant = { rights }

/**
 * The rights that a command needs before the store is asked anything.
 *
 * A Para tells about the content of the file that it replaces, and a digest about content: both need `read`. Whether
 * an Upload needs `write` or `replace` depends on what is there: `lacking` lets either through (see `mayPlace`).
 */
export const needs = (command: Command): ReadonlyArray<Right> => {
  switch (command._tag) {
    case "Fetch":
      return command.digest === true || command.content === true ? ["list", "read"] : ["list"]
    case "Describe":
    case "Download":
    case "DownloadBundle":
      return ["read"]
    case "Upload":
    case "UploadBundle":
      return ["write"]
    case "Para":
      return ["read", "replace"]
    case "PasswordStart":
      return []
    // Whoever may name a digest and hear whether it is that one could find content out.
    case "Remove":
      return ["remove", ...reading(command)]
    case "Rename":
      return ["rename", "write", ...(command.replace === true ? replacing : []), ...reading(command)]
  }
}

const replacing: ReadonlyArray<Right> = ["replace"]

const reading = ({ expect }: { readonly expect?: string }): ReadonlyArray<Right> =>
  expect === undefined ? [] : ["read"]

/** The first right that the command needs and the account lacks. */
export const lacking = (held: Rights, command: Command): Right | undefined =>
  (command._tag === "Upload" || command._tag === "UploadBundle") && held.includes("replace")
    ? undefined
    : needs(command).find((right) => !held.includes(right))

/** What an upload may find at its name: with one of the two rights only what that one is for. */
export type Target = "absent" | "present"

/** What must be at an upload's name, or undefined when it does not matter. */
export const mayPlace = (held: Rights): Target | undefined => {
  if (!held.includes("replace")) return "absent"
  return held.includes("write") ? undefined : "present"
}
