import { diskContract } from "../../../src/domain/testing/diskContract.ts"
import * as MemoryDisk from "../../../src/domain/testing/MemoryDisk.ts"
import { runContract } from "./contract.ts"
import { temporaryDisk } from "./temporaryDisk.ts"

runContract("Disk contract: DiskNode", diskContract, temporaryDisk)
runContract("Disk contract: MemoryDisk", diskContract, () => MemoryDisk.layer({ capacityBytes: 1_000_000 }))
runContract("Disk contract: MemoryDisk with clones", diskContract, () =>
  MemoryDisk.layer({ capacityBytes: 1_000_000, clones: true })
)
