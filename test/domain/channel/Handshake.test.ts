import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted, type Result } from "effect"
import * as Bytes from "../../../src/domain/Bytes.ts"
import * as CipherNode from "../../../src/domain/channel/CipherNode.ts"
import { UserName } from "../../../src/domain/channel/HandshakeMessage.ts"
import * as KemNode from "../../../src/domain/channel/KemNode.ts"
import { Opaque } from "../../../src/domain/channel/Opaque.ts"
import { accept, connect } from "../../../src/domain/channel/SecureChannel.ts"
import { open, type Transport } from "../../../src/domain/channel/Transport.ts"
import { pair } from "../../../src/domain/testing/MemorySocket.ts"
import { accounts, type Accounts, type Attempt, clientLogin, rightPassword, serverLogin, user } from "./login.ts"
import { between, cutAt, flipAt, type Tamper, tampered, untouched } from "./wire.ts"

const provided = Effect.provide(Layer.mergeAll(KemNode.layer, CipherNode.layer, Opaque.layerQuick))

const right: Attempt = { user, password: rightPassword }
const wrong: Attempt = { user, password: "1234567" }
const unknown: Attempt = { user: UserName.make("nobody"), password: rightPassword }

interface Setting {
  readonly attempts?: ReadonlyArray<Attempt>
  readonly up?: Tamper
  readonly down?: Tamper
  readonly stretching?: number
}

/** A whole login, with the sizes of all flights. */
const login = Effect.fnUntraced(function* (known: Accounts, setting: Setting = {}) {
  const [sent, answered]: [Array<number>, Array<number>] = [[], []]
  const [client, server] = yield* between(
    (transport) =>
      connect(tampered(transport, setting.up ?? untouched, sent)).pipe(
        Effect.flatMap((channel) => clientLogin(channel, setting.attempts ?? [right]))
      ),
    (transport) =>
      accept(tampered(transport, setting.down ?? untouched, answered)).pipe(
        Effect.flatMap((channel) =>
          serverLogin(channel, known, setting.stretching === undefined ? {} : { stretching: setting.stretching })
        )
      )
  )
  return { client, server, sent, answered }
})

/** How an end ended: a reason, or "In" or "Out". */
const ending = (result: Result.Result<object, { readonly reason: string }>): string =>
  result._tag === "Failure" ? result.failure.reason : "_tag" in result.success ? String(result.success._tag) : "In"

describe("login", () => {
  it.effect("both ends get the same keys, in flights of the documented sizes", () =>
    Effect.gen(function* () {
      const { answered, client, sent, server } = yield* login(yield* accounts)
      assert.deepStrictEqual(sent, [1221, 182, 85, 21])
      assert.deepStrictEqual(answered, [1125, 342, 21])
      if (client._tag === "Failure" || client.success._tag === "Out" || server._tag === "Failure") {
        return assert.fail(`${ending(client)} ${ending(server)}`)
      }
      const [here, there] = [client.success.channel.exporter, server.success.exporter].map((secret) =>
        Redacted.value(secret)
      )
      assert.deepStrictEqual(here, there)
      return assert.strictEqual(here?.length, 32)
    }).pipe(provided)
  )

  it.effect("a wrong password and an unknown user look alike from outside", () =>
    Effect.gen(function* () {
      const known = yield* accounts
      const one = yield* login(known, { attempts: [wrong] })
      const two = yield* login(known, { attempts: [unknown] })
      for (const { answered, client, sent, server } of [one, two]) {
        assert.deepStrictEqual(sent, [1221, 182, 21])
        assert.deepStrictEqual(answered, [1125, 342, 22])
        assert.deepStrictEqual(client._tag === "Success" ? client.success : client, { _tag: "Out", incorrect: [2] })
        assert.strictEqual(ending(server), "truncated")
      }
    }).pipe(provided)
  )

  it.effect("two wrong attempts, then the right one on the same channel", () =>
    Effect.gen(function* () {
      const { client, server } = yield* login(yield* accounts, { attempts: [wrong, unknown, right] })
      assert.deepStrictEqual([ending(client), ending(server)], ["In", "In"])
      assert.deepStrictEqual(client._tag === "Success" ? client.success.incorrect : [], [2, 1])
    }).pipe(provided)
  )

  it.effect("stretching that the client does not know ends the login at the client", () =>
    Effect.gen(function* () {
      const known = yield* accounts
      for (const stretching of [0, 4, 255]) {
        const { client, server } = yield* login(known, { stretching })
        assert.deepStrictEqual([ending(client), ending(server)], ["unknown-stretching", "truncated"])
      }
    }).pipe(provided)
  )

  it.effect("another protocol is turned away at its fifth byte", () =>
    Effect.gen(function* () {
      const [client, server] = yield* between(
        (transport) => Effect.andThen(transport.write([Bytes.fromUtf8("GET /")]), transport.take(1)),
        (transport) => accept(transport)
      )
      assert.deepStrictEqual([ending(client), ending(server)], ["truncated", "bad-hello"])
    }).pipe(provided)
  )
})

// What a login sends: up 1221 + 182 + 85 + 21, down 1125 + 342 + 21.
const upBytes = 1509
const downBytes = 1488

const positions = (length: number, step: number): ReadonlyArray<number> =>
  Array.from({ length: Math.ceil(length / step) }, (_, index) => index * step)

