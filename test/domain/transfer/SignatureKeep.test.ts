import { execFileSync } from "node:child_process"
import * as nodeFs from "node:fs"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Layer, Schema } from "effect"
import { SecureRandom } from "effect/crypto"
import { TestClock } from "effect/testing"
import * as Bytes from "../../../src/domain/Bytes.ts"
import { Digest } from "../../../src/domain/file/Digest.ts"
import * as DigestNode from "../../../src/domain/file/DigestNode.ts"
import { FileName } from "../../../src/domain/file/FileName.ts"
import {
  chunkAverageLog2Max,
  comparedBytesMax,
  signatureGroupsMax,
  signatureKeyBytes,
  versionGrainMilliseconds
} from "../../../src/domain/limits.ts"
import * as DiskNode from "../../../src/domain/store/DiskNode.ts"
import { FileStore, type OpenFile } from "../../../src/domain/store/FileStore.ts"
import * as FileStoreDisk from "../../../src/domain/store/FileStoreDisk.ts"
import { SourceChanged } from "../../../src/domain/store/StoreError.ts"
import * as Fixture from "../../../src/domain/testing/Fixture.ts"
import {
  signatureKeepBytesMax,
  signatureKeepContract,
  signatureOf
} from "../../../src/domain/testing/signatureKeepContract.ts"
import { shortDigest } from "../../../src/domain/transfer/Signature.ts"
import { decode, encode, encodedBytesMax } from "../../../src/domain/transfer/SignatureFile.ts"
import { SignatureKeep } from "../../../src/domain/transfer/SignatureKeep.ts"
import * as SignatureKeepFiles from "../../../src/domain/transfer/SignatureKeepFiles.ts"
import { Signatures } from "../../../src/domain/transfer/Signatures.ts"
import { runContract } from "../store/contract.ts"
import { temporaryFolder } from "../store/temporaryDisk.ts"

const platform = Layer.mergeAll(NodeFileSystem.layer, NodePath.layer, SecureRandom.layerWebCrypto)
const onFolder = (folder: string, bytesMax?: number) =>
  SignatureKeepFiles.layer(folder, bytesMax).pipe(Layer.provide(platform), Layer.provideMerge(DigestNode.layer))

runContract("SignatureKeep contract: memory", signatureKeepContract, () =>
  SignatureKeep.layerMemoryWithin(signatureKeepBytesMax).pipe(Layer.provideMerge(DigestNode.layer))
)
runContract("SignatureKeep contract: files", signatureKeepContract, () =>
  Layer.unwrap(Effect.map(temporaryFolder, (folder) => onFolder(`${folder}/kept`, signatureKeepBytesMax)))
)

