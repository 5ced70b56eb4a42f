import { assert, describe, it } from "@effect/vitest"
import { encode as encodeCbor, rfc8949EncodeOptions } from "cborg"
import { Arbitrary, Effect, Result, Schema } from "effect"
import { ContentDigest } from "../../../src/domain/file/Digest.ts"
import { FileName } from "../../../src/domain/file/FileName.ts"
import {
  bundleFilesMax,
  chunkAverageLog2Max,
  chunkAverageLog2Min,
  groupsAskedMax,
  listingNamesMax,
  messageBytesMax,
  messageDepthMax,
  packedBytesMax,
  peerTextCharactersMax,
  signatureKeyBytes,
  unnamedNamesMax
} from "../../../src/domain/limits.ts"
import { Client, ClientMessage, type MessageRefused, Server, ServerMessage } from "../../../src/domain/wire/Message.ts"

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")
const bytesOf = (digits: string): Uint8Array => Uint8Array.from(Buffer.from(digits, "hex"))

const name = FileName.make("a/\u00e9.txt")
const packed = Uint8Array.of(1, 2, 3)
const digest = ContentDigest.make("00".repeat(32))
const { cases: client } = ClientMessage
const { cases: server } = ServerMessage

interface Decoder {
  readonly decode: (body: Uint8Array) => Effect.Effect<unknown, MessageRefused>
}

const refusedBy = (codec: Decoder, body: Uint8Array) =>
  Effect.map(Effect.result(codec.decode(body)), (result) =>
    result._tag === "Failure" ? result.failure._tag : `taken: ${JSON.stringify(result.success)}`
  )

describe("messages", () => {
  it.effect.prop("of a client come back as they were", [ClientMessage], ([message]) =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* Client.decode(Client.encode(message)), message)
    })
  )

  it.effect.prop("of a server come back as they were", [ServerMessage], ([message]) =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* Server.decode(Server.encode(message)), message)
    })
  )

  it.effect.prop("any bytes are a message with one encoding, or refused", [Schema.Uint8Array], ([body]) =>
    Effect.gen(function* () {
      const result = yield* Effect.result(Client.decode(body))
      if (result._tag === "Success") assert.deepStrictEqual(Client.encode(result.success), body)
      else assert.strictEqual(result.failure._tag, "MessageRefused")
    })
  )

  it.effect("with any single bit changed are other messages or refused, never a crash", () =>
    Effect.gen(function* () {
      const body = Client.encode(client.Upload.make({ name, size: 1000, modified: 1_700_000_000_000 }))
      for (let bit = 0; bit < body.length * 8; bit++) {
        const changed = body.map((byte, index) => (index === bit >>> 3 ? byte ^ (1 << (bit & 7)) : byte))
        const result = yield* Effect.result(Client.decode(changed))
        if (result._tag === "Success") assert.deepStrictEqual(Client.encode(result.success), changed)
      }
    })
  )
})

// -----------------------------------------------------------------------------
// Frozen bytes: a change of these is a change of the protocol.
// -----------------------------------------------------------------------------

/** The digest's 64 digits, as text. */
const zeros = "30".repeat(64)
const size = 1000
const modified = 1_700_000_000_000

const head = "0".repeat(32)
const heads = "30".repeat(32)
const ranges = new Uint8Array(16).fill(1)
const pieces = new Uint8Array(22).fill(1)
const key = new Uint8Array(32).fill(2)
const signature = { digest, key, averageLog2: 16, groups: pieces }
const nameHex = "646e616d6568612fc3a92e747874"
const sizeHex = "6473697a651903e8"
const modifiedHex = "686d6f6469666965641b0000018bcfe56800"
const groupsHex = `6667726f75707356${"01".repeat(22)}`
const prefixesHex = `687072656669786573${groupsHex.slice(14)}`
const headsHex = `656865616473${groupsHex.slice(14)}`
const keyHex = `636b65795820${"02".repeat(32)}`
const digestHex = `666469676573747840${zeros}`
const signatureHex = `697369676e6174757265a4${keyHex}${digestHex}${groupsHex}6b617665726167654c6f673210`

