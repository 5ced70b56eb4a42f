/**
 * One command of a client, run to its end and judged: it ends typed, and what it says is true.
 */
import { Cause, Context, Effect, Exit, Layer, Option, Scope, Stream } from "effect"
import type { Refusals, SmallDownload, SmallUpload } from "../../src/client/Bundles.ts"
import * as Client from "../../src/client/Client.ts"
import * as Commands from "../../src/client/Commands.ts"
import { type LocalFiles } from "../../src/client/LocalFiles.ts"
import * as LocalFilesMemory from "../../src/client/LocalFilesMemory.ts"
import { type Changed, type Failure, Reporter, type Transferred, type Verified } from "../../src/client/Reporter.ts"
import { Sessions } from "../../src/client/Sessions.ts"
import * as Bytes from "../../src/domain/Bytes.ts"
import type { Opaque } from "../../src/domain/channel/Opaque.ts"
import { type ContentDigest, Digest, digestOf } from "../../src/domain/file/Digest.ts"
import type { FileEntry } from "../../src/domain/file/FileEntry.ts"
import * as FileName from "../../src/domain/file/FileName.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as Account from "./Account.ts"
import * as Content from "./Content.ts"
import type { Change } from "./History.ts"
import * as Schedule from "./Schedule.ts"
import * as World from "./World.ts"

/** A client and everything of it that outlives a command. */
export interface Person {
  readonly number: number
  readonly owner: Account.Owner
  /** the folder that it sees as its root */
  readonly root: string | undefined
  readonly scope: Scope.Closeable
  readonly services: Context.Context<Digest | LocalFiles | LocalFilesMemory.MemoryFiles | Opaque | Sessions>
}

export const person = Effect.fnUntraced(function* (
  world: World.World,
  number: number,
  cut: () => Effect.Effect<void>,
  clean = false
): Effect.fn.Return<Person> {
  const scope = yield* Scope.make()
  const { user } = Schedule.ownerOf(number) === "ada" ? Fixture.ada : Fixture.grace
  const owner: Account.Owner = { user, password: 0 }
  const dial = Effect.suspend(() => World.dial(world, cut(), clean))
  const connect = Account.connect(world, owner, dial, `client ${number}`)
  const layer = Layer.mergeAll(Sessions.layer(connect), LocalFilesMemory.layer({ folders: ["down"] })).pipe(
    Layer.provideMerge(Layer.succeedContext(world.shared.services))
  )
  const services = yield* Layer.buildWithMemoMap(layer, Layer.makeMemoMapUnsafe(), scope)
  return { number, owner, root: World.rootOf(world, number), scope, services }
})

/** What a command has said. */
interface Said {
  readonly listed: Array<FileEntry>
  transferred: Transferred | undefined
  changed: Changed | undefined
  /** the password that was to be proved, and since when for passwords */
  proved: { readonly owner: Account.Owner; readonly since: number } | undefined
  /** the password is another */
  repassworded: boolean
  verified: Verified | undefined
  failure: Failure["error"] | undefined
  /** of a bundle that came to its end: what was refused, by position */
  refused: Refusals | undefined
  /** of a bundle that came: what was in it, as far as it came */
  readonly taken: Array<SmallDownload>
}

const listenTo = (said: Said): Reporter["Service"] => ({
  listed: (entries) => Effect.sync(() => void said.listed.push(...entries)),
  listingChanged: () => Effect.void,
  follow: () => Effect.succeed(() => {}),
  transferred: (transferred) => Effect.sync(() => void (said.transferred = transferred)),
  tellsEach: true,
  transferredAll: (all) => Effect.sync(() => void (said.transferred = all.at(-1))),
  changed: (changed) => Effect.sync(() => void (said.changed = changed)),
  passwordMade: () => Effect.void,
  verified: (verified) => Effect.sync(() => void (said.verified = verified)),
  summed: () => Effect.void,
  planned: () => Effect.void,
  leftOut: () => Effect.void,
  failed: ({ error }) => Effect.sync(() => void (said.failure = error)),
  note: () => Effect.void
})

/** The key under which the history knows a name. */
export const keyOf = (name: string): string => FileName.key(FileName.FileName.make(name))

