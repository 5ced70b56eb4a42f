/**
 * Why a command is refused: what a client may know of an error of the store.
 */
import { Effect } from "effect"
import type { ChannelFailed } from "../domain/channel/ChannelError.ts"
import type { Target } from "../domain/session/Grant.ts"
import type { ActionResult } from "../domain/session/SessionState.ts"
import type { StoreError } from "../domain/store/StoreError.ts"
import type { FileName } from "../domain/file/FileName.ts"
import { printable } from "../domain/file/Printable.ts"
import type { Confined } from "../domain/store/Confined.ts"
import type { SourceShrank } from "../domain/transfer/Outgoing.ts"
import type { RequestId } from "../domain/wire/Frame.ts"
import type { Refusal } from "../domain/wire/Refusal.ts"
import { log } from "./LogEvent.ts"
import type { SessionWatch } from "./SessionWatch.ts"

/** The peer cancelled what was being sent. */
export interface Stopped {
  readonly _tag: "Stopped"
}

/** The one value of it. */
export const stop: Stopped = { _tag: "Stopped" }

/** What a client hears of. */
export type Refusable = Stopped | StoreError | SourceShrank

/** All but the loss of the connection. */
export const isRefusable = (error: Refusable | ChannelFailed): error is Refusable => error._tag !== "ChannelFailed"

/** Whose commands are refused. */
export interface Whose {
  readonly user: () => string
  readonly files: Confined
  readonly watch: Pick<SessionWatch, "about">
}

/** How the commands of one session are refused. */
export interface Refusals {
  /** The refusal of one command. */
  readonly refused: (id: RequestId, error: Refusable) => Effect.Effect<ActionResult>
  /** The same for an upload of an account that may replace and not make files: that there is none is no news to it. */
  readonly refusedTarget: (id: RequestId, target: Target | undefined, error: Refusable) => Effect.Effect<ActionResult>
  /** Only what the administrator must look into is logged; a refusal is the client's to mend. */
  readonly logged: (id: RequestId, error: Refusable, name?: FileName) => Effect.Effect<void>
}

export const make = ({ files, user, watch }: Whose): Refusals => {
  const logged: Refusals["logged"] = (id, error, file) =>
    Effect.suspend(() => {
      if (error._tag !== "StoreFailed" && error._tag !== "NoAccess") return Effect.void
      const { command, name = file, to } = watch.about(id)
      const path = name === undefined ? error.path : files.whole(name)
      const where = path === undefined ? {} : { name: printable(path === "" ? "." : path) }
      // Of a rename either may be what cannot be reached.
      const target = to === undefined ? {} : { to: printable(files.whole(to)) }
      const whose = { user: user(), command, ...where, ...target }
      return error._tag === "NoAccess"
        ? log("no-access", error.message, { ...whose, code: error.code })
        : log("store-failed", error.message, whose)
    })
  const refusing = (id: RequestId, error: Refusable, refusal: Refusal) =>
    Effect.as(logged(id, error), { _tag: "Refused", id, refusal } as const)
  return {
    logged,
    refused: (id, error) => refusing(id, error, refusalOf(error)),
    refusedTarget: (id, target, error) => refusing(id, error, refusalOfTarget(target, error))
  }
}

/** Why, for that upload. */
export const refusalOfTarget = (target: Target | undefined, error: Refusable): Refusal =>
  target === "present" && error._tag === "NoSuchFile" ? { reason: "not-permitted", detail: "write" } : refusalOf(error)

/** What a client may know of an error of the store. */
export const refusalOf = (error: Refusable): Refusal => {
  switch (error._tag) {
    case "Stopped":
      return { reason: "cancelled" }
    case "NoSuchFile":
      return { reason: "no-such-file" }
    case "FileExists":
      return { reason: "not-permitted", detail: "replace" }
    case "NameCollision":
      return { reason: "name-collision", detail: error.existing }
    case "NotAFile":
      return { reason: "not-a-file", detail: error.found }
    case "NoSpace":
      return { reason: "no-space" }
    case "QuotaExceeded":
      return { reason: "quota-exceeded", detail: error.figures }
    case "SizeMismatch":
      return { reason: "size-mismatch" }
    case "DigestMismatch":
      return { reason: "digest-mismatch" }
    case "SourceChanged":
    case "SourceShrank":
      return { reason: "source-changed" }
    case "BaseChanged":
      return { reason: "conflict" }
    case "TakenOver":
      return { reason: "taken-over" }
    case "NoAccess":
      return { reason: "no-access" }
    case "StoreFailed":
      return { reason: "store-failed" }
  }
}
