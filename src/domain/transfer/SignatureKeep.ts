/**
 * Port: where signatures are kept between transfers.
 *
 * ## Contract (test: `signatureKeepContract`)
 *
 * - `get` gives exactly what `put` took under the same version, or undefined. It never fails: what cannot be read, is
 *   damaged, or is of another version counts as absent.
 * - `put` never fails the caller: what cannot be kept is not kept.
 * - Bounded: beyond `keptSignatureBytesMax` the oldest go first.
 */
import { Context, Effect, Layer } from "effect"
import { keptSignatureBytesMax } from "../limits.ts"
import { pieceBytes } from "../file/Packed.ts"
import type { Signature } from "./Signature.ts"

export class SignatureKeep extends Context.Service<
  SignatureKeep,
  {
    readonly get: (version: string) => Effect.Effect<Signature | undefined>
    readonly put: (version: string, signature: Signature) => Effect.Effect<void>
  }
>()("paradrop/transfer/SignatureKeep") {
  /** Keeps signatures in memory. */
  static readonly layerMemory: Layer.Layer<SignatureKeep> = Layer.sync(SignatureKeep, () => keepInMemory())

  /** The same with another bound, bytes. */
  static readonly layerMemoryWithin = (bytesMax: number): Layer.Layer<SignatureKeep> =>
    Layer.sync(SignatureKeep, () => keepInMemory(bytesMax))
}

const keepInMemory = (bytesMax: number = keptSignatureBytesMax): SignatureKeep["Service"] => {
  const kept = new Map<string, Signature>()
  let bytes = 0
  return SignatureKeep.of({
    get: (version) => Effect.sync(() => kept.get(version)),
    put: (version, signature) =>
      Effect.sync(() => {
        if (sizeOf(signature) > bytesMax) return
        const before = kept.get(version)
        // What is put again is the youngest.
        kept.delete(version)
        kept.set(version, signature)
        bytes += sizeOf(signature) - (before === undefined ? 0 : sizeOf(before))
        for (const [oldest, value] of kept) {
          if (bytes <= bytesMax) break
          kept.delete(oldest)
          bytes -= sizeOf(value)
        }
      })
  })
}

/** About what a signature takes when it is kept, bytes. */
export const sizeOf = (signature: Signature): number =>
  signature.groups.reduce((total, { chunks }) => total + (chunks.length + 1) * pieceBytes, pieceBytes)
