/**
 * Port: tells what commands do, to whoever is there: a person, a script, or a test.
 *
 * Contract: every text that a peer may have chosen is made printable here and nowhere later. Nothing fails.
 */
import { Context, type Effect, type Scope } from "effect"
import type { UserName } from "../domain/channel/HandshakeMessage.ts"
import type { Password } from "../domain/channel/Opaque.ts"
import type { ContentDigest } from "../domain/file/Digest.ts"
import type { FileEntry } from "../domain/file/FileEntry.ts"
import type { LeftOutKind } from "./LocalFiles.ts"
import type { OnProgress } from "./Progress.ts"

/** What moves content. */
export type TransferCommand = "upload" | "download" | "para"

/** What a person has asked to see. */
export interface ListedOptions {
  readonly digests: boolean
}

/** A transfer that has ended well. */
export interface Transferred {
  readonly command: TransferCommand
  /** the server's name of the file */
  readonly name: string
  /** where a download went */
  readonly path?: string
  /** bytes */
  readonly size: number
  /** of them: bytes that did not have to be sent */
  readonly reused: number
  /** both ends had the same content before: nothing was moved */
  readonly equal: boolean
  /**
   * bytes that crossed the network for it, everything but sealing counted; absent for one of several files, which
   * share the session
   */
  readonly sent?: number
  readonly received?: number
  readonly digest: ContentDigest
  readonly milliseconds: number
}

/** A command about several files that has ended, whether all went well or not. */
export interface Summary {
  readonly command: TransferCommand
  /** files that were transferred or found equal, and of them those that were equal */
  readonly files: number
  readonly equal: number
  readonly failed: number
  /** files that went because the other end has none */
  readonly removed: number
  /** bytes of the files that were transferred, and of them those that did not have to be sent */
  readonly size: number
  readonly reused: number
  /** bytes that crossed the network, everything but sealing counted */
  readonly sent: number
  readonly received: number
  readonly milliseconds: number
}

/** What would be done with one file if it were not only asked about. */
export interface Planned {
  readonly command: TransferCommand
  /** `add`: the other end has none; `change`: it has another; `remove`: it has one too many */
  readonly action: "add" | "change" | "remove"
  /** the name that the file has, or would have, at the end that is brought up to date */
  readonly name: string
  /** bytes that the file has; 0 for one that would go */
  readonly size: number
}

/** The end of such a question. */
export interface PlanSummary {
  readonly command: TransferCommand
  readonly add: number
  readonly change: number
  readonly remove: number
  readonly equal: number
  readonly failed: number
  /** bytes of the files that would be added or changed */
  readonly size: number
}

/** What a file is at one of the ends. */
interface Side {
  readonly size: number
  /** undefined when the sizes told enough */
  readonly digest?: ContentDigest
}

/** A comparison that has ended. */
export interface Verified {
  readonly name: string
  /** the local file */
  readonly path: string
  readonly equal: boolean
  readonly server: Side
  readonly local: Side
}

/** A name that was removed or changed, as the server spelt it. */
export type Changed =
  | {
      readonly command: "remove"
      /** the server's name; with `here` the path of a local file */
      readonly name: string
      readonly here?: true
    }
  | { readonly command: "rename"; readonly name: string; readonly to: string }

/** What a live listing has seen; of a removed file what it was. */
export interface ListingChange {
  readonly kind: "added" | "changed" | "removed"
  readonly entry: FileEntry
}

/** What went wrong, and with what. The message is printable: errors keep to that. */
export interface Failure {
  readonly error: { readonly _tag: string; readonly message: string }
  /** the command and the name as the person gave them */
  readonly command?: string
  readonly name?: string
}

/** Port: says what a command does, to a person or to a program. Never fails; its layers decide where and how. */
export class Reporter extends Context.Service<
  Reporter,
  {
    /** A part of a listing. */
    readonly listed: (entries: ReadonlyArray<FileEntry>, options?: ListedOptions) => Effect.Effect<void>
    /** What has happened to a listing since it was told. */
    readonly listingChanged: (changes: ReadonlyArray<ListingChange>, options?: ListedOptions) => Effect.Effect<void>
    /** Shows progress while the scope is open. */
    readonly follow: (transfer: {
      readonly command: TransferCommand
      readonly name: string
    }) => Effect.Effect<OnProgress, never, Scope.Scope>
    /**
     * Whether whoever listens wants to hear of each file of a folder that was moved, and of each of many that failed
     * for one reason. Of files that were named one by one, and of what was left out or has gone, everybody hears.
     */
    readonly tellsEach: boolean
    readonly transferred: (transferred: Transferred) => Effect.Effect<void>
    /** Several at once. */
    readonly transferredAll: (all: ReadonlyArray<Transferred>) => Effect.Effect<void>
    readonly changed: (changed: Changed) => Effect.Effect<void>
    /** The end of a command about several files. */
    readonly summed: (summary: Summary) => Effect.Effect<void>
    /** A dry run: many files at once, then the end of it. */
    readonly planned: (planned: ReadonlyArray<Planned>, summary: PlanSummary) => Effect.Effect<void>
    /** Something in a folder that is no file and stays where it is. */
    readonly leftOut: (leftOut: {
      readonly command: TransferCommand
      readonly path: string
      readonly kind: LeftOutKind
    }) => Effect.Effect<void>
    /** A password that was made: shown this once. It works, or is about to be asked for. */
    readonly passwordMade: (user: UserName, password: Password) => Effect.Effect<void>
    readonly verified: (verified: Verified) => Effect.Effect<void>
    readonly failed: (failure: Failure) => Effect.Effect<void>
    /** Something that a person should know; scripts need not. */
    readonly note: (text: string, mood?: "good" | "bad") => Effect.Effect<void>
  }
>()("paradrop/client/Reporter") {}
