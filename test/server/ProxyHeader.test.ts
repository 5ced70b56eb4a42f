/**
 * The PROXY protocol by vectors that were made by hand from haproxy's proxy-protocol.txt, section 2.2, by properties,
 * and at a whole server.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Ref, Result, Schema, type Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Transport from "../../src/domain/channel/Transport.ts"
import * as Bytes from "../../src/domain/Bytes.ts"
import { attemptsPerUserAndAddressMax, proxyHeaderBytesMax } from "../../src/domain/limits.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as MemorySocket from "../../src/domain/testing/MemorySocket.ts"
import * as Peer from "../../src/server/Peer.ts"
import * as ProxyHeader from "../../src/server/ProxyHeader.ts"
import { connect, dial, layer, settle, Watch } from "./world.ts"

const hex = (text: string): Uint8Array =>
  Uint8Array.from(text.replaceAll(/\s/g, "").match(/../g) ?? [], (pair) => Number.parseInt(pair, 16))

const signature = "0D0A0D0A 000D0A51 5549540A"

/** Each with the source that it names, or why it is refused. */
const vectors = {
  "TCP over IPv4": [`${signature} 21 11 000C  C0000201 C6336402 3039 01BB`, "192.0.2.1"],
  "TCP over IPv6": [
    `${signature} 21 21 0024  20010DB8000000000000000000000001 20010DB8000000000000000000000002 3039 01BB`,
    "2001:db8::1"
  ],
  "an IPv4 address in IPv6": [
    `${signature} 21 21 0024  00000000000000000000FFFFC0000207 20010DB8000000000000000000000002 3039 01BB`,
    "::ffff:192.0.2.7"
  ],
  // PP2_TYPE_AUTHORITY (0x02) of 7 bytes behind the addresses.
  "with more behind the addresses": [
    `${signature} 21 11 0016  C0000201 C6336402 3039 01BB  02 0007 6578616D706C65`,
    "192.0.2.1"
  ],
  "LOCAL, a health check": [`${signature} 20 00 0000`, undefined],
  "LOCAL, with addresses that mean nothing": [`${signature} 20 11 000C  C0000201 C6336402 3039 01BB`, undefined],
  "LOCAL, of a family that there is not": [`${signature} 20 FF 0003 010203`, undefined],
  "version 1 of the protocol": [
    Array.from(Bytes.fromUtf8("PROXY TCP4 192.0.2.1 198.51.100.2 1 2\r\n"), (byte) =>
      byte.toString(16).padStart(2, "0")
    ).join(""),
    "no PROXY header"
  ],
  "one byte of the signature": [`0D0A0D0A 000D0A51 5549540B 21 11 000C C0000201 C6336402 3039 01BB`, "no PROXY header"],
  "a later version": [`${signature} 31 11 000C  C0000201 C6336402 3039 01BB`, "another version"],
  "a command that there is not": [`${signature} 22 11 000C  C0000201 C6336402 3039 01BB`, "unknown command"],
  "no address (UNSPEC)": [`${signature} 21 00 0000`, "not over TCP and IP"],
  "UDP over IPv4": [`${signature} 21 12 000C  C0000201 C6336402 3039 01BB`, "not over TCP and IP"],
  "a Unix socket": [`${signature} 21 31 00D8 ${"00".repeat(216)}`, "not over TCP and IP"],
  "too short for IPv4": [`${signature} 21 11 000B  C0000201 C6336402 3039 01`, "shorter than its addresses"],
  "too short for IPv6": [`${signature} 21 21 000C  C0000201 C6336402 3039 01BB`, "shorter than its addresses"],
  "the longest that there can be": [`${signature} 21 11 FFFF`, "too long"]
} as const

/** What `take` makes of bytes that come in pieces, and what it leaves. */
const taken = Effect.fnUntraced(function* (pieces: ReadonlyArray<Uint8Array>) {
  const [near, far] = yield* MemorySocket.pair
  const writer = yield* near.writer
  yield* Effect.forkChild(Effect.forEach(pieces, (piece) => writer.write(piece)))
  const transport = yield* Transport.open(far)
  const result = yield* Effect.result(ProxyHeader.take(transport))
  return { result, transport }
})

const cut = (bytes: Uint8Array, size: number): ReadonlyArray<Uint8Array> =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) => bytes.slice(index * size, (index + 1) * size))

