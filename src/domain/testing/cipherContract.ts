/**
 * The contract suite of the `Cipher` port, as data: any test runner can run it on any layer.
 *
 * Each case fails with `ContractBroken` (or with the layer's own failure) when the layer does not keep the contract.
 */
import { Effect, Redacted } from "effect"
import * as Bytes from "../Bytes.ts"
import { Cipher, type CipherFailed, type CipherKey } from "../channel/Cipher.ts"
import { tagBytes } from "../limits.ts"
import { ContractBroken } from "./ContractBroken.ts"

/** One promise of the port and the effect that checks it. */
export interface CipherCase {
  readonly name: string
  readonly effect: Effect.Effect<void, unknown, Cipher>
}

const run = (length: number, seed: number): Uint8Array =>
  Uint8Array.from({ length }, (_, index) => (index * 167 + seed * 59) & 0xff)

const importKey = (seed: number): Effect.Effect<CipherKey, CipherFailed, Cipher> =>
  Effect.flatMap(Cipher, (cipher) => cipher.importKey(Redacted.make(run(32, seed))))

const nonce = run(12, 3)
const header = run(4, 4)

const expectEqual = (what: string, actual: Uint8Array, expected: Uint8Array): Effect.Effect<void, ContractBroken> =>
  Bytes.equals(actual, expected)
    ? Effect.void
    : Effect.fail(new ContractBroken({ expected: `${what}: ${expected.join(" ")}`, actual: actual.join(" ") }))

const expectFailure = (what: string, opening: Effect.Effect<Bytes.Parts, CipherFailed>) =>
  Effect.matchEffect(opening, {
    onFailure: () => Effect.void,
    onSuccess: () => Effect.fail(new ContractBroken({ expected: `CipherFailed for ${what}`, actual: "a plaintext" }))
  })

const flip = (bytes: Uint8Array, bit: number): Uint8Array =>
  bytes.map((byte, index) => (index === bit >>> 3 ? byte ^ (1 << (bit & 7)) : byte))

/** Pieces of `length` bytes each; the last may be shorter. */
const pieces = (bytes: Uint8Array, length: number): Bytes.Parts =>
  Array.from({ length: Math.ceil(bytes.length / length) }, (_, index) =>
    bytes.subarray(index * length, (index + 1) * length)
  )

const overlap = (some: Bytes.Parts, others: Bytes.Parts): boolean =>
  some.some((one) =>
    others.some(
      (other) =>
        one.buffer === other.buffer &&
        one.byteOffset < other.byteOffset + other.length &&
        other.byteOffset < one.byteOffset + one.length
    )
  )

const lengths = [0, 1, 15, 16, 17, 255, 4096]

const opensWhatItSealed = Effect.gen(function* () {
  const key = yield* importKey(1)
  for (const length of lengths) {
    const plaintext = run(length, 5)
    const sealed = yield* key.seal(nonce, header, [plaintext])
    const size = Bytes.lengthOf(sealed)
    if (size !== length + tagBytes) {
      return yield* new ContractBroken({ expected: `${length + tagBytes} sealed bytes`, actual: `${size}` })
    }
    yield* expectEqual("plaintext", Bytes.concat(yield* key.open(nonce, header, sealed)), plaintext)
  }
  return undefined
})

const partsDoNotMatter = Effect.gen(function* () {
  const key = yield* importKey(1)
  const plaintext = run(100, 6)
  const sealed = Bytes.concat(yield* key.seal(nonce, header, [plaintext]))
  const empty = new Uint8Array(0)
  for (const length of [1, 7, 16, 99]) {
    const inParts = yield* key.seal(nonce, header, [empty, ...pieces(plaintext, length), empty])
    yield* expectEqual("sealed bytes", Bytes.concat(inParts), sealed)
    const opened = yield* key.open(nonce, header, [empty, ...pieces(sealed, length), empty])
    yield* expectEqual("plaintext", Bytes.concat(opened), plaintext)
  }
})

