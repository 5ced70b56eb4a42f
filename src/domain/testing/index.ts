/**
 * What tests need: networks and disks in memory, fakes, and the contract suite of every port.
 */
export * as ContractBroken from "./ContractBroken.ts"
export * as FakeCipher from "./FakeCipher.ts"
export * as MemoryDisk from "./MemoryDisk.ts"
export * as MemorySocket from "./MemorySocket.ts"
export * as Contract from "./Contract.ts"
export * as diskContract from "./diskContract.ts"
export * as fileStoreContract from "./fileStoreContract.ts"
export * as signatureKeepContract from "./signatureKeepContract.ts"
export * as cipherContract from "./cipherContract.ts"
export * as accountsContract from "./accountsContract.ts"
export * as FaultySocket from "./FaultySocket.ts"
export * as Fixture from "./Fixture.ts"
export * as HostileClient from "./HostileClient.ts"
export * as HostileServer from "./HostileServer.ts"
export * as RawSession from "./RawSession.ts"
