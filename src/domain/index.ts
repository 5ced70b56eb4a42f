/**
 * Paradrop's core: what both ends share. Runs anywhere; the layers for Node are in `paradrop/node`.
 *
 * One name for each module, so that `FileName.FileName` is the value and `FileName.key` what one does with it.
 */

export * as Digest from "./file/Digest.ts"
export * as DigestPortable from "./file/DigestPortable.ts"
export * as FileEntry from "./file/FileEntry.ts"
export * as FileName from "./file/FileName.ts"
export * as Printable from "./file/Printable.ts"

export * as Frame from "./wire/Frame.ts"
export * as Message from "./wire/Message.ts"
export * as Packed from "./file/Packed.ts"
export * as PackedFiles from "./file/PackedFiles.ts"
export * as Refusal from "./wire/Refusal.ts"

export * as ChannelError from "./channel/ChannelError.ts"
export * as Cipher from "./channel/Cipher.ts"
export * as HandshakeMessage from "./channel/HandshakeMessage.ts"
export * as Kem from "./channel/Kem.ts"
export * as KeySchedule from "./channel/KeySchedule.ts"
export * as Opaque from "./channel/Opaque.ts"
export * as Protocol from "./channel/Protocol.ts"
export * as Record from "./channel/Record.ts"
export * as SecureChannel from "./channel/SecureChannel.ts"
export * as ThrottledSocket from "./channel/ThrottledSocket.ts"
export * as Transport from "./channel/Transport.ts"

export * as Disk from "./store/Disk.ts"
export * as FileStore from "./store/FileStore.ts"
export * as FileStoreDisk from "./store/FileStoreDisk.ts"
export * as FileStoreMemory from "./store/FileStoreMemory.ts"
export * as Meter from "./store/Meter.ts"
export * as StoreError from "./store/StoreError.ts"

export * as Chunker from "./transfer/Chunker.ts"
export * as Delta from "./transfer/Delta.ts"
export * as Match from "./transfer/Match.ts"
export * as Outgoing from "./transfer/Outgoing.ts"
export * as Signature from "./transfer/Signature.ts"
export * as SignatureCheck from "./transfer/SignatureCheck.ts"
export * as SignatureKeep from "./transfer/SignatureKeep.ts"
export * as SignatureKeepFiles from "./transfer/SignatureKeepFiles.ts"
export * as Signatures from "./transfer/Signatures.ts"

export * as Accounts from "./session/Accounts.ts"
export * as AccountsFile from "./session/AccountsFile.ts"
export * as FrameChannel from "./session/FrameChannel.ts"
export * as Grant from "./session/Grant.ts"
export * as PasswordRule from "./session/PasswordRule.ts"
export * as Session from "./session/Session.ts"
export * as SessionState from "./session/SessionState.ts"
export * as StateLock from "./session/StateLock.ts"
export * as Watchdog from "./session/Watchdog.ts"

export * as Bytes from "./Bytes.ts"
export * as limits from "./limits.ts"
