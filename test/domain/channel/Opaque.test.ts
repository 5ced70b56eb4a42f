import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Redacted, Schema } from "effect"
import * as Bytes from "../../../src/domain/Bytes.ts"
import { ke1Bytes, ke2Bytes, ke3Bytes, Opaque, recordBytes, setupBytes } from "../../../src/domain/channel/Opaque.ts"
import { protocolName } from "../../../src/domain/channel/Protocol.ts"
import * as oracle from "./opaqueOracle.ts"
import { hex, opaque3dh, toHex } from "./vectors.ts"

const suite: oracle.Suite = { context: opaque3dh.context, stretch: oracle.identityStretch }

describe("oracle: RFC 9807, appendix C", () => {
  for (const [index, vector] of opaque3dh.real.entries()) {
    const identities = { client: vector.clientIdentity, server: vector.serverIdentity }

    it(`registers as in real vector ${index + 1}`, () => {
      const request = oracle.blind(vector.password, vector.blindRegistration)
      assert.strictEqual(toHex(request), vector.registrationRequest)
      const evaluated = oracle.evaluate(vector.oprfSeed, vector.credentialIdentifier, request)
      const response = Bytes.concat([evaluated, vector.serverPublicKey])
      assert.strictEqual(toHex(response), vector.registrationResponse)
      const { exportKey, record } = oracle.finishRegistration(suite, {
        password: vector.password,
        blind: vector.blindRegistration,
        response,
        envelopeNonce: vector.envelopeNonce,
        identities
      })
      assert.strictEqual(toHex(record), vector.registrationUpload)
      assert.strictEqual(toHex(exportKey), vector.exportKey)
    })

    it(`logs in as in real vector ${index + 1}`, () => {
      const start = {
        password: vector.password,
        blind: vector.blindLogin,
        nonce: vector.clientNonce,
        keyshareSeed: vector.clientKeyshareSeed
      }
      const ke1 = oracle.startLogin(start)
      assert.strictEqual(toHex(ke1), vector.ke1)
      const answer = oracle.answerLogin(
        suite,
        { oprfSeed: vector.oprfSeed, privateKey: vector.serverPrivateKey },
        {
          record: hex(vector.registrationUpload),
          credentialIdentifier: vector.credentialIdentifier,
          identities,
          ke1,
          maskingNonce: vector.maskingNonce,
          nonce: vector.serverNonce,
          keyshareSeed: vector.serverKeyshareSeed
        }
      )
      assert.strictEqual(toHex(answer.ke2), vector.ke2)
      assert.strictEqual(toHex(answer.expectedKe3), vector.ke3)
      assert.strictEqual(toHex(answer.sessionKey), vector.sessionKey)
      const finish = oracle.finishLogin(suite, start, answer.ke2, identities)
      assert.deepStrictEqual(finish && [toHex(finish.ke3), toHex(finish.sessionKey), toHex(finish.exportKey)], [
        vector.ke3,
        vector.sessionKey,
        vector.exportKey
      ])
    })
  }

  it("answers for an unknown account as in fake vector 1", () => {
    assert.strictEqual(opaque3dh.fake.length, 1)
    for (const vector of opaque3dh.fake) {
      const { ke2 } = oracle.answerLogin(
        suite,
        { oprfSeed: vector.oprfSeed, privateKey: vector.serverPrivateKey },
        {
          record: Bytes.concat([vector.clientPublicKey, vector.maskingKey, new Uint8Array(96)]),
          credentialIdentifier: vector.credentialIdentifier,
          identities: { client: vector.clientIdentity, server: vector.serverIdentity },
          ke1: vector.ke1,
          maskingNonce: vector.maskingNonce,
          nonce: vector.serverNonce,
          keyshareSeed: vector.serverKeyshareSeed
        }
      )
      assert.strictEqual(toHex(ke2), vector.ke2)
    }
  })
})

// ---------------------------------------------------------------------------------------------------------------------

const user = "default"
const plain = "caf\u00e9 123456"
const password = Redacted.make(plain)
const credentials = { user, password, stretching: 1 } as const

