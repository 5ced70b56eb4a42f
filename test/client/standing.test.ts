/**
 * Commands that stand: local files that are followed, and a listing that is watched, while connections are cut, the
 * server stops, loses its power and starts again, and others change its files. Once that is over both sides are equal,
 * what is shown is what there is, and nothing was told that is not so.
 */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Effect, Exit, Fiber, Layer, Scope } from "effect"
import type { Socket } from "effect/socket"
import * as Client from "../../src/client/Client.ts"
import * as Commands from "../../src/client/Commands.ts"
import * as LocalFilesMemory from "../../src/client/LocalFilesMemory.ts"
import * as LocalWatch from "../../src/client/LocalWatch.ts"
import { History } from "../../src/client/History.ts"
import { LineEditor } from "../../src/client/LineEditor.ts"
import { Screen } from "../../src/client/Screen.ts"
import * as Shell from "../../src/client/Shell.ts"
import { WorkingFolder } from "../../src/client/WorkingFolder.ts"
import { Reporter } from "../../src/client/Reporter.ts"
import { Sessions } from "../../src/client/Sessions.ts"
import * as Watching from "../../src/client/Watching.ts"
import { Digest, digestOf } from "../../src/domain/file/Digest.ts"
import { FileName, stagingFolder } from "../../src/domain/file/FileName.ts"
import { watchRescanMilliseconds } from "../../src/domain/limits.ts"
import * as FaultySocket from "../../src/domain/testing/FaultySocket.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as MemoryDisk from "../../src/domain/testing/MemoryDisk.ts"
import { type Draw, drawer } from "../draw.ts"
import { yields } from "../server/world.ts"
import { makeServer, wrongIn } from "./restarting.ts"
import * as Simulation from "../simulation/Simulation.ts"

type Shared = Effect.Success<typeof Simulation.shared>

// -----------------------------------------------------------------------------
// Those who stand
// -----------------------------------------------------------------------------

interface World {
  readonly shared: Shared
  readonly drawn: Draw
  readonly control: MemoryDisk.MemoryDisk["Service"]
  readonly server: Effect.Success<ReturnType<typeof makeServer>>
  /** whether connections are sound from now on */
  calm: boolean
  /** contents that somebody has had under any name */
  readonly had: Set<string>
  readonly wrong: Array<string>
}

const hash = ({ shared }: Pick<World, "shared">, bytes: Uint8Array): string =>
  digestOf(Context.get(shared.services, Digest), [bytes])

const faultsOf = ({ drawn }: World): FaultySocket.Faults =>
  drawn.one<FaultySocket.Faults>([
    {},
    {},
    { cutAfterBytes: 1200 + drawn.upTo(3_000_000) },
    { halfCloseAfterBytes: 1200 + drawn.upTo(3_000_000) },
    { delayMillisecondsMax: 20 + drawn.upTo(2000) }
  ])

const spoiled = (world: World, socket: Socket.Socket): Socket.Socket => {
  if (world.calm) return socket
  const seed = world.drawn.below(1e9)
  const hangWhenCut = world.drawn.chance(0.3)
  return FaultySocket.wrap(socket, { seed, hangWhenCut, reads: faultsOf(world), writes: faultsOf(world) })
}

interface Heard {
  readonly notes: Array<string>
  /** name to what is shown of it */
  readonly shown: Map<string, string>
}

const listener = ({ notes, shown }: Heard): Reporter["Service"] => ({
  listed: (entries) =>
    Effect.sync(() => entries.forEach(({ name, size, digest }) => shown.set(name, `${size} ${digest}`))),
  listingChanged: (changes) =>
    Effect.sync(() => {
      for (const { entry, kind } of changes) {
        const known = shown.get(entry.name)
        if ((kind === "added") !== (known === undefined)) notes.push(`LIE: ${kind} ${entry.name}`)
        if (kind === "removed") shown.delete(entry.name)
        else shown.set(entry.name, `${entry.size} ${entry.digest}`)
      }
    }),
  follow: () => Effect.succeed(() => {}),
  tellsEach: false,
  transferred: () => Effect.void,
  transferredAll: () => Effect.void,
  changed: () => Effect.void,
  passwordMade: () => Effect.void,
  verified: () => Effect.void,
  summed: (sum) => Effect.sync(() => void notes.push(`sum: ${sum.files} ${sum.failed}`)),
  planned: () => Effect.void,
  leftOut: () => Effect.void,
  failed: ({ error }) => Effect.sync(() => void notes.push(`failed: ${error.message}`)),
  note: (text) => Effect.sync(() => void notes.push(text))
})