const filled = (length: number) => new Uint8Array(length).fill(7)

const frozenClient: ReadonlyArray<readonly [ClientMessage, string]> = [
  [client.Hello.make({ client: "c" }), "a2645f7461676548656c6c6f66636c69656e746163"],
  [client.Fetch.make({}), "a1645f746167654665746368"],
  [
    client.Upload.make({ name, size, modified }),
    "a4645f7461676655706c6f6164646e616d6568612fc3a92e7478746473697a651903e8686d6f6469666965641b0000018bcfe56800"
  ],
  [
    client.Upload.make({ name, size, modified, executable: true }),
    `a5645f7461676655706c6f6164${nameHex}${sizeHex}${modifiedHex}6a65786563757461626c65f5`
  ],
  [client.Fetch.make({ digest: true }), "a2645f74616765466574636866646967657374f5"],
  [
    client.Upload.make({ name, size, modified, head }),
    `a5645f7461676655706c6f616464686561647820${heads}${nameHex}${sizeHex}${modifiedHex}`
  ],
  [client.Describe.make({ name }), `a2645f746167684465736372696265${nameHex}`],
  [client.Download.make({ name }), "a2645f74616768446f776e6c6f6164646e616d6568612fc3a92e747874"],
  [client.Download.make({ name, delta: true }), `a3645f74616768446f776e6c6f6164${nameHex}6564656c7461f5`],
  [
    client.Download.make({ name, partial: { from: 1, size, modified, head } }),
    `a3645f74616768446f776e6c6f6164${nameHex}677061727469616ca46466726f6d01` +
      `64686561647820${heads}${sizeHex}${modifiedHex}`
  ],
  [
    client.Para.make({ name, size, modified, head, expect: digest }),
    `a6645f746167645061726164686561647820${heads}${nameHex}${sizeHex}666578706563747840${zeros}${modifiedHex}`
  ],
  [client.NeedChunks.make({ first: 0, count: 1 }), "a3645f7461676a4e6565644368756e6b7365636f756e740165666972737400"],
  [client.NeedBlocks.make({ ranges }), `a2645f7461676a4e656564426c6f636b736672616e67657350${"01".repeat(16)}`],
  [client.Copies.make({ ranges }), `a2645f74616766436f706965736672616e67657350${"01".repeat(16)}`],
  [client.Want.make({ ranges }), `a2645f7461676457616e746672616e67657350${"01".repeat(16)}`],
  [
    client.Para.make({ name, size, modified }),
    "a4645f7461676450617261646e616d6568612fc3a92e7478746473697a651903e8686d6f6469666965641b0000018bcfe56800"
  ],
  [client.Remove.make({ name }), `a2645f7461676652656d6f7665${nameHex}`],
  [client.Remove.make({ name, expect: digest }), `a3645f7461676652656d6f7665${nameHex}666578706563747840${zeros}`],
  [client.Rename.make({ name, to: name }), `a362746f${nameHex.slice(10)}645f7461676652656e616d65${nameHex}`],
  [
    client.Rename.make({ name, to: name, replace: true, expect: digest }),
    `a562746f${nameHex.slice(10)}645f7461676652656e616d65${nameHex}666578706563747840${zeros}677265706c616365f5`
  ],
  [client.Commit.make({ size, digest }), `a3645f74616766436f6d6d69746473697a651903e8666469676573747840${zeros}`],
  [
    client.PasswordStart.make({ ke1: filled(96), request: filled(32) }),
    `a3636b65315860${"07".repeat(96)}645f7461676d50617373776f7264537461727467726571756573745820${"07".repeat(32)}`
  ],
  [
    client.PasswordFinish.make({ ke3: filled(64), record: filled(192) }),
    `a3636b65335840${"07".repeat(64)}645f7461676e50617373776f726446696e697368667265636f726458c0${"07".repeat(192)}`
  ],
  [client.Cancel.make({}), "a1645f7461676643616e63656c"],
  [client.Ping.make({}), "a1645f7461676450696e67"],
  [client.UploadBundle.make({ files: packed }), `a2645f7461676c55706c6f616442756e646c656566696c657343010203`],
  [client.DownloadBundle.make({ names: packed }), `a2645f7461676e446f776e6c6f616442756e646c65656e616d657343010203`],
  [client.Bye.make({}), "a1645f74616763427965"]
]

