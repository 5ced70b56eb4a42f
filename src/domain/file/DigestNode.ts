/**
 * The digest layer for Node: native BLAKE3, prebuilt for the common platforms, and the tags of Node's own OpenSSL.
 */
import { createCipheriv, createSecretKey } from "node:crypto"
import { createRequire } from "node:module"
import process from "node:process"
import type * as library from "@napi-rs/blake-hash"
import { Layer, Result } from "effect"
import { hashersKeptMax } from "../limits.ts"
import { Digest, digestAsMade, type Hasher, type Tagger } from "./Digest.ts"
import * as DigestSlices from "./DigestSlices.ts"

// At the first digest: loading native code takes as long as all other modules together, and a listing needs none.
const load = (): typeof library => {
  const here = createRequire(import.meta.url)
  const require: Load = here
  // What the library loads on most machines. It asks Node's report first which C library this is: 3 ms.
  if (process.platform !== "linux") return loadAsked(require)
  const usual = Result.try(() => {
    // From where the library would: the version that belongs to it.
    const own: Load = createRequire(here.resolve("@napi-rs/blake-hash"))
    return own(`@napi-rs/blake-hash-linux-${process.arch}-gnu`)
  })
  return Result.getOrElse(usual, () => loadAsked(require))
}

type Load = (name: string) => typeof library

// With network in it the report asks the resolver for the name of every peer, and everything stands still until it
// answers: milliseconds, or half a minute where it does not.
const loadAsked = (require: Load): typeof library => {
  const { report } = process
  const before = report.excludeNetwork
  report.excludeNetwork = true
  const loaded = require("@napi-rs/blake-hash")
  report.excludeNetwork = before
  return loaded
}

// The native code takes a Buffer; the view shares the bytes, nothing is copied.
const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/**
 * Native BLAKE3: 6 GB/s on one core where SHA-256 reaches 1.8.
 *
 * A native state takes 2 KiB that the collector does not see: a signature of 3 GiB would leave 100 MiB of them behind.
 * So a state whose digest was taken is used again. With what it holds back (`DigestSlices`) one that was used for more
 * than a small file takes 18 KiB.
 */
export const layer: Layer.Layer<Digest> = Layer.sync(Digest, () => {
  const kept: Array<State> = []
  let loaded: typeof library | undefined
  const make = (): Hasher => {
    const state = kept.pop() ?? stateOf(new (loaded ??= load()).Blake3Hasher())
    const { native, slices } = state
    let over = false
    // What the library writes is lower-case hexadecimal.
    const sofar = () => {
      slices.flush()
      return digestAsMade(native.digest("hex"))
    }
    return {
      update: (bytes) => {
        if (!over) slices.update(bytes)
      },
      sofar,
      digest: () => {
        const digest = sofar()
        if (!over && kept.length < hashersKeptMax) {
          native.reset()
          slices.reset()
          kept.push(state)
        }
        over = true
        return digest
      }
    }
  }
  return Digest.of({ make, tagger })
})

/** A state of the library's, and what leads to it. */
interface State {
  readonly native: library.Blake3Hasher
  readonly slices: DigestSlices.DigestSlices
}

const stateOf = (native: library.Blake3Hasher): State => ({
  native,
  slices: DigestSlices.make((bytes) => void native.update(asBuffer(bytes)))
})

/**
 * AES-256-GMAC: 15 GB/s on one core in pieces of 128 KiB, where BLAKE3 reaches 5. To make one takes 7 microseconds, so
 * that below 32 KiB nothing is gained.
 */
const tagger: Digest["Service"]["tagger"] = (bytes, nonce) => {
  const key = createSecretKey(bytes)
  return (): Tagger => {
    const cipher = createCipheriv("aes-256-gcm", key, nonce)
    return {
      update: (bytes) => void cipher.setAAD(bytes),
      tag: () => {
        // Gives its memory back.
        cipher.final()
        return cipher.getAuthTag().toString("hex")
      }
    }
  }
}
