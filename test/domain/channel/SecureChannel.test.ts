import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Deferred, Effect, Fiber, Layer, Queue, Redacted, Schema } from "effect"
import { Socket } from "effect/socket"
import * as Bytes from "../../../src/domain/Bytes.ts"
import type { ChannelFailed } from "../../../src/domain/channel/ChannelError.ts"
import { Cipher, CipherFailed } from "../../../src/domain/channel/Cipher.ts"
import * as CipherNode from "../../../src/domain/channel/CipherNode.ts"
import { encodeClient } from "../../../src/domain/channel/HandshakeMessage.ts"
import { handshakeSecrets, transcriptOfHellos } from "../../../src/domain/channel/KeySchedule.ts"
import { preamble } from "../../../src/domain/channel/Protocol.ts"
import { decodeHeader, encodeHeader, makeOpener, makeSealer, nonceOf } from "../../../src/domain/channel/Record.ts"
import { accept, connect, greeted, type SecureChannel } from "../../../src/domain/channel/SecureChannel.ts"
import { open, Owned } from "../../../src/domain/channel/Transport.ts"
import {
  givenBackBytesMin,
  recordHeaderBytes,
  recordPlaintextBytesMax,
  recordsPerKeyMax,
  tagBytes
} from "../../../src/domain/limits.ts"
import { CipherCounter, layerCounting, layerTransparent } from "../../../src/domain/testing/FakeCipher.ts"
import { pair } from "../../../src/domain/testing/MemorySocket.ts"
import { toHex } from "./vectors.ts"
import { between, fixedKem, scripted } from "./wire.ts"

const sessionKey = (seed: number) => Redacted.make(new Uint8Array(64).fill(seed))
const layers = (seed: number, cipher: Layer.Layer<Cipher> = CipherNode.layer) => Layer.mergeAll(fixedKem(seed), cipher)

const hello = (seed: number) => Bytes.concat([preamble, new Uint8Array(1216).fill(seed)])
const answer = (seed: number) => Bytes.concat([preamble, new Uint8Array(1120).fill(seed)])

const text = Bytes.fromUtf8
const messages = ["", "a", "bb bb", "the third record", "bb bb", "last"].map(text)
const shown = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

interface Session {
  readonly kem: number
  readonly login: number
  readonly recordsPerKey?: number
}
const session: Session = { kem: 1, login: 1 }
const optionsOf = ({ recordsPerKey }: Session) => (recordsPerKey === undefined ? {} : { recordsPerKey })

/** The records that a client of this session sends: each alone, `End` last. */
const clientRecords = (one: Session, plaintexts: ReadonlyArray<Uint8Array> = messages) =>
  Effect.gen(function* () {
    const { transport, written } = scripted(answer(one.kem))
    const channel = (yield* connect(transport, optionsOf(one))).upgrade(sessionKey(one.login))
    for (const plaintext of plaintexts) yield* channel.send([plaintext])
    yield* channel.end
    return written.slice(1)
  }).pipe(Effect.provide(layers(one.kem)))

/** The same for a server. */
const serverRecords = (one: Session) =>
  Effect.gen(function* () {
    const { transport, written } = scripted(hello(one.kem))
    const channel = (yield* accept(transport, optionsOf(one))).upgrade(sessionKey(one.login))
    for (const plaintext of messages) yield* channel.send([plaintext])
    yield* channel.end
    return written.slice(1)
  }).pipe(Effect.provide(layers(one.kem)))

/** What a channel delivers until it ends: the plaintexts, and how it ended. */
const drain = Effect.fnUntraced(function* (channel: SecureChannel) {
  const plaintexts: Array<string> = []
  while (true) {
    const received = yield* Effect.result(channel.receive)
    if (received._tag === "Failure") return { plaintexts, end: received.failure.reason }
    if (received.success._tag === "End") return { plaintexts, end: "End" as const }
    plaintexts.push(shown(Bytes.concat([...received.success.plaintext, new Uint8Array(0)])))
  }
})

