/**
 * The layers for Node: everything of the core that touches a platform.
 */
export * as CipherNode from "./channel/CipherNode.ts"
export * as KemNode from "./channel/KemNode.ts"
export * as OpaqueNode from "./channel/OpaqueNode.ts"
export * as SocketNode from "./channel/SocketNode.ts"
export * as DigestNode from "./file/DigestNode.ts"
export * as StateLockNode from "./session/StateLockNode.ts"
export * as StateOwnerNode from "./session/StateOwnerNode.ts"
export * as DiskNode from "./store/DiskNode.ts"
