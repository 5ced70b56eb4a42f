/**
 * What every name may hold: the changes of all clients, when each began and ended, and how.
 *
 * A name is a regular register. It may hold what any change has put there that has begun, unless that change was
 * refused, or had ended before one began that was acknowledged. A change that was neither acknowledged nor refused may
 * land until the server has stopped. A removal puts nothing there; a rename is a removal at one name, and at another it
 * puts whatever the first may have held meanwhile.
 */
import type { ContentDigest } from "../../src/domain/file/Digest.ts"

/** Whole content. */
export interface Held {
  readonly digest: ContentDigest
  readonly size: number
}

/** What a change puts at its name: content, nothing, or what another name holds. */
export type Puts =
  | ({ readonly _tag: "Content" } & Held)
  | { readonly _tag: "Nothing" }
  | { readonly _tag: "Moved"; readonly from: string }

export interface Change {
  readonly key: string
  readonly puts: Puts
  /** moments are counted, not measured */
  readonly begin: number
  end: number
  status: "pending" | "acknowledged" | "refused" | "unknown"
}

/** A rename of a name that could hold one content only when it began. */
interface Move {
  readonly parts: ReadonlyArray<Change>
  readonly from: string
  readonly to: string
  readonly content: Held
}

export interface History {
  /** The moment now: later than every earlier one. */
  readonly now: () => number
  readonly begin: (key: string, puts: Puts) => Change
  /** A rename, as the changes that it is made of. */
  readonly beginMove: (from: string, to: string) => ReadonlyArray<Change>
  readonly end: (change: Change, status: "acknowledged" | "refused" | "unknown") => void
  /** The server has stopped: what has not landed will not. */
  readonly serverStopped: () => void
  /** What a reader may have seen at a name between the two moments; absence is told apart. */
  readonly contents: (key: string, from: number, until: number) => ReadonlyArray<Held>
  /** Whether such a reader must have found something. */
  readonly mustExist: (key: string, from: number, until: number) => boolean
  /** Every name that was ever to hold something. */
  readonly keys: () => ReadonlySet<string>
  /** Renames that nobody else has interfered with, and that have lost their content if neither name holds it. */
  readonly moves: () => ReadonlyArray<Move>
}

export const make = (): History => {
  const changes: Array<Change> = []
  const renames: Array<Move> = []
  let moment = 0
  const now = (): number => (moment += 1)

  const begin = (key: string, puts: Puts, at = now()): Change => {
    const change: Change = { key, puts, begin: at, end: Number.POSITIVE_INFINITY, status: "pending" }
    changes.push(change)
    return change
  }

  /** Changes whose result a reader may have seen; undefined stands for the beginning, when nothing was there. */
  const candidates = (key: string, from: number, until: number): ReadonlyArray<Change | undefined> => {
    const own = changes.filter((change) => change.key === key && change.status !== "refused")
    const before = own.filter(({ end, status }) => status === "acknowledged" && end < from)
    const seen = own.filter(
      (change) => change.begin < until && !before.some((other) => other !== change && other.begin > change.end)
    )
    return before.length === 0 ? [undefined, ...seen] : seen
  }

  /** @param met renames that are being looked through: two that move a file back and forth end here */
  const held = (key: string, from: number, until: number, met: ReadonlySet<Change>): ReadonlyArray<Held> =>
    candidates(key, from, until).flatMap((change) => {
      if (change === undefined || change.puts._tag === "Nothing" || met.has(change)) return []
      if (change.puts._tag === "Content") return [change.puts]
      return held(change.puts.from, change.begin, Math.min(change.end, until), new Set([...met, change]))
    })

  const contents = (key: string, from: number, until: number) => held(key, from, until, new Set())

  const mustExist = (key: string, from: number, until: number): boolean =>
    candidates(key, from, until).every((change) => change !== undefined && change.puts._tag !== "Nothing")

  /** Whether anybody else has changed one of the names since the rename began. */
  const isAlone = ({ from, parts, to }: Move): boolean => {
    const began = parts[0]?.begin ?? 0
    return !changes.some(
      (change) =>
        (change.key === from || change.key === to) &&
        change.status !== "refused" &&
        !parts.includes(change) &&
        change.end > began
    )
  }

  return {
    now,
    begin: (key, puts) => begin(key, puts),
    beginMove: (from, to) => {
      const at = now()
      const known = contents(from, at, at)
      const [content] = known
      const certain = known.length === 1 && mustExist(from, at, at)
      // Another spelling of the same name moves nothing.
      const moved = begin(to, { _tag: "Moved", from }, at)
      const parts = from === to ? [moved] : [begin(from, { _tag: "Nothing" }, at), moved]
      if (content !== undefined && certain) renames.push({ parts, from, to, content })
      return parts
    },
    end: (change, status) => {
      change.status = status
      change.end = status === "unknown" ? Number.POSITIVE_INFINITY : now()
    },
    serverStopped: () => {
      for (const change of changes) if (change.status === "unknown") change.end = Math.min(change.end, now())
    },
    contents,
    mustExist,
    keys: () => new Set(changes.filter(({ puts }) => puts._tag !== "Nothing").map(({ key }) => key)),
    moves: () => renames.filter((move) => move.parts[0]?.status !== "refused" && isAlone(move))
  }
}
