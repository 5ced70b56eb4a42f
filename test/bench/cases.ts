/** All cases, in the order in which they run. */
import { rmSync } from "node:fs"
import { join } from "node:path"
import type { Bench, Case, Scale } from "./Bench.ts"
import { idle, login } from "./cases/costs.ts"
import { engine } from "./cases/engine.ts"
import { growth } from "./cases/growth.ts"
import { resume } from "./cases/resume.ts"
import { updates } from "./cases/updates.ts"
import * as Data from "./Data.ts"
import { loopback, nameOf, type Wire } from "./Place.ts"
import { transfers } from "./Transfers.ts"

const far: Wire = { roundTrip: 100, rate: 0 }
const slow: Wire = { roundTrip: 40, rate: 100 }
const encrypted = ["paradrop", "sftp", "rsync", "curl"]

const bulk = transfers({
  name: "bulk",
  about: ({ mib }) => `one file of ${mib} MiB, loopback`,
  wire: loopback,
  contestants: [...encrypted, "tls-pipe", "nc", "cp"],
  data: ({ data, scale }) => void Data.file(join(data, "big"), scale.mib * Data.mebibyte),
  steps: () => [
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
  steps: () => [
    { operation: "putTree", item: "tree" },
    { operation: "getTree", item: "tree" }
  ]
})

const listed = 10

/** From the start of the process to the last name printed. */
const setup = (name: string, wire: Wire): Case =>
  transfers({
    name,
    about: () => `start, login and ${listed} names printed, ${nameOf(wire)}`,
    wire,
    contestants: ["paradrop", "paradrop-default", "sftp", "rsync", "curl"],
    data: ({ data }) => void Data.names(join(data, "listed"), listed),
    steps: () => [
      { operation: "list", item: "listed", wanted: Array.from({ length: listed }, (_, index) => Data.nameOf(index)) }
    ]
  })

const smallFar = transfers({
  name: "small-far",
  about: () => `100 files of 4 KiB, ${nameOf(far)}`,
  wire: far,
  contestants: encrypted,
  data: ({ data }) => void Data.tree(join(data, "hundred"), 100),
  steps: () => [
    { operation: "putTree", item: "hundred" },
    { operation: "getTree", item: "hundred" }
  ]
})

/** Those that wait for each file are left out: ten thousand of them take a quarter of an hour. */
const treesFar = transfers({
  name: "trees-far",
  about: ({ of }) => `${of(10_000)} files of 4 KiB, ${nameOf(far)}`,
  wire: far,
  contestants: ["paradrop", "rsync", "curl"],
  data: ({ data, scale }) => void Data.tree(join(data, "many"), scale.of(10_000)),
  steps: () => [
    { operation: "putTree", item: "many" },
    { operation: "getTree", item: "many" }
  ]
})

const middle = ({ of }: Scale): number => of(64)

const middleFar = transfers({
  name: "middle-far",
  about: (scale) => `one file of ${middle(scale)} MiB, ${nameOf(far)}`,
  wire: far,
  contestants: [...encrypted, "tls-pipe"],
  data: ({ data, scale }) => void Data.file(join(data, "middle"), middle(scale) * Data.mebibyte),
  steps: () => [
    { operation: "put", item: "middle" },
    { operation: "get", item: "middle" }
  ]
})

const crowd = ({ of }: Scale): number => of(16)

const clients = transfers({
  name: "clients",
  about: (scale) => `64 clients at once, ${crowd(scale)} MiB each, loopback`,
  wire: loopback,
  contestants: [...encrypted, "paradrop-sessions"],
  data: ({ data, scale }) => void Data.file(join(data, "crowd"), crowd(scale) * Data.mebibyte),
  steps: () => [{ operation: "put", item: "crowd", times: 64 }]
})

/** Takes what only this case needed away when it is over. */
const tidied = (one: Case, ...items: ReadonlyArray<string>): Case => ({
  ...one,
  run: async (bench: Bench) => {
    try {
      await one.run(bench)
    } finally {
      for (const item of items) {
        for (const path of [item, `${item}.done`]) rmSync(join(bench.data, path), { recursive: true, force: true })
      }
    }
  }
})

export const cases: ReadonlyArray<Case> = [
  bulk,
  tidied(trees, "tree"),
  setup("setup", loopback),
  setup("setup-far", far),
  tidied(smallFar, "hundred"),
  tidied(treesFar, "many"),
  tidied(middleFar, "middle"),
  updates({ name: "updates", wire: loopback, durable: false }),
  updates({ name: "updates-fsync", wire: loopback, durable: true }),
  updates({ name: "updates-slow", wire: slow, durable: true }),
  resume,
  engine,
  tidied(clients, "crowd"),
  idle,
  login,
  ...growth
]
