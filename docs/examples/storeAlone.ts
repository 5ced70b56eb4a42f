/**
 * The store alone: replaces a file whole or not at all, whatever happens, without any server.
 *
 *   node storeAlone.ts FOLDER NAME < CONTENT
 */
import { text } from "node:stream/consumers"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Clock, Console, Effect, Layer } from "effect"
import { Bytes, Digest, FileName, FileStore } from "paradrop"
import { DigestNode } from "paradrop/node"
import { folder } from "./embed.ts"

// [save
/** The name holds the old content or the new, also after a power cut; when this has succeeded, the new. */
export const save = Effect.fnUntraced(function* (name: FileName.FileName, content: Uint8Array) {
  const store = yield* FileStore.FileStore
  const digest = Digest.digestOf(yield* Digest.Digest, [content])
  const modified = yield* Clock.currentTimeMillis
  const staging = yield* store.stage({ name, size: content.length, modified })
  yield* staging.write([content])
  return yield* staging.commit({ size: content.length, digest })
}, Effect.scoped)
// save]

if (import.meta.main) {
  const [root = "files", name = "note.txt"] = process.argv.slice(2)
  const program = Effect.gen(function* () {
    const content = Bytes.fromUtf8(yield* Effect.promise(() => text(process.stdin)))
    const { digest, size } = yield* save(yield* FileName.parse(name), content)
    yield* Console.log(`${name}: ${size} bytes, ${digest}`)
  })
  NodeRuntime.runMain(Effect.provide(program, Layer.merge(folder(root), DigestNode.layer)))
}