/** What the server of a session makes of a stream of records. */
const received = (one: Session, stream: Uint8Array) =>
  Effect.gen(function* () {
    const { transport } = scripted(Bytes.concat([hello(one.kem), stream]))
    return yield* drain((yield* accept(transport, optionsOf(one))).upgrade(sessionKey(one.login)))
  }).pipe(Effect.provide(layers(one.kem)))

const truth = messages.map(shown)

/** Only a prefix of what was said, and a failure. */
const assertPrefix = (
  outcome: { readonly plaintexts: ReadonlyArray<string>; readonly end: string },
  what: string
): void => {
  assert.deepStrictEqual(outcome.plaintexts, truth.slice(0, outcome.plaintexts.length), what)
  assert.notStrictEqual(outcome.end, "End", what)
}

const joined = (records: ReadonlyArray<Uint8Array>) => Bytes.concat([...records, new Uint8Array(0)])
const without = <A>(all: ReadonlyArray<A>, at: number): ReadonlyArray<A> => all.filter((_, index) => index !== at)
const withAt = <A>(all: ReadonlyArray<A>, at: number, one: A): ReadonlyArray<A> => [
  ...all.slice(0, at),
  one,
  ...all.slice(at)
]
const swapped = <A>(all: ReadonlyArray<A>, a: number, b: number): ReadonlyArray<A> =>
  all.map((one, index) => (index === a ? (all[b] ?? one) : index === b ? (all[a] ?? one) : one))

