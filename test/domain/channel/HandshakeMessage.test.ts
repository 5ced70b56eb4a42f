import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Schema } from "effect"
import { channelFailed } from "../../../src/domain/channel/ChannelError.ts"
import * as Bytes from "../../../src/domain/Bytes.ts"
import * as HandshakeMessage from "../../../src/domain/channel/HandshakeMessage.ts"
import { UserName } from "../../../src/domain/channel/HandshakeMessage.ts"

const filled = (length: number, byte: number) => new Uint8Array(length).fill(byte)
const bytesOf = (...parts: ReadonlyArray<Uint8Array | ReadonlyArray<number>>) =>
  Bytes.concat(parts.map((part) => Uint8Array.from(part)))
const text = (value: string) => new TextEncoder().encode(value)

const ke1 = filled(96, 0xa1)
const ke2 = filled(320, 0xa2)
const ke3 = filled(64, 0xa3)
const ada = UserName.make("ada")
const longest = UserName.make("z".repeat(64))

/** Every message with its bytes, put together by hand from docs/PROTOCOL.md. */
const ofClient: ReadonlyArray<readonly [HandshakeMessage.ClientHandshake, Uint8Array]> = [
  [{ _tag: "LoginStart", user: ada, ke1 }, bytesOf([0x01, 3], text("ada"), filled(61, 0), ke1)],
  [{ _tag: "LoginStart", user: longest, ke1 }, bytesOf([0x01, 64], text(longest), ke1)],
  [{ _tag: "LoginFinish", ke3 }, bytesOf([0x03], ke3)],
  [{ _tag: "GiveUp" }, Uint8Array.of(0x05)]
]

const reject = (reason: HandshakeMessage.RejectReason) =>
  ({ _tag: "Reject", reason, retryAfterMilliseconds: 0x01020304 }) as const

const ofServer: ReadonlyArray<readonly [HandshakeMessage.ServerHandshake, Uint8Array]> = [
  [{ _tag: "LoginResponse", stretching: 2, ke2 }, bytesOf([0x02, 2], ke2)],
  [reject("too-many-attempts"), Uint8Array.of(0x04, 1, 1, 2, 3, 4)],
  [reject("server-full"), Uint8Array.of(0x04, 2, 1, 2, 3, 4)],
  [reject("unavailable"), Uint8Array.of(0x04, 3, 1, 2, 3, 4)],
  [{ _tag: "Incorrect", attemptsLeft: 2 }, Uint8Array.of(0x06, 2)]
]

const refused = Result.fail(channelFailed("handshake-refused"))
const lengths = (messages: ReadonlyArray<readonly [unknown, Uint8Array]>) =>
  new Set(messages.map(([, bytes]) => bytes.length))

describe("the messages of a login", () => {
  it("have the bytes that are published, and are read from them", () => {
    for (const [message, bytes] of ofClient) {
      assert.deepStrictEqual(HandshakeMessage.encodeClient(message), bytes)
      assert.deepStrictEqual(HandshakeMessage.decodeClient(bytes), Result.succeed(message))
    }
    for (const [message, bytes] of ofServer) {
      assert.deepStrictEqual(HandshakeMessage.encodeServer(message), bytes)
      assert.deepStrictEqual(HandshakeMessage.decodeServer(bytes), Result.succeed(message))
    }
    assert.deepStrictEqual(HandshakeMessage.clientLengths, lengths(ofClient))
    assert.deepStrictEqual(HandshakeMessage.serverLengths, lengths(ofServer))
  })

  it("are refused in any other length, also in that of another message", () => {
    for (const [messages, decode] of [
      [ofClient, HandshakeMessage.decodeClient],
      [ofServer, HandshakeMessage.decodeServer]
    ] as const) {
      for (const [, bytes] of messages) {
        for (const length of new Set([0, bytes.length - 1, bytes.length + 1, ...lengths(messages)])) {
          if (length === bytes.length) continue
          const other = bytesOf(bytes.subarray(0, length), filled(Math.max(0, length - bytes.length), 0))
          assert.deepStrictEqual(decode(other), refused, `${bytes[0]} with ${length} bytes`)
        }
      }
    }
  })

  it("have no other kinds and codes", () => {
    const client = new Set(ofClient.map(([, bytes]) => bytes[0]))
    const server = new Set(ofServer.map(([, bytes]) => bytes[0]))
    for (let kind = 0; kind < 256; kind++) {
      for (const [, bytes] of ofClient) {
        const other = bytesOf([kind], bytes.subarray(1))
        if (!client.has(kind)) assert.deepStrictEqual(HandshakeMessage.decodeClient(other), refused)
      }
      for (const [, bytes] of ofServer) {
        const other = bytesOf([kind], bytes.subarray(1))
        if (!server.has(kind)) assert.deepStrictEqual(HandshakeMessage.decodeServer(other), refused)
      }
      const code = HandshakeMessage.decodeServer(Uint8Array.of(0x04, kind, 0, 0, 0, 0))
      assert.strictEqual(Result.isSuccess(code), kind >= 1 && kind <= 3)
    }
  })

  it("have a name of 1 to 64 allowed characters, and zeros behind it", () => {
    const start = (length: number, name: Uint8Array | ReadonlyArray<number>) =>
      HandshakeMessage.decodeClient(bytesOf([0x01, length], name, filled(64 - name.length, 0), ke1))
    assert.deepStrictEqual(start(0, []), refused)
    assert.deepStrictEqual(start(65, filled(64, 0x61)), refused)
    assert.deepStrictEqual(start(255, filled(64, 0x61)), refused)
    // Longer or shorter than it says.
    assert.deepStrictEqual(start(2, text("ada")), refused)
    assert.deepStrictEqual(start(4, text("ada")), refused)
    for (let byte = 0; byte < 256; byte++) {
      const isAllowed = /^[a-z0-9._-]$/.test(String.fromCharCode(byte))
      assert.strictEqual(Result.isSuccess(start(2, [0x61, byte])), isAllowed, String(byte))
    }
    for (let at = 4; at <= 64; at++) {
      const hidden = filled(64, 0)
      hidden.set(text("ada"))
      hidden[at - 1] = 1
      assert.deepStrictEqual(start(3, hidden), refused)
    }
  })

  it.effect.prop(
    "are those bytes alone: what is read is written again as it came",
    [
      Schema.Literals([1, 2, 3, 4, 5, 6]),
      Schema.Literals([1, 2, 6, 65, 162, 322]),
      Schema.Array(Schema.Literals([0, 1, 2, 3, 0x61, 0x7a, 255])).check(Schema.isMaxLength(80))
    ],
    ([kind, length, start]) =>
      Effect.sync(() => {
        const bytes = bytesOf([kind], start, filled(322, 0)).slice(0, length)
        const [client, server] = [HandshakeMessage.decodeClient(bytes), HandshakeMessage.decodeServer(bytes)]
        if (Result.isSuccess(client)) assert.deepStrictEqual(HandshakeMessage.encodeClient(client.success), bytes)
        if (Result.isSuccess(server)) assert.deepStrictEqual(HandshakeMessage.encodeServer(server.success), bytes)
      })
  )
})
