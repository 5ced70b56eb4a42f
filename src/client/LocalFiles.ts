/**
 * Port: the client's own files.
 *
 * ## Contract (test: `localFilesContract`)
 *
 * - A path is what the person typed: relative or absolute, in the platform's own form. It never comes from a server.
 * - `open` takes regular files only and follows links, as a person who names one expects. `unchanged` fails when the
 *   bytes read may be a mixture.
 * - `stage` writes beside the destination, under a name of its own, and replaces the destination in one step at
 *   `commit`, after size and digest were verified and the content is durable. Closing the scope without a commit leaves
 *   nothing behind and the destination untouched. Missing folders are not made. A link at the destination is replaced,
 *   not followed; a folder or special file there is refused before the first byte.
 */
import { Context, type Effect, type Scope } from "effect"
import type { Parts } from "../domain/Bytes.ts"
import type { ContentDigest } from "../domain/file/Digest.ts"
import type { FileSize, Milliseconds } from "../domain/file/FileEntry.ts"
import type { Source } from "../domain/transfer/Outgoing.ts"
import type { LocalFileFailed } from "./ClientError.ts"

/** A local file to send. */
export interface LocalSource extends Source<LocalFileFailed> {
  readonly modified: Milliseconds
}

/** What a staged file is declared to be. */
export interface Declared {
  readonly size: FileSize
  readonly modified: Milliseconds
}

/** Content on its way into a local file. */
export interface LocalStaging {
  readonly write: (parts: Parts) => Effect.Effect<void, LocalFileFailed>
  readonly commit: (expected: {
    readonly size: FileSize
    readonly digest: ContentDigest
  }) => Effect.Effect<void, LocalFileFailed>
}

export class LocalFiles extends Context.Service<
  LocalFiles,
  {
    /** Opens a file for sending; undefined when there is none of that path. */
    readonly open: (path: string) => Effect.Effect<LocalSource | undefined, LocalFileFailed, Scope.Scope>
    /** Begins new content for a path. */
    readonly stage: (path: string, declared: Declared) => Effect.Effect<LocalStaging, LocalFileFailed, Scope.Scope>
    /** Whether a folder stands at the path, links followed. */
    readonly isFolder: (path: string) => Effect.Effect<boolean>
    /** The path's last part. */
    readonly baseName: (path: string) => string
    /** The path of a file in a folder. */
    readonly join: (folder: string, name: string) => string
    /** Paths that begin like this one, in order, folders with a separator at their end; none when it cannot be read. */
    readonly complete: (beginning: string) => Effect.Effect<ReadonlyArray<string>>
  }
>()("paradrop/client/LocalFiles") {}
