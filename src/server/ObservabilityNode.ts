/**
 * What the executable shows to those who run it, beside its log: on Node, as the settings say.
 */
import { Effect, FileSystem, Layer, Path } from "effect"
import * as DiskNode from "../domain/store/DiskNode.ts"
import { Audit, AuditFailed } from "./Audit.ts"
import * as AuditFile from "./AuditFile.ts"
import type { Settings } from "./Settings.ts"

/**
 * The audit log: a folder of its own in the state folder.
 *
 * @param state the state folder, which need not exist
 */
export const auditLog = (
  settings: Settings["audit"],
  state: string
): Layer.Layer<never, AuditFailed, FileSystem.FileSystem | Path.Path> =>
  settings.enabled
    ? Layer.unwrap(
        Effect.gen(function* () {
          const folder = (yield* Path.Path).join(state, "audit")
          yield* (yield* FileSystem.FileSystem).makeDirectory(folder, { recursive: true, mode: 0o700 })
          const { fileSize, files } = settings
          return Layer.provide(AuditFile.layer({ fileBytes: fileSize, files }), DiskNode.layer(folder))
        })
      ).pipe(
        Layer.catchTag(["DiskError", "PlatformError"], (error) =>
          Layer.effect(Audit, Effect.fail(new AuditFailed({ detail: error.message })))
        )
      )
    : Layer.empty
