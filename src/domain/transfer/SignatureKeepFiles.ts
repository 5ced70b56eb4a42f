/**
 * Signatures kept as files of a folder: one for each version of a file, named by the digest of the version.
 *
 * Nothing here is precious: a file is replaced whole and without an fsync, carries a checksum, and can be removed at
 * any time.
 */
import { Effect, FileSystem, Layer, Option, Path, type PlatformError, Semaphore } from "effect"
import { SecureRandom } from "effect/crypto"
import { fromUtf8 } from "../Bytes.ts"
import { Digest } from "../file/Digest.ts"
import {
  chunkAverageLog2Max,
  comparedBytesMax,
  keptSignatureBytesMax,
  keptVersionBytesMax,
  signatureGroupsMax,
  signaturesToGoMax
} from "../limits.ts"
import { shortDigest } from "./Signature.ts"
import { decode, encode, encodedBytesMax } from "./SignatureFile.ts"
import { SignatureKeep } from "./SignatureKeep.ts"

const suffix = ".sig"

/** Of the largest file that is compared: its chunks grow no more, and are at least half of the average. */
const chunksMax = comparedBytesMax / 2 ** (chunkAverageLog2Max - 1)

/**
 * @param folder an absolute path; it is made when it is missing
 * @param bytesMax all kept signatures together; the oldest go first
 */
export const layer = (
  folder: string,
  bytesMax: number = keptSignatureBytesMax
): Layer.Layer<
  SignatureKeep,
  PlatformError.PlatformError,
  Digest | FileSystem.FileSystem | Path.Path | SecureRandom.SecureRandom
> =>
  Layer.effect(
    SignatureKeep,
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const digest = yield* Digest
      const random = yield* SecureRandom.SecureRandom
      yield* fs.makeDirectory(folder, { recursive: true, mode: 0o700 })
      const oneAtATime = yield* Semaphore.make(1)
      const fileOf = (version: string): string =>
        path.join(folder, `${shortDigest(digest, [fromUtf8(version)])}${suffix}`)

      const read = Effect.fnUntraced(function* (version: string) {
        const file = fileOf(version)
        const info = yield* fs.stat(file)
        // Whoever opens a pipe waits for its writer, and a device may never end.
        if (info.type !== "File") return undefined
        if (info.size > BigInt(encodedBytesMax(chunksMax, 2 * signatureGroupsMax, keptVersionBytesMax))) {
          return undefined
        }
        return decode(digest, version, yield* fs.readFile(file))
      })

      let kept = 0
      /** the next to go, the oldest last: once the folder is full, each put would look through all of it */
      let next: Array<{ readonly file: string; readonly size: number }> = []
      const dropOldest = Effect.gen(function* () {
        for (let one = next.at(-1); kept > bytesMax && one !== undefined; one = next.at(-1)) {
          next.pop()
          // What cannot be removed keeps nothing else in its place.
          if (yield* Effect.isSuccess(fs.remove(one.file, { force: true }))) kept -= one.size
        }
      })
      /** @param put what was just put: none is younger, so a later time is from before the clock was set back */
      const lookAgain = Effect.fnUntraced(function* (put?: string) {
        const files = yield* sizes(fs, path, folder)
        kept = files.reduce((total, { size }) => total + size, 0)
        const last = files.find(({ file }) => file === put)?.modified ?? Infinity
        const timeOf = ({ modified }: { readonly modified: number }): number => (modified > last ? 0 : modified)
        next = files.toSorted((a, b) => timeOf(b) - timeOf(a)).slice(-signaturesToGoMax)
      })
      const prune = Effect.fnUntraced(function* (put?: string) {
        yield* dropOldest
        for (let before = Infinity; kept > bytesMax && kept < before;) {
          before = kept
          yield* Effect.andThen(lookAgain(put), dropOldest)
        }
      })

      const write = Effect.fnUntraced(function* (version: string, bytes: Uint8Array) {
        const temporary = path.join(folder, `${Array.from(yield* random.randomBytes(8)).join("")}.new`)
        const file = fileOf(version)
        const before = yield* Effect.option(fs.stat(file))
        yield* fs.writeFile(temporary, bytes, { flag: "wx", mode: 0o600 }).pipe(
          Effect.andThen(fs.rename(temporary, file)),
          Effect.onError(() => Effect.ignore(fs.remove(temporary, { force: true })))
        )
        kept += bytes.length
        if (Option.isSome(before)) {
          // What is put again takes its room once, and is the youngest.
          kept -= Number(before.value.size)
          next = next.filter((one) => one.file !== file)
        }
        if (kept > bytesMax) yield* prune(file)
      }, Effect.uninterruptible)

      yield* Effect.andThen(lookAgain(), prune())
      return SignatureKeep.of({
        get: (version) => Effect.catch(read(version), () => Effect.undefined),
        put: (version, signature) =>
          Effect.suspend(() => {
            const bytes = encode(digest, version, signature)
            return bytes.length > bytesMax ? Effect.void : Effect.ignore(oneAtATime.withPermit(write(version, bytes)))
          })
      })
    })
  )

/** The files that the folder holds; leftovers of a crash among them. */
const sizes = Effect.fnUntraced(function* (fs: FileSystem.FileSystem, path: Path.Path, folder: string) {
  const names = yield* fs.readDirectory(folder)
  const stats = yield* Effect.forEach(
    names,
    (name) => {
      const file = path.join(folder, name)
      return Effect.option(
        Effect.map(fs.stat(file), (info) => ({
          file,
          isFile: info.type === "File",
          size: Number(info.size),
          modified: Option.match(info.mtime, { onNone: () => 0, onSome: (time) => time.getTime() })
        }))
      )
    },
    { concurrency: 8 }
  )
  return stats.flatMap(Option.toArray).filter(({ isFile }) => isFile)
})
