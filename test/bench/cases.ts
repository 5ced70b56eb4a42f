/** All cases, in the order in which they run. */
import { join } from "node:path"
import type { Case } from "./Bench.ts"
import * as Data from "./Data.ts"
import { loopback } from "./Place.ts"
import { transfers } from "./Transfers.ts"

const encrypted = ["paradrop", "sftp", "rsync", "curl"]

const bulk = transfers({
  name: "bulk",
  about: ({ mib }) => `one file of ${mib} MiB, loopback`,
  wire: loopback,
  contestants: [...encrypted, "tls-pipe", "nc", "cp"],
  data: ({ data, scale }) => void Data.file(join(data, "big"), scale.mib * Data.mebibyte),
  steps: [
    { operation: "put", item: "big" },
    { operation: "get", item: "big" }
  ]
})

const trees = transfers({
  name: "trees",
  about: ({ of }) => `${of(10_000)} files of 4 KiB, loopback`,
  wire: loopback,
  contestants: [...encrypted, "cp"],
  data: ({ data, scale }) => void Data.tree(join(data, "tree"), scale.of(10_000)),
  steps: [
    { operation: "putTree", item: "tree" },
    { operation: "getTree", item: "tree" }
  ]
})

export const cases: ReadonlyArray<Case> = [bulk, trees]
