import { hkdf } from "@noble/hashes/hkdf.js"
import { sha256 } from "@noble/hashes/sha2.js"
import { assert, describe, it } from "@effect/vitest"
import { Redacted, Schema } from "effect"
import { createHash, hkdfSync } from "node:crypto"
import {
  applicationSecrets,
  extendTranscript,
  handshakeSecrets,
  nextSecret,
  recordKey,
  transcriptOfHellos
} from "../../../src/domain/channel/KeySchedule.ts"
import { hkdfSha256, toHex } from "./vectors.ts"

const secretOf = (bytes: Uint8Array) => Redacted.make(bytes)
const shown = (secret: Redacted.Redacted<Uint8Array>): string => toHex(Redacted.value(secret))

// The same functions over node:crypto, written from the table of the protocol document.
const derive = (ikm: Uint8Array, salt: Uint8Array, info: Buffer, length: number): Buffer =>
  Buffer.from(hkdfSync("sha256", ikm, salt, info, length))
const thirds = (bytes: Buffer): ReadonlyArray<string> =>
  [0, 32, 64].map((start) => bytes.toString("hex", start, start + 32))
const hash = (...parts: ReadonlyArray<Uint8Array>): string => {
  const running = createHash("sha256")
  for (const part of parts) running.update(part)
  return running.digest("hex")
}
const none = new Uint8Array(0)

describe("HKDF-SHA-256", () => {
  for (const { ikm, info, name, okm, salt } of hkdfSha256) {
    it(`is what RFC 5869, ${name} says`, () => {
      assert.strictEqual(toHex(hkdf(sha256, ikm, salt, info, okm.length / 2)), okm)
      assert.strictEqual(derive(ikm, salt, Buffer.from(info), okm.length / 2).toString("hex"), okm)
    })
  }
})

describe("key schedule", () => {
  const Inputs: [typeof Schema.Uint8Array, typeof Schema.Uint8Array, typeof Schema.Uint8Array] = [
    Schema.Uint8Array,
    Schema.Uint8Array,
    Schema.Uint8Array
  ]

  it.prop("is what the second composition gives", Inputs, ([one, two, three]) => {
    const secret = Uint8Array.from({ length: 32 }, (_, index) => one[index % (one.length + 1)] ?? index)
    const transcript = transcriptOfHellos(one, two)
    assert.strictEqual(toHex(transcript), hash(one, two))
    const extended = extendTranscript(transcript, two, three)
    assert.strictEqual(toHex(extended), hash(transcript, two, three))

    const handshake = handshakeSecrets(secretOf(secret), transcript)
    assert.deepStrictEqual(
      [handshake.client, handshake.server, handshake.chain].map(shown),
      thirds(derive(secret, transcript, Buffer.from("pd/1 hs"), 96))
    )
    const application = applicationSecrets(secretOf(secret), handshake.chain, extended)
    assert.deepStrictEqual(
      [application.client, application.server, application.exporter].map(shown),
      thirds(derive(secret, Redacted.value(handshake.chain), Buffer.concat([Buffer.from("pd/1 ap"), extended]), 96))
    )
    const { iv, key } = recordKey(application.client)
    assert.strictEqual(
      shown(key) + toHex(iv),
      derive(Redacted.value(application.client), none, Buffer.from("pd/1 key"), 44).toString("hex")
    )
    assert.strictEqual(
      shown(nextSecret(application.client)),
      derive(Redacted.value(application.client), none, Buffer.from("pd/1 upd"), 32).toString("hex")
    )
  })

  it("no two secrets of one channel are equal", () => {
    const transcript = transcriptOfHellos(none, none)
    const handshake = handshakeSecrets(secretOf(new Uint8Array(32)), transcript)
    const application = applicationSecrets(secretOf(new Uint8Array(64)), handshake.chain, transcript)
    const all = [
      handshake.client,
      handshake.server,
      handshake.chain,
      application.client,
      application.server,
      application.exporter,
      nextSecret(application.client),
      recordKey(application.client).key
    ].map(shown)
    assert.strictEqual(new Set(all).size, all.length)
  })
})