describe("an attacker on the line", () => {
  const outcomes = Effect.fnUntraced(function* (setting: Setting, known: Accounts) {
    const { client, server } = yield* login(known, setting)
    return [ending(client), ending(server)] as const
  })

  // A changed length makes the reader wait for more: only the deadlines above this layer end that. See the test below.
  const lengthOfLast = (total: number) => (at: number) => at > total - 21 && at < total - 17

  it.effect("no changed byte leaves both ends content", () =>
    Effect.gen(function* () {
      const known = yield* accounts
      for (const at of positions(upBytes, 5)) {
        if (lengthOfLast(upBytes)(at)) continue
        const [client, server] = yield* outcomes({ up: flipAt(at, at % 8) }, known)
        assert.notStrictEqual(client, "In", `up ${at}`)
        assert.notStrictEqual(server, "In", `up ${at}`)
      }
      for (const at of positions(downBytes, 5)) {
        if (lengthOfLast(downBytes)(at)) continue
        const [client, server] = yield* outcomes({ down: flipAt(at, at % 8) }, known)
        assert.notStrictEqual(client, "In", `down ${at}`)
        // The server's last record leaves after it has believed the client.
        if (at < downBytes - 21) assert.notStrictEqual(server, "In", `down ${at}`)
      }
    }).pipe(provided)
  )

  it.effect("a changed length of the last record ends with the connection", () =>
    Effect.gen(function* () {
      const known = yield* accounts
      const both = (total: number, at: number): Tamper => {
        const [flip, cut] = [flipAt(at, at % 8), cutAt(total - 1)]
        return (offset, bytes) => cut(offset, flip(offset, bytes))
      }
      for (let back = 20; back > 17; back--) {
        const [client, server] = yield* outcomes({ up: both(upBytes, upBytes - back) }, known)
        assert.isTrue(client !== "In" && server !== "In")
        assert.notStrictEqual((yield* outcomes({ down: both(downBytes, downBytes - back) }, known))[0], "In")
      }
    }).pipe(provided)
  )

  it.effect("no cut leaves both ends content, and none hangs", () =>
    Effect.gen(function* () {
      const known = yield* accounts
      const boundaries = [1220, 1221, 1222, 1225, 1403, 1404, 1487, 1488, 1489, 1508]
      for (const at of [...positions(upBytes, 7), ...boundaries]) {
        const [client, server] = yield* outcomes({ up: cutAt(at) }, known)
        assert.deepStrictEqual([client, server], ["truncated", "truncated"], `up ${at}`)
      }
      for (const at of [...positions(downBytes, 7), 1124, 1125, 1126, 1466, 1467, 1468, 1487]) {
        const [client, server] = yield* outcomes({ down: cutAt(at) }, known)
        assert.strictEqual(client, "truncated", `down ${at}`)
        if (at < downBytes - 21) assert.strictEqual(server, "truncated", `down ${at}`)
      }
    }).pipe(provided)
  )

  it.effect("who changes the first application record is told of as a possible man in the middle", () =>
    Effect.gen(function* () {
      const known = yield* accounts
      assert.strictEqual((yield* outcomes({ up: flipAt(upBytes - 1, 0) }, known))[1], "confirmation-failed")
      assert.strictEqual((yield* outcomes({ down: flipAt(downBytes - 1, 0) }, known))[0], "confirmation-failed")
    }).pipe(provided)
  )

  it.effect("a man in the middle who relays the login gets neither end", () =>
    Effect.gen(function* () {
      const known = yield* accounts
      const [farOfClient, nearOfServer] = [yield* pair, yield* pair]
      const record = Effect.fnUntraced(function* (from: Transport, to: Transport) {
        const header = Bytes.concat(yield* from.take(4))
        yield* to.write([header, ...(yield* from.take(Bytes.readU24(header, 1)))])
      })
      let read = ""
      const middle = Effect.gen(function* () {
        const [toClient, toServer] = [yield* open(farOfClient[1]), yield* open(nearOfServer[0])]
        const [client, server] = [yield* accept(toClient), yield* connect(toServer)]
        const start = yield* client.receive
        if (start._tag === "LoginStart") read = start.user
        yield* server.send(start)
        yield* client.send(yield* server.receive)
        yield* server.send(yield* client.receive)
        yield* record(toClient, toServer)
        yield* record(toServer, toClient)
      }).pipe(Effect.scoped, Effect.result)
      const [client, server, middleEnd] = yield* Effect.all(
        [
          Effect.orDie(open(farOfClient[0])).pipe(
            Effect.flatMap((transport) => connect(transport)),
            Effect.flatMap((channel) => clientLogin(channel, [right])),
            Effect.scoped,
            Effect.result
          ),
          Effect.orDie(open(nearOfServer[1])).pipe(
            Effect.flatMap((transport) => accept(transport)),
            Effect.flatMap((channel) => serverLogin(channel, known)),
            Effect.scoped,
            Effect.result
          ),
          middle
        ],
        { concurrency: 3 }
      )
      // It sees the name, nothing else.
      assert.strictEqual(read, user)
      assert.deepStrictEqual(
        [ending(client), ending(server), middleEnd._tag],
        ["truncated", "confirmation-failed", "Failure"]
      )
    }).pipe(provided)
  )

  it.effect("a recorded login cannot be played to the server again", () =>
    Effect.gen(function* () {
      const known = yield* accounts
      const recorded: Array<Uint8Array> = []
      yield* login(known, {
        up: (_offset, bytes) => {
          recorded.push(Uint8Array.from(bytes))
          return bytes
        }
      })
      assert.strictEqual(recorded.length, 4)
      const [, server] = yield* between(
        (transport) => Effect.andThen(transport.write(recorded), transport.drain),
        (transport) => Effect.flatMap(accept(transport), (channel) => serverLogin(channel, known))
      )
      assert.strictEqual(ending(server), "record-auth-failed")
    }).pipe(provided)
  )
})
