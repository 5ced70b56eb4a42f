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

const { createHash } = process.getBuiltinModule("node:crypto")
const { existsSync, readFileSync, renameSync, writeFileSync } = process.getBuiltinModule("node:fs")
const { createRequire } = process.getBuiltinModule("node:module")
const { join } = process.getBuiltinModule("node:path")
const vm = process.getBuiltinModule("node:vm")

/** Runs that add what they have compiled, before what is kept stays as it is: one takes 25 ms longer for it. */
const runsKeptMax = 8

/** bytes of a digest */
const digestBytes = 32

/** What is kept of a script. */
export interface Kept {
  /** runs that have added to it */
  readonly runs: number
  /** the engine's own form */
  readonly code: Buffer
}

/** Binds what is kept to the text: neither is run with another, nor is half of it. */
const digestOf = (text: Uint8Array, rest: Uint8Array): Buffer => createHash("sha256").update(text).update(rest).digest()

/** What is kept, as a file has it: a digest of the text and what follows, the number of runs, the engine's own form. */
export const encode = (text: Uint8Array, { code, runs }: Kept): Buffer => {
  const rest = Buffer.concat([Buffer.of(runs), code])
  return Buffer.concat([digestOf(text, rest), rest])
}

/** Undefined where it is not of this text, or damaged. */
export const decode = (text: Uint8Array, bytes: Buffer): Kept | undefined => {
  const rest = bytes.subarray(digestBytes)
  const [runs = 0] = rest
  return digestOf(text, rest).equals(bytes.subarray(0, digestBytes)) ? { runs, code: rest.subarray(1) } : undefined
}

/** What a script of ASCII text is run with. */
export interface Running {
  readonly path: string
  /** where what is kept of it is */
  readonly keptAt: string | undefined
  /** runs what is to be done at the end of the process */
  readonly atEnd: (last: () => void) => void
}

/** Loads a script, and keeps what of it was compiled when the process ends. */
export const load = async ({ atEnd, keptAt, path }: Running): Promise<Script> => {
  const text = readFileSync(path)
  const kept = keptAt === undefined ? undefined : await quietly(() => decode(text, readFileSync(keptAt)))
  const script = new vm.Script(text.toString("latin1"), { filename: path, ...(kept && { cachedData: kept.code }) })
  const runs = script.cachedDataRejected === false ? (kept?.runs ?? 0) : 0
  if (keptAt !== undefined && runs < runsKeptMax) {
    const keep = () => {
      const fresh = `${keptAt}.${process.pid}`
      writeFileSync(fresh, encode(text, { runs: runs + 1, code: script.createCachedData() }), { mode: 0o600 })
      renameSync(fresh, keptAt)
    }
    atEnd(() => void quietly(keep))
  }
  return script
}

/** What is kept only saves time: a run without it is as good. */
const quietly = <A>(attempt: () => A): Promise<A | undefined> =>
  new Promise<A | undefined>((done) => done(attempt())).catch(() => undefined)

/**
 * Starts the program as it was built, or from its modules where it was not.
 *
 * @param folder where what was compiled is kept, if there is one
 */
export const start = async (folder: string | undefined): Promise<void> => {
  const path = join(import.meta.dirname, "program.js")
  if (!existsSync(path)) {
    await import("./main.ts")
    return
  }
  const keptAt = folder === undefined ? undefined : join(folder, "client")
  const script = await load({ path, keptAt, atEnd: (last) => void process.once("exit", last) })
  script.runInThisContext()(createRequire(path), import.meta, (module: string) => import(module))
}
