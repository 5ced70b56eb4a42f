/**
 * Small local files one by one, for what has nothing better for many at once.
 */
import { Effect } from "effect"
import * as Bytes from "../domain/Bytes.ts"
import { mayRun } from "../domain/file/FileEntry.ts"
import type { LocalFiles, SmallPlaces } from "./LocalFiles.ts"

/** Opens and reads each, stages, writes and commits each. */
export const make = ({ open, stage }: Pick<LocalFiles["Service"], "open" | "stage">): SmallPlaces => ({
  readSmall: (names, bytesMax) =>
    Effect.forEach(names, (name) =>
      Effect.gen(function* () {
        const source = yield* open(name)
        if (source === undefined || source.size > bytesMax) return undefined
        const content = yield* source.read(0, source.size)
        yield* source.unchanged
        return content.length === source.size
          ? { modified: source.modified, content, ...mayRun(source.executable) }
          : undefined
      }).pipe(
        Effect.scoped,
        Effect.orElseSucceed(() => undefined)
      )
    ),
  placeSmall: (files) =>
    Effect.forEach(files, ({ digest, executable, modified, parts, path }) =>
      Effect.gen(function* () {
        const size = Bytes.lengthOf(parts)
        const staging = yield* stage(path, { size, modified, ...mayRun(executable) })
        if (size > 0) yield* staging.write(parts)
        yield* staging.commit({ size, digest })
      }).pipe(Effect.scoped, Effect.result)
    )
})
