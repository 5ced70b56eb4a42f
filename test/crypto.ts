/**
 * The real cryptography, but for a login that costs next to nothing.
 */
import { Layer } from "effect"
import * as CipherNode from "../src/domain/channel/CipherNode.ts"
import * as KemNode from "../src/domain/channel/KemNode.ts"
import { Opaque } from "../src/domain/channel/Opaque.ts"
import * as DigestNode from "../src/domain/file/DigestNode.ts"

export const quickCrypto = Layer.mergeAll(Opaque.layerQuick, KemNode.layer, CipherNode.layer, DigestNode.layer)