describe("a recorded session", () => {
  it.effect("is received as it was sent", () =>
    Effect.gen(function* () {
      const stream = joined(yield* clientRecords(session))
      assert.deepStrictEqual(yield* received(session, stream), { plaintexts: truth, end: "End" })
      // Deterministic: so that the changes below are the only difference.
      assert.strictEqual(toHex(joined(yield* clientRecords(session))), toHex(stream))
    })
  )

  for (const one of [session, { ...session, recordsPerKey: 2 }]) {
    const name = one.recordsPerKey === undefined ? "" : ", with rekeys"

    it.effect(`every flipped bit ends it${name}`, () =>
      Effect.gen(function* () {
        const stream = joined(yield* clientRecords(one))
        for (let bit = 0; bit < stream.length * 8; bit++) {
          const changed = stream.map((byte, index) => (index === bit >>> 3 ? byte ^ (1 << (bit & 7)) : byte))
          assertPrefix(yield* received(one, changed), `bit ${bit}`)
        }
      })
    )

    it.effect(`every byte inserted, removed or cut off ends it${name}`, () =>
      Effect.gen(function* () {
        const stream = joined(yield* clientRecords(one))
        for (let at = 0; at < stream.length; at++) {
          const [head, tail] = [stream.subarray(0, at), stream.subarray(at)]
          const outcome = yield* received(one, head)
          assertPrefix(outcome, `cut at ${at}`)
          assert.strictEqual(outcome.end, "truncated", `cut at ${at}`)
          // A byte that repeats its neighbour gives another stream only where the rest differs: these always do.
          const inserted = Bytes.concat([head, Uint8Array.of((tail[0] ?? 0) ^ 0x41), tail])
          assertPrefix(yield* received(one, inserted), `insert at ${at}`)
          assertPrefix(yield* received(one, Bytes.concat([head, tail.subarray(1)])), `remove at ${at}`)
        }
      })
    )

    it.effect(`every record dropped, repeated, moved or exchanged ends it${name}`, () =>
      Effect.gen(function* () {
        const records = yield* clientRecords(one)
        for (const [a, record] of records.entries()) {
          assertPrefix(yield* received(one, joined(without(records, a))), `drop ${a}`)
          for (let b = 0; b < records.length; b++) {
            // The end repeated after itself is never read.
            if (a < records.length - 1 || b < a)
              assertPrefix(yield* received(one, joined(withAt(records, b, record))), `repeat ${a} before ${b}`)
            if (a < b) assertPrefix(yield* received(one, joined(swapped(records, a, b))), `swap ${a} and ${b}`)
          }
        }
      })
    )
  }

  it.effect("records of another session, login, direction or key period end it", () =>
    Effect.gen(function* () {
      const records = yield* clientRecords(session)
      const others = {
        "another key exchange": yield* clientRecords({ ...session, kem: 2 }),
        "another login": yield* clientRecords({ ...session, login: 2 }),
        "the other direction": yield* serverRecords(session),
        "another rekeying": yield* clientRecords({ ...session, recordsPerKey: 1 })
      }
      for (const [name, foreign] of Object.entries(others)) {
        for (let at = name === "another rekeying" ? 1 : 0; at < records.length; at++) {
          const spliced = records.map((record, index) => (index === at ? (foreign[at] ?? record) : record))
          const outcome = yield* received(session, joined(spliced))
          assertPrefix(outcome, `${name} ${at}`)
          assert.strictEqual(outcome.end, at === 0 ? "confirmation-failed" : "record-auth-failed")
        }
      }
    })
  )

  const proofless = Layer.succeed(Cipher, {
    importKey: () =>
      Effect.succeed({
        seal: (_nonce, _header, plaintext) => Effect.succeed([...plaintext, new Uint8Array(tagBytes)]),
        open: (_nonce, _header, sealed) => Effect.succeed([Bytes.concat(sealed).subarray(0, -tagBytes)])
      })
  })

  it.effect("an end that carries content is refused", () =>
    Effect.gen(function* () {
      const { transport: outgoing, written } = scripted(answer(1))
      yield* (yield* connect(outgoing)).upgrade(sessionKey(1)).send([text("more")])
      // The cipher hides and proves nothing, so the record's type can be another.
      const forged = Bytes.concat(written.slice(1))
      forged.set(encodeHeader("end", 4))
      const { transport } = scripted(Bytes.concat([hello(1), forged]))
      const channel = (yield* accept(transport)).upgrade(sessionKey(1))
      assert.deepStrictEqual(yield* drain(channel), { plaintexts: [], end: "record-refused" })
    }).pipe(Effect.provide(layers(1, proofless)))
  )

  it("a greeting is enough when it is whole, or cannot become one", () => {
    const whole = hello(1)
    const other = whole.slice(0, preamble.length).fill(0, -1)
    const starts = [whole, whole.subarray(1), other, whole.subarray(0, -1), whole.subarray(0, 4)]
    assert.deepStrictEqual(
      starts.map((start) => greeted([start])),
      [true, true, true, false, false]
    )
  })

  it.effect("the key of a login is gone from memory once the channel has taken it", () =>
    Effect.gen(function* () {
      const { transport } = scripted(answer(1))
      const key = sessionKey(1)
      const { upgrade } = yield* connect(transport)
      assert.isAbove(Redacted.value(key).length, 0)
      upgrade(key)
      assert.throws(() => Redacted.value(key))
    }).pipe(Effect.provide(layers(1)))
  )

  it.effect("nothing follows a record whose writing was interrupted, which may be half out", () =>
    Effect.gen(function* () {
      const { transport, written } = scripted(answer(1))
      let stuck = false
      const write: typeof transport.write = (parts) =>
        Effect.suspend(() => (stuck ? Effect.never : transport.write(parts)))
      const channel = (yield* connect({ ...transport, write })).upgrade(sessionKey(1))
      stuck = true
      const sending = yield* Effect.forkChild(channel.send([text("half")]), { startImmediately: true })
      yield* Fiber.interrupt(sending)
      stuck = false
      const before = written.length
      assert.strictEqual((yield* Effect.flip(channel.send([text("more")]))).reason, "connection-lost")
      yield* channel.end
      assert.strictEqual(written.length, before)
    }).pipe(Effect.provide(layers(1)))
  )

  it.effect("its end waits until the record before it is written", () =>
    Effect.gen(function* () {
      const { transport } = scripted(answer(1))
      const gate = yield* Deferred.make<void>()
      let begun = 0
      const write: typeof transport.write = (parts) =>
        Effect.suspend(() => {
          begun += 1
          return Effect.andThen(begun === 1 ? Effect.void : Deferred.await(gate), transport.write(parts))
        })
      const channel = (yield* connect({ ...transport, write })).upgrade(sessionKey(1))
      const sending = yield* Effect.forkChild(channel.send([text("a")]), { startImmediately: true })
      const ending = yield* Effect.forkChild(channel.end, { startImmediately: true })
      for (let turn = 0; turn < 100; turn++) yield* Effect.yieldNow
      assert.strictEqual(begun, 2)
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(sending)
      yield* Fiber.join(ending)
      assert.strictEqual(begun, 3)
    }).pipe(Effect.provide(layers(1)))
  )

  it.effect("after its end nothing more is delivered, whatever follows", () =>
    Effect.gen(function* () {
      const records = yield* clientRecords(session)
      const { transport } = scripted(Bytes.concat([hello(1), joined(records), joined(records)]))
      const channel = (yield* accept(transport)).upgrade(sessionKey(1))
      assert.deepStrictEqual(yield* drain(channel), { plaintexts: truth, end: "End" })
      assert.deepStrictEqual(yield* drain(channel), { plaintexts: [], end: "truncated" })
    }).pipe(Effect.provide(layers(1)))
  )

  it.effect("after a failure nothing more is delivered, though the rest is whole", () =>
    Effect.gen(function* () {
      const [first, second, ...rest] = yield* clientRecords(session)
      const stream = joined([first ?? text(""), second?.map((byte, at) => (at === 8 ? byte ^ 1 : byte)) ?? text("")])
      const { transport } = scripted(Bytes.concat([hello(1), stream, joined(rest)]))
      const channel = (yield* accept(transport)).upgrade(sessionKey(1))
      assert.deepStrictEqual(yield* drain(channel), { plaintexts: [""], end: "record-auth-failed" })
      assert.deepStrictEqual(yield* drain(channel), { plaintexts: [], end: "truncated" })
    }).pipe(Effect.provide(layers(1)))
  )

  it.effect("after a header that is none nothing more is delivered, though the rest is whole", () =>
    Effect.gen(function* () {
      const [first, ...rest] = yield* clientRecords(session)
      const stream = joined([first ?? text(""), new Uint8Array(recordHeaderBytes), ...rest])
      const { transport } = scripted(Bytes.concat([hello(1), stream]))
      const channel = (yield* accept(transport)).upgrade(sessionKey(1))
      assert.deepStrictEqual(yield* drain(channel), { plaintexts: [""], end: "record-refused" })
      assert.deepStrictEqual(yield* drain(channel), { plaintexts: [], end: "truncated" })
    }).pipe(Effect.provide(layers(1)))
  )

  const Pieces = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 40 })))

  it.effect("however the bytes are split on their way, the records are the same", () =>
    Effect.gen(function* () {
      const stream = Bytes.concat([hello(1), joined(yield* clientRecords(session))])
      const result = yield* Arbitrary.checkEffect(
        Arbitrary.schema(Pieces),
        (sizes) =>
          Effect.gen(function* () {
            const pieces: Array<Uint8Array> = [stream.subarray(0, 1200)]
            for (let offset = 1200, index = 0; offset < stream.length; index++) {
              const size = sizes[index % (sizes.length + 1)] ?? 1
              pieces.push(stream.subarray(offset, (offset += size)))
            }
            const [, outcome] = yield* between(
              (transport) =>
                Effect.forEach(pieces, (piece) => transport.write([piece]), { discard: true }).pipe(
                  Effect.andThen(transport.finish),
                  Effect.andThen(transport.drain)
                ),
              (transport) => Effect.flatMap(accept(transport), (channel) => drain(channel.upgrade(sessionKey(1))))
            )
            return (
              outcome._tag === "Success" &&
              outcome.success.end === "End" &&
              outcome.success.plaintexts.join("|") === truth.join("|")
            )
          }),
        { runs: 40 }
      )
      assert.strictEqual(result._tag, "Passed")
    }).pipe(Effect.provide(layers(1)))
  )
})