describe("signatures kept as files", () => {
  const version = "1:2:3"

  it.effect("a damaged, torn or foreign file counts as absent, and can be put again", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* Effect.gen(function* () {
        const keep = yield* SignatureKeep
        const signature = yield* signatureOf(1)
        yield* keep.put(version, signature)
        const [only = ""] = nodeFs.readdirSync(folder)
        const file = `${folder}/${only}`
        const whole = nodeFs.readFileSync(file)
        const damaged = Buffer.from(whole)
        damaged[60] = (damaged[60] ?? 0) ^ 1
        yield* keep.put("other", signature)
        const foreign = nodeFs.readdirSync(folder).find((name) => name !== only)
        const other = nodeFs.readFileSync(`${folder}/${foreign}`)
        for (const bytes of [damaged, whole.subarray(0, whole.length >> 1), Buffer.alloc(0), Buffer.from("x"), other]) {
          nodeFs.writeFileSync(file, bytes)
          assert.isUndefined(yield* keep.get(version))
        }
        nodeFs.unlinkSync(file)
        assert.isUndefined(yield* keep.get(version))
        yield* keep.put(version, signature)
        assert.deepStrictEqual(yield* keep.get(version), signature)
        // The folder is tidied away: nothing fails, and nothing is kept.
        nodeFs.rmSync(folder, { recursive: true })
        yield* keep.put(version, signature)
        assert.isUndefined(yield* keep.get(version))
      }).pipe(Effect.provide(onFolder(folder)))
    })
  )

  it.live.skipIf(process.platform === "win32")(
    "a pipe, a device and a folder in a file's place count as absent and keep nobody waiting",
    () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        yield* Effect.gen(function* () {
          const keep = yield* SignatureKeep
          const signature = yield* signatureOf(1)
          yield* keep.put(version, signature)
          const file = `${folder}/${nodeFs.readdirSync(folder)[0] ?? ""}`
          for (const make of [
            () => execFileSync("mkfifo", [file]),
            () => nodeFs.symlinkSync("/dev/zero", file),
            () => nodeFs.symlinkSync(file, file)
          ]) {
            nodeFs.unlinkSync(file)
            make()
            assert.isUndefined(yield* keep.get(version))
            yield* keep.put(version, signature)
            assert.deepStrictEqual(yield* keep.get(version), signature)
          }
          nodeFs.unlinkSync(file)
          nodeFs.mkdirSync(file)
          assert.isUndefined(yield* keep.get(version))
          yield* keep.put(version, signature)
          assert.isUndefined(yield* keep.get(version))
          assert.lengthOf(nodeFs.readdirSync(folder), 1)
        }).pipe(Effect.provide(onFolder(folder)))
      })
  )

  it.effect("what an earlier form of signature has left, without a key, counts as absent, and can be put again", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      yield* Effect.gen(function* () {
        const keep = yield* SignatureKeep
        const digest = yield* Digest
        const signature = yield* signatureOf(1)
        yield* keep.put(version, signature)
        const [only = ""] = nodeFs.readdirSync(folder)
        const file = `${folder}/${only}`
        const now = nodeFs.readFileSync(file)
        // Magic, version and its length, size, digest; then the key.
        const keyAt = 4 + 2 + version.length + 8 + 32
        const rest = now.subarray(keyAt + signatureKeyBytes, now.length - 16)
        const older = Bytes.concat([Bytes.fromUtf8("pds3"), now.subarray(4, keyAt), rest])
        nodeFs.writeFileSync(file, Bytes.concat([older, Uint8Array.fromHex(shortDigest(digest, [older]))]))
        assert.isUndefined(yield* keep.get(version))
        yield* keep.put(version, signature)
        assert.deepStrictEqual(yield* keep.get(version), signature)
      }).pipe(Effect.provide(onFolder(folder)))
    })
  )

  it.effect("the oldest go first, at a put and at the start", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const signature = yield* signatureOf(1)
      const size = encode(yield* Digest, "a", signature).length
      const names = ["a", "b", "c"]
      const found = Effect.gen(function* () {
        const keep = yield* SignatureKeep
        const kept = yield* Effect.filter(names, (name) => Effect.map(keep.get(name), (value) => value !== undefined))
        return kept.join("")
      })
      yield* Effect.gen(function* () {
        const keep = yield* SignatureKeep
        for (const [index, name] of names.entries()) {
          const before = new Set(nodeFs.readdirSync(folder))
          yield* keep.put(name, signature)
          const added = nodeFs.readdirSync(folder).find((file) => !before.has(file))
          nodeFs.utimesSync(`${folder}/${added}`, 1_000 + index, 1_000 + index)
        }
        assert.strictEqual(yield* found, "bc")
      }).pipe(Effect.provide(onFolder(folder, 2 * size)))
      assert.strictEqual(yield* Effect.provide(found, onFolder(folder, size)), "c")
    }).pipe(Effect.provide(DigestNode.layer))
  )

  it.effect("those go first that are from before the clock was set back", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const signature = yield* signatureOf(1)
      const size = encode(yield* Digest, "a", signature).length
      yield* Effect.gen(function* () {
        const { get, put } = yield* SignatureKeep
        yield* Effect.forEach(["a", "b"], (name) => put(name, signature))
        const inAYear = new Date(nodeFs.statSync(folder).mtimeMs + 365 * 24 * 60 * 60_000)
        for (const file of nodeFs.readdirSync(folder)) nodeFs.utimesSync(`${folder}/${file}`, inAYear, inAYear)
        yield* put("c", signature)
        yield* put("d", signature)
        const kept = yield* Effect.forEach(["a", "b", "c", "d"], get)
        assert.deepStrictEqual(kept, [undefined, undefined, signature, signature])
      }).pipe(Effect.provide(onFolder(folder, 2 * size)))
    }).pipe(Effect.provide(DigestNode.layer))
  )

  it.effect("what is put again takes its room once, and is the youngest", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const signature = yield* signatureOf(1)
      const size = encode(yield* Digest, "a", signature).length
      const put = Effect.fnUntraced(function* (name: string, time: number) {
        yield* (yield* SignatureKeep).put(name, signature)
        const version = shortDigest(yield* Digest, [Bytes.fromUtf8(name)])
        nodeFs.utimesSync(`${folder}/${version}.sig`, time, time)
      })
      const found = (names: ReadonlyArray<string>) =>
        Effect.flatMap(SignatureKeep, (keep) =>
          Effect.filter(names, (name) => Effect.map(keep.get(name), (value) => value !== undefined))
        )
      const putABC = Effect.forEach(["a", "b", "c"], (name, index) => put(name, 1_000 + index))
      yield* Effect.provide(putABC, onFolder(folder, 4 * size))
      yield* Effect.gen(function* () {
        for (let time = 2_000; time < 2_010; time += 1) yield* put("a", time)
        assert.deepStrictEqual(yield* found(["a", "b", "c"]), ["a", "b", "c"])
        yield* put("d", 3_000)
        assert.deepStrictEqual(yield* found(["a", "b", "c", "d"]), ["a", "b", "c", "d"])
        yield* put("e", 3_001)
        assert.deepStrictEqual(yield* found(["a", "b", "c", "d", "e"]), ["a", "c", "d", "e"])
      }).pipe(Effect.provide(onFolder(folder, 4 * size)))
    }).pipe(Effect.provide(DigestNode.layer))
  )

  it.effect("what stands in the folder and is no file of ours takes the bound away from nobody", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      nodeFs.mkdirSync(`${folder}/old/inside`, { recursive: true })
      nodeFs.utimesSync(`${folder}/old`, 1, 1)
      const signature = yield* signatureOf(1)
      const bytesMax = 10 * encode(yield* Digest, "10", signature).length
      yield* Effect.gen(function* () {
        const keep = yield* SignatureKeep
        for (let index = 10; index < 40; index += 1) yield* keep.put(`${index}`, signature)
        assert.lengthOf(nodeFs.readdirSync(folder), 11)
        assert.deepStrictEqual(yield* keep.get("39"), signature)
      }).pipe(Effect.provide(onFolder(folder, bytesMax)))
    }).pipe(Effect.provide(DigestNode.layer))
  )

  it.effect("the signature of the largest file that is compared is found again", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const length = 2 ** (chunkAverageLog2Max - 1)
      const inGroup = Math.ceil(comparedBytesMax / length / signatureGroupsMax)
      const small = yield* signatureOf(1, 1_000)
      const [one] = small.groups
      assert.isDefined(one)
      // Chunks as small as the rules let most of them be: no file of that size has more.
      const groups = Array.from({ length: signatureGroupsMax }, (_, group) => {
        const from = group * inGroup
        const count = Math.min(comparedBytesMax / length - from, inGroup)
        const pieceAt = (offset: number) => ({ offset, length, digest: one.digest })
        const chunks = Array.from({ length: count }, (_, index) => pieceAt((from + index) * length))
        return { ...one, offset: from * length, length: count * length, chunks }
      })
      const signature = { ...small, size: comparedBytesMax, averageLog2: chunkAverageLog2Max, groups }
      yield* Effect.gen(function* () {
        const keep = yield* SignatureKeep
        yield* keep.put(version, signature)
        const found = yield* keep.get(version)
        assert.strictEqual(found?.groups.flatMap(({ chunks }) => chunks).length, comparedBytesMax / length)
      }).pipe(Effect.provide(onFolder(folder)))
    }).pipe(Effect.provide(DigestNode.layer))
  )

  it.effect("a folder that is full is not looked through at every put", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const signature = yield* signatureOf(1)
      const size = encode(yield* Digest, "1000", signature).length
      let looks = 0
      const counting = Layer.effect(
        FileSystem.FileSystem,
        Effect.map(FileSystem.FileSystem, (fs) => ({
          ...fs,
          readDirectory: (path: string) => Effect.tap(fs.readDirectory(path), () => Effect.sync(() => (looks += 1)))
        }))
      ).pipe(Layer.provide(NodeFileSystem.layer))
      const keeping = SignatureKeepFiles.layer(folder, 20 * size).pipe(
        Layer.provide(Layer.mergeAll(counting, NodePath.layer, SecureRandom.layerWebCrypto))
      )
      yield* Effect.gen(function* () {
        const keep = yield* SignatureKeep
        for (let index = 1_000; index < 1_100; index += 1) {
          yield* keep.put(`${index}`, signature)
          const version = shortDigest(yield* Digest, [Bytes.fromUtf8(`${index}`)])
          nodeFs.utimesSync(`${folder}/${version}.sig`, index, index)
        }
        assert.lengthOf(nodeFs.readdirSync(folder), 20)
        for (let index = 1_080; index < 1_100; index += 1) assert.isDefined(yield* keep.get(`${index}`))
        // One at the start, and one for each twenty that went.
        assert.isAtMost(looks, 6)
      }).pipe(Effect.provide(keeping))
    }).pipe(Effect.provide(DigestNode.layer))
  )

  const Damage = Schema.Array(
    Schema.Struct({ at: Schema.Natural, byte: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 })) })
  ).check(Schema.isMaxLength(4))
  const Length = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 600_000 }))

  it.effect.prop(
    "encode and decode are a round trip, and decode is total on damaged bytes, their checksum right or wrong",
    [Length, Schema.Int, Damage, Schema.Natural],
    ([length, seed, damage, cut]) =>
      Effect.gen(function* () {
        const digest = yield* Digest
        const signature = yield* signatureOf(seed, length)
        const bytes = encode(digest, version, signature)
        assert.deepStrictEqual(decode(digest, version, bytes), signature)
        const held = signature.groups.flatMap((group) => group.chunks).length
        const most = encodedBytesMax(held, signature.groups.length, Bytes.utf8Length(version))
        assert.strictEqual(bytes.length, most)
        assert.isUndefined(decode(digest, `${version}4`, bytes))
        const body = bytes.slice(0, bytes.length - 16)
        for (const { at, byte } of damage) body[at % body.length] = byte
        const forged = body.subarray(0, cut % 3 === 0 ? cut % body.length : body.length)
        const sum = Uint8Array.fromHex(shortDigest(digest, [forged]))
        const decoded = decode(digest, version, Bytes.concat([forged, sum]))
        // Whatever it is, it is a signature of one file: chunks cover it.
        const chunks = decoded?.groups.flatMap((group) => group.chunks) ?? []
        if (decoded !== undefined)
          assert.strictEqual(
            chunks.reduce((total, chunk) => total + chunk.length, 0),
            decoded.size
          )
        if (!Bytes.equals(forged, bytes.subarray(0, bytes.length - 16))) {
          assert.isUndefined(decode(digest, version, Bytes.concat([forged, bytes.subarray(bytes.length - 16)])))
        }
      }).pipe(Effect.provide(DigestNode.layer)),
    { arbitrary: { runs: 60 } }
  )

  it.effect("decode takes no other form, whatever its checksum says, and keeps no more than the signature", () =>
    Effect.gen(function* () {
      const digest = yield* Digest
      const made = yield* signatureOf(1, 300_000)
      // In one group, so that it has chunks to lose.
      const chunks = made.groups.flatMap((group) => group.chunks)
      const prefix = made.groups.at(-1)?.prefix ?? ""
      const signature = {
        ...made,
        groups: [{ offset: 0, length: made.size, digest: made.groups[0]?.digest ?? "", prefix, chunks }]
      }
      const bytes = encode(digest, version, signature)
      const body = bytes.subarray(0, bytes.length - 16)
      const summed = (forged: Uint8Array) => Bytes.concat([forged, Uint8Array.fromHex(shortDigest(digest, [forged]))])
      const changed = (change: (view: DataView) => void): Uint8Array => {
        const forged = body.slice()
        change(new DataView(forged.buffer))
        return summed(forged)
      }
      const nameBytes = Bytes.utf8Length(version)
      const groupAt = 6 + nameBytes + 8 + 32 + 32 + 1 + 2
      assert.deepStrictEqual(
        decode(
          digest,
          version,
          changed(() => {})
        ),
        signature
      )
      const forms = {
        "an older form": changed((view) => view.setUint8(3, 0x33)),
        "a longer version": changed((view) => view.setUint16(4, nameBytes + 1)),
        "a shorter version": changed((view) => view.setUint16(4, nameBytes - 1)),
        "a group without chunks": changed((view) => view.setUint32(groupAt, 0)),
        "a chunk of no group": changed((view) => view.setUint32(groupAt, chunks.length - 1))
      }
      for (const [form, forged] of Object.entries(forms)) assert.isUndefined(decode(digest, version, forged), form)
      for (let length = 0; length < groupAt + 28; length += 1) {
        assert.isUndefined(decode(digest, version, summed(body.subarray(0, length))), `${length}`)
      }
      // From a file that was read into the middle of a buffer.
      const around = Bytes.concat([new Uint8Array(5), bytes, new Uint8Array(5)])
      const decoded = decode(digest, version, around.subarray(5, 5 + bytes.length))
      assert.deepStrictEqual(decoded, signature)
      assert.strictEqual(decoded?.key.buffer.byteLength, signature.key.length)
    }).pipe(Effect.provide(DigestNode.layer))
  )
})

