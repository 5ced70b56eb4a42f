/**
 * A local file on its way: written beside its destination, verified, made durable, and moved there in one step.
 *
 * It works on the narrow `Disk` port, so that tests can fill and crash the disk below it.
 */
import { Effect, type Scope } from "effect"
import { SecureRandom } from "effect/crypto"
import * as Bytes from "../domain/Bytes.ts"
import { Digest } from "../domain/file/Digest.ts"
import { printable } from "../domain/file/Printable.ts"
import { nameSegmentBytesMax } from "../domain/limits.ts"
import type { Disk, DiskError } from "../domain/store/Disk.ts"
import { LocalFileFailed } from "./ClientError.ts"
import type { Declared, LocalStaging } from "./LocalFiles.ts"

export interface StageRequest extends Declared {
  /** the destination as the person named it */
  readonly path: string
  /** the destination's folder */
  readonly disk: Disk["Service"]
  /** the destination inside that folder */
  readonly name: string
  /** Runs on the new, empty file before anything is written: there it gets the permissions of what it replaces. */
  readonly prepare: (temporary: string) => Effect.Effect<void, DiskError>
}

/** Begins new content. Closing the scope without a commit removes it. */
export const stage = Effect.fnUntraced(function* (
  request: StageRequest
): Effect.fn.Return<LocalStaging, LocalFileFailed, Digest | Scope.Scope | SecureRandom.SecureRandom> {
  const { disk, modified, name, path, prepare, size } = request
  const failed = ({ code }: { readonly code: string }) => writeFailed(path, code)
  const hasher = (yield* Digest).make()
  yield* Effect.mapError(checkDestination(disk, name), failed)
  if (size > (yield* Effect.mapError(disk.freeBytes, failed))) return yield* writeFailed(path, "ENOSPC")

  const temporary = temporaryName(name, yield* (yield* SecureRandom.SecureRandom).randomBytes(randomBytes))
  let moved = false
  const file = yield* Effect.acquireRelease(Effect.mapError(disk.create([temporary]), failed), () =>
    Effect.suspend(() => (moved ? Effect.void : Effect.ignore(disk.remove([temporary]))))
  )
  yield* Effect.mapError(prepare(temporary), failed)

  let written = 0
  const write = Effect.fnUntraced(function* (parts: Bytes.Parts): Effect.fn.Return<void, LocalFileFailed> {
    const length = Bytes.lengthOf(parts)
    if (length > size - written) return yield* writeFailed(path, "size-mismatch")
    yield* Effect.mapError(file.write(written, parts), failed)
    for (const part of parts) hasher.update(part)
    written += length
  }, Effect.uninterruptible)

  const place = Effect.gen(function* () {
    yield* disk.rename([temporary], [name])
    moved = true
    yield* disk.syncFolder([])
  }).pipe(Effect.uninterruptible)

  return {
    write,
    commit: Effect.fnUntraced(function* (expected) {
      if (written !== expected.size || written !== size) return yield* writeFailed(path, "size-mismatch")
      if (hasher.digest() !== expected.digest) return yield* writeFailed(path, "digest-mismatch")
      yield* Effect.mapError(Effect.andThen(file.setModified(modified), file.sync), failed)
      yield* Effect.mapError(place, failed)
    })
  }
})

const writeFailed = (path: string, code: string): LocalFileFailed =>
  new LocalFileFailed({ path: printable(path), operation: "write", code })

/** Only a file or a link may be replaced: a rename would also replace a device. */
const checkDestination = (disk: Disk["Service"], name: string): Effect.Effect<void, { readonly code: string }> =>
  disk.stat([name]).pipe(
    Effect.flatMap(({ kind }) =>
      kind === "folder"
        ? Effect.fail({ code: "EISDIR" })
        : kind === "special"
          ? Effect.fail({ code: "ENOTREG" })
          : Effect.void
    ),
    Effect.catchIf(
      ({ code }) => code === "ENOENT",
      () => Effect.void
    )
  )

/** 96 bits: no two downloads meet. */
const randomBytes = 12

/** `.NAME.RANDOM.part`, hidden; NAME is cut where the whole would be too long for a file system. */
const temporaryName = (name: string, random: Uint8Array): string => {
  const hex = Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("")
  let room = nameSegmentBytesMax - hex.length - "...part".length
  let kept = ""
  for (const character of name) {
    room -= Bytes.utf8Length(character)
    if (room < 0) break
    kept += character
  }
  return `.${kept}.${hex}.part`
}
