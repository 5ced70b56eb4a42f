/**
 * What tests need: networks and disks in memory, fakes, and the contract suite of every port.
 */
export * as ContractBroken from "./ContractBroken.ts"
export * as FakeCipher from "./FakeCipher.ts"
export * as MemoryDisk from "./MemoryDisk.ts"
export * as MemorySocket from "./MemorySocket.ts"
export * as cipherContract from "./cipherContract.ts"
export * as accountsContract from "./accountsContract.ts"
