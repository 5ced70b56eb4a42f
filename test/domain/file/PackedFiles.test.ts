import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import * as Bytes from "../../../src/domain/Bytes.ts"
import { ContentDigest } from "../../../src/domain/file/Digest.ts"
import { FileEntry, mayRun, Milliseconds } from "../../../src/domain/file/FileEntry.ts"
import { FileName } from "../../../src/domain/file/FileName.ts"
import * as PackedFiles from "../../../src/domain/file/PackedFiles.ts"
import {
  bundleBytesMax,
  bundleFilesMax,
  bundleFirstFilesMax,
  listingPageEntriesMax,
  packedBytesMax
} from "../../../src/domain/limits.ts"

const size = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1000 }))
const entry = { size, modified: Milliseconds, digest: ContentDigest }
const File = Schema.Struct({ name: FileName, ...entry })
const few = <S extends Schema.Top>(schema: S) =>
  Schema.Array(schema).check(Schema.isMinLength(1), Schema.isMaxLength(20))
const file = (name: string, size: number): PackedFiles.BundledFile => ({
  name: FileName.make(name),
  size,
  modified: 1_700_000_000_123,
  digest: ContentDigest.make("ab".repeat(32))
})
const sentFile = (index: number, size: number): PackedFiles.SentFile => {
  const { digest, modified } = file("a", size)
  return { index, size, modified, digest }
}
const reason = <A>(result: Result.Result<A, PackedFiles.BundleRefused>): string =>
  Result.isFailure(result) ? result.failure.reason : "taken"

