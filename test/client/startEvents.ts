/**
 * What `startTrace.ts` has written down of a client's start.
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { pathToFileURL } from "node:url"

/** For `--import`: the client's environment says in `PARADROP_TRACE` where it writes. */
export const tracing = pathToFileURL(join(import.meta.dirname, "startTrace.ts")).href

/** What happened, and what to: the module that is loaded, how it is dialled, the bytes that are written. */
export type Event = readonly ["load" | "connect" | "write", number | string]

/** In order. */
export const eventsIn = (path: string): ReadonlyArray<Event> =>
  readFileSync(path, "utf8")
    .trim()
    .split("\n")
    .map((line): Event => JSON.parse(line))