const client = Effect.fnUntraced(function* (world: World, who: typeof Fixture.ada, scope: Scope.Scope) {
  const { drawn, server, shared } = world
  const dial = Effect.map(server.dial, (socket) => spoiled(world, socket))
  const connect = Client.connect({ server: "memory", dial, ...who, eager: drawn.chance(0.7) })
  const layer = Layer.mergeAll(Sessions.layer(connect), LocalFilesMemory.layer(), LocalWatch.layerMemory).pipe(
    Layer.provideMerge(Layer.succeedContext(shared.services))
  )
  return yield* Layer.buildWithMemoMap(layer, Layer.makeMemoMapUnsafe(), scope)
})

/** A person who types, reads, cancels now and then, and ends with `exit`. */
const typing = Effect.fnUntraced(function* (world: World, services: Context.Context<Services>, heard: Heard) {
  const { drawn } = world
  const line = () =>
    drawn.one([
      "fetch",
      "fetch 'w/**'",
      "fetch 'none*'",
      "cd w",
      "cd /",
      "verify /w/a w/a",
      "upload w/a --as /s/a",
      "upload 'w/*' --as /s",
      "upload -r w --as /s",
      "para -r w --as /s --delete",
      "para w/a --as /s/a",
      "download '/w/*' --to here",
      "download -r /w --to here --delete",
      "remove /s/a",
      "rename /s/a /s/b --replace"
    ])
  const lines = [...Array.from({ length: 3 + drawn.below(12) }, line), "exit"]
  const editor = LineEditor.of({
    interactive: true,
    open: Effect.succeed({
      line: () =>
        Effect.andThen(
          Effect.sleep(drawn.upTo(20_000)),
          Effect.sync(() => lines.shift())
        ),
      secret: () => Effect.undefined,
      interrupt: Effect.suspend(() => (drawn.chance(0.2) ? Effect.sleep(drawn.upTo(20_000)) : Effect.never))
    })
  })
  const others = Layer.mergeAll(
    History.layerMemory(),
    WorkingFolder.layerMemory({ "/": [] }),
    Screen.layerMemory({ written: { out: "", err: "" } }),
    Layer.succeed(LineEditor, editor)
  )
  return yield* Shell.run("").pipe(
    Effect.scoped,
    Effect.provide(others),
    Effect.provideService(Reporter, listener(heard)),
    Effect.provideContext(services)
  )
})

type Services = Effect.Success<ReturnType<typeof client>> extends Context.Context<infer R> ? R : never

const contentOf = (world: World): Uint8Array => {
  const { drawn } = world
  const content = Fixture.bytes(1 + drawn.below(1e6), drawn.one([0, 10, 5000, 70_000, 300_000, 1_500_000, 2_500_000]))
  world.had.add(hash(world, content))
  return content
}

const names = ["w/a", "w/b", "w/c/d", "w/c/e", "w/f"]

/** Local files that change, each version with a time of its own, and mostly somebody says so. */
const editing = (world: World, services: Context.Context<LocalFilesMemory.MemoryFiles | LocalWatch.MemoryWatch>) => {
  const files = Context.get(services, LocalFilesMemory.MemoryFiles)
  const { say } = Context.get(services, LocalWatch.MemoryWatch)
  const { drawn } = world
  let versions = 0
  return Effect.suspend(() => {
    const name = drawn.one(names)
    versions += 1
    if (drawn.chance(0.2) && names.filter((other) => files.has(other)).length > 1) files.delete(name)
    else if (drawn.chance(0.1)) {
      const before = files.get(name)
      if (before !== undefined) files.set(drawn.one(names), { ...before, modified: 1_600_000_000_000 + versions })
    } else files.set(name, { bytes: contentOf(world), modified: 1_600_000_000_000 + versions })
    return drawn.chance(0.9) ? say({ _tag: "Changed", path: name }) : Effect.void
  })
}

