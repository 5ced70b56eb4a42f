import { Layer } from "effect"
import { SecureRandom } from "effect/crypto"
import * as DigestPortable from "../../../src/domain/file/DigestPortable.ts"
import * as DigestNode from "../../../src/domain/file/DigestNode.ts"
import * as FileStoreDisk from "../../../src/domain/store/FileStoreDisk.ts"
import * as FileStoreMemory from "../../../src/domain/store/FileStoreMemory.ts"
import { fileStoreContract } from "../../../src/domain/testing/fileStoreContract.ts"
import * as MemoryDisk from "../../../src/domain/testing/MemoryDisk.ts"
import { runContract } from "./contract.ts"
import { temporaryDisk } from "./temporaryDisk.ts"

runContract("FileStore contract: FileStoreMemory", fileStoreContract, () =>
  FileStoreMemory.layer({ capacityBytes: 10_000_000 }).pipe(Layer.provideMerge(DigestPortable.layer))
)
runContract("FileStore contract: FileStoreDisk over MemoryDisk", fileStoreContract, () =>
  FileStoreDisk.layer().pipe(
    Layer.provide([MemoryDisk.layer({ capacityBytes: 10_000_000 }), SecureRandom.layerWebCrypto]),
    Layer.provideMerge(DigestNode.layer)
  )
)
runContract("FileStore contract: FileStoreDisk over DiskNode", fileStoreContract, () =>
  FileStoreDisk.layer().pipe(
    Layer.provide([temporaryDisk(), SecureRandom.layerWebCrypto]),
    Layer.provideMerge(DigestNode.layer)
  )
)
// An index that holds nothing reads folders again each time, and must find the same.
runContract("FileStore contract: FileStoreDisk without a name index or fsync", fileStoreContract, () =>
  FileStoreDisk.layer({ nameIndexEntriesMax: 0, durability: "os" }).pipe(
    Layer.provide([temporaryDisk(), SecureRandom.layerWebCrypto]),
    Layer.provideMerge(DigestNode.layer)
  )
)
