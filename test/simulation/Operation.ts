/**
 * One command of a client, run to its end and judged: it ends typed, and what it says is true.
 */
import { Cause, Context, Effect, Exit, Layer, Option, Scope, Stream } from "effect"
import * as Client from "../../src/client/Client.ts"
import * as Commands from "../../src/client/Commands.ts"
import { type LocalFiles } from "../../src/client/LocalFiles.ts"
import * as LocalFilesMemory from "../../src/client/LocalFilesMemory.ts"
import { type Failure, Reporter, type Transferred, type Verified } from "../../src/client/Reporter.ts"
import { Sessions } from "../../src/client/Sessions.ts"
import { type ContentDigest, Digest, digestOf } from "../../src/domain/file/Digest.ts"
import type { FileEntry } from "../../src/domain/file/FileEntry.ts"
import * as FileName from "../../src/domain/file/FileName.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as Content from "./Content.ts"
import type { Write } from "./History.ts"
import * as Schedule from "./Schedule.ts"
import * as World from "./World.ts"

/** A client and everything of it that outlives a command. */
export interface Person {
  readonly number: number
  readonly scope: Scope.Closeable
  readonly services: Context.Context<Digest | LocalFiles | LocalFilesMemory.MemoryFiles | Sessions>
}

export const person = Effect.fnUntraced(function* (
  world: World.World,
  number: number,
  cut: () => Effect.Effect<void>,
  clean = false
): Effect.fn.Return<Person> {
  const scope = yield* Scope.make()
  const who = number === 2 ? Fixture.grace : Fixture.ada
  const connect = Client.connect({
    server: "memory",
    dial: Effect.suspend(() => World.dial(world, cut(), clean)),
    ...who
  })
  const layer = Layer.mergeAll(Sessions.layer(connect), LocalFilesMemory.layer({ folders: ["down"] })).pipe(
    Layer.provideMerge(Layer.succeedContext(world.shared.services))
  )
  const services = yield* Layer.buildWithMemoMap(layer, Layer.makeMemoMapUnsafe(), scope)
  return { number, scope, services }
})

/** What a command has said. */
interface Said {
  readonly listed: Array<FileEntry>
  transferred: Transferred | undefined
  verified: Verified | undefined
  failure: Failure["error"] | undefined
}

const listenTo = (said: Said): Reporter["Service"] => ({
  listed: (entries) => Effect.sync(() => void said.listed.push(...entries)),
  follow: () => Effect.succeed(() => {}),
  transferred: (transferred) => Effect.sync(() => void (said.transferred = transferred)),
  changed: () => Effect.void,
  verified: (verified) => Effect.sync(() => void (said.verified = verified)),
  summed: () => Effect.void,
  planned: () => Effect.void,
  leftOut: () => Effect.void,
  failed: ({ error }) => Effect.sync(() => void (said.failure = error)),
  note: () => Effect.void
})

/** The key under which the history knows a name. */
export const keyOf = (name: string): string => FileName.key(FileName.FileName.make(name))

/** Where a client keeps what it downloads under a name. */
const localPath = (name: string): string => `down/${keyOf(name).replaceAll("/", "-")}`

const digestIn = (world: World.World, bytes: Uint8Array): ContentDigest =>
  digestOf(Context.get(world.shared.services, Digest), [bytes])

// -----------------------------------------------------------------------------
// Running
// -----------------------------------------------------------------------------

const slowDownload = Effect.fnUntraced(function* (name: string, milliseconds: number) {
  const session = yield* (yield* Sessions).session
  const sink = Fixture.sink()
  const receiver = {
    ...sink,
    write: (parts: ReadonlyArray<Uint8Array>) => Effect.andThen(Effect.sleep(milliseconds), sink.write(parts))
  }
  const sent = yield* session.download(FileName.FileName.make(name), () => Effect.succeed(receiver))
  return { ...sent, found: digestOf(yield* Digest, [sink.content()]) }
})

