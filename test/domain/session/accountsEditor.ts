/**
 * A process that adds accounts one by one: `accountsEditor.ts FOLDER NAME COUNT`.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Layer, Redacted } from "effect"
import { UserName } from "../../../src/domain/channel/HandshakeMessage.ts"
import { Opaque, recordBytes } from "../../../src/domain/channel/Opaque.ts"
import * as AccountsFile from "../../../src/domain/session/AccountsFile.ts"
import * as StateLockNode from "../../../src/domain/session/StateLockNode.ts"

const [folder = "", name = "", count = "0"] = process.argv.slice(2)

await Effect.gen(function* () {
  const accounts = yield* AccountsFile.make(folder)
  for (let index = 0; index < Number(count); index++) {
    yield* accounts.put(UserName.make(`${name}${index}`), Redacted.make(new Uint8Array(recordBytes)), index)
  }
}).pipe(Effect.provide(Layer.mergeAll(NodeServices.layer, Opaque.layerQuick, StateLockNode.layer)), Effect.runPromise)