describe("packed files", () => {
  it.prop("come back as they were", [few(File)], ([files]) => {
    assert.deepStrictEqual(PackedFiles.unpackFiles(PackedFiles.packFiles(files)), Result.succeed(files))
  })

  it.prop("so do names", [few(FileName)], ([names]) => {
    assert.deepStrictEqual(PackedFiles.unpackNames(PackedFiles.packNames(names)), Result.succeed(names))
  })

  it("a name that begins with what else marks the order of bytes keeps it", () => {
    const marked = [file("\ufeffa", 1), file("a", 1)]
    assert.deepStrictEqual(PackedFiles.unpackFiles(PackedFiles.packFiles(marked)), Result.succeed(marked))
  })

  it.prop("so does what is sent, of any files in their order", [few(Schema.Struct(entry))], ([contents]) => {
    const sent = contents.map((content, index) => ({ index: index * 3, ...content }))
    assert.deepStrictEqual(PackedFiles.unpackSent(PackedFiles.packSent(sent), 0, 60), Result.succeed(sent))
  })

  it.prop("so do entries of a listing, in as many messages as they need", [few(FileEntry)], ([entries]) => {
    const pages = PackedFiles.packEntries(entries)
    const back = pages.map((page) => Result.getOrElse(PackedFiles.unpackEntries(page), () => []))
    assert.deepStrictEqual(back.flat(), entries)
    assert.isTrue(pages.every(({ length }) => length <= packedBytesMax))
  })

  it("entries fill a message before the next begins", () => {
    const longest = FileName.make(Array.from({ length: 4 }, () => "\u4e00".repeat(85)).join("/"))
    const entries = Array.from({ length: listingPageEntriesMax }, () => ({ ...file(longest, 2 ** 53 - 1) }))
    const lengths = PackedFiles.packEntries(entries).map(({ length }) => length)
    const each = 2 + Bytes.utf8Length(longest) + 8 + 6 + 1 + 32
    const most = Math.floor(packedBytesMax / each)
    assert.strictEqual(lengths.length, Math.ceil(entries.length / most))
    assert.isTrue(lengths.slice(0, -1).every((length) => length === most * each))
    assert.deepStrictEqual(PackedFiles.packEntries([]), [])
  })

  it("an entry that is cut short, or says what cannot be, is refused", () => {
    const plain = { name: FileName.make("zz"), size: 1, modified: 1 }
    const pack = (entry: FileEntry) => PackedFiles.packEntries([entry])[0] ?? new Uint8Array(0)
    const whole = pack({ ...plain, ...mayRun(true), digest: file("a", 1).digest })
    for (let length = 0; length < whole.length; length += 1) {
      const why = reason(PackedFiles.unpackEntries(whole.subarray(0, length)))
      assert.strictEqual(why, length === 0 ? "count" : "length", `${length} bytes`)
    }
    const bytes = pack(plain)
    const spoilt = (at: number, byte: number) => {
      const other = bytes.slice()
      other[at] = byte
      return reason(PackedFiles.unpackEntries(other))
    }
    // The name's bytes 2 and 3, then size, time and facts.
    assert.deepStrictEqual(
      [spoilt(3, 0x2e), spoilt(4, 0xff), spoilt(5, 0x20), spoilt(12, 0xff), spoilt(18, 4), spoilt(18, 1)],
      ["name", "size", "size", "modified", "facts", "taken"]
    )
  })

  it.prop("any bytes are files in one form, or refused", [Schema.Uint8Array], ([bytes]) => {
    const files = PackedFiles.unpackFiles(bytes)
    if (Result.isSuccess(files)) assert.deepStrictEqual(PackedFiles.packFiles(files.success), bytes)
    const entries = PackedFiles.unpackEntries(bytes)
    if (Result.isSuccess(entries)) assert.deepStrictEqual(PackedFiles.packEntries(entries.success), [bytes])
    const names = PackedFiles.unpackNames(bytes)
    if (Result.isSuccess(names)) assert.deepStrictEqual(PackedFiles.packNames(names.success), bytes)
  })

  it("cut anywhere they are refused", () => {
    const bytes = PackedFiles.packFiles([file("a/b", 3), file("c", 4)])
    const whole = new Set([PackedFiles.packFiles([file("a/b", 3)]).length, bytes.length])
    for (let length = 0; length <= bytes.length; length += 1) {
      const taken = reason(PackedFiles.unpackFiles(bytes.subarray(0, length))) === "taken"
      assert.strictEqual(taken, whole.has(length), `${length} bytes`)
    }
  })

  it("what is too much, out of order or no name is refused", () => {
    const many = (count: number) => Array.from({ length: count }, (_, index) => file(`f${index}`, 0))
    const badName = PackedFiles.packFiles([file("zz", 1)]).map((byte) => (byte === 0x7a ? 0x2e : byte))
    const badText = PackedFiles.packFiles([file("zz", 1)]).map((byte) => (byte === 0x7a ? 0xff : byte))
    const late = PackedFiles.packFiles([{ ...file("a", 1), modified: 2 ** 48 - 1 }])
    assert.strictEqual(reason(PackedFiles.unpackFiles(PackedFiles.packFiles(many(bundleFilesMax)))), "taken")
    assert.strictEqual(reason(PackedFiles.unpackFiles(PackedFiles.packFiles(many(bundleFilesMax + 1)))), "count")
    assert.strictEqual(reason(PackedFiles.unpackFiles(new Uint8Array(0))), "count")
    assert.strictEqual(reason(PackedFiles.unpackNames(new Uint8Array(0))), "count")
    const names = many(bundleFilesMax + 1).map(({ name }) => name)
    assert.strictEqual(reason(PackedFiles.unpackNames(PackedFiles.packNames(names))), "count")
    assert.strictEqual(reason(PackedFiles.unpackFiles(badName)), "name")
    assert.strictEqual(reason(PackedFiles.unpackFiles(badText)), "name")
    assert.strictEqual(reason(PackedFiles.unpackFiles(late)), "modified")
    const full = [file("a", bundleBytesMax - 1), file("b", 1)]
    assert.strictEqual(reason(PackedFiles.unpackFiles(PackedFiles.packFiles(full))), "taken")
    assert.strictEqual(
      reason(PackedFiles.unpackFiles(PackedFiles.packFiles([...full, file("c", 1)]))),
      "too-much-content"
    )
  })

  it("what is sent comes in order, within what was asked for, and not again", () => {
    const sent = (...indices: ReadonlyArray<number>) => PackedFiles.packSent(indices.map((index) => sentFile(index, 1)))
    assert.strictEqual(reason(PackedFiles.unpackSent(sent(0, 2), 0, 3)), "taken")
    assert.strictEqual(reason(PackedFiles.unpackSent(sent(2, 0), 0, 3)), "order")
    assert.strictEqual(reason(PackedFiles.unpackSent(sent(1, 1), 0, 3)), "order")
    assert.strictEqual(reason(PackedFiles.unpackSent(sent(3), 0, 3)), "order")
    assert.strictEqual(reason(PackedFiles.unpackSent(sent(1), 2, 3)), "order")
    assert.strictEqual(reason(PackedFiles.unpackSent(new Uint8Array(0), 0, 3)), "length")
    assert.strictEqual(reason(PackedFiles.unpackSent(sent(0).subarray(1), 0, 3)), "length")
    const large = PackedFiles.packSent([0, 1].map((index) => sentFile(index, bundleBytesMax)))
    assert.strictEqual(reason(PackedFiles.unpackSent(large, 0, 3)), "too-much-content")
  })
})

const Costs = Schema.Array(
  Schema.Struct({
    packed: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1100 })),
    content: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 65_536 }))
  })
)