describe("the header of a proxy", () => {
  for (const [name, [text, expected]] of Object.entries(vectors)) {
    it.effect(name, () =>
      Effect.gen(function* () {
        const behind = Bytes.fromUtf8("what comes next")
        for (const size of [1, 7, 4096]) {
          const { result, transport } = yield* taken(cut(Bytes.concat([hex(text), behind]), size))
          if (Result.isFailure(result)) {
            assert.strictEqual(result.failure._tag === "ProxyRefused" ? result.failure.detail : "?", String(expected))
          } else {
            assert.strictEqual(result.success, expected)
            assert.deepStrictEqual(Bytes.concat(yield* transport.take(behind.length)), behind)
          }
        }
      }).pipe(Effect.scoped)
    )
  }

  it.effect("cut at any byte is waited for, and at its end it is truncated", () =>
    Effect.gen(function* () {
      const whole = hex(vectors["TCP over IPv4"][0])
      for (let length = 0; length < whole.length; length++) {
        const [near, far] = yield* MemorySocket.pair
        yield* Effect.scoped(Effect.flatMap(near.writer, (writer) => writer.write(whole.slice(0, length))))
        const exit = yield* Effect.result(ProxyHeader.take(yield* Transport.open(far)))
        assert.strictEqual(Result.isFailure(exit) && exit.failure._tag, "ChannelFailed")
      }
    }).pipe(Effect.scoped)
  )

  it.effect("is not waited for where something else is said, however short", () =>
    Effect.gen(function* () {
      for (const text of ["PROXY UNKNOWN\r\n", "pd/1", "G"]) {
        const { result } = yield* taken([Bytes.fromUtf8(text)])
        assert.deepStrictEqual(result, Result.fail(new ProxyHeader.ProxyRefused({ detail: "no PROXY header" })))
      }
    }).pipe(Effect.scoped, Effect.timeout(1_000), TestClock.withLive)
  )

  const Octets = (count: number) =>
    Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 }))).check(
      Schema.isMinLength(count),
      Schema.isMaxLength(count)
    )

  it.effect.prop("any address comes back, whatever is behind it", [Octets(4), Octets(60)], ([octets, more]) =>
    Effect.sync(() => {
      const rest = Uint8Array.from([...octets, ...more])
      const head = Uint8Array.from([...hex(signature), 0x21, 0x11, 0, rest.length])
      const announced = Result.getOrThrow(ProxyHeader.announced(head))
      assert.deepStrictEqual(announced, { local: false, family: 4, length: rest.length })
      assert.strictEqual(ProxyHeader.sourceOf(announced, rest), octets.join("."))
    })
  )

  it.effect.prop(
    "any sixteen bytes are read or refused, and announce no more than there may be",
    [Octets(4)],
    ([four]) =>
      Effect.sync(() => {
        const result = ProxyHeader.announced(Uint8Array.from([...hex(signature), ...four]))
        if (Result.isFailure(result)) return
        assert.isAtMost(result.success.length, proxyHeaderBytesMax)
        assert.strictEqual(result.success.family === undefined, result.success.local)
      })
  )
})

describe("trusted proxies", () => {
  it("are addresses and networks, of IPv4 also as IPv6 sockets show it", () => {
    const trusted = Peer.trusting(["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"])
    for (const address of ["10.1.2.3", "::ffff:10.1.2.3", "192.0.2.1", "2001:db8:1::5"]) assert.isTrue(trusted(address))
    for (const address of ["11.0.0.1", "192.0.2.2", "2001:db9::1", "::1", "10.0.0.300", "", undefined])
      assert.isFalse(trusted(address), address)
    assert.isFalse(Peer.trusting([])("127.0.0.1"))
  })

  it("a proxied peer is never of this machine, whatever it is called", () => {
    const [real, said] = [Peer.fromAddress("127.0.0.1"), Peer.proxied("127.0.0.1")]
    assert.isTrue(real.loopback)
    assert.isFalse(said.loopback)
    assert.notStrictEqual(real.key, said.key)
    assert.deepStrictEqual(Peer.proxied("::ffff:192.0.2.7"), Peer.fromAddress("192.0.2.7"))
  })
})

// -----------------------------------------------------------------------------
// At a whole server
// -----------------------------------------------------------------------------

const proxy = "10.9.9.9"
const headerFor = (...octets: ReadonlyArray<number>): Uint8Array =>
  Uint8Array.from([...hex(signature), 0x21, 0x11, 0, 12, ...octets, 198, 51, 100, 2, 1, 1, 2, 2])

