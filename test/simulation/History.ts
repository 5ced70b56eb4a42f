/**
 * What every name may hold: the writes of all clients, when each began and ended, and how.
 *
 * A name is a regular register. It may hold the content of any write that has begun, unless that write was refused, or
 * had ended before one began that was acknowledged. A write that was neither acknowledged nor refused may land until
 * the server has stopped.
 */
import type { ContentDigest } from "../../src/domain/file/Digest.ts"

export interface Write {
  readonly key: string
  readonly digest: ContentDigest
  readonly size: number
  /** moments are counted, not measured */
  readonly begin: number
  end: number
  status: "pending" | "acknowledged" | "refused" | "unknown"
}

export interface History {
  /** The moment now: later than every earlier one. */
  readonly now: () => number
  readonly begin: (key: string, digest: ContentDigest, size: number) => Write
  readonly end: (write: Write, status: "acknowledged" | "refused" | "unknown") => void
  /** The server has stopped: what has not landed will not. */
  readonly serverStopped: () => void
  /** Writes whose content a reader may have seen that read between the two moments. */
  readonly candidates: (key: string, from: number, until: number) => ReadonlyArray<Write>
  /** Whether a reader that began then must have found something. */
  readonly mustExist: (key: string, from: number) => boolean
  /** Every name that was ever written. */
  readonly keys: () => ReadonlySet<string>
}

export const make = (): History => {
  const writes: Array<Write> = []
  let moment = 0
  const now = (): number => (moment += 1)
  const acknowledgedBefore = (key: string, until: number) =>
    writes.filter((write) => write.key === key && write.status === "acknowledged" && write.end < until)
  return {
    now,
    begin: (key, digest, size) => {
      const write: Write = { key, digest, size, begin: now(), end: Number.POSITIVE_INFINITY, status: "pending" }
      writes.push(write)
      return write
    },
    end: (write, status) => {
      write.status = status
      write.end = status === "unknown" ? Number.POSITIVE_INFINITY : now()
    },
    serverStopped: () => {
      for (const write of writes) if (write.status === "unknown") write.end = Math.min(write.end, now())
    },
    candidates: (key, from, until) => {
      const later = acknowledgedBefore(key, from)
      return writes.filter(
        (write) =>
          write.key === key &&
          write.status !== "refused" &&
          write.begin < until &&
          !later.some((other) => other.begin > write.end)
      )
    },
    mustExist: (key, from) => acknowledgedBefore(key, from).length > 0,
    keys: () => new Set(writes.map(({ key }) => key))
  }
}
