/**
 * A disk that counts what is written to its files.
 */
import { Effect } from "effect"
import * as Bytes from "../../../src/domain/Bytes.ts"
import type { Disk, DiskFile, DiskPath } from "../../../src/domain/store/Disk.ts"

/** The disk, and how many bytes were written to the files that were created on it. */
export const counting = (disk: Disk["Service"]) => {
  const counted = { written: 0 }
  const count = (file: DiskFile): DiskFile => ({
    ...file,
    write: (offset, parts) =>
      Effect.tap(file.write(offset, parts), () => Effect.sync(() => (counted.written += Bytes.lengthOf(parts))))
  })
  return { counted, disk: { ...disk, create: (at: DiskPath) => Effect.map(disk.create(at), count) } }
}