const frozenServer: ReadonlyArray<readonly [ServerMessage, string]> = [
  [server.Correct.make({ server: "s" }), "a2645f74616767436f7272656374667365727665726173"],
  [server.Page.make({ entries: packed }), "a2645f746167645061676567656e747269657343010203"],
  [server.Listed.make({ count: 1 }), "a2645f746167664c697374656465636f756e7401"],
  [
    server.Unlisted.make({ names: packed, count: 2 }),
    "a3645f74616768556e6c697374656465636f756e7402656e616d657343010203"
  ],
  [
    server.Unnamed.make({ count: 2, names: ["a.", "b /"], folder: FileName.make("f") }),
    "a4645f74616767556e6e616d656465636f756e7402656e616d65738262612e6362202f66666f6c6465726166"
  ],
  [server.Unnamed.make({ count: 1, names: [] }), "a3645f74616767556e6e616d656465636f756e7401656e616d657380"],
  [server.Proceed.make({ from: 0 }), "a2645f7461676750726f636565646466726f6d00"],
  [
    server.Described.make({ size, modified, digest }),
    `a4645f746167694465736372696265646473697a651903e8666469676573747840${zeros}${modifiedHex}`
  ],
  [server.Uploaded.make({ size, digest }), `a3645f7461676855706c6f616465646473697a651903e8666469676573747840${zeros}`],
  [
    server.Sending.make({ size, modified, from: 0 }),
    "a4645f7461676753656e64696e676466726f6d006473697a651903e8686d6f6469666965641b0000018bcfe56800"
  ],
  [
    server.Sending.make({ size, modified, from: 0, signature }),
    `a5645f7461676753656e64696e676466726f6d00${sizeHex}${modifiedHex}${signatureHex}`
  ],
  [
    server.Sending.make({ size, modified, from: 0, signature: { ...signature, prefixes: pieces } }),
    `a5645f7461676753656e64696e676466726f6d00${sizeHex}${modifiedHex}` +
      signatureHex.replace("65a4", "65a5").replace("6b6176", `${prefixesHex}6b6176`)
  ],
  [
    server.Sending.make({ size, modified, from: 0, signature: { ...signature, heads: pieces } }),
    `a5645f7461676753656e64696e676466726f6d00${sizeHex}${modifiedHex}` +
      signatureHex.replace("65a4", "65a5").replace(digestHex, `${headsHex}${digestHex}`)
  ],
  [server.Sent.make({ size, digest }), `a3645f7461676453656e746473697a651903e8666469676573747840${zeros}`],
  [
    server.SameFileHere.make({ size, modified, from: 0 }),
    "a4645f7461676c53616d6546696c65486572656466726f6d006473697a651903e8686d6f6469666965641b0000018bcfe56800"
  ],
  [
    server.SameFileHere.make({ size, modified, from: 0, signature }),
    `a5645f7461676c53616d6546696c65486572656466726f6d00${sizeHex}${modifiedHex}${signatureHex}`
  ],
  [
    server.PasswordAnswer.make({ ke2: filled(320), response: filled(64), stretching: 1 }),
    `a4636b6532590140${"07".repeat(320)}645f7461676e50617373776f7264416e73776572` +
      `68726573706f6e73655840${"07".repeat(64)}6a73747265746368696e6701`
  ],
  [server.PasswordChanged.make({}), "a1645f7461676f50617373776f72644368616e676564"],
  [server.Removed.make({ name }), `a2645f7461676752656d6f766564${nameHex}`],
  [server.Renamed.make({ name, to: name }), `a362746f${nameHex.slice(10)}645f7461676752656e616d6564${nameHex}`],
  [server.SameFileNotHere.make({}), "a1645f7461676f53616d6546696c654e6f7448657265"],
  [
    server.SuccessfullyParallelized.make({ size, digest }),
    `a3645f74616778185375636365737366756c6c79506172616c6c656c697a65646473697a651903e8666469676573747840${zeros}`
  ],
  [
    server.Refused.make({ reason: "no-such-file" }),
    "a2645f746167675265667573656466726561736f6e6c6e6f2d737563682d66696c65"
  ],
  [
    server.Refused.make({ reason: "name-collision", detail: "d" }),
    "a3645f74616767526566757365646664657461696c616466726561736f6e6e6e616d652d636f6c6c6973696f6e"
  ],
  [
    server.Pieces.make({ pieces, last: true }),
    `a3645f74616766506965636573646c617374f56670696563657356${"01".repeat(22)}`
  ],
  [
    server.FileRefused.make({ index: 1, reason: "no-such-file" }),
    "a3645f7461676b46696c655265667573656465696e6465780166726561736f6e6c6e6f2d737563682d66696c65"
  ],
  [server.BundleSending.make({ files: packed }), "a2645f7461676d42756e646c6553656e64696e676566696c657343010203"],
  [server.BundleDone.make({ count: 1 }), "a2645f7461676a42756e646c65446f6e6565636f756e7401"],
  [server.Pong.make({}), "a1645f74616764506f6e67"],
  [server.Closing.make({ reason: "r" }), "a2645f74616767436c6f73696e6766726561736f6e6172"]
]

