/**
 * Where the time goes: what `npm run bench -- --profile DIR` has left there, as shares of the time that was not idle.
 *
 * `node test/bench/profile.ts DIR [--top 15]`: for each side the functions in which most time was spent, callees left
 * out.
 */
import { readdirSync, readFileSync } from "node:fs"
import { basename, join } from "node:path"
import { parseArgs } from "node:util"
import { Schema } from "effect"

const Profile = Schema.fromJsonString(
  Schema.Struct({
    nodes: Schema.Array(
      Schema.Struct({
        id: Schema.Number,
        callFrame: Schema.Struct({ functionName: Schema.String, url: Schema.String, lineNumber: Schema.Number })
      })
    ),
    samples: Schema.Array(Schema.Number),
    /** microseconds from one sample to the next */
    timeDeltas: Schema.Array(Schema.Number)
  })
)
const parse = Schema.decodeUnknownSync(Profile)

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { top: { type: "string", default: "15" } }
})
const [folder = "."] = positionals

const nameOf = ({ functionName, lineNumber, url }: (typeof Profile.Type)["nodes"][number]["callFrame"]): string => {
  const name = functionName === "" ? "(anonymous)" : functionName
  return url === "" ? name : `${name} ${url.startsWith("node:") ? url : basename(url)}:${lineNumber + 1}`
}

/** Microseconds by function, of all profiles of a folder. */
const timesOf = (path: string): Map<string, number> => {
  const times = new Map<string, number>()
  for (const file of readdirSync(path).filter((name) => name.endsWith(".cpuprofile"))) {
    const { nodes, samples, timeDeltas } = parse(readFileSync(join(path, file), "utf8"))
    const names = new Map(nodes.map(({ callFrame, id }) => [id, nameOf(callFrame)]))
    for (const [index, id] of samples.entries()) {
      const name = names.get(id) ?? ""
      times.set(name, (times.get(name) ?? 0) + (timeDeltas[index] ?? 0))
    }
  }
  return times
}

for (const side of readdirSync(folder)) {
  const times = timesOf(join(folder, side))
  times.delete("(idle)")
  const total = [...times.values()].reduce((sum, time) => sum + time, 0)
  console.log(`${side}: ${(total / 1e6).toFixed(2)} s`)
  const sorted = [...times].toSorted(([, a], [, b]) => b - a).slice(0, Number(values.top))
  for (const [name, time] of sorted) console.log(`  ${((100 * time) / total).toFixed(1).padStart(5)} %  ${name}`)
}