describe("memory that is given back", () => {
  it.effect("is none that is still needed, also where a header is the last of what one read has brought", () =>
    Effect.gen(function* () {
      const plaintexts = Array.from({ length: 4 }, (_, index) => new Uint8Array(2 * givenBackBytesMin).fill(65 + index))
      const records = [hello(1), ...(yield* clientRecords(session, plaintexts))]
      // As Node gives them: each chunk a Buffer that is all of its memory.
      const chunks = records.map((record, index) => {
        const parts = [record.subarray(index === 0 ? 0 : recordHeaderBytes), records[index + 1]?.subarray(0, 4)]
        const chunk = Buffer.allocUnsafeSlow(Bytes.lengthOf(parts.flatMap((part) => part ?? [])))
        chunk.set(Bytes.concat(parts.flatMap((part) => part ?? [])))
        return chunk
      })
      const waiting = yield* Queue.unbounded<Uint8Array>()
      yield* Queue.offerAll(waiting, chunks)
      const socket = Socket.make({
        reader: Effect.succeed({
          pull: Effect.map(Queue.take(waiting), (chunk) => [chunk] as const),
          upgrade: () => Effect.die("no upgrade")
        }),
        writer: Effect.succeed({ write: () => Effect.void, writeAll: () => Effect.void })
      })
      const transport = yield* Effect.provideService(open(socket), Owned, { received: true, sentBytesMin: Infinity })
      const channel = (yield* accept(transport)).upgrade(sessionKey(1))
      assert.deepStrictEqual(yield* drain(channel), { plaintexts: plaintexts.map(shown), end: "End" })
      // The last is too short to be worth it, and the first.
      assert.deepStrictEqual(
        chunks.map(({ length }) => length),
        [1225, 0, 0, 0, 0, 16]
      )
    }).pipe(Effect.provide(layers(1)))
  )
})