const sumOf = (bundle: ReadonlyArray<{ readonly packed: number; readonly content: number }>) => ({
  files: bundle.length,
  packed: bundle.reduce((sum, { packed }) => sum + packed, 0),
  content: bundle.reduce((sum, { content }) => sum + content, 0)
})

describe("bundles", () => {
  it.prop(
    "hold everything in its order, each within the bounds, and no two neighbours fit into one",
    [Costs],
    ([costs]) => {
      // Repeated, so that every bound is met.
      const all = Array.from({ length: 40 }, () => costs).flat()
      const bundles = Array.from(PackedFiles.bundlesOf(all, (cost) => cost))
      assert.deepStrictEqual(bundles.flat(), all)
      const first = all.length > bundleFilesMax ? bundleFirstFilesMax : bundleFilesMax
      const filesMax = (index: number) => Math.min(bundleFilesMax, first * 4 ** index)
      const fits = (bundle: ReadonlyArray<(typeof all)[number]>, index: number) =>
        bundle.length <= filesMax(index) &&
        bundle.reduce((sum, { packed }) => sum + packed, 0) <= packedBytesMax &&
        bundle.reduce((sum, { content }) => sum + content, 0) <= bundleBytesMax
      for (const [index, bundle] of bundles.entries()) {
        assert.isTrue(fits(bundle, index))
        const [next] = bundles[index + 1] ?? []
        if (next !== undefined) assert.isFalse(fits([...bundle, next], index))
      }
    }
  )

  it.prop(
    "hold the files of a folder together, but where they are more than a quarter of one that is full",
    [Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 300 }))), Costs],
    ([folders, costs]) => {
      const all = folders.flatMap((count, folder) =>
        Array.from({ length: count }, (_, index) => {
          const { content, packed } = costs[index % Math.max(1, costs.length)] ?? { content: 4096, packed: 50 }
          return { content, packed, folder: String(folder) }
        })
      )
      const bundles = Array.from(PackedFiles.bundlesOf(all, (cost) => cost))
      assert.deepStrictEqual(bundles.flat(), all)
      for (const [index, bundle] of bundles.entries()) {
        const { content, files, packed } = sumOf(bundle)
        assert.isTrue(files <= bundleFilesMax && packed <= packedBytesMax && content <= bundleBytesMax)
        const [next] = bundles[index + 1] ?? []
        if (next === undefined || next.folder !== bundle.at(-1)?.folder) continue
        const cut = bundle.filter(({ folder }) => folder === next.folder)
        const moved = sumOf([...cut, next])
        const fits = moved.packed <= packedBytesMax && moved.content <= bundleBytesMax
        assert.isTrue(cut.length * 4 > files || !fits)
      }
    }
  )

  it("of folders with a hundred small files each end where folders do, but for the first two", () => {
    const all = Array.from({ length: 1000 }, (_, index) => {
      return { packed: 60, content: 4096, folder: String(Math.floor(index / 100)) }
    })
    const sizes = Array.from(
      PackedFiles.bundlesOf(all, (cost) => cost),
      ({ length }) => length
    )
    assert.deepStrictEqual(sizes, [32, 128, 240, 200, 200, 200])
  })

  it("are cut when they are asked for", () => {
    const all = Array.from({ length: 1000 }, () => ({ packed: 60, content: 4096 }))
    let asked = 0
    const bundles = PackedFiles.bundlesOf(all, (cost) => {
      asked += 1
      return cost
    })
    assert.strictEqual(asked, 0)
    assert.strictEqual(bundles.next().value?.length, bundleFirstFilesMax)
    // The first file that does not go into it shows that it is full.
    assert.strictEqual(asked, bundleFirstFilesMax + 1)
  })

  it.prop("content is cut by sizes, however it came", [Schema.Array(size), Schema.Array(size)], ([sizes, cuts]) => {
    const total = sizes.reduce((sum, one) => sum + one, 0)
    const content = Uint8Array.from({ length: total }, (_, index) => index)
    const parts: Array<Uint8Array> = []
    for (let at = 0, turn = 0; at < total; turn += 1) {
      const length = Math.min(total - at, turn < cuts.length ? (cuts[turn] ?? 0) : total)
      parts.push(content.subarray(at, at + length))
      at += length
    }
    const contents = PackedFiles.contentsOf(
      sizes.map((size) => ({ size })),
      parts
    )
    assert.deepStrictEqual(contents.map(Bytes.lengthOf), sizes)
    assert.deepStrictEqual(Bytes.concat([new Uint8Array(0), ...contents.flat(), new Uint8Array(0)]), content)
  })
})
