/** What it costs when there is more of it: nothing may grow faster than the work does. */
import { rmSync } from "node:fs"
import { join } from "node:path"
import type { Bench, Case, Scale } from "../Bench.ts"
import * as Data from "../Data.ts"
import { loopback } from "../Place.ts"
import { type Step, transfers } from "../Transfers.ts"

interface Sized {
  readonly size: number
  readonly step: Step
}

interface Growing {
  readonly name: string
  readonly about: string
  readonly contestant: string
  readonly data: (bench: Bench) => void
  /** each list is one operation with growing sizes */
  readonly lists: (scale: Scale) => Readonly<Record<string, ReadonlyArray<Sized>>>
}

/**
 * How much dearer a unit becomes: what one costs between the smallest size and the largest, by what it costs between
 * the smallest and the second largest. 1 is linear.
 */
const steepness = (points: ReadonlyArray<readonly [size: number, seconds: number]>): number => {
  const [first, middle, last] = [points[0], points.at(-2), points.at(-1)]
  if (first === undefined || middle === undefined || last === undefined) return Number.NaN
  const unit = (point: readonly [number, number]) => (point[1] - first[1]) / (point[0] - first[0])
  return unit(last) / unit(middle)
}

const tell = (bench: Bench, { contestant, lists, name }: Growing): void => {
  for (const [operation, sized] of Object.entries(lists(bench.scale))) {
    for (let round = 1; round <= bench.options.rounds; round += 1) {
      const points = sized.flatMap(({ size, step }) => {
        const seconds = bench.secondsOf({ case: name, operation: step.as ?? step.operation, contestant, round })
        return seconds === undefined ? [] : [[size, seconds] as const]
      })
      const key = { case: name, contestant, name: `${operation}: cost of one more`, round }
      if (points.length < sized.length || bench.hasFigure(key)) continue
      bench.recordFigure({ ...key, unit: "at the largest by the one before; 1 is linear", value: steepness(points) })
    }
  }
}

/** They are long, and nobody is compared with. */
const roundsMax = 3

const growing = (spec: Growing): Case => {
  const sized = (scale: Scale) => Object.values(spec.lists(scale)).flat()
  // A server that holds this one thing alone: who lists a folder may have walked all of them.
  const alone = (item: string) =>
    transfers({
      name: spec.name,
      about: () => spec.about,
      wire: loopback,
      contestants: [spec.contestant],
      roundsMax,
      data: spec.data,
      steps: (scale) =>
        sized(scale)
          .map(({ step }) => step)
          .filter((step) => step.item === item)
    })
  return {
    name: spec.name,
    about: () => spec.about,
    wire: loopback,
    run: async (bench) => {
      try {
        const items = new Set(sized(bench.scale).map(({ step }) => step.item))
        for (const item of items) await alone(item).run(bench)
      } finally {
        for (const { step } of sized(bench.scale)) {
          rmSync(join(bench.data, step.item), { recursive: true, force: true })
        }
      }
      tell(bench, spec)
    }
  }
}

/** MiB, at full scale up to 4 GiB. */
const fileSizes = ({ mib }: Scale): ReadonlyArray<number> => [1, mib / 16, mib, 4 * mib].map(Math.ceil)

const files = growing({
  name: "growth-file",
  about: "a file that grows, loopback",
  contestant: "paradrop",
  data: ({ data, scale }) => {
    for (const size of fileSizes(scale)) Data.file(join(data, `of-${size}`), size * Data.mebibyte)
  },
  lists: (scale) =>
    Object.fromEntries(
      (["put", "get"] as const).map((operation) => [
        operation,
        fileSizes(scale).map((size) => ({
          size,
          step: { operation, as: `${operation} ${size} MiB`, item: `of-${size}` }
        }))
      ])
    )
})

const listSizes = ({ of }: Scale): ReadonlyArray<number> => [10, Math.max(20, of(10_000)), Math.max(40, of(100_000))]

const listings = growing({
  name: "growth-listing",
  about: "a listing that grows, loopback",
  contestant: "paradrop",
  data: ({ data, scale }) => {
    for (const size of listSizes(scale)) Data.names(join(data, `listing-${size}`), size)
  },
  lists: (scale) => ({
    // A listing that is streamed begins as soon as a short one.
    "first line": listSizes(scale).map((size) => ({
      size,
      step: { operation: "list", as: `first of ${size} names`, item: `listing-${size}`, wanted: ["\n"] }
    })),
    "whole listing": listSizes(scale).map((size) => ({
      size,
      step: { operation: "list", as: `${size} names`, item: `listing-${size}` }
    }))
  })
})

const crowdSizes = ({ of }: Scale): ReadonlyArray<number> => [1, 8, 64, Math.max(65, of(512))]

const crowds = growing({
  name: "growth-clients",
  about: "more clients at once, 1 MiB each, sessions of one process, loopback",
  contestant: "paradrop-sessions",
  data: ({ data }) => void Data.file(join(data, "small"), Data.mebibyte),
  lists: (scale) => ({
    clients: crowdSizes(scale).map((size) => ({
      size,
      step: { operation: "put", as: `${size} clients`, item: "small", times: size }
    }))
  })
})

export const growth: ReadonlyArray<Case> = [files, listings, crowds]
