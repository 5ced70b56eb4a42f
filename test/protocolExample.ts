/**
 * The worked example of docs/PROTOCOL.md: one login and a first exchange, from fixed seeds, so that its bytes can be
 * made again by anyone. `node test/protocolExample.ts` prints it; test/docs.test.ts compares it with the document.
 */
import { ml_kem768_x25519 } from "@noble/post-quantum/hybrid.js"
import { Effect, Redacted } from "effect"
import { createHash } from "node:crypto"
import process from "node:process"
import * as Bytes from "../src/domain/Bytes.ts"
import { Cipher } from "../src/domain/channel/Cipher.ts"
import * as CipherNode from "../src/domain/channel/CipherNode.ts"
import { encodeClient, encodeServer, UserName } from "../src/domain/channel/HandshakeMessage.ts"
import { keyPairFromSeed } from "../src/domain/channel/KemNode.ts"
import * as KeySchedule from "../src/domain/channel/KeySchedule.ts"
import { preamble, protocolName } from "../src/domain/channel/Protocol.ts"
import { encodeHeader, makeSealer, type RecordType } from "../src/domain/channel/Record.ts"
import { FileName } from "../src/domain/file/FileName.ts"
import { RequestId } from "../src/domain/wire/Frame.ts"
import * as Frame from "../src/domain/wire/Frame.ts"
import * as Message from "../src/domain/wire/Message.ts"
import * as oracle from "./domain/channel/opaqueOracle.ts"

/** A value of the example: `label`, and its bytes in hex; of long ones the SHA-256. */
export interface Line {
  readonly label: string
  readonly value: string
}

const user = UserName.make("ada")
const password = "correct horse battery"

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")
const run = (length: number, byte: number): Uint8Array => new Uint8Array(length).fill(byte)
const shown = (secret: Redacted.Redacted<Uint8Array>): string => hex(Redacted.value(secret))
const brief = (bytes: Uint8Array): string =>
  bytes.length <= 128
    ? hex(bytes)
    : `${bytes.length} bytes, SHA-256 ${createHash("sha256").update(bytes).digest("hex")}`

/** The password exchange with every random value fixed. */
const login = () => {
  const suite = { context: new Uint8Array(0), stretch: oracle.argon2id(3, 64 * 1024, 4) }
  const keys = { oprfSeed: run(64, 0x01), privateKey: run(32, 0x02) }
  const identities = { client: Bytes.fromUtf8(user), server: Bytes.fromUtf8(protocolName) }
  const credentialIdentifier = Bytes.fromUtf8(user)
  const input = Bytes.fromUtf8(JSON.stringify([protocolName, user, password]))
  const request = oracle.blind(input, run(32, 0x03))
  const { record } = oracle.finishRegistration(suite, {
    password: input,
    blind: run(32, 0x03),
    response: Bytes.concat([
      oracle.evaluate(keys.oprfSeed, credentialIdentifier, request),
      oracle.publicKeyOf(keys.privateKey)
    ]),
    envelopeNonce: run(32, 0x04),
    identities
  })
  const start = { password: input, blind: run(32, 0x05), nonce: run(32, 0x06), keyshareSeed: run(32, 0x07) }
  const ke1 = oracle.startLogin(start)
  const { ke2 } = oracle.answerLogin(suite, keys, {
    record,
    credentialIdentifier,
    identities,
    ke1,
    maskingNonce: run(32, 0x08),
    nonce: run(32, 0x09),
    keyshareSeed: run(32, 0x0a)
  })
  const finish = oracle.finishLogin(suite, start, ke2, identities)
  if (finish === undefined) throw new Error("the example's login does not verify")
  return { input, record, ke1, ke2, ke3: finish.ke3, sessionKey: finish.sessionKey }
}