describe("nonces", () => {
  it.effect("never repeat, over both directions, handshake, rekeys and sessions", () =>
    Effect.gen(function* () {
      const counter = yield* CipherCounter
      for (const recordsPerKey of [1, 2, 3, 7]) {
        const [client, server] = yield* between(
          (transport) =>
            Effect.gen(function* () {
              const handshake = yield* connect(transport, { recordsPerKey })
              for (let index = 0; index < 5; index++) yield* handshake.send({ _tag: "GiveUp" })
              const channel = handshake.upgrade(sessionKey(1))
              for (let index = 0; index < 20; index++) yield* channel.send([text(`${index}`)])
              yield* channel.end
              return yield* drain(channel)
            }),
          (transport) =>
            Effect.gen(function* () {
              const handshake = yield* accept(transport, { recordsPerKey })
              for (let index = 0; index < 5; index++) yield* handshake.receive
              const channel = handshake.upgrade(sessionKey(1))
              const outcome = yield* drain(channel)
              for (let index = 0; index < 20; index++) yield* channel.send([text(`${index}`)])
              yield* channel.end
              return outcome
            })
        ).pipe(Effect.provide(fixedKem(recordsPerKey)))
        for (const end of [client, server]) {
          assert.deepStrictEqual(end._tag === "Success" ? [end.success.plaintexts.length, end.success.end] : end, [
            20,
            "End"
          ])
        }
      }
      const { keys, opens, repeats, seals } = yield* counter.counts
      const perSession = 5 + 21 + 21
      assert.deepStrictEqual([seals, opens, repeats], [4 * perSession, 4 * perSession, 0])
      const keysOf = (perKey: number) => Math.ceil(5 / perKey) + 2 * Math.ceil(21 / perKey)
      assert.strictEqual(keys, keysOf(1) + keysOf(2) + keysOf(3) + keysOf(7))
    }).pipe(Effect.provide(layerCounting.pipe(Layer.provide(layerTransparent))))
  )

  const Sequence = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }))

  it.prop("are the iv and the sequence number, XORed", [Sequence], ([sequence]) => {
    const iv = Uint8Array.from({ length: 12 }, (_, index) => 0xf0 + index)
    const expected = (BigInt(`0x${toHex(iv)}`) ^ BigInt(sequence)).toString(16).padStart(24, "0")
    assert.strictEqual(toHex(nonceOf(iv, sequence)), expected)
  })
})