const everyBitIsProtected = Effect.gen(function* () {
  const key = yield* importKey(1)
  const sealed = Bytes.concat(yield* key.seal(nonce, header, [run(9, 7)]))
  for (let bit = 0; bit < sealed.length * 8; bit++) {
    yield* expectFailure(`bit ${bit} of the sealed bytes`, key.open(nonce, header, [flip(sealed, bit)]))
  }
  for (let bit = 0; bit < nonce.length * 8; bit++) {
    yield* expectFailure(`bit ${bit} of the nonce`, key.open(flip(nonce, bit), header, [sealed]))
  }
  for (let bit = 0; bit < header.length * 8; bit++) {
    yield* expectFailure(`bit ${bit} of the header`, key.open(nonce, flip(header, bit), [sealed]))
  }
})

const lengthIsProtected = Effect.gen(function* () {
  const key = yield* importKey(1)
  const sealed = Bytes.concat(yield* key.seal(nonce, header, [run(20, 8)]))
  for (let length = 0; length < sealed.length; length++) {
    yield* expectFailure(`the first ${length} bytes`, key.open(nonce, header, [sealed.subarray(0, length)]))
    yield* expectFailure(`${length} single bytes`, key.open(nonce, header, pieces(sealed.subarray(0, length), 1)))
  }
  yield* expectFailure("a byte too many", key.open(nonce, header, [sealed, Uint8Array.of(0)]))
  yield* expectFailure("a byte before", key.open(nonce, header, [Uint8Array.of(0), sealed]))
  yield* expectFailure("a longer header", key.open(nonce, Bytes.concat([header, Uint8Array.of(0)]), [sealed]))
})

const keysDiffer = Effect.gen(function* () {
  const [one, same, other] = [yield* importKey(1), yield* importKey(1), yield* importKey(2)]
  const plaintext = run(33, 9)
  const sealed = yield* one.seal(nonce, header, [plaintext])
  yield* expectEqual("plaintext", Bytes.concat(yield* same.open(nonce, header, sealed)), plaintext)
  yield* expectFailure("another key", other.open(nonce, header, sealed))
})

const bytesAreItsOwn = Effect.gen(function* () {
  const cipher = yield* Cipher
  const raw = run(32, 1)
  const key = yield* cipher.importKey(Redacted.make(raw))
  raw.fill(0)
  const plaintext = run(50, 10)
  const sealed = yield* key.seal(nonce, header, [plaintext])
  yield* expectEqual("the caller's plaintext", plaintext, run(50, 10))
  const before = Uint8Array.from(Bytes.concat(sealed))
  const opened = yield* (yield* importKey(1)).open(nonce, header, sealed)
  yield* expectEqual("plaintext", Bytes.concat(opened), plaintext)
  yield* expectEqual("the caller's sealed bytes", Bytes.concat(sealed), before)
  if (overlap(sealed, [plaintext]) || overlap(opened, sealed)) {
    return yield* new ContractBroken({ expected: "results in memory of their own", actual: "memory of the arguments" })
  }
  return undefined
})

const resultsStay = Effect.gen(function* () {
  const key = yield* importKey(1)
  const plaintext = run(50, 11)
  const sealed = yield* key.seal(nonce, header, [plaintext])
  const before = Uint8Array.from(Bytes.concat(sealed))
  const other = yield* key.seal(run(12, 12), header, [run(60, 13)])
  yield* expectEqual("the first sealed bytes", Bytes.concat(sealed), before)
  const opened = yield* key.open(nonce, header, [before])
  yield* key.open(run(12, 12), header, other)
  yield* expectEqual("the first plaintext", Bytes.concat(opened), plaintext)
})

/** What every `Cipher` layer promises. Secrecy is proved by published vectors, not here. */
export const cipherContract: ReadonlyArray<CipherCase> = [
  { name: "opens what it sealed; the tag adds 16 bytes", effect: opensWhatItSealed },
  { name: "how the bytes are split into parts changes nothing", effect: partsDoNotMatter },
  { name: "any bit of ciphertext, tag, nonce or header that changes is noticed", effect: everyBitIsProtected },
  { name: "bytes that are missing or added are noticed", effect: lengthIsProtected },
  { name: "only the same key opens", effect: keysDiffer },
  { name: "the key may be wiped after its import, and no argument is changed", effect: bytesAreItsOwn },
  { name: "what it gave stays as it is when it is called again", effect: resultsStay }
]