/** How this protocol uses the RFC: its conventions, said once more. */
const ours: oracle.Suite = { context: new Uint8Array(0), stretch: oracle.argon2id(1, 8, 1) }
const identities = { client: Bytes.fromUtf8(user), server: Bytes.fromUtf8(protocolName) }
const passwordInput = Bytes.fromUtf8(`["pd/1","default","${plain}"]`)
const serverKeys = (setup: Redacted.Redacted<Uint8Array>): oracle.ServerKeys => ({
  oprfSeed: Redacted.value(setup).slice(0, 64),
  privateKey: Redacted.value(setup).slice(64, 96)
})

const scalar = (seed: number): Uint8Array => new Uint8Array(32).map((_, index) => (index < 31 ? seed + index : 0))
const fixed = (seed: number): Uint8Array => new Uint8Array(32).fill(seed)
const start: oracle.ClientStart = { password: passwordInput, blind: scalar(3), nonce: fixed(1), keyshareSeed: fixed(2) }

const answering = (record: Uint8Array, ke1: Uint8Array) => ({
  record,
  credentialIdentifier: identities.client,
  identities,
  ke1,
  maskingNonce: fixed(4),
  nonce: fixed(5),
  keyshareSeed: fixed(6)
})

const AnyBytes = Schema.Uint8Array.check(Schema.isMaxLength(400))

