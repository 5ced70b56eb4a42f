/**
 * What can go wrong in a store, as tagged errors that say what, why and what to do.
 */
import { Schema } from "effect"
import { ContentDigest } from "../file/Digest.ts"
import { FileSize } from "../file/FileEntry.ts"
import { FileName } from "../file/FileName.ts"

/** There is no committed file of that name. */
export class NoSuchFile extends Schema.TaggedError<NoSuchFile>()("NoSuchFile", { name: FileName }) {
  override get message(): string {
    return `there is no file '${this.name}'`
  }
}

/** A committed file of that name is there, and none was to be replaced. Nothing changed. */
export class FileExists extends Schema.TaggedError<FileExists>()("FileExists", { name: FileName }) {
  override get message(): string {
    return `there is a file '${this.name}' already: nothing was changed, use another name`
  }
}

/** The name, or a folder of it, is there in another spelling: the same under NFC and case folding. */
export class NameCollision extends Schema.TaggedError<NameCollision>()("NameCollision", {
  name: FileName,
  /** the file or folder that is there, as it is spelt */
  existing: Schema.String
}) {
  override get message(): string {
    return `'${this.name}' is '${this.existing}' on some machines, and that one exists: use its spelling`
  }
}

/** Something else than a regular file is in the way: a folder, link, device, mount point, a file used as a folder. */
export class NotAFile extends Schema.TaggedError<NotAFile>()("NotAFile", {
  name: FileName,
  /** what stands there */
  found: Schema.Literals(["folder", "link", "special", "mount-point", "file-as-folder"])
}) {
  override get message(): string {
    return `'${this.name}' cannot be used: a ${this.found} stands there`
  }
}

/** The quota of the account does not hold the change. Nothing changed. */
export class QuotaExceeded extends Schema.TaggedError<QuotaExceeded>()("QuotaExceeded", {
  name: FileName,
  /** what the quota is of */
  limit: Schema.Literals(["bytes", "files"]),
  quota: Schema.Int,
  /** what is there and what is reserved for uploads under way */
  used: Schema.Int,
  /** what the change would add */
  more: Schema.Int
}) {
  /** The figures, for a person. */
  get figures(): string {
    return `${this.used} of ${this.quota} ${this.limit} used, ${this.more} more needed`
  }

  override get message(): string {
    return `the quota does not hold '${this.name}' (${this.figures}): nothing was changed, remove files or ask for more`
  }
}

/** The disk is full. Nothing changed. */
export class NoSpace extends Schema.TaggedError<NoSpace>()("NoSpace", { name: FileName }) {
  override get message(): string {
    return `no space left for '${this.name}': make room and send it again`
  }
}

/** The content's length is not what was declared. Nothing changed. */
export class SizeMismatch extends Schema.TaggedError<SizeMismatch>()("SizeMismatch", {
  name: FileName,
  declared: FileSize,
  received: FileSize
}) {
  override get message(): string {
    return `'${this.name}' was declared with ${this.declared} bytes and came with ${this.received}: nothing was changed`
  }
}

/** The content's digest is not what was declared. Nothing changed. */
export class DigestMismatch extends Schema.TaggedError<DigestMismatch>()("DigestMismatch", {
  name: FileName,
  declared: ContentDigest,
  received: ContentDigest
}) {
  override get message(): string {
    return `the content of '${this.name}' does not have the declared digest: nothing was changed, send it again`
  }
}

/** The file was changed by someone else while it was read: the bytes would be a mixture. */
export class SourceChanged extends Schema.TaggedError<SourceChanged>()("SourceChanged", { name: FileName }) {
  override get message(): string {
    return `'${this.name}' changed while it was read: try again`
  }
}

/** Another session of the same account has taken up this staging: the newer goes on. */
export class TakenOver extends Schema.TaggedError<TakenOver>()("TakenOver", { name: FileName }) {
  override get message(): string {
    return `another session goes on with '${this.name}': this one has ended`
  }
}

/** The live file is not the version that the change was made for. Nothing changed. */
export class BaseChanged extends Schema.TaggedError<BaseChanged>()("BaseChanged", { name: FileName }) {
  override get message(): string {
    return `'${this.name}' was changed by someone else meanwhile: nothing was changed, look at it and decide`
  }
}

/** The storage below failed in a way that has no better name. The cause is for the server's own log only. */
export class StoreFailed extends Schema.TaggedError<StoreFailed>()("StoreFailed", {
  /** what was being done */
  operation: Schema.String,
  /** a system error code such as EIO */
  code: Schema.String,
  /** where, by the store's own names, when no command names it; `""` is the outermost folder */
  path: Schema.optionalKey(Schema.String)
}) {
  override get message(): string {
    return `storage failed: ${this.operation} (${this.code})`
  }
}

/** The user that the process runs as may not do that there. Only who runs it can change that. */
export class NoAccess extends Schema.TaggedError<NoAccess>()("NoAccess", {
  /** what was being done */
  operation: Schema.String,
  /** EACCES or EPERM */
  code: Schema.String,
  /** where, by the store's own names, when no command names it; `""` is the outermost folder */
  path: Schema.optionalKey(Schema.String)
}) {
  override get message(): string {
    return `the server's user has no access: ${this.operation} (${this.code}); give it access`
  }
}

/** Everything that a store may refuse or fail with. */
export type StoreError =
  | NoSuchFile
  | FileExists
  | NameCollision
  | NotAFile
  | NoSpace
  | QuotaExceeded
  | SizeMismatch
  | DigestMismatch
  | SourceChanged
  | TakenOver
  | BaseChanged
  | StoreFailed
  | NoAccess