describe("the bytes of each message", () => {
  for (const [index, [message, bytes]] of frozenClient.entries()) {
    it(`${message._tag} (${index}) is fixed`, () => assert.strictEqual(hex(Client.encode(message)), bytes))
  }
  for (const [index, [message, bytes]] of frozenServer.entries()) {
    it(`${message._tag} (${index}) is fixed`, () => assert.strictEqual(hex(Server.encode(message)), bytes))
  }

  it("no message is missing here", () => {
    const tags = (all: ReadonlyArray<readonly [{ readonly _tag: string }, string]>) =>
      [...new Set(all.map(([{ _tag }]) => _tag))].toSorted()
    assert.deepStrictEqual(tags(frozenClient), Object.keys(client).toSorted())
    assert.deepStrictEqual(tags(frozenServer), Object.keys(server).toSorted())
  })
})

describe("CBOR that is not deterministic is refused", () => {
  // {"_tag": "Ping"}: a1 65 5f746167 64 50696e67; {"size": 1, "_tag": ..}: see the names.
  const tag = "645f746167"
  const ping = "6450696e67"
  const bodies: Readonly<Record<string, string>> = {
    "a length in more bytes than it needs": `a1${tag}780450696e67`,
    "a map's length in more bytes than it needs": `b801${tag}${ping}`,
    "a map without a length": `bf${tag}${ping}ff`,
    "a text without a length": `a1${tag}7f${ping}ff`,
    "a key twice": `a2${tag}${ping}${tag}${ping}`,
    "bytes after the value": `a1${tag}${ping}00`,
    "a second value": `a1${tag}${ping}a1${tag}${ping}`,
    "a tag": `c1a1${tag}${ping}`,
    "a self-describing tag": `d9d9f7a1${tag}${ping}`,
    undefined: "f7",
    null: "f6",
    "a break": "ff",
    nothing: "",
    "a map cut short": `a1${tag}`,
    "a byte string for a text": `a1${tag}4450696e67`,
    "text that is not UTF-8": `a1${tag}64ff696e67`,
    "a number as key": `a101${ping}`
  }
  for (const [what, digits] of Object.entries(bodies)) {
    it.effect(what, () =>
      Effect.gen(function* () {
        assert.strictEqual(yield* refusedBy(Client, bytesOf(digits)), "MessageRefused")
      })
    )
  }

  it.effect("and the same message as it should be is taken", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* Client.decode(bytesOf(`a1${tag}${ping}`)), client.Ping.make({}))
    })
  )

  it.effect("numbers: long, float, negative, too large", () =>
    Effect.gen(function* () {
      const listed = (digits: string) => bytesOf(`a2${tag}664c697374656465636f756e74${digits}`)
      assert.deepStrictEqual(yield* Server.decode(listed("17")), server.Listed.make({ count: 23 }))
      const wrong = ["1817", "190017", "1b0000000000000017", "f94dc0", "fa41b80000", "fb4037000000000000"]
      const not = ["20", "f93e00", "f97e00", "f97c00", "f98000", "1bffffffffffffffff", "1b0020000000000000", "c24117"]
      for (const digits of [...wrong, ...not, "f5", "f7", "6131"]) {
        assert.strictEqual(yield* refusedBy(Server, listed(digits)), "MessageRefused", digits)
      }
    })
  )

  it.effect("but a name that begins with a byte order mark is taken as it is", () =>
    Effect.gen(function* () {
      const message = client.Describe.make({ name: FileName.make("\ufeffa") })
      assert.deepStrictEqual(yield* Client.decode(Client.encode(message)), message)
    })
  )

  it.effect("keys out of order", () =>
    Effect.gen(function* () {
      const [one, two] = [`${tag}664c6973746564`, "65636f756e7401"]
      assert.strictEqual(yield* refusedBy(Server, bytesOf(`a2${two}${one}`)), "MessageRefused")
      assert.deepStrictEqual(yield* Server.decode(bytesOf(`a2${one}${two}`)), server.Listed.make({ count: 1 }))
    })
  )

  it.effect("deep nesting, to the largest body", () =>
    Effect.gen(function* () {
      for (const opening of [0x81, 0xa1, 0xc1, 0x9f, 0x7f]) {
        for (const length of [10, 1000, messageBytesMax]) {
          const body = new Uint8Array(length).fill(opening)
          assert.strictEqual(yield* refusedBy(Client, body), "MessageRefused")
        }
      }
    })
  )

  // Nested ever deeper, and whole: somewhere in between a decoder's stack is enough, and an encoder's is not.
  const nestings = { arrays: [0x81], maps: [0xa1, 0x60], tags: [0xc1] }
  const nested = (opening: ReadonlyArray<number>, depth: number): Uint8Array => {
    const body = new Uint8Array(depth * opening.length + 1)
    for (let at = 0; at < body.length - 1; at += 1) body[at] = opening[at % opening.length] ?? 0
    return body
  }
  for (const [what, opening] of Object.entries(nestings)) {
    it.effect(`${what} of any depth`, () =>
      Effect.gen(function* () {
        const deepest = Math.floor((messageBytesMax - 1) / opening.length)
        for (let depth = 1; depth <= deepest; depth = Math.ceil(depth * 1.15)) {
          assert.strictEqual(yield* refusedBy(Client, nested(opening, depth)), "MessageRefused", `${depth}`)
        }
        assert.strictEqual(yield* refusedBy(Client, nested(opening, deepest)), "MessageRefused")
      })
    )
  }

  it.effect("what is deeper than any message, before it is encoded again", () =>
    Effect.gen(function* () {
      const { arrays, maps } = nestings
      for (const opening of [arrays, maps]) {
        const reason = (depth: number) => Effect.flip(Client.decode(nested(opening, depth)))
        const unknown = { detail: "unknown message or field out of range" }
        assert.deepInclude(yield* reason(messageDepthMax), unknown)
        assert.deepInclude(yield* reason(messageDepthMax + 1), { detail: "nested too deeply" })
        assert.deepInclude(yield* reason(1000), { detail: "nested too deeply" })
      }
    })
  )

  it.effect("lengths that promise more than there is", () =>
    Effect.gen(function* () {
      for (const digits of ["9affffffff", "9bffffffffffffffff", "baffffffff", "7affffffff", "5bffffffffffffffff"]) {
        assert.strictEqual(yield* refusedBy(Client, bytesOf(digits)), "MessageRefused")
      }
    })
  )
})