/** The command as the executable would run it; what must be true of the bytes is checked at once. */
const perform = Effect.fnUntraced(function* (world: World.World, command: Schedule.Command, id: number, said: Said) {
  const files = yield* LocalFilesMemory.MemoryFiles
  const local = (content: Content.Content): string => {
    const path = `up/${id}`
    files.set(path, { bytes: Content.bytesOf(content), modified: content.modified })
    return path
  }
  switch (command._tag) {
    case "Upload":
      return yield* Commands.run({ _tag: "Upload", files: [local(command.content)], as: command.name })
    case "Para": {
      const { content, expect, name } = command
      const expected = expect === undefined ? {} : { expect: digestIn(world, Content.bytesOf(expect)) }
      return yield* Commands.run({ _tag: "Para", files: [local(content)], as: name, ...expected })
    }
    case "Download":
      return yield* Commands.run({ _tag: "Download", names: [command.name], to: localPath(command.name) })
    case "SlowDownload": {
      const { digest, found, size } = yield* slowDownload(command.name, command.milliseconds)
      if (digest !== found) World.violate(world, `#${id} took other bytes for ${digest}`)
      const moved = { reused: 0, equal: false, sent: 0, received: 0, milliseconds: 0 }
      said.transferred = { command: "download", name: command.name, size, digest, ...moved }
      return true
    }
    case "Fetch":
      return yield* Commands.run({ _tag: "Fetch", pattern: undefined, digests: command.digests })
    case "Verify":
      return yield* Commands.run({ _tag: "Verify", name: command.name, file: local(command.content) })
  }
})

/** Runs a command and judges its end. Never fails. */
export const run = Effect.fnUntraced(function* (
  world: World.World,
  one: Person,
  command: Schedule.Command,
  id: number
): Effect.fn.Return<void> {
  const { history } = world
  const said: Said = { listed: [], transferred: undefined, verified: undefined, failure: undefined }
  World.note(world, `#${id} client ${one.number}: ${Schedule.showCommand(command)}`)
  const content = "content" in command && command._tag !== "Verify" ? Content.bytesOf(command.content) : undefined
  const write =
    content === undefined || !("name" in command)
      ? undefined
      : history.begin(keyOf(command.name), digestIn(world, content), content.length)
  const began = history.now()
  yield* perform(world, command, id, said).pipe(
    Effect.provideService(Reporter, listenTo(said)),
    Effect.provide(one.services),
    Effect.onExit((exit) => Effect.sync(() => judge({ world, one, command, id, began, write, said }, exit))),
    Effect.ignoreCause
  )
})

// -----------------------------------------------------------------------------
// Judging
// -----------------------------------------------------------------------------

interface Case {
  readonly world: World.World
  readonly one: Person
  readonly command: Schedule.Command
  readonly id: number
  /** when it began */
  readonly began: number
  readonly write: Write | undefined
  readonly said: Said
}

/** Refusals after which nothing has been changed, whatever happens. */
const nothingChanged = new Set([
  "no-such-file",
  "name-collision",
  "not-a-file",
  "digest-mismatch",
  "size-mismatch",
  "source-changed",
  "conflict",
  "taken-over",
  "draining"
])

/** Refusals that say something is wrong with a client, and here there is nothing. */
const neverRefused = new Set(["not-permitted", "too-large", "size-mismatch", "cancelled"])

const judge = (one: Case, exit: Exit.Exit<boolean, { readonly _tag: string; readonly message: string }>): void => {
  const { id, said, world, write } = one
  const failure = Exit.isSuccess(exit) ? said.failure : Option.getOrUndefined(Cause.findErrorOption(exit.cause))
  const text =
    failure === undefined
      ? Exit.isSuccess(exit)
        ? `done${exit.value ? "" : ", not equal"}`
        : "interrupted"
      : `${failure._tag}: ${failure.message}`
  World.note(world, `#${id} ${text}`)
  if (Exit.isFailure(exit) && exit.cause.reasons.some(({ _tag }) => _tag === "Die")) {
    World.violate(world, `#${id} ended with a defect: ${Cause.pretty(exit.cause)}`)
  }
  if (failure !== undefined) judgeFailure(one, failure)
  const { transferred } = said
  if (write !== undefined) {
    const refused = failure !== undefined && "reason" in failure && nothingChanged.has(String(failure.reason))
    world.history.end(write, transferred !== undefined ? "acknowledged" : refused ? "refused" : "unknown")
    if (transferred !== undefined && transferred.digest !== write.digest) {
      World.violate(world, `#${id} was acknowledged with content that was not sent`)
    }
  } else if (transferred !== undefined) judgeRead(one, transferred.digest)
  if (Exit.isSuccess(exit) && failure === undefined) judgeSuccess(one)
}