describe("a direction's key", () => {
  /** Counts keys; sealing and opening cost nothing, and fail as they are told. */
  const counting = (fails?: "import" | "use") => {
    const counts = { keys: 0 }
    const use = fails === "use" ? Effect.fail(new CipherFailed()) : Effect.succeed([new Uint8Array(tagBytes)])
    const importKey = Effect.sync(() => {
      counts.keys += 1
      return { seal: () => use, open: () => use }
    })
    const service = { importKey: () => (fails === "import" ? Effect.fail(new CipherFailed()) : importKey) }
    return { counts, service }
  }
  const secret = () => Redacted.make(new Uint8Array(32))
  const header = { type: "data", length: tagBytes, bytes: encodeHeader("data", 0) } as const

  it.effect("is for as many records as the protocol says, on either end", () =>
    Effect.gen(function* () {
      const [sealing, opening] = [counting(), counting()]
      const sealer = makeSealer(sealing.service, secret())
      const opener = makeOpener(opening.service, secret())
      const one = Effect.andThen(sealer.seal("data", []), opener.open(header, []))
      yield* Effect.repeat(one, { times: recordsPerKeyMax - 1 })
      assert.deepStrictEqual([sealing.counts.keys, opening.counts.keys], [1, 1])
      yield* one
      assert.deepStrictEqual([sealing.counts.keys, opening.counts.keys], [2, 2])
    })
  )

  it.effect("that is refused or does not verify is one and the same failure, on either end", () =>
    Effect.gen(function* () {
      for (const fails of ["import", "use"] as const) {
        const { service } = counting(fails)
        const sealed = yield* Effect.flip(makeSealer(service, secret()).seal("data", []))
        const opened = yield* Effect.flip(makeOpener(service, secret()).open(header, []))
        assert.deepStrictEqual([sealed.reason, opened.reason], ["record-auth-failed", "record-auth-failed"])
      }
    })
  )

  it.effect("seals no record that is larger than any", () =>
    Effect.gen(function* () {
      const sealer = makeSealer(counting().service, secret())
      yield* sealer.seal("data", [new Uint8Array(recordPlaintextBytesMax)])
      const refused = yield* Effect.flip(
        sealer.seal("data", [new Uint8Array(recordPlaintextBytesMax), Uint8Array.of(1)])
      )
      assert.strictEqual(refused.reason, "record-refused")
    })
  )
})

