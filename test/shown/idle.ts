/**
 * Idle sessions on the real server: what each costs it, and whether all still answer.
 * `node test/shown/idle.ts [SESSIONS]`, with `--dist` for the build.
 */
import { Effect, Scope, Stream } from "effect"
import { quickCrypto } from "../crypto.ts"
import { claim, inFolder, residentOf, startServer } from "./processes.ts"
import { addQuickAccount, session } from "./quickAccount.ts"

const sessions = Number(process.argv.slice(2).find((arg) => arg !== "--dist") ?? 2_000)
const warmUp = 500
const steps = 4
const kibibytesMax = 64
const limits = ["sessions", "sessions-before-login", "sessions-before-login-from-loopback", "sessions-per-account"]

/** The memory that is left when everything has come to rest, MiB: garbage is not what a session costs. */
const atRest = async (pid: number): Promise<number> => {
  // The server collects garbage as it needs to: the least of some looks, apart in time.
  let least = Infinity
  for (let look = 0; look < 8; look++) {
    await new Promise((done) => setTimeout(done, 500))
    least = Math.min(least, await residentOf(pid))
  }
  return least
}

await inFolder(async (folder) => {
  await addQuickAccount(folder)
  const raised = limits.flatMap((limit) => ["--set", `limits.${limit}=${sessions + 10}`])
  const server = await startServer(folder, ...raised, "--set", "limits.idle-time=1 hour")
  try {
    const program = Effect.gen(function* () {
      const open = (count: number) =>
        Effect.forEach(
          Array.from({ length: count }, (_, index) => `127.0.0.${1 + (index % 8)}`),
          (address) => session(server.port, address),
          { concurrency: 8 }
        )
      const measured: Array<number> = []
      const all = []
      // What a server keeps once and for all, the engine's room for young objects above all, is there before the first
      // figure: it grows with the first few hundred logins, whatever becomes of them.
      yield* Effect.scoped(open(warmUp))
      all.push(...(yield* open(100)))
      measured.push(yield* Effect.promise(() => atRest(server.pid)))
      for (let step = 1; step <= steps; step++) {
        all.push(...(yield* open((sessions - 100) / steps)))
        measured.push(yield* Effect.promise(() => atRest(server.pid)))
      }
      const since = performance.now()
      const answers = yield* Effect.forEach(all, ({ fetch }) => Stream.runCount(fetch), { concurrency: 32 })
      return { measured, answers, seconds: (performance.now() - since) / 1000 }
    })
    const scope = Scope.makeUnsafe()
    const { answers, measured, seconds } = await Effect.runPromise(
      program.pipe(Scope.provide(scope), Effect.provide(quickCrypto))
    )
    const [first = 0] = measured
    const slope = (((measured.at(-1) ?? 0) - first) * 1024) / (sessions - 100)
    claim(
      `${sessions} idle sessions: ${measured.map((mebibytes) => mebibytes.toFixed(0)).join(", ")} MiB resident, ` +
        `${slope.toFixed(1)} KiB a session`,
      slope <= kibibytesMax
    )
    claim(`${answers.length} of them still answer, in ${seconds.toFixed(1)} s`, answers.length === sessions)
  } finally {
    await server.stop()
    process.exit()
  }
})