describe("signatures of open files", () => {
  const content = Fixture.bytes(1, 300_000)
  const kept = Signatures.layer.pipe(
    Layer.provide(Fixture.secureRandom(1)),
    Layer.provideMerge(SignatureKeep.layerMemory),
    Layer.provideMerge(DigestNode.layer)
  )

  const fileOf = (changed: number, unchanged: OpenFile["unchanged"] = Effect.void) => {
    const reads = { count: 0 }
    const file: OpenFile = {
      entry: { name: FileName.make("a"), size: content.length, modified: 0 },
      version: "v",
      changed,
      read: (offset, length) => Effect.sync(() => ((reads.count += 1), content.slice(offset, offset + length))),
      unchanged
    }
    return { file, reads }
  }

  it.effect("are kept and found again without reading, once the version is older than the clock's grain", () =>
    Effect.gen(function* () {
      const signatures = yield* Signatures
      yield* TestClock.setTime(10_000)
      const { file, reads } = fileOf(10_000 - versionGrainMilliseconds + 1)
      const young = yield* signatures.of(file)
      assert.isUndefined(yield* signatures.kept(file))
      assert.isAbove(reads.count, 0)
      yield* TestClock.adjust(1)
      reads.count = 0
      const old = yield* signatures.of(file)
      assert.isAbove(reads.count, 0)
      assert.deepStrictEqual([old.size, old.digest], [young.size, young.digest])
      // Each signature has a key of its own, and tags under it.
      assert.notDeepEqual(old.key, young.key)
      assert.notStrictEqual(old.groups[0]?.digest, young.groups[0]?.digest)
      reads.count = 0
      assert.deepStrictEqual(yield* signatures.of(file), old)
      assert.deepStrictEqual(yield* signatures.kept(file), old)
      assert.strictEqual(reads.count, 0)
    }).pipe(Effect.provide(kept))
  )

  it.effect("of a file that changes meanwhile are SourceChanged, and nothing is kept", () =>
    Effect.gen(function* () {
      const signatures = yield* Signatures
      yield* TestClock.setTime(10_000)
      const { file } = fileOf(0, Effect.fail(new SourceChanged({ name: FileName.make("a") })))
      assert.strictEqual((yield* Effect.flip(signatures.of(file)))._tag, "SourceChanged")
      assert.isUndefined(yield* signatures.kept(file))
    }).pipe(Effect.provide(kept))
  )

  it.effect("see a change in place behind our back, with the old size and the old time", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const path = `${folder}/a`
      nodeFs.writeFileSync(path, content)
      nodeFs.utimesSync(path, 1_000, 1_000)
      const store = FileStoreDisk.layer().pipe(
        Layer.provide([DiskNode.layer(folder), SecureRandom.layerWebCrypto]),
        Layer.provideMerge(kept)
      )
      yield* Effect.gen(function* () {
        // Old enough for both versions to be kept.
        yield* TestClock.setTime(8_640_000_000_000)
        const signatures = yield* Signatures
        const { open } = yield* FileStore
        const digestNow = Effect.scoped(
          Effect.map(Effect.flatMap(open(FileName.make("a")), signatures.of), ({ digest }) => digest)
        )
        assert.strictEqual(yield* digestNow, yield* Fixture.digest(content))
        const changed = content.slice()
        changed[1_000] = (changed[1_000] ?? 0) ^ 1
        const file = nodeFs.openSync(path, "r+")
        nodeFs.writeSync(file, changed.subarray(1_000, 1_001), 0, 1, 1_000)
        nodeFs.closeSync(file)
        nodeFs.utimesSync(path, 1_000, 1_000)
        assert.strictEqual(nodeFs.statSync(path).mtimeMs, 1_000_000)
        assert.strictEqual(yield* digestNow, yield* Fixture.digest(changed))
      }).pipe(Effect.provide(store))
    })
  )
})