const judgeFailure = (
  { began, command, id, world }: Case,
  error: { readonly _tag: string; readonly message: string }
): void => {
  const reason = "reason" in error ? String(error.reason) : "code" in error ? String(error.code) : ""
  const bad = (why: string): void => World.violate(world, `#${id} ${why}: ${error._tag} ${reason} ${error.message}`)
  switch (error._tag) {
    case "ConnectFailed":
    case "ConnectionLost":
      return undefined
    case "LocalFileFailed":
      return reason === "source-changed" || reason === "taken-over" ? undefined : bad("could not use its own files")
    case "RequestRefused": {
      if (neverRefused.has(reason)) bad("was refused for nothing")
      if (reason === "store-failed" && !world.hurt) bad("met a store that failed on a sound disk")
      const name = "name" in command ? command.name : ""
      if (reason === "no-such-file" && world.history.mustExist(keyOf(name), began)) bad("missed a committed file")
      return undefined
    }
    default:
      return bad("failed as nobody may")
  }
}

/** What somebody has read is what somebody had sent, and not outdated when the reading began. */
const judgeRead = ({ began, command, id, world }: Case, digest: ContentDigest): void => {
  const name = "name" in command ? command.name : ""
  const found = world.history.candidates(keyOf(name), began, world.history.now())
  if (!found.some((write) => write.digest === digest)) {
    World.violate(world, `#${id} read ${digest} from ${name}, which no client had sent or which was replaced before`)
  }
}

const judgeSuccess = (one: Case): void => {
  const { began, command, said, world } = one
  if (said.verified?.server.digest !== undefined) judgeRead(one, said.verified.server.digest)
  if (command._tag === "Download") judgeLocal(one)
  if (command._tag !== "Fetch") return
  for (const entry of said.listed) {
    if (entry.digest !== undefined) judgeRead({ ...one, command: { _tag: "Download", name: entry.name } }, entry.digest)
    else {
      const found = world.history.candidates(keyOf(entry.name), began, world.history.now())
      if (!found.some(({ size }) => size === entry.size)) {
        World.violate(world, `#${one.id} listed ${entry.name} with ${entry.size} bytes, which no client had sent`)
      }
    }
  }
  const listed = new Set(said.listed.map(({ name }) => keyOf(name)))
  for (const key of world.history.keys()) {
    if (world.history.mustExist(key, began) && !listed.has(key)) {
      World.violate(world, `#${one.id} listed the files without ${key}`)
    }
  }
}

/** The file here is whole: content that some client had sent under that name. */
const judgeLocal = ({ command, id, one, world }: Case): void => {
  const key = keyOf("name" in command ? command.name : "")
  const file = Context.get(one.services, LocalFilesMemory.MemoryFiles).get(localPath(key))
  const digest = file && digestIn(world, file.bytes)
  if (!world.history.candidates(key, 0, world.history.now()).some((write) => write.digest === digest)) {
    World.violate(world, `#${id} left a local file that is nobody's content`)
  }
}

// -----------------------------------------------------------------------------
// Strangers
// -----------------------------------------------------------------------------

/** Bytes that a server says to somebody who has not logged in, at most: its half of a handshake. */
const strangerBytesMax = 4_096

/** Somebody with a wrong password, or no protocol at all, gets nowhere. */
export const stranger = Effect.fnUntraced(function* (
  world: World.World,
  kind: "password" | "noise",
  id: number
): Effect.fn.Return<void> {
  const dial = World.dial(world, Effect.never)
  if (kind === "password") {
    const wrong = { ...Fixture.ada, password: Fixture.grace.password }
    const exit = yield* Effect.exit(Effect.scoped(Client.connect({ server: "memory", dial, ...wrong }))).pipe(
      Effect.provide(world.shared.services)
    )
    World.note(world, `#${id} a wrong password: ${Exit.isSuccess(exit) ? "logged in" : "refused"}`)
    if (Exit.isSuccess(exit)) World.violate(world, `#${id} logged in with a wrong password`)
    else if (Option.isNone(Cause.findErrorOption(exit.cause))) World.violate(world, `#${id} ended with a defect`)
    return
  }
  const socket = yield* dial
  let received = 0
  yield* Effect.gen(function* () {
    const reader = yield* socket.reader
    const writer = yield* socket.writer
    yield* writer.write(Fixture.bytes(world.schedule.seed, 3_000))
    yield* Stream.runForEach(Stream.fromEffectRepeat(reader.pull), (chunks) =>
      Effect.sync(() => void (received += chunks.reduce((total, { length }) => total + length, 0)))
    )
  }).pipe(Effect.scoped, Effect.ignore)
  World.note(world, `#${id} noise: ${received} bytes came back`)
  if (received > strangerBytesMax) World.violate(world, `#${id} told a stranger ${received} bytes`)
})