describe("record headers", () => {
  const isAllowed = (type: number, length: number): boolean =>
    type >= 1 && type <= 3 && length >= tagBytes && length <= recordPlaintextBytesMax + tagBytes
  const headerOf = (type: number, length: number): Uint8Array =>
    Uint8Array.of(type, length >>> 16, length >>> 8, length)

  it("are refused unless type and length are possible", () => {
    for (let type = 0; type < 256; type++) {
      for (const length of [0, 1, 15, 16, 17, 524_303, 524_304, 524_305, 0xff_ffff]) {
        assert.strictEqual(decodeHeader(headerOf(type, length)) !== undefined, isAllowed(type, length))
      }
    }
    assert.strictEqual(toHex(encodeHeader("data", 262_144)), "02040010")
  })

  it.effect("an impossible one ends the channel before its body is read", () =>
    Effect.gen(function* () {
      const impossible = [headerOf(0, 32), headerOf(4, 32), headerOf(255, 32), headerOf(1, 32), headerOf(2, 524_305)]
      for (let length = 0; length < 16; length++) impossible.push(headerOf(2, length), headerOf(3, length))
      for (const header of impossible) {
        const { taken, transport } = scripted(Bytes.concat([hello(1), header, new Uint8Array(600_000)]))
        const channel = (yield* accept(transport)).upgrade(sessionKey(1))
        assert.deepStrictEqual(yield* drain(channel), { plaintexts: [], end: "record-refused" })
        assert.strictEqual(taken(), 1221 + 4)
      }
    }).pipe(Effect.provide(layers(1)))
  )

  it.effect("before the login only the lengths of a login are read", () =>
    Effect.gen(function* () {
      for (let length = 0; length < 400; length++) {
        for (const type of [1, 2, 3]) {
          const { taken, transport } = scripted(Bytes.concat([hello(1), headerOf(type, length), new Uint8Array(400)]))
          const failure = yield* Effect.flip(Effect.flatMap(accept(transport), (channel) => channel.receive))
          const expected = type === 1 && [162 + 16, 65 + 16, 1 + 16].includes(length)
          assert.strictEqual(failure.reason, expected ? "record-auth-failed" : "record-refused", `${type} ${length}`)
          assert.strictEqual(taken(), 1221 + 4 + (expected ? length : 0))
        }
      }
    }).pipe(Effect.provide(layers(1)))
  )

  it.effect("a handshake message that makes no sense is refused, though it verifies", () =>
    Effect.gen(function* () {
      const cipher = yield* Cipher
      const start = encodeClient({ _tag: "GiveUp" })
      const login = new Uint8Array(162)
      login.set([1, 3, 0x61, 0x62, 0x63])
      const changed = (at: number, by: number) => login.map((byte, index) => (index === at ? by : byte))
      const senseless = [
        Uint8Array.of(0),
        Uint8Array.of(6),
        new Uint8Array(65),
        changed(0, 3),
        ...[0, 2, 65, 255].map((length) => changed(1, length)),
        ...[0x41, 0x20, 0x2f, 0x00, 0xff].map((character) => changed(3, character)),
        changed(65, 1)
      ]
      const outcomeOf = Effect.fnUntraced(function* (plaintext: Uint8Array) {
        const transcript = transcriptOfHellos(hello(1), answer(1))
        const { client } = handshakeSecrets(Redacted.make(new Uint8Array(32).fill(1)), transcript)
        const record = yield* makeSealer(cipher, client).seal("handshake", [plaintext])
        const { transport } = scripted(Bytes.concat([hello(1), ...record]))
        return yield* Effect.result(Effect.flatMap(accept(transport), (channel) => channel.receive))
      })
      for (const plaintext of senseless) {
        const outcome = yield* outcomeOf(plaintext)
        assert.strictEqual(outcome._tag === "Failure" ? outcome.failure.reason : "taken", "handshake-refused")
      }
      for (const plaintext of [start, login]) assert.strictEqual((yield* outcomeOf(plaintext))._tag, "Success")
    }).pipe(Effect.provide(layers(1)))
  )
})

describe("sealing", () => {
  it.effect("takes 512 KiB and not a byte more; a refusal costs no sequence number", () =>
    Effect.gen(function* () {
      const cipher = yield* Cipher
      const secret = () => Redacted.make(new Uint8Array(32))
      const [sealer, opener] = [makeSealer(cipher, secret()), makeOpener(cipher, secret())]
      const full = new Uint8Array(recordPlaintextBytesMax)
      const refused = yield* Effect.flip(sealer.seal("data", [full, Uint8Array.of(0)]))
      assert.strictEqual(refused.reason, "record-refused")
      const [header = full, ...sealed] = yield* sealer.seal("data", [full])
      const parsed = decodeHeader(header)
      assert.isDefined(parsed)
      if (parsed !== undefined) assert.strictEqual(Bytes.lengthOf(yield* opener.open(parsed, sealed)), full.length)
    }).pipe(Effect.provide(layers(1)))
  )

  it.effect("a record that ends the stream carries nothing, and nothing is sent after it", () =>
    Effect.gen(function* () {
      const { transport, written } = scripted(hello(1))
      const channel = (yield* accept(transport)).upgrade(sessionKey(1))
      yield* channel.end
      yield* channel.end
      const failure: ChannelFailed = yield* Effect.flip(channel.send([text("late")]))
      assert.strictEqual(failure.reason, "connection-lost")
      assert.deepStrictEqual(
        written.map((bytes) => bytes.length),
        [1125, 20]
      )
    }).pipe(Effect.provide(layers(1)))
  )

  it.effect("many senders at once: records leave in the order of their numbers", () =>
    Effect.gen(function* () {
      const [, server] = yield* between(
        (transport) =>
          Effect.gen(function* () {
            const channel = (yield* connect(transport)).upgrade(sessionKey(1))
            const many = Array.from({ length: 50 }, (_, index) => channel.send([text(`${index}`)]))
            yield* Effect.all(many, { concurrency: "unbounded" })
            yield* channel.end
          }),
        (transport) => Effect.flatMap(accept(transport), (channel) => drain(channel.upgrade(sessionKey(1))))
      )
      const outcome = server._tag === "Success" ? server.success : { plaintexts: [], end: "failed" }
      assert.strictEqual(outcome.end, "End")
      assert.strictEqual(new Set(outcome.plaintexts).size, 50)
    }).pipe(Effect.provide(layers(1, Cipher.layerWebCrypto)))
  )
})