/** Another account's session that changes the same files and others. */
const meddling = Effect.fnUntraced(function* (world: World, services: Context.Context<Digest | Sessions>) {
  const { drawn } = world
  const name = FileName.make(drawn.one([...names, "other/x", "y"]))
  const work = Effect.gen(function* () {
    const session = yield* (yield* Sessions).session
    if (drawn.chance(0.2)) return yield* session.remove(name)
    if (drawn.chance(0.1)) return yield* session.rename(name, FileName.make("w/g"), { replace: true })
    return yield* session.upload(name, Fixture.source(contentOf(world), 1_500_000_000_000 + drawn.below(1e9)))
  })
  yield* Effect.ignore(Effect.provideContext(work, services))
})

const happenings = ["edit", "edit", "edit", "edit", "meddle", "meddle", "restart", "power", "account"] as const

const ada = Fixture.ada.user

const happen = (world: World, edit: Effect.Effect<void>, meddle: Effect.Effect<void>, mayEnd: { ends: boolean }) => {
  const { drawn, server } = world
  switch (drawn.one(happenings)) {
    case "edit":
      return edit
    case "meddle":
      return meddle
    case "restart":
      return Effect.andThen(server.stop, Effect.andThen(Effect.sleep(drawn.upTo(100_000)), server.start))
    case "power":
      return Effect.andThen(server.powerOff, Effect.andThen(Effect.sleep(drawn.upTo(100_000)), server.start))
    case "account":
      if (drawn.chance(0.8)) return Effect.void
      mayEnd.ends = true
      return server.accounts
        .change(ada, (before) => ({ ...before, disabled: true }))
        .pipe(
          Effect.andThen(Effect.sleep(drawn.upTo(20_000))),
          Effect.andThen(server.accounts.change(ada, (before) => ({ ...before, disabled: false }))),
          Effect.orDie
        )
  }
}

const judgeEnd = (
  { wrong }: World,
  what: string,
  fiber: Fiber.Fiber<never, { readonly message: string }>,
  ends: boolean
): boolean => {
  const exit = fiber.pollUnsafe()
  if (exit === undefined) return true
  if (!ends || !Exit.isFailure(exit) || !/revoked|incorrect/.test(Cause.pretty(exit.cause))) {
    wrong.push(`${what} has ended: ${Exit.isFailure(exit) ? Cause.pretty(exit.cause) : ""}`)
  }
  return false
}

