/**
 * An account of the real server whose password costs its clients next to nothing, so that a shown script can log in
 * thousands of times: the server never stretches, it does the same work for any record.
 */
import { join } from "node:path"
import { NodeCrypto, NodeServices, NodeSocket } from "@effect/platform-node"
import { Clock, Effect, Layer } from "effect"
import * as Client from "../../src/client/Client.ts"
import { Opaque } from "../../src/domain/channel/Opaque.ts"
import { Accounts } from "../../src/domain/session/Accounts.ts"
import * as AccountsFile from "../../src/domain/session/AccountsFile.ts"
import * as StateLockNode from "../../src/domain/session/StateLockNode.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import { quickCrypto } from "../crypto.ts"

/** Who it is. */
export const { ada } = Fixture

/** Adds the account to the server of `startServer(folder)`, before it starts. */
export const addQuickAccount = (folder: string): Promise<void> =>
  Effect.gen(function* () {
    const accounts = yield* Accounts
    const setup = yield* accounts.setup
    const record = yield* (yield* Opaque).register(setup, { ...ada, stretching: accounts.stretching })
    yield* accounts.put(ada.user, record, yield* Clock.currentTimeMillis)
  }).pipe(
    Effect.provide(AccountsFile.layer(join(folder, "state"))),
    Effect.provide(Layer.mergeAll(quickCrypto, NodeServices.layer, NodeCrypto.layerSecureRandom, StateLockNode.layer)),
    Effect.runPromise
  )

/** A session of that account, from that address of this machine. */
export const session = (port: number, localAddress: string) =>
  Client.connect({
    ...ada,
    server: `127.0.0.1:${port}`,
    dial: NodeSocket.makeNet({ host: "127.0.0.1", port, localAddress, noDelay: true, allowHalfOpen: true })
  })
