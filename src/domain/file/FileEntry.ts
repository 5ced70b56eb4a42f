/**
 * What a listing says about one committed file.
 */
import { Schema } from "effect"
import { fileBytesMax } from "../limits.ts"
import { ContentDigest } from "./Digest.ts"
import { FileName } from "./FileName.ts"

/** A file's size in bytes: an exact integer. */
export const FileSize = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: fileBytesMax }))
export type FileSize = typeof FileSize.Type

/** The end of the year 9999. */
export const millisecondsMax = 253_402_300_799_999

/** A time as whole milliseconds since 1970-01-01T00:00:00Z. Not every file system can hold all: ext4 ends in 2446. */
export const Milliseconds = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: millisecondsMax }))
export type Milliseconds = typeof Milliseconds.Type

/** Whether whoever may read a file may also run it. The key is there only when it is so: one encoding of each fact. */
export const Executable = Schema.optionalKey(Schema.Literal(true))

/** What carries the bit. */
export interface MayRun {
  readonly executable?: true
}

/** The key of a file that may be run, and none of another. */
export const mayRun = (executable: boolean | undefined): MayRun => (executable === true ? { executable } : {})

/** One committed file. The digest is there when it is known without reading the file. */
export const FileEntry = Schema.Struct({
  name: FileName,
  /** bytes */
  size: FileSize,
  /** modification time */
  modified: Milliseconds,
  executable: Executable,
  digest: Schema.optionalKey(ContentDigest)
})
export type FileEntry = typeof FileEntry.Type