describe("Transport", () => {
  it.effect("an interrupted take loses nothing", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const [near, far] = yield* pair
        const [here, there] = [yield* open(near), yield* open(far)]
        yield* there.write([text("abc")])
        const waiting = yield* Effect.forkChild(here.take(5), { startImmediately: true })
        yield* Fiber.interrupt(waiting)
        yield* there.write([text("de")])
        assert.strictEqual(shown(Bytes.concat(yield* here.take(5))), "abcde")
        yield* there.finish
        assert.strictEqual((yield* Effect.flip(here.take(1))).reason, "truncated")
      })
    )
  )
})

describe("an interrupted receive", () => {
  it.effect("loses nothing, wherever in a record it waited", () =>
    Effect.gen(function* () {
      const stream = joined(yield* clientRecords(session))
      for (let at = 0; at < stream.length; at += 3) {
        const [, server] = yield* between(
          (transport) =>
            Effect.gen(function* () {
              yield* transport.write([hello(1)])
              yield* transport.write([stream.subarray(0, at)])
              // The answer, and the other end's sign that it was interrupted.
              yield* transport.take(1125 + 1)
              yield* transport.write([stream.subarray(at)])
              yield* transport.finish
              yield* transport.drain
            }),
          (transport) =>
            Effect.gen(function* () {
              const channel = (yield* accept(transport)).upgrade(sessionKey(1))
              const before: Array<string> = []
              const reading = yield* Effect.forkChild(
                Effect.forever(
                  Effect.map(channel.receive, (one) => {
                    if (one._tag === "Data") before.push(shown(Bytes.concat([...one.plaintext, text("")])))
                  })
                ),
                { startImmediately: true }
              )
              for (let turns = 0; turns < 20; turns++) yield* Effect.yieldNow
              yield* Fiber.interrupt(reading)
              yield* transport.write([Uint8Array.of(0)])
              const after = yield* drain(channel)
              return { plaintexts: [...before, ...after.plaintexts], end: after.end }
            })
        )
        const outcome = server._tag === "Success" ? server.success : server.failure
        assert.deepStrictEqual(outcome, { plaintexts: truth, end: "End" }, `at ${at}`)
      }
    }).pipe(Effect.provide(layers(1)))
  )

  it.effect("ends the channel when its record was already taken", () =>
    Effect.gen(function* () {
      const stream = joined(yield* clientRecords(session))
      const { transport } = scripted(Bytes.concat([hello(1), stream]))
      const channel = (yield* accept(transport)).upgrade(sessionKey(1))
      const reading = yield* Effect.forkChild(channel.receive, { startImmediately: true })
      yield* Fiber.interrupt(reading)
      assert.deepStrictEqual(yield* drain(channel), { plaintexts: [], end: "truncated" })
    }).pipe(Effect.provide(layers(1, slow)))
  )
})

/** A cipher that never finishes opening. */
const slow: Layer.Layer<Cipher> = Layer.succeed(Cipher, {
  importKey: () => Effect.succeed({ seal: () => Effect.never, open: () => Effect.never })
})
