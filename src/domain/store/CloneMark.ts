/**
 * How far a staged file is that began as a clone, written behind its end.
 *
 * What is written from its beginning says by its length how much of it is there. A clone is as long as it will be from
 * the first moment, so it says so itself: 32 bytes, which go when it is whole. Whoever finds them in what a killed
 * process has left cuts the file there, or a clone of it, and goes on.
 *
 * Layout: 8 bytes that say what this is, the bytes that are done as an unsigned big-endian integer of 8 bytes, and the
 * first 16 bytes of the digest of both, without which a torn write would be a number.
 */
import * as Bytes from "../Bytes.ts"
import { type Digest, digestOf } from "../file/Digest.ts"
import { fileBytesMax } from "../limits.ts"

export const cloneMarkBytes = 32

const said = Bytes.fromUtf8("pd-clone")
const checkedBytes = 16

/** @param done bytes from the file's beginning that are as they shall be */
export const encode = (digest: Digest["Service"], done: number): Uint8Array => {
  const number = new Uint8Array(8)
  new DataView(number.buffer).setBigUint64(0, BigInt(done))
  return Bytes.concat([said, number, checkOf(digest, [said, number])])
}

/** What the last bytes of a file say; undefined when they are no mark. */
export const decode = (digest: Digest["Service"], bytes: Uint8Array): number | undefined => {
  if (bytes.length !== cloneMarkBytes) return undefined
  const [head, check] = [bytes.subarray(0, checkedBytes), bytes.subarray(checkedBytes)]
  const done = new DataView(head.buffer, head.byteOffset).getBigUint64(said.length)
  const isMark = Bytes.equals(head.subarray(0, said.length), said) && Bytes.equals(check, checkOf(digest, [head]))
  return isMark && done <= BigInt(fileBytesMax) ? Number(done) : undefined
}

const checkOf = (digest: Digest["Service"], parts: Bytes.Parts): Uint8Array =>
  Uint8Array.fromHex(digestOf(digest, parts)).subarray(0, cloneMarkBytes - checkedBytes)