/** The same of a name that a client says. */
const keyIn = ({ root }: Person, name: string): string => keyOf(World.whole(root, name))

/** The key of a name's outermost part, found apart from what is tested: the names of schedules are ASCII. */
const outermostOf = (name: string): string => name.split("/", 1).join("").toLowerCase()

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

const small = (world: World.World, { content, name }: Schedule.Sent): SmallUpload => {
  const bytes = Content.bytesOf(content)
  return {
    name: FileName.FileName.make(name),
    content: bytes,
    size: bytes.length,
    modified: content.modified,
    digest: digestIn(world, bytes)
  }
}

const expected = (world: World.World, { expect }: { readonly expect: Content.Content | undefined }) =>
  expect === undefined ? {} : { expect: digestIn(world, Content.bytesOf(expect)) }

/** The command as the executable would run it; what must be true of the bytes is checked at once. */
const perform = Effect.fnUntraced(function* (
  world: World.World,
  { owner }: Person,
  command: Schedule.Command,
  id: number,
  said: Said
) {
  const files = yield* LocalFilesMemory.MemoryFiles
  const local = (content: Content.Content): string => {
    const path = `up/${id}`
    files.set(path, { bytes: Content.bytesOf(content), modified: content.modified })
    return path
  }
  switch (command._tag) {
    case "Upload":
      return yield* Commands.run({ _tag: "Upload", files: [local(command.content)], as: command.name })
    case "Para":
      return yield* Commands.run({
        _tag: "Para",
        files: [local(command.content)],
        as: command.name,
        ...expected(world, command)
      })
    case "Remove":
      return yield* Commands.run({ _tag: "Remove", names: [command.name], ...expected(world, command) })
    case "Rename":
      return yield* Commands.run(command)
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
    case "UploadBundle": {
      const session = yield* (yield* Sessions).session
      said.refused = yield* session.uploadBundle(command.files.map((file) => small(world, file)))
      return true
    }
    case "DownloadBundle": {
      const session = yield* (yield* Sessions).session
      const names = command.names.map((name) => FileName.FileName.make(name))
      said.refused = yield* session.downloadBundle(names, (files) =>
        Effect.sync(() => {
          // Content is good until then.
          const kept = files.map((file) => Object.assign(file, { parts: file.parts.map((part) => part.slice()) }))
          said.taken.push(...kept)
        })
      )
      return true
    }
    case "Verify":
      return yield* Commands.run({ _tag: "Verify", name: command.name, file: local(command.content) })
    case "FetchAlike": {
      const session = yield* (yield* Sessions).session
      const names = command.names.map((name) => FileName.FileName.make(name))
      said.listed.push(...(yield* Stream.runCollect(session.fetchWith({ alike: names }))))
      return true
    }
    case "Passwd": {
      const session = yield* (yield* Sessions).session
      said.proved = { owner: { ...owner }, since: world.passwords.now() }
      yield* session.changePassword(Account.change(owner, command.next))
      said.repassworded = true
      owner.password = command.next
      return true
    }
  }
})

/** What a command does to names, from now on. */
const changesOf = (world: World.World, one: Person, command: Schedule.Command): ReadonlyArray<Change> => {
  const { history } = world
  const sends = ({ content, name }: Schedule.Sent): Change => {
    const bytes = Content.bytesOf(content)
    return history.begin(keyIn(one, name), { _tag: "Content", digest: digestIn(world, bytes), size: bytes.length })
  }
  switch (command._tag) {
    case "Upload":
    case "Para":
      return [sends(command)]
    case "UploadBundle":
      return command.files.map(sends)
    case "Remove":
      return [history.begin(keyIn(one, command.name), { _tag: "Nothing" })]
    case "Rename":
      return history.beginMove(keyIn(one, command.name), keyIn(one, command.to))
    case "Passwd":
      return [Account.begin(world, one.owner.user, command.next)]
    default:
      return []
  }
}

const namesOf = (command: Schedule.Command): ReadonlyArray<string> => [
  ...("name" in command ? [command.name] : []),
  ...("to" in command ? [command.to] : [])
]

