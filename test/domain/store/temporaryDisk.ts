import * as nodeFs from "node:fs"
import * as nodeOs from "node:os"
import { Effect, Layer, type Scope } from "effect"
import type { Disk, DiskError } from "../../../src/domain/store/Disk.ts"
import * as DiskNode from "../../../src/domain/store/DiskNode.ts"

/** A folder that goes with its scope. */
export const temporaryFolder: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => nodeFs.mkdtempSync(`${nodeOs.tmpdir()}/paradrop-test-`)),
  (folder) => Effect.sync(() => nodeFs.rmSync(folder, { recursive: true, force: true }))
)

/** The real disk, on a folder of its own. */
export const temporaryDisk = (options: DiskNode.Options = {}): Layer.Layer<Disk, DiskError> =>
  Layer.unwrap(Effect.map(temporaryFolder, (folder) => DiskNode.layer(folder, options)))
