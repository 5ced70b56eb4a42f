/**
 * What the executable shows to those who run it, beside its log: on Node, as the settings say.
 */
import { Effect, FileSystem, Layer, Path, References } from "effect"
import { printable } from "../domain/file/Printable.ts"
import * as StateFile from "../domain/session/StateFile.ts"
import { Disk } from "../domain/store/Disk.ts"
import * as DiskNode from "../domain/store/DiskNode.ts"
import { Audit, AuditFailed } from "./Audit.ts"
import * as AuditFile from "./AuditFile.ts"
import { platformWords, systemWords } from "../domain/SystemCode.ts"
import { log } from "./LogEvent.ts"
import type { NotReady } from "./Readiness.ts"
import { ObservabilityFailed } from "./ObservabilityFailed.ts"
import { isWebUrl, loopbackPort, type Settings } from "./Settings.ts"

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
          yield* Effect.mapError(ownFolder(folder), (error) => cannotUse(folder, platformWords(error)))
          const { fileSize, files } = settings
          const disk = DiskNode.layer(folder, { access: "private" }).pipe(
            Layer.catchTag("DiskError", ({ code }) =>
              Layer.effect(Disk, Effect.fail(cannotUse(folder, systemWords(code))))
            )
          )
          const written = AuditFile.layer({ fileBytes: fileSize, files }).pipe(
            Layer.catchTag("AuditFailed", ({ detail }) => Layer.effect(Audit, Effect.fail(cannotUse(folder, detail))))
          )
          return Layer.provide(written, disk)
        })
      )
    : Layer.empty

const cannotUse = (folder: string, why: string): AuditFailed =>
  new AuditFailed({ detail: `'${folder}' (${why}); see what is there, and who owns it` })

/** The folder and what an earlier version has left in it: for the server's user alone. */
const ownFolder = Effect.fnUntraced(function* (folder: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  yield* StateFile.makeFolder(folder)
  const names = yield* fs.readDirectory(folder)
  // An administrator's copy is not ours to change, and in nobody's way: the folder keeps it from others.
  yield* Effect.forEach(names, (name) => Effect.ignore(fs.chmod(path.join(folder, name), 0o600)), { discard: true })
})

/**
 * The monitoring endpoint, when a setting names its address. It has no password, so it listens on loopback alone.
 *
 * @param phase what the server is about, undefined while it serves
 */
export const monitor = (
  { address }: Settings["monitor"],
  phase: Effect.Effect<NotReady | undefined>
): Layer.Layer<never, ObservabilityFailed> => {
  if (address === undefined) return Layer.empty
  const given = loopbackPort(address)
  if (given === undefined) {
    const detail = `monitor.address is a port of loopback, as in "127.0.0.1:9464", not '${printable(address)}'`
    return Layer.effectDiscard(Effect.fail(new ObservabilityFailed({ detail })))
  }
  return Layer.unwrap(
    Effect.map(loaded, ({ endpoint }) =>
      endpoint(given, phase, (at) =>
        log("monitoring", "metrics, healthz and readyz are served", {
          address: at._tag === "UnixPathAddress" ? at.path : `${at.address.toString()}:${at.port}`
        })
      )
    )
  )
}

/** Traces and metrics to an OTLP collector, when a setting names one; otherwise no span is made. */
export const exporters = ({ otlp }: Settings["monitor"]): Layer.Layer<never, ObservabilityFailed> => {
  if (otlp === undefined) return Layer.succeed(References.TracerEnabled, false)
  if (!isWebUrl(otlp)) {
    const detail = `monitor.otlp is a URL, as in "http://127.0.0.1:4318", not '${printable(otlp)}'`
    return Layer.effectDiscard(Effect.fail(new ObservabilityFailed({ detail })))
  }
  return Layer.unwrap(Effect.map(loaded, (node) => node.otlp(otlp)))
}

/** Only when it is asked for. */
const loaded = Effect.promise(() => import("./MonitorNode.ts"))