describe("maps with text for keys", () => {
  it.prop("are encoded in the order of RFC 8949", [Schema.Record(Schema.String, Schema.Int)], ([value]) => {
    assert.deepStrictEqual(encodeCbor(value), encodeCbor(value, rfc8949EncodeOptions))
  })
})

describe("what the protocol does not have is refused", () => {
  const cbor = (value: unknown): Uint8Array => encodeCbor(value, rfc8949EncodeOptions)

  it.effect("unknown tags, missing, additional and wrong fields", () =>
    Effect.gen(function* () {
      const text = "x".repeat(peerTextCharactersMax + 1)
      const values: ReadonlyArray<unknown> = [
        {},
        [],
        "Ping",
        { _tag: "ping" },
        { _tag: "Correct", server: "s" },
        { _tag: "constructor" },
        { _tag: "Ping", more: 1 },
        { _tag: "Ping", name: "a" },
        { _tag: "Hello" },
        { _tag: "Hello", client: 1 },
        { _tag: "Hello", client: text },
        { _tag: "Download", name: "../a" },
        { _tag: "Download", name: "/a" },
        { _tag: "Download", name: "a\u0000" },
        { _tag: "Upload", name: "a", size: -1, modified: 0 },
        { _tag: "Upload", name: "a", size: 1 },
        { _tag: "Upload", name: "a", size: 1, modified: 253_402_300_800_000 },
        { _tag: "Commit", size: 1, digest: "00" },
        { _tag: "Commit", size: 1, digest: "AA".repeat(32) },
        JSON.parse('{"_tag":"Ping","__proto__":{"_tag":"Bye"}}'),
        JSON.parse('{"__proto__":{"_tag":"Ping"}}')
      ]
      for (const value of values) {
        assert.strictEqual(yield* refusedBy(Client, cbor(value)), "MessageRefused", JSON.stringify(value))
      }
    })
  )

  const offer = {
    digest,
    key: new Uint8Array(signatureKeyBytes),
    averageLog2: chunkAverageLog2Min,
    groups: packed
  }
  const sending = (change: object) => ({
    _tag: "Sending",
    size,
    modified,
    from: 0,
    signature: { ...offer, ...change }
  })
  const partialOf = (from: number, digits: string) => ({
    _tag: "Download",
    name,
    partial: { from, size, modified, head: digits }
  })
  const names = (count: number) => Array.from({ length: count }, (_, index) => `n${index}`)
  const filledTo = (length: number) => new Uint8Array(length)

  /** What a field may be at most or at least, and what is one too many or too few. */
  const bounds: ReadonlyArray<readonly [codec: Decoder, taken: object, refused: ReadonlyArray<object>]> = [
    [Client, partialOf(0, head), [partialOf(0, `${head}0`), partialOf(0, head.slice(1)), partialOf(-1, head)]],
    ...[1, listingNamesMax].map(
      (count) =>
        [
          Client,
          { _tag: "Fetch", alike: names(count) },
          [
            { _tag: "Fetch", alike: [] },
            { _tag: "Fetch", alike: names(listingNamesMax + 1) }
          ]
        ] as const
    ),
    ...[1, groupsAskedMax].map(
      (count) =>
        [
          Client,
          { _tag: "NeedChunks", first: groupsAskedMax, count },
          [
            { _tag: "NeedChunks", first: 0, count: 0 },
            { _tag: "NeedChunks", first: 0, count: groupsAskedMax + 1 },
            { _tag: "NeedChunks", first: -1, count },
            { _tag: "NeedChunks", first: groupsAskedMax + 1, count }
          ]
        ] as const
    ),
    [
      Client,
      { _tag: "UploadBundle", files: filledTo(packedBytesMax) },
      [{ _tag: "UploadBundle", files: filledTo(packedBytesMax + 1) }]
    ],
    [
      Client,
      { _tag: "PasswordStart", ke1: filledTo(96), request: filledTo(32) },
      [
        { _tag: "PasswordStart", ke1: filledTo(97), request: filledTo(32) },
        { _tag: "PasswordStart", ke1: filledTo(96), request: filledTo(33) }
      ]
    ],
    [
      Client,
      { _tag: "PasswordFinish", ke3: filledTo(64), record: filledTo(192) },
      [
        { _tag: "PasswordFinish", ke3: filledTo(65), record: filledTo(192) },
        { _tag: "PasswordFinish", ke3: filledTo(64), record: filledTo(191) }
      ]
    ],
    ...[0, 255].map((stretching) => {
      const answer = { _tag: "PasswordAnswer", stretching, ke2: filledTo(320), response: filledTo(64) }
      return [
        Server,
        answer,
        [
          { ...answer, stretching: -1 },
          { ...answer, stretching: 256 },
          { ...answer, ke2: filledTo(321) },
          { ...answer, response: filledTo(63) }
        ]
      ] as const
    }),
    ...[0, bundleFilesMax].map(
      (count) =>
        [
          Server,
          { _tag: "BundleDone", count },
          [
            { _tag: "BundleDone", count: -1 },
            { _tag: "BundleDone", count: bundleFilesMax + 1 }
          ]
        ] as const
    ),
    ...[0, bundleFilesMax].map((index) => {
      const one = { _tag: "FileRefused", index, reason: "no-access" }
      return [
        Server,
        one,
        [
          { ...one, index: -1 },
          { ...one, index: bundleFilesMax + 1 }
        ]
      ] as const
    }),
    [
      Server,
      { _tag: "Unnamed", count: 9, names: names(unnamedNamesMax) },
      [{ _tag: "Unnamed", count: 9, names: names(unnamedNamesMax + 1) }]
    ],
    ...[chunkAverageLog2Min, chunkAverageLog2Max].map(
      (averageLog2) =>
        [
          Server,
          sending({ averageLog2 }),
          [
            sending({ averageLog2: chunkAverageLog2Min - 1 }),
            sending({ averageLog2: chunkAverageLog2Max + 1 }),
            sending({ key: filledTo(signatureKeyBytes - 1) }),
            sending({ key: filledTo(signatureKeyBytes + 1) })
          ]
        ] as const
    )
  ]

  it.effect.each(bounds)("what is one beyond the bounds of a field (%#)", ([codec, taken, refused]) =>
    Effect.gen(function* () {
      assert.isTrue(Result.isSuccess(yield* Effect.result(codec.decode(cbor(taken)))), JSON.stringify(taken))
      for (const value of refused) {
        assert.strictEqual(yield* refusedBy(codec, cbor(value)), "MessageRefused", JSON.stringify(value))
      }
    })
  )

  it.effect("a body of more bytes than a message has, before it is decoded", () =>
    Effect.gen(function* () {
      const why = (length: number) =>
        Effect.map(Effect.flip(Client.decode(new Uint8Array(length))), ({ detail }) => detail)
      assert.strictEqual(yield* why(messageBytesMax + 1), "too long")
      assert.notStrictEqual(yield* why(messageBytesMax), "too long")
    })
  )

  it.effect("the reason names no value of the peer's", () =>
    Effect.gen(function* () {
      const result = yield* Arbitrary.checkEffect(
        Arbitrary.schema(Schema.String.check(Schema.isPattern(/^[a-z]{12}$/))),
        (secret) =>
          Effect.map(
            Effect.flip(Client.decode(cbor({ _tag: secret, [secret]: secret }))),
            (error) => !JSON.stringify(error).includes(secret) && !error.message.includes(secret)
          ),
        { runs: 20 }
      )
      assert.strictEqual(result._tag, "Passed")
    })
  )
})