/** Everything that the example shows, in the order of the document. */
export const example: Effect.Effect<ReadonlyArray<Line>, unknown> = Effect.gen(function* () {
  const lines: Array<Line> = []
  const show = (label: string, bytes: Uint8Array): void => void lines.push({ label, value: brief(bytes) })
  const cipher = yield* Cipher

  const pair = keyPairFromSeed(run(32, 0x0b))
  const clientHello = Bytes.concat([preamble, pair.publicKey])
  const { cipherText, sharedSecret } = ml_kem768_x25519.encapsulate(pair.publicKey, run(64, 0x0c))
  const serverHello = Bytes.concat([preamble, cipherText])
  show("M1", clientHello)
  show("M2", serverHello)
  show("X-Wing shared secret", sharedSecret)
  let transcript = KeySchedule.transcriptOfHellos(clientHello, serverHello)
  show("th0", transcript)
  const secrets = KeySchedule.handshakeSecrets(Redacted.make(sharedSecret), transcript)
  lines.push({ label: "c_hs", value: shown(secrets.client) })
  lines.push({ label: "s_hs", value: shown(secrets.server) })
  lines.push({ label: "chain", value: shown(secrets.chain) })
  const { iv, key } = KeySchedule.recordKey(secrets.client)
  lines.push({ label: "client's handshake key", value: shown(key) })
  show("client's handshake iv", iv)

  const { input, ke1, ke2, ke3, record, sessionKey } = login()
  show("password input", input)
  show("registration record", record)
  show("KE1", ke1)
  show("KE2", ke2)
  show("KE3", ke3)
  show("session key", sessionKey)

  const clientSealer = makeSealer(cipher, secrets.client)
  const serverSealer = makeSealer(cipher, secrets.server)
  const handshake = Effect.fnUntraced(function* (label: string, sealer: typeof clientSealer, plaintext: Uint8Array) {
    show(`record of ${label}`, Bytes.concat(yield* sealer.seal("handshake", [plaintext])))
    transcript = KeySchedule.extendTranscript(transcript, encodeHeader("handshake", plaintext.length), plaintext)
    show(`transcript after ${label}`, transcript)
  })
  yield* handshake("LoginStart", clientSealer, encodeClient({ _tag: "LoginStart", user, ke1 }))
  yield* handshake("LoginResponse", serverSealer, encodeServer({ _tag: "LoginResponse", stretching: 1, ke2 }))
  yield* handshake("LoginFinish", clientSealer, encodeClient({ _tag: "LoginFinish", ke3 }))

  const application = KeySchedule.applicationSecrets(Redacted.make(sessionKey), secrets.chain, transcript)
  lines.push({ label: "c_ap", value: shown(application.client) })
  lines.push({ label: "s_ap", value: shown(application.server) })
  lines.push({ label: "exporter", value: shown(application.exporter) })

  const client = makeSealer(cipher, application.client)
  const server = makeSealer(cipher, application.server)
  const send = Effect.fnUntraced(function* (
    label: string,
    sealer: typeof client,
    plaintext: Bytes.Parts,
    type: RecordType = "data"
  ) {
    if (plaintext.length > 0) show(`frame of ${label}`, Bytes.concat(plaintext))
    show(`record of ${label}`, Bytes.concat(yield* sealer.seal(type, plaintext)))
  })
  const say = (id: number, body: Uint8Array): Bytes.Parts =>
    Frame.encode({ kind: "message", id: RequestId.make(id), body })
  yield* send("Hello", client, say(0, Message.Client.encode({ _tag: "Hello", client: "example" })))
  yield* send("Correct", server, say(0, Message.Server.encode({ _tag: "Correct", server: "paradrop" })))
  const name = FileName.make("hi.txt")
  const upload = Message.Client.encode({ _tag: "Upload", name, size: 3, modified: 1_700_000_000_000 })
  yield* send("Upload", client, say(1, upload))
  const content = Frame.encode({ kind: "content", id: RequestId.make(1), parts: [Bytes.fromUtf8("hi\n")] })
  yield* send("content", client, content)
  yield* send("END", client, [], "end")
  lines.push({ label: "c_ap after a rekey", value: shown(KeySchedule.nextSecret(application.client)) })
  return lines
}).pipe(Effect.provide(CipherNode.layer))

/** The example as the document shows it. */
export const text = (lines: ReadonlyArray<Line>): string =>
  lines.map(({ label, value }) => `${label}\n  ${value}`).join("\n")

if (import.meta.main) process.stdout.write(`${text(await Effect.runPromise(example))}\n`)