/** A server that trusts the proxy; `from` is where its next connections come from. */
const behind = (body: (from: (address: string) => Effect.Effect<void>) => Effect.Effect<void, unknown, Needs>) =>
  Effect.gen(function* () {
    const address = yield* Ref.make(proxy)
    const peers = Layer.mergeAll(
      Layer.succeed(Peer.PeerAddress, Ref.get(address)),
      Layer.succeed(Peer.TrustedProxies, Peer.trusting([proxy]))
    )
    yield* Effect.scoped(body((next) => Ref.set(address, next))).pipe(
      Effect.provide(layer({ limits: { sessionsBeforeLoginPerAddress: 2 } }).pipe(Layer.provide(peers)))
    )
  })
type Needs = Layer.Success<ReturnType<typeof layer>> | Scope.Scope

/** A client whose connection a proxy passes on. */
const through = (header: Uint8Array, who = Fixture.ada) =>
  connect(who, (socket) => ({
    ...socket,
    writer: Effect.tap(socket.writer, (writer) => Effect.orDie(writer.write(header)))
  }))

const ends = Effect.map(Watch, ({ lines }) =>
  lines
    .filter(({ message }) => message === "connection ended")
    .map(({ annotations: { detail, outcome, peer } }) =>
      [peer, outcome, detail].filter((field) => field !== undefined).join(" ")
    )
)

const says = (bytes: Uint8Array) =>
  Effect.scoped(
    Effect.gen(function* () {
      const socket = yield* dial
      yield* socket.reader
      yield* (yield* socket.writer).write(bytes)
      yield* settle
    })
  )

describe("a server behind a proxy", () => {
  it.effect("takes each connection for whom the proxy names, in log and limits", () =>
    behind((from) =>
      Effect.gen(function* () {
        yield* Effect.scoped(through(headerFor(192, 0, 2, 1)))
        yield* settle
        // Wrong passwords of one address leave another alone.
        const wrong = { ...Fixture.grace, password: Fixture.ada.password }
        for (let attempt = 0; attempt <= attemptsPerUserAndAddressMax; attempt++)
          yield* Effect.forkChild(Effect.flip(Effect.scoped(through(headerFor(192, 0, 2, 66), wrong))))
        yield* settle
        assert.isTrue(
          Exit.isSuccess(yield* Effect.exit(Effect.scoped(through(headerFor(192, 0, 2, 2), Fixture.grace))))
        )
        yield* settle
        const seen = yield* ends
        assert.deepStrictEqual(seen[0], "192.0.2.1 bye")
        assert.deepStrictEqual(seen.at(-1), "192.0.2.2 bye")
        // Others speak for themselves, and what a stranger claims is noise.
        yield* from("203.0.113.5")
        yield* Effect.scoped(connect())
        yield* settle
        assert.deepStrictEqual((yield* ends).at(-1), "203.0.113.5 bye")
        yield* says(headerFor(192, 0, 2, 1))
        assert.deepStrictEqual((yield* ends).at(-1), "203.0.113.5 bad-hello")
      })
    )
  )

  it.effect("refuses a connection of the proxy that does not say whose it is", () =>
    behind(() =>
      Effect.gen(function* () {
        yield* says(Fixture.bytes(1, 64))
        yield* says(hex(`${signature} 21 00 0000`))
        yield* says(headerFor(192, 0, 2, 1).subarray(0, 20))
        yield* settle
        assert.deepStrictEqual(yield* ends, [
          `${proxy} proxy-refused no PROXY header`,
          `${proxy} proxy-refused not over TCP and IP`,
          `${proxy} truncated`
        ])
        // A health check is the proxy's own connection.
        yield* says(hex(`${signature} 20 00 0000`))
        yield* settle
        assert.deepStrictEqual((yield* ends).at(-1), `${proxy} truncated`)
      })
    )
  )

  it.effect("limits addresses, not the proxy", () =>
    behind(() =>
      Effect.gen(function* () {
        const hold = (last: number) =>
          Effect.gen(function* () {
            const socket = yield* dial
            yield* socket.reader
            yield* (yield* socket.writer).write(headerFor(192, 0, 2, last))
            yield* settle
          })
        for (const last of [1, 1, 2, 2, 3, 3]) yield* hold(last)
        assert.deepStrictEqual(yield* ends, [])
        yield* hold(1)
        yield* settle
        assert.deepStrictEqual(yield* ends, ["192.0.2.1 made-room"])
      })
    )
  )
})