const withOpaque = <A, E>(body: (opaque: Opaque["Service"]) => Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.flatMap(Opaque, body).pipe(Effect.provide(Opaque.layerQuick))

describe("Opaque", () => {
  it.effect("a password that is composed otherwise is the same password", () =>
    withOpaque(
      Effect.fnUntraced(function* (opaque) {
        const setup = yield* opaque.createSetup
        const record = yield* opaque.register(setup, credentials)
        const decomposed = { ...credentials, password: Redacted.make(plain.normalize("NFD")) }
        const { ke1, state } = yield* opaque.startLogin(user, decomposed.password)
        const answer = yield* opaque.answerLogin(setup, user, record, ke1)
        const finish = yield* opaque.finishLogin(state, answer.ke2, decomposed)
        const sessionKey = yield* opaque.verifyLogin(answer.state, user, finish.ke3)
        assert.deepStrictEqual(Redacted.value(finish.sessionKey), Redacted.value(sessionKey))
        assert.deepStrictEqual(
          [setup, record, sessionKey].map((secret) => Redacted.value(secret).length),
          [setupBytes, recordBytes, 64]
        )
        assert.deepStrictEqual([ke1.length, answer.ke2.length, finish.ke3.length], [ke1Bytes, ke2Bytes, ke3Bytes])
      })
    )
  )

  it.effect("the oracle's client logs in with the library's server", () =>
    withOpaque(
      Effect.fnUntraced(function* (opaque) {
        const setup = yield* opaque.createSetup
        const record = yield* opaque.register(setup, credentials)
        const answer = yield* opaque.answerLogin(setup, user, record, oracle.startLogin(start))
        const finish = oracle.finishLogin(ours, start, answer.ke2, identities)
        assert.isDefined(finish)
        const sessionKey = yield* opaque.verifyLogin(answer.state, user, finish?.ke3 ?? new Uint8Array(0))
        assert.deepStrictEqual(Redacted.value(sessionKey), finish?.sessionKey)
      })
    )
  )

  it.effect("the library's client logs in with the oracle's server", () =>
    withOpaque(
      Effect.fnUntraced(function* (opaque) {
        const setup = yield* opaque.createSetup
        const record = yield* opaque.register(setup, credentials)
        const { ke1, state } = yield* opaque.startLogin(user, password)
        const answer = oracle.answerLogin(ours, serverKeys(setup), answering(Redacted.value(record), ke1))
        const finish = yield* opaque.finishLogin(state, answer.ke2, credentials)
        assert.deepStrictEqual(finish.ke3, answer.expectedKe3)
        assert.deepStrictEqual(Redacted.value(finish.sessionKey), answer.sessionKey)
      })
    )
  )

  it.effect("a record that the oracle registered logs in, and equals the library's but for its random parts", () =>
    withOpaque(
      Effect.fnUntraced(function* (opaque) {
        const setup = yield* opaque.createSetup
        const keys = serverKeys(setup)
        const blinded = oracle.blind(passwordInput, scalar(7))
        const { record } = oracle.finishRegistration(ours, {
          password: passwordInput,
          blind: scalar(7),
          response: Bytes.concat([
            oracle.evaluate(keys.oprfSeed, identities.client, blinded),
            oracle.publicKeyOf(keys.privateKey)
          ]),
          envelopeNonce: fixed(8),
          identities
        })
        // The masking key depends on the password and the server alone.
        const registered = Redacted.value(yield* opaque.register(setup, credentials))
        assert.deepStrictEqual(registered.slice(32, 96), record.slice(32, 96))
        const { ke1, state } = yield* opaque.startLogin(user, password)
        const answer = yield* opaque.answerLogin(setup, user, Redacted.make(record), ke1)
        const finish = yield* opaque.finishLogin(state, answer.ke2, credentials)
        const sessionKey = yield* opaque.verifyLogin(answer.state, user, finish.ke3)
        assert.deepStrictEqual(Redacted.value(finish.sessionKey), Redacted.value(sessionKey))
      })
    )
  )

  it.effect("an unknown account is answered alike: same length, same element for the same question", () =>
    withOpaque(
      Effect.fnUntraced(function* (opaque) {
        const setup = yield* opaque.createSetup
        const ke1 = oracle.startLogin(start)
        const first = yield* opaque.answerLogin(setup, user, undefined, ke1)
        const second = yield* opaque.answerLogin(setup, user, undefined, ke1)
        const record = yield* opaque.register(setup, credentials)
        const known = yield* opaque.answerLogin(setup, user, record, ke1)
        assert.strictEqual(first.ke2.length, ke2Bytes)
        assert.deepStrictEqual(first.ke2.slice(0, 32), second.ke2.slice(0, 32))
        // Registering a name does not change what is seen of it.
        assert.deepStrictEqual(first.ke2.slice(0, 32), known.ke2.slice(0, 32))
        assert.isUndefined(oracle.finishLogin(ours, start, first.ke2, identities))
      })
    )
  )

  it.effect("another password, user or setup never verifies", () =>
    withOpaque(
      Effect.fnUntraced(function* (opaque) {
        const setup = yield* opaque.createSetup
        const record = yield* opaque.register(setup, credentials)
        const attempt = Effect.fnUntraced(function* (
          as: { readonly user: string; readonly password: Redacted.Redacted<string> },
          server: { readonly setup: Redacted.Redacted<Uint8Array>; readonly user: string }
        ) {
          const { ke1, state } = yield* opaque.startLogin(as.user, as.password)
          const { ke2 } = yield* opaque.answerLogin(server.setup, server.user, record, ke1)
          return yield* opaque.finishLogin(state, ke2, { ...as, stretching: 1 })
        })
        const wrong = [
          attempt({ user, password: Redacted.make("caf\u00e9 123457") }, { setup, user }),
          attempt({ user: "other", password }, { setup, user: "other" }),
          attempt({ user: "other", password }, { setup, user }),
          attempt({ user, password }, { setup, user: "other" }),
          attempt({ user, password }, { setup: yield* opaque.createSetup, user })
        ]
        for (const one of wrong) assert.strictEqual((yield* Effect.flip(one))._tag, "OpaqueRejected")
        assert.strictEqual((yield* attempt({ user, password }, { setup, user })).ke3.length, ke3Bytes)
      })
    )
  )

  it.effect("KE3 belongs to one answer: replayed against another it is rejected", () =>
    withOpaque(
      Effect.fnUntraced(function* (opaque) {
        const setup = yield* opaque.createSetup
        const record = yield* opaque.register(setup, credentials)
        const ke1 = oracle.startLogin(start)
        const first = yield* opaque.answerLogin(setup, user, record, ke1)
        const second = yield* opaque.answerLogin(setup, user, record, ke1)
        const ke3 = oracle.finishLogin(ours, start, first.ke2, identities)?.ke3 ?? new Uint8Array(0)
        assert.strictEqual((yield* Effect.flip(opaque.verifyLogin(second.state, user, ke3)))._tag, "OpaqueRejected")
        assert.strictEqual(Redacted.value(yield* opaque.verifyLogin(first.state, user, ke3)).length, 64)
      })
    )
  )

  it.effect("bytes that are no message are rejected, never a crash", () =>
    withOpaque(
      Effect.fnUntraced(function* (opaque) {
        const setup = yield* opaque.createSetup
        const record = yield* opaque.register(setup, credentials)
        const { ke1, state } = yield* opaque.startLogin(user, password)
        const { ke2, state: waiting } = yield* opaque.answerLogin(setup, user, record, ke1)
        const lengths = (wanted: number) => [0, 1, wanted - 1, wanted, wanted + 1, 100_000]
        const hostile = (wanted: number, seed: number) =>
          lengths(wanted).map((length) => new Uint8Array(length).map((_, index) => index * 31 + seed))
        const tags: Array<string> = []
        for (const seed of [0, 0xff, 7]) {
          for (const bytes of hostile(ke1Bytes, seed)) {
            tags.push((yield* Effect.flip(opaque.answerLogin(setup, user, record, bytes)))._tag)
          }
          for (const bytes of hostile(ke2Bytes, seed)) {
            tags.push((yield* Effect.flip(opaque.finishLogin(state, bytes, credentials)))._tag)
          }
          for (const bytes of hostile(ke3Bytes, seed)) {
            tags.push((yield* Effect.flip(opaque.verifyLogin(waiting, user, bytes)))._tag)
          }
        }
        // The identity element as either point, a message with more behind it, and one cut short.
        const identity = new Uint8Array(32)
        for (const bytes of [
          Bytes.concat([identity, ke1.subarray(32)]),
          Bytes.concat([ke1.subarray(0, 64), identity]),
          Bytes.concat([ke1, Uint8Array.of(0)]),
          ke1.subarray(1)
        ]) {
          tags.push((yield* Effect.flip(opaque.answerLogin(setup, user, record, bytes)))._tag)
        }
        assert.deepStrictEqual([...new Set(tags)], ["OpaqueRejected"])
        // None of it has used up the states.
        const finish = yield* opaque.finishLogin(state, ke2, credentials)
        yield* opaque.verifyLogin(waiting, user, finish.ke3)
      })
    )
  )

  it.effect("any change of KE2 is rejected by the client", () =>
    withOpaque(
      Effect.fnUntraced(function* (opaque) {
        const setup = yield* opaque.createSetup
        const record = yield* opaque.register(setup, credentials)
        const { ke1, state } = yield* opaque.startLogin(user, password)
        const { ke2 } = yield* opaque.answerLogin(setup, user, record, ke1)
        for (let at = 0; at < ke2.length; at += 3) {
          const changed = ke2.map((byte, index) => (index === at ? byte ^ (1 << (at % 8)) : byte))
          assert.strictEqual(
            (yield* Effect.flip(opaque.finishLogin(state, changed, credentials)))._tag,
            "OpaqueRejected",
            `byte ${at}`
          )
        }
      })
    )
  )

  it.effect("random bytes for KE1 are rejected or answered in full", () =>
    withOpaque(
      Effect.fnUntraced(function* (opaque) {
        const setup = yield* opaque.createSetup
        const result = yield* Arbitrary.checkEffect(
          Arbitrary.schema(AnyBytes),
          (bytes) =>
            opaque.answerLogin(setup, user, undefined, bytes).pipe(
              Effect.map(({ ke2 }) => bytes.length === ke1Bytes && ke2.length === ke2Bytes),
              Effect.catch((error) => Effect.succeed(error._tag === "OpaqueRejected"))
            ),
          { runs: 60 }
        )
        assert.strictEqual(result._tag, "Passed")
      })
    )
  )
})