/** What the audit log is to say of it: of a bundle, of each file. */
const ordersOf = (
  world: World.World,
  { owner: { user } }: Person,
  command: Schedule.Command,
  changes: ReadonlyArray<Change>
): ReadonlyArray<World.Order> => {
  const order = (key: string, of: ReadonlyArray<Change>): World.Order => {
    const digests = new Set(of.flatMap(({ puts }) => (puts._tag === "Content" ? [puts.digest] : [])))
    return { key, digests, status: "pending", at: 0, excused: false }
  }
  if (changes.length === 0) return []
  const orders =
    command._tag === "UploadBundle"
      ? command.files.map(({ name }, index) =>
          order(World.recordKey(user, "upload", name), changes.slice(index, index + 1))
        )
      : [order(World.recordKey(user, command._tag, ...namesOf(command)), changes)]
  world.orders.push(...orders)
  return orders
}

/** Runs a command and judges its end. Never fails. */
export const run = Effect.fnUntraced(function* (
  world: World.World,
  one: Person,
  command: Schedule.Command,
  id: number
): Effect.fn.Return<void> {
  const said: Said = {
    listed: [],
    transferred: undefined,
    changed: undefined,
    proved: undefined,
    repassworded: false,
    verified: undefined,
    failure: undefined,
    refused: undefined,
    taken: []
  }
  World.note(world, `#${id} client ${one.number}: ${Schedule.showCommand(command)}`)
  const changes = changesOf(world, one, command)
  const orders = ordersOf(world, one, command, changes)
  const began = world.history.now()
  World.enter(world, one.number, command)
  yield* perform(world, one, command, id, said).pipe(
    Effect.provideService(Reporter, listenTo(said)),
    Effect.provide(one.services),
    Effect.onExit((exit) => Effect.sync(() => judge({ world, one, command, id, began, changes, orders, said }, exit))),
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
  /** what it does to names */
  readonly changes: ReadonlyArray<Change>
  /** what the audit log says of it */
  readonly orders: ReadonlyArray<World.Order>
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
  "already-exists",
  "quota-exceeded",
  "taken-over",
  "draining",
  "incorrect",
  "too-many-attempts"
])

/** Refusals that say something is wrong with a client, and here there is nothing. */
const neverRefused = new Set(["not-permitted", "too-large", "size-mismatch", "cancelled"])

const judge = (one: Case, exit: Exit.Exit<boolean, { readonly _tag: string; readonly message: string }>): void => {
  const { changes, command, id, said, world } = one
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
  World.leave(world, one.one.number, command)
  const { refused } = said
  const statuses = changes.map((_, index) =>
    command._tag === "UploadBundle" && refused !== undefined
      ? statusAfter(refused.get(index), !refused.has(index))
      : statusAfter(failure, said.transferred !== undefined || said.changed !== undefined || said.repassworded)
  )
  const { end } = command._tag === "Passwd" ? world.passwords : world.history
  for (const [index, change] of changes.entries()) end(change, statuses[index] ?? "unknown")
  for (const [index, order] of one.orders.entries()) {
    Object.assign(order, { status: statuses[index] ?? "unknown", at: world.machine.elapsed() })
  }
  if (command._tag === "Rename" && statuses.includes("unknown")) world.doubled = true
  judgeDigest(one)
  judgeBundle(one)
  if (command._tag === "Passwd")
    judgePassword(one, failure !== undefined && "reason" in failure ? String(failure.reason) : "")
  World.count(world, outcomeOf(one, failure))
  const done = Exit.isSuccess(exit) && failure === undefined
  if (done && Account.verdict(world, one.one.owner, world.passwords.now()) === "wrong")
    World.count(world, "a session goes on when another has set its password")
  if (done) judgeSuccess(one)
}

const statusAfter = (failure: Failure["error"] | undefined, done: boolean): "acknowledged" | "refused" | "unknown" => {
  if (done) return "acknowledged"
  const refused = failure !== undefined && "reason" in failure && nothingChanged.has(String(failure.reason))
  return refused ? "refused" : "unknown"
}

/** Each file of a bundle is judged as if it had come alone. */
const judgeBundle = (one: Case): void => {
  const { command, id, said, world } = one
  if (command._tag !== "UploadBundle" && command._tag !== "DownloadBundle") return
  const alone = (index: number): Case => {
    const sent = command._tag === "UploadBundle" ? command.files[index] : undefined
    const name = sent?.name ?? (command._tag === "DownloadBundle" ? command.names[index] : undefined) ?? ""
    return { ...one, command: sent === undefined ? { _tag: "Download", name } : { _tag: "Upload", ...sent } }
  }
  for (const { digest, index, parts } of said.taken) {
    if (digestIn(world, Bytes.concat(parts)) !== digest) World.violate(world, `#${id} took other bytes for ${digest}`)
    judgeRead(alone(index), digest)
  }
  for (const [index, error] of said.refused ?? []) {
    World.count(world, `${command._tag}, a file ${error.reason}`)
    // Larger than a bundle: it is to be asked for by itself.
    if (command._tag === "DownloadBundle" && error.reason === "too-large") continue
    judgeFailure(alone(index), error)
  }
  if (said.refused === undefined || command._tag === "UploadBundle") return
  const told = new Set([...said.refused.keys(), ...said.taken.map(({ index }) => index)])
  if (told.size !== command.names.length) World.violate(world, `#${id} heard nothing of some of the files`)
}

/** What was sent is what was acknowledged; what was taken is what some client had sent. */
const judgeDigest = (one: Case): void => {
  const { changes, id, said, world } = one
  const { transferred } = said
  if (transferred === undefined) return
  const [change] = changes
  if (change === undefined) return judgeRead(one, transferred.digest)
  if (change.puts._tag === "Content" && transferred.digest !== change.puts.digest) {
    World.violate(world, `#${id} was acknowledged with content that was not sent`)
  }
}

/** What happened, for the count of what the simulations have seen. */
const outcomeOf = ({ command, said }: Case, failure: { readonly _tag: string } | undefined): string => {
  if (command._tag === "Passwd" && said.repassworded) return "Passwd, done"
  if (failure !== undefined) return "reason" in failure ? `${String(failure.reason)}` : failure._tag
  const { changed, transferred } = said
  if (said.refused !== undefined) return `${command._tag}, ${said.refused.size === 0 ? "done" : "done in part"}`
  if (transferred?.equal === true) return `${command._tag}, equal already`
  if (command._tag === "Upload" && transferred !== undefined && transferred.reused > 0) return "Upload, resumed"
  if (command._tag === "Para" && transferred !== undefined && transferred.reused > 0) return "Para, with copies"
  return transferred !== undefined || changed !== undefined || said.listed.length > 0
    ? `${command._tag}, done`
    : `${command._tag}, ended`
}

const judgeFailure = (
  { began, command, id, one, world }: Case,
  error: { readonly _tag: string; readonly message: string }
): void => {
  const reason = "reason" in error ? String(error.reason) : "code" in error ? String(error.code) : ""
  const bad = (why: string): void => World.violate(world, `#${id} ${why}: ${error._tag} ${reason} ${error.message}`)
  if (error.message.includes(Schedule.rootMark)) bad("was told of a folder outside its root")
  switch (error._tag) {
    case "ConnectFailed":
    case "ConnectionLost":
      return undefined
    // Each try is judged by itself.
    case "LoginIncorrect":
      return (world.passwordsOf.get(one.owner.user) ?? []).length > 1 ? undefined : bad("was refused for nothing")
    case "LocalFileFailed":
      return reason === "source-changed" || reason === "taken-over" ? undefined : bad("could not use its own files")
    case "RequestRefused": {
      if (neverRefused.has(reason)) bad("was refused for nothing")
      if (reason === "store-failed" && !world.hurt) bad("met a store that failed on a sound disk")
      const name = "name" in command ? command.name : ""
      const { history } = world
      const now = history.now()
      if (reason === "no-such-file" && history.mustExist(keyIn(one, name), began, now)) bad("missed a committed file")
      if (reason === "quota-exceeded" && world.quota === undefined) bad("met a quota that nobody has")
      if (reason === "already-exists" && command._tag === "Rename") {
        if (history.contents(keyIn(one, command.to), began, now).length === 0) bad("met a file that nobody has sent")
      }
      return undefined
    }
    default:
      return bad("failed as nobody may")
  }
}

/** What somebody has read is what somebody had sent, and not outdated when the reading began. */
const judgeRead = ({ began, command, id, one, world }: Case, digest: ContentDigest): void => {
  const name = "name" in command ? command.name : ""
  const found = world.history.contents(keyIn(one, name), began, world.history.now())
  if (!found.some((held) => held.digest === digest)) {
    World.violate(world, `#${id} read ${digest} from ${name}, which no client had sent or which was replaced before`)
  }
}

const judgeSuccess = (one: Case): void => {
  const { command, said } = one
  if (said.verified?.server.digest !== undefined) judgeRead(one, said.verified.server.digest)
  if (command._tag === "Download") judgeLocal(one)
  if (command._tag === "Fetch") judgeListing(one, () => true)
  if (command._tag === "FetchAlike") judgeAlike(one, command.names)
}

/** The listing has each file that is in question, as it is, and no other. */
const judgeListing = (one: Case, asked: (name: string) => boolean): void => {
  const { began, said, world } = one
  const { root } = one.one
  for (const entry of said.listed) {
    if (entry.digest !== undefined) judgeRead({ ...one, command: { _tag: "Download", name: entry.name } }, entry.digest)
    else {
      const found = world.history.contents(keyIn(one.one, entry.name), began, world.history.now())
      if (!found.some(({ size }) => size === entry.size)) {
        World.violate(world, `#${one.id} listed ${entry.name} with ${entry.size} bytes, which no client had sent`)
      }
    }
  }
  const now = world.history.now()
  const listed = new Set(said.listed.map(({ name }) => keyOf(name)))
  const folder = root === undefined ? "" : `${keyOf(root)}/`
  for (const key of world.history.keys()) {
    const own = key.slice(folder.length)
    if (!key.startsWith(folder) || !asked(own) || !world.history.mustExist(key, began, now)) continue
    if (!listed.has(own)) World.violate(world, `#${one.id} listed the files without ${own}`)
  }
}

/** What may be in the way is what begins as one of the names, but for its spelling. */
const judgeAlike = (one: Case, names: ReadonlyArray<string>): void => {
  const { id, said, world } = one
  const asked = new Set(names.map(outermostOf))
  for (const { name } of said.listed) {
    if (!asked.has(outermostOf(name))) World.violate(world, `#${id} was told of ${name}, which is in nobody's way`)
    else if (!names.some((one) => one.split("/", 1)[0] === name.split("/", 1)[0]))
      World.count(world, "FetchAlike, another spelling")
  }
  judgeListing(one, (own) => asked.has(outermostOf(own)))
}

/** A proof of the present password is taken when it holds, and then alone. */
const judgePassword = ({ id, said, world }: Case, reason: string): void => {
  if (said.proved === undefined) return
  const must = Account.verdict(world, said.proved.owner, said.proved.since)
  if (said.repassworded && must === "wrong") World.violate(world, `#${id} changed a password without the present one`)
  const refused = reason === "incorrect" || reason === "conflict"
  if (refused && must === "right") World.violate(world, `#${id} could not change the password: ${reason}`)
}

/** The file here is whole: content that some client had sent under that name. */
const judgeLocal = ({ command, id, one, world }: Case): void => {
  const name = "name" in command ? command.name : ""
  const key = keyIn(one, name)
  const file = Context.get(one.services, LocalFilesMemory.MemoryFiles).get(localPath(name))
  const digest = file && digestIn(world, file.bytes)
  if (!world.history.contents(key, 0, world.history.now()).some((held) => held.digest === digest)) {
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
  kind: Extract<Schedule.Action, { readonly _tag: "Stranger" }>["kind"],
  id: number
): Effect.fn.Return<void> {
  if (kind === "replaced") return yield* Account.latecomer(world, id)
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
    // On a connection that breaks it may hang: who reads learns of it.
    yield* Effect.forkScoped(writer.write(Fixture.bytes(world.schedule.seed, 3_000)))
    yield* Stream.runForEach(Stream.fromEffectRepeat(reader.pull), (chunks) =>
      Effect.sync(() => void (received += chunks.reduce((total, { length }) => total + length, 0)))
    )
  }).pipe(Effect.scoped, Effect.ignore)
  World.note(world, `#${id} noise: ${received} bytes came back`)
  if (received > strangerBytesMax) World.violate(world, `#${id} told a stranger ${received} bytes`)
})