const live = Effect.fnUntraced(function* (world: World) {
  const { control, drawn, server, wrong } = world
  const scope = yield* Scope.make()
  const remove = drawn.chance(0.4)
  const checksum = drawn.chance(0.2)
  yield* server.start
  const [following, watching, other] = [
    yield* client(world, Fixture.ada, scope),
    yield* client(world, Fixture.ada, scope),
    yield* client(world, Fixture.grace, scope)
  ]
  const [followed, watched]: [Heard, Heard] = [
    { notes: [], shown: new Map() },
    { notes: [], shown: new Map() }
  ]
  const typed: Heard = { notes: [], shown: new Map() }
  const edit = editing(world, following)
  for (let left = drawn.below(8); left >= 0; left -= 1) yield* edit
  const tree = { include: [], exclude: [], dryRun: false, remove, checksum }
  const pass = Commands.run({ _tag: "Para", files: ["w"], as: undefined, tree })
  const fibers = {
    follow: yield* Watching.follow(["w"], pass).pipe(
      Effect.provideService(Reporter, listener(followed)),
      Effect.provideContext(following),
      Effect.forkDetach
    ),
    fetch: yield* Watching.fetch(undefined, true).pipe(
      Effect.provideService(Reporter, listener(watched)),
      Effect.provideContext(watching),
      Effect.forkDetach
    )
  }
  // Before the first pass a loss ends them.
  yield* Effect.sleep(60_000)
  const shell = yield* Effect.forkDetach(typing(world, following, typed))
  yield* Effect.sleep(5000)
  world.calm = false
  const mayEnd = { ends: false }
  const meddle = meddling(world, other)
  for (let left = 5 + drawn.below(20); left > 0; left -= 1) {
    yield* happen(world, edit, meddle, mayEnd)
    yield* drawn.chance(0.5) ? yields(drawn.below(3000)) : Effect.sleep(drawn.upTo(20_000))
  }
  world.calm = true
  yield* Effect.sleep(3 * watchRescanMilliseconds)
  const left = shell.pollUnsafe()
  if (left === undefined) wrong.push("the shell does not end")
  else if (Exit.isFailure(left)) wrong.push(`the shell: ${Cause.pretty(left.cause)}`)
  const follows = judgeEnd(world, "follow", fibers.follow, mayEnd.ends)
  const fetches = judgeEnd(world, "fetch", fibers.fetch, mayEnd.ends)
  const there = new Map([...(yield* control.files)].filter(([path]) => !path.startsWith(`${stagingFolder}/`)))
  for (const [path, bytes] of there) if (!world.had.has(hash(world, bytes))) wrong.push(`${path} is a mixture`)
  if (fetches) {
    const shown = [...watched.shown].map(([name, what]) => `${name} ${what}`).toSorted()
    const isThere = [...there].map(([name, bytes]) => `${name} ${bytes.length} ${hash(world, bytes)}`).toSorted()
    if (shown.join() !== isThere.join()) wrong.push(`shown is ${shown.join()}, and there is ${isThere.join()}`)
  }
  if (follows) {
    const here = Context.get(following, LocalFilesMemory.MemoryFiles)
    for (const [name, { bytes }] of here) {
      if (!name.startsWith("w/")) continue
      const copy = there.get(name)
      if (copy === undefined || hash(world, copy) !== hash(world, bytes)) wrong.push(`${name} has not followed`)
    }
    const mine = [...there.keys()].filter((name) => name.startsWith("w/") && !here.has(name))
    if (remove && [...here.keys()].some((name) => name.startsWith("w/")) && mine.length > 0)
      wrong.push(`not removed: ${mine.join()}`)
  }
  for (const note of [...followed.notes, ...watched.notes, ...typed.notes]) {
    if (/LIE|protocol|did not arrive whole|defect/.test(note)) wrong.push(note)
  }
  if (wrong.length > 0)
    wrong.push(...followed.notes.slice(-12), "---", ...watched.notes.slice(-12), "---", ...typed.notes)
  for (const fiber of Object.values(fibers)) yield* Fiber.interrupt(fiber)
  if (Context.get(following, LocalWatch.MemoryWatch).watching() > 0) wrong.push("somebody still watches")
  yield* Scope.close(scope, Exit.void)
  yield* server.stop
  if ((yield* control.openFiles) > 0) wrong.push("files are open for nobody")
})

const run = (shared: Shared, seed: number): ReadonlyArray<string> =>
  wrongIn(seed, (_machine, wrong) =>
    Effect.gen(function* () {
      const made = yield* MemoryDisk.make({ seed, clones: seed % 3 === 0 })
      const server = yield* makeServer(shared, made, seed)
      yield* live({ shared, drawn: drawer(seed), control: made.control, server, calm: true, had: new Set(), wrong })
    })
  )

describe("commands that stand", () => {
  it.effect(
    "see all that has changed, whatever comes over server and network",
    () =>
      Effect.gen(function* () {
        const shared = yield* Simulation.shared
        for (let seed = 0; seed < 8; seed += 1) assert.deepStrictEqual(run(shared, seed), [], `seed ${seed}`)
      }),
    120_000
  )
})
