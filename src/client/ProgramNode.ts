/**
 * Starts the program with what the engine has compiled of it in earlier runs.
 *
 * What Node keeps of a module is made when it is loaded, before anything runs: functions that are called later are
 * parsed and compiled at every start, two thousand of them in an upload of a tree, 60 ms. So the built program is a
 * script, and what is kept of it is made at the end of a run, with all that has run.
 *
 * It stands beside the program, in a file of its own, and may import only what is loaded in no time.
 */
import type { Script } from "node:vm"
import * as DialAheadNode from "./DialAheadNode.ts"

const { createHash } = process.getBuiltinModule("node:crypto")
const { existsSync, lstatSync, readFileSync, renameSync, unlinkSync, writeFileSync } =
  process.getBuiltinModule("node:fs")
const { createRequire, getCompileCacheDir } = process.getBuiltinModule("node:module")
const { join } = process.getBuiltinModule("node:path")
const vm = process.getBuiltinModule("node:vm")

/**
 * Runs of each kind of command that add what they have compiled; each takes 25 ms longer for it. More than one: the
 * first may end before it has done much.
 */
const runsKeptMax = 3

/** bytes of a digest */
const digestBytes = 32

/** What is kept of a script. */
export interface Kept {
  /** for each kind of command, how many of its runs have added to it: `DialAheadNode.kindsMax` bytes */
  readonly runs: Uint8Array
  /** the engine's own form */
  readonly code: Uint8Array
}

/** Binds what is kept to the text: neither is run with another, nor is half of it. */
const digestOf = (text: Uint8Array, rest: Uint8Array): Buffer => createHash("sha256").update(text).update(rest).digest()

/** What is kept, as a file has it: a digest of the text and of what follows, the runs, the engine's own form. */
export const encode = (text: Uint8Array, { code, runs }: Kept): Buffer => {
  const rest = Buffer.concat([runs, code])
  return Buffer.concat([digestOf(text, rest), rest])
}

/** Undefined where it is not of this text, or damaged. */
export const decode = (text: Uint8Array, bytes: Uint8Array): Kept | undefined => {
  const rest = bytes.subarray(digestBytes)
  const isWhole = rest.length >= DialAheadNode.kindsMax && digestOf(text, rest).equals(bytes.subarray(0, digestBytes))
  return isWhole
    ? { runs: rest.subarray(0, DialAheadNode.kindsMax), code: rest.subarray(DialAheadNode.kindsMax) }
    : undefined
}

/** What a script of ASCII text is run with. */
export interface Running {
  readonly path: string
  /** where what is kept of it is */
  readonly keptAt: string | undefined
  /** which kind of command runs: below `DialAheadNode.kindsMax` */
  readonly kind: number
  /** runs what is to be done at the end of the process */
  readonly atEnd: (last: () => void) => void
}

/** Loads a script, and keeps what of it was compiled when the process ends. */
export const load = async ({ atEnd, keptAt, kind, path }: Running): Promise<Script> => {
  const text = readFileSync(path)
  // Whoever reads a pipe waits for its writer.
  const isFile = keptAt !== undefined && lstatSync(keptAt, { throwIfNoEntry: false })?.isFile() === true
  const kept = isFile ? await quietly(() => decode(text, readFileSync(keptAt))) : undefined
  const script = new vm.Script(text.toString("latin1"), { filename: path, ...(kept && { cachedData: kept.code }) })
  const runs = new Uint8Array(DialAheadNode.kindsMax)
  if (kept !== undefined && script.cachedDataRejected === false) runs.set(kept.runs)
  const before = runs[kind] ?? runsKeptMax
  if (keptAt !== undefined && before < runsKeptMax) {
    runs[kind] = before + 1
    atEnd(() => {
      const fresh = `${keptAt}.${process.pid}`
      let isKept = false
      void quietly(() => {
        writeFileSync(fresh, encode(text, { runs, code: script.createCachedData() }), { mode: 0o600 })
        renameSync(fresh, keptAt)
        isKept = true
      })
      if (!isKept) void quietly(() => unlinkSync(fresh))
    })
  }
  return script
}

/** What is kept only saves time: a run without it is as good. What is attempted has run when this returns. */
const quietly = <A>(attempt: () => A): Promise<A | undefined> =>
  new Promise<A | undefined>((done) => done(attempt())).catch(() => undefined)

/** Starts the program as it was built, or from its modules where it was not. */
export const start = async (args: ReadonlyArray<string>): Promise<void> => {
  const path = join(import.meta.dirname, "program.js")
  if (!existsSync(path)) {
    await import("./main.ts")
    return
  }
  // Where Node keeps what it compiles itself, for this Node, these flags and this user; a file for each installation.
  const folder = getCompileCacheDir()
  const name = `paradrop-${createHash("sha256").update(path).digest("hex").slice(0, 8)}`
  const script = await load({
    path,
    keptAt: folder === undefined ? undefined : join(folder, name),
    kind: DialAheadNode.kindOf(args),
    atEnd: (last) => void process.once("exit", last)
  })
  const importModule = (module: string) => import(module)
  // The hello of a connection that has come about meanwhile goes out now, and not when the program has begun.
  // oxlint-disable-next-line no-restricted-globals
  await new Promise<void>((resolve) => setImmediate(resolve))
  script.runInThisContext()(createRequire(path), import.meta, importModule, DialAheadNode)
}
