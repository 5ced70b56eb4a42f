/**
 * Plays scripts of several clients against a whole server and against the model of one, and compares every answer.
 *
 * The server is any layer that listens on a `MemoryNetwork`; each script gets a fresh one, and a test clock of its own.
 * What differs is shrunk to few steps and comes with a token that plays it again.
 */
import { Arbitrary, Effect, Exit, Layer, Option, Record, Redacted, Result, Schema, Scope } from "effect"
import { TestClock } from "effect/testing"
import type { Cipher } from "../channel/Cipher.ts"
import { UserName } from "../channel/HandshakeMessage.ts"
import type { Kem } from "../channel/Kem.ts"
import type { Opaque } from "../channel/Opaque.ts"
import { Digest } from "../file/Digest.ts"
import type { FileEntry } from "../file/FileEntry.ts"
import { packSent, unpackEntries } from "../file/PackedFiles.ts"
import { signatureKeyBytes } from "../limits.ts"
import { connectionId } from "../wire/Frame.ts"
import * as Message from "../wire/Message.ts"
import * as Bytes from "../Bytes.ts"
import * as Fixture from "./Fixture.ts"
import * as HostileClient from "./HostileClient.ts"
import { MemoryNetwork } from "./MemorySocket.ts"
import * as SessionModel from "./SessionModel.ts"
import * as SessionScript from "./SessionScript.ts"
import * as SessionSpeech from "./SessionSpeech.ts"

/** What a script needs: a network on which a server listens, and what its clients encrypt with. */
export type World = Cipher | Digest | Kem | MemoryNetwork | Opaque

/** Whom to log in as, how long to wait, and how many sessions to try. */
export interface Options extends Arbitrary.CheckOptions {
  /** Two accounts that the server knows: of clients 0 and 2, and of client 1. Default: `ada` and `grace` of Fixture. */
  readonly users?: readonly [Fixture.Credentials, Fixture.Credentials]
  /** Real milliseconds after which an answer that does not come is missing. Default 2000. */
  readonly patienceMilliseconds?: number
}

const differing = {
  /** The steps that show it, as few as were found. */
  script: Schema.Array(SessionScript.Step),
  /** After which step: a position in `script`, or its length when the difference shows in the files that are left. */
  step: Schema.Natural,
  /** What the model says. */
  expected: Schema.String,
  /** What came. */
  found: Schema.String
}

/** The server answered otherwise than the model. */
export class SessionDiffers extends Schema.TaggedError<SessionDiffers>()("SessionDiffers", {
  ...differing,
  /** Plays it again: `check(world, { replay })`. */
  replay: Schema.String
}) {
  override get message(): string {
    return [...linesOf(this), `  replay:   ${this.replay}`].join("\n")
  }
}

/** The same of a script that was given: it is its own replay. */
export class ScriptDiffers extends Schema.TaggedError<ScriptDiffers>()("ScriptDiffers", differing) {
  override get message(): string {
    return linesOf(this).join("\n")
  }
}

const linesOf = ({ expected, found, script, step }: Pick<ScriptDiffers, keyof typeof differing>) => {
  const steps = script.map((one, index) => `  ${index === step ? ">" : " "} ${SessionScript.show(one)}`)
  const after = step === script.length ? "  > then a look at all files" : "    (the rest was not played)"
  return [
    "the server does not do what the model does:",
    ...steps,
    ...(step + 1 === script.length ? [] : [after]),
    `  expected: ${expected}`,
    `  found:    ${found}`
  ]
}

/** A token leads to no failure: what it found is mended, it is of another version, or not whole. */
export class ReplayFailed extends Schema.TaggedError<ReplayFailed>()("ReplayFailed", {
  reason: Schema.String
}) {
  override get message(): string {
    return `the token plays nothing that fails (${this.reason})`
  }
}

/** A step is none that there is: nothing was played. */
export class ScriptRefused extends Schema.TaggedError<ScriptRefused>()("ScriptRefused", {
  /** A position in the script. */
  step: Schema.Natural
}) {
  override get message(): string {
    return `step ${this.step} of the script is none that there is: 'SessionScript.Step' says what there can be`
  }
}

/** An option is no number that it can be: nothing was played. */
export class OptionRefused extends Schema.TaggedError<OptionRefused>()("OptionRefused", {
  option: Schema.String,
  value: Schema.Number,
  /** What it can be. */
  wanted: Schema.String
}) {
  override get message(): string {
    return `the option '${this.option}' cannot be ${this.value}: give ${this.wanted}, or leave it out`
  }
}

/**
 * Plays scripts by seed, 100 unless `runs` says otherwise, and gives how many were played. Fails with the shortest
 * script that was found for which server and model differ.
 *
 * Needs nothing: the layer brings all it runs on. Server limits must be those of `ServerLimits.defaultLimits`.
 */
export const check = <E>(
  world: Layer.Layer<World, E>,
  options: Options = {}
): Effect.Effect<number, SessionDiffers | ReplayFailed | OptionRefused | E> =>
  Effect.gen(function* () {
    const wrong = refusal(options)
    if (wrong !== undefined) return yield* wrong
    if (options.replay !== undefined && Option.isNone(asToken(options.replay)))
      return yield* new ReplayFailed({ reason: "it is no token: take all of what stands behind 'replay:'" })
    const property = (script: SessionScript.Script) => Effect.as(played(world, script, options), true)
    const result = yield* Arbitrary.checkEffect(SessionScript.arbitrary, property, { size: scriptSize, ...options })
    switch (result._tag) {
      case "Passed":
        return result.runs
      case "ReplayMismatch":
        return yield* new ReplayFailed({ reason: result.reason })
      case "Exhausted":
        return yield* new ReplayFailed({ reason: "no script could be generated" })
      case "Falsified": {
        const { failure, replay, shrunkInput } = result
        if (failure._tag === "ReturnedFalse") return yield* new ReplayFailed({ reason: "no error" })
        if (!(failure.error instanceof ScriptDiffers)) return yield* Effect.fail(failure.error)
        const { expected, found, step } = failure.error
        return yield* new SessionDiffers({ script: shrunkInput, step, expected, found, replay })
      }
    }
  })

/**
 * Plays one script: one that was found and shall stay mended whatever becomes of its token, or one that is written by
 * hand or made by an `Arbitrary` of your own.
 *
 * Needs nothing, as `check`.
 */
export const play = <E>(
  world: Layer.Layer<World, E>,
  script: SessionScript.Script,
  options: Pick<Options, "users" | "patienceMilliseconds"> = {}
): Effect.Effect<void, ScriptDiffers | ScriptRefused | OptionRefused | E> =>
  Effect.gen(function* () {
    const wrong = refusal(options)
    if (wrong !== undefined) return yield* wrong
    const step = script.findIndex((one) => !isStep(one))
    if (step >= 0) return yield* new ScriptRefused({ step })
    yield* played(world, script, options)
  })

const isStep = Schema.is(SessionScript.Step)

/** Long enough for several clients to get in each other's way; the first scripts are shorter. */
const scriptSize = 30
/** Largest size that a token may have: scripts grow with it, and a token may be damaged. */
const scriptSizeMax = 10_000

const whole = {
  wanted: "a whole number from 0 on",
  holds: (value: number) => Number.isSafeInteger(value) && value >= 0
}
const positive = {
  wanted: "a whole number from 1 on",
  holds: (value: number) => Number.isSafeInteger(value) && value >= 1
}

/** What each option can be: of what is none of it `Arbitrary` dies, and no answer comes in time. */
const allowed = {
  runs: positive,
  concurrency: positive,
  size: {
    wanted: `a whole number from 0 to ${scriptSizeMax}`,
    holds: (value: number) => whole.holds(value) && value <= scriptSizeMax
  },
  maxDiscards: whole,
  maxShrinks: whole,
  patienceMilliseconds: { wanted: "more than 0 milliseconds", holds: (value: number) => value > 0 }
} as const

/** The first option that is none of what it can be. */
const refusal = (options: Options): OptionRefused | undefined =>
  Record.toEntries(allowed)
    .map(([option, { holds, wanted }]) => ({ option, wanted, holds, value: options[option] }))
    .flatMap(({ holds, option, value, wanted }) =>
      value === undefined || holds(value) ? [] : [new OptionRefused({ option, value, wanted })]
    )[0]

/** What `Arbitrary` writes as a token; it reads one without a look, and dies of another text. */
const asToken = Schema.decodeUnknownOption(
  Schema.fromJsonString(
    Schema.Tuple([
      Schema.Literals([0, 1]),
      Schema.String,
      Schema.Natural,
      Schema.Natural.check(Schema.isLessThanOrEqualTo(scriptSizeMax)),
      Schema.Array(Schema.Natural),
      Schema.Literals(["PropertyError", "ReturnedFalse"])
    ])
  )
)

/** One script against a fresh server. */
const played = <E>(world: Layer.Layer<World, E>, script: SessionScript.Script, options: Options) =>
  Effect.flatMap(Scope.make(), (scope) =>
    Layer.buildWithScope(Layer.fresh(world), scope).pipe(
      // The clients have gone before the server stops.
      Effect.flatMap((context) => Effect.provideContext(Effect.scoped(run(script, options)), context)),
      Effect.onExit((exit) => stopped(Scope.close(scope, exit), patienceOf(options)))
    )
  ).pipe(Effect.provide(TestClock.layer()))

const patienceOf = ({ patienceMilliseconds = 2_000 }: Options): number => patienceMilliseconds

/** A server gives what hangs in it some time before it ends that: none would pass on a test clock. */
const stopped = (stopping: Effect.Effect<void>, patience: number): Effect.Effect<void> =>
  Effect.raceFirst(
    stopping,
    Effect.sleep(patience).pipe(
      TestClock.withLive,
      Effect.andThen(TestClock.adjust(hour)),
      Effect.forever,
      Effect.interruptible
    )
  )

// -----------------------------------------------------------------------------
// Clients
// -----------------------------------------------------------------------------

interface Connection {
  readonly scope: Scope.Closeable
  readonly met: HostileClient.Met
  failedLogins: number
  session: HostileClient.HostileSession | undefined
}

interface Client {
  readonly who: Fixture.Credentials
  connection: Connection | undefined
  speaker: SessionSpeech.Speaker
}

/** What differs, before it is known in which step. */
interface Difference {
  readonly expected: string
  readonly found: string
}

const differs = (expected: string, found: string): Effect.Effect<never, Difference> => Effect.fail({ expected, found })

const run = Effect.fnUntraced(function* (script: SessionScript.Script, options: Options) {
  const model = SessionModel.make(yield* Digest)
  const [first, second] = options.users ?? [Fixture.ada, Fixture.grace]
  const clients = [first, second, first].map((who): Client => ({
    who,
    connection: undefined,
    speaker: SessionSpeech.newSpeaker()
  }))
  const stage: Stage = { model, clients, patience: patienceOf(options), keys: new WeakMap() }
  const at = (step: number) =>
    Effect.mapError(({ expected, found }: Difference) => new ScriptDiffers({ script, step, expected, found }))
  yield* Effect.addFinalizer(() => Effect.forEach(clients, hangUp, { discard: true }))
  for (const [index, { action, client }] of script.entries()) {
    const who = clients[client]
    if (who !== undefined) yield* at(index)(act(stage, who, action))
  }
  yield* at(script.length)(lookAtAll(stage))
})

interface Stage {
  readonly model: SessionModel.Model
  readonly clients: ReadonlyArray<Client>
  /** real milliseconds */
  readonly patience: number
  /** of the signature that each session was offered last */
  readonly keys: WeakMap<HostileClient.HostileSession, Uint8Array>
}

/** What stands for a key that is not known, or not yet. */
const noKey = new Uint8Array(signatureKeyBytes)

const hangUp = (client: Client): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { connection } = client
    client.connection = undefined
    client.speaker = SessionSpeech.newSpeaker()
    return connection === undefined ? Effect.void : Scope.close(connection.scope, Exit.void)
  })

/** Every session ends in order, and a new one finds exactly the files that were committed. */
const lookAtAll = Effect.fnUntraced(function* (stage: Stage) {
  const { clients, model } = stage
  const [first] = clients
  if (first === undefined) return
  for (const client of clients) {
    if (client.connection?.session === undefined) continue
    yield* act(stage, client, { _tag: "Ping" })
    yield* act(stage, client, { _tag: "End" })
  }
  yield* act(stage, first, { _tag: "Fetch", digest: true, content: false })
  for (const file of model.files.values()) {
    const name = SessionScript.names.indexOf(file.name)
    yield* act(stage, first, { _tag: "Download", name, delta: false })
  }
  yield* act(stage, first, { _tag: "End" })
})

// -----------------------------------------------------------------------------
// Steps
// -----------------------------------------------------------------------------

const act = Effect.fnUntraced(function* (
  stage: Stage,
  client: Client,
  action: SessionScript.Action
): Effect.fn.Return<void, Difference, World> {
  switch (action._tag) {
    case "Disconnect":
      return yield* hangUp(client)
    case "Idle":
      yield* TestClock.adjust(hour)
      return yield* Effect.forEach(stage.clients, (one) => expectLost(stage, one), { discard: true })
    case "WrongPassword":
      return yield* wrongPassword(stage, client, action.user)
    case "Update": {
      const { file, name } = action
      yield* act(stage, client, { _tag: "Para", name, file, expect: "any" })
      yield* act(stage, client, { _tag: "Content", amount: "rest" })
      return yield* act(stage, client, { _tag: "Commit", of: "what-was-sent" })
    }
    default: {
      const greets = action._tag !== "Illegal" || action.what !== "no-hello"
      const before = client.connection?.session
      // Too late for it.
      if (!greets && before !== undefined) return
      const session = before ?? (yield* login(stage, client, greets))
      const said = SessionSpeech.utter(stage.model, client.speaker, action)
      const answers = greets ? hearAll(stage, client, said) : SessionModel.violation
      // Both at once: a server that waits for its answers to be read must not be waited for.
      yield* Effect.all([tellAll(session, said), expectAll(stage, session, answers)], {
        concurrency: 2,
        discard: true
      })
      if (answers.some(isEnd)) yield* hangUp(client)
    }
  }
})

const hour = 3_600_000

const isEnd = ({ _tag }: SessionModel.Answer): boolean => _tag === "Ended" || _tag === "Lost"

const hearAll = ({ model }: Stage, { speaker }: Client, said: ReadonlyArray<SessionModel.Said>) => {
  const answers: Array<SessionModel.Answer> = []
  for (const one of said) if (!answers.some(isEnd)) answers.push(...SessionModel.hear(model, speaker.session, one))
  return answers
}

const expectAll = (stage: Stage, session: HostileClient.HostileSession, answers: SessionModel.Answers) =>
  Effect.forEach(answers, (answer) => expect(stage, session, answer), { discard: true })

/** Failures to write are the reader's to tell. */
const tellAll = (session: HostileClient.HostileSession, said: ReadonlyArray<SessionModel.Said>) =>
  Effect.ignore(Effect.forEach(said, (one) => tell(session, one), { discard: true }))

const tell = (session: HostileClient.HostileSession, said: SessionModel.Said) => {
  switch (said._tag) {
    case "Message":
      return session.say(said.id, said.message)
    case "Content":
      return session.content(said.id, said.bytes)
    case "Broken":
      return said.where === "record" ? session.raw(said.bytes) : session.record(said.bytes)
    case "End":
      return session.end
  }
}

/** A connection on which keys are exchanged; the one there is, or a new one. */
const connect = Effect.fnUntraced(function* (
  stage: Stage,
  client: Client
): Effect.fn.Return<Connection, Difference, World> {
  if (client.connection !== undefined) return client.connection
  const network = yield* MemoryNetwork
  const scope = yield* Scope.make()
  const met = yield* network.dial.pipe(
    Effect.flatMap(HostileClient.meet),
    Scope.provide(scope),
    inTime(stage, "a key exchange"),
    Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
  )
  client.connection = { scope, met, failedLogins: 0, session: undefined }
  return client.connection
})

const login = Effect.fnUntraced(function* (
  stage: Stage,
  client: Client,
  greets: boolean
): Effect.fn.Return<HostileClient.HostileSession, Difference, World> {
  const connection = yield* connect(stage, client)
  const { met } = connection
  const session = yield* HostileClient.prove(met, client.who).pipe(
    Effect.flatMap((proof) => HostileClient.finish(met, proof)),
    inTime(stage, "a login")
  )
  connection.session = session
  if (!greets) return session
  const answer = yield* session
    .say(connectionId, { _tag: "Hello", client: "script" })
    .pipe(Effect.andThen(session.hear), inTime(stage, "Correct"))
  const greeted = answer?._tag === "Message" && answer.id === connectionId && answer.message._tag === "Correct"
  return greeted ? session : yield* differs("Correct", showHeard(answer))
})

const wrongPassword = Effect.fnUntraced(function* (stage: Stage, client: Client, user: "known" | "unknown") {
  if (client.connection?.session !== undefined) return
  const connection = yield* connect(stage, client)
  const who: Fixture.Credentials = {
    user: user === "known" ? client.who.user : UserName.make("nobody"),
    password: Redacted.make("not the password of anyone")
  }
  const wrong = yield* Effect.result(HostileClient.prove(connection.met, who)).pipe(inTime(stage, "an answer"))
  if (wrong._tag === "Success") return yield* differs("a login that fails", "a login")
  connection.failedLogins += 1
  const expected = SessionModel.attemptsLeft(connection.failedLogins)
  const left = yield* HostileClient.giveUp(connection.met).pipe(inTime(stage, `Incorrect ${expected}`))
  if (left !== expected) return yield* differs(`Incorrect ${expected}`, `Incorrect ${left}`)
  if (left === 0) yield* expectLost(stage, client)
})

// -----------------------------------------------------------------------------
// Answers
// -----------------------------------------------------------------------------

/** Fails when nothing comes: in real time, because the test clock stands still. */
const inTime =
  ({ patience }: Stage, expected: string) =>
  <A, E extends { readonly message: string }, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, Difference, R> =>
    effect.pipe(
      Effect.mapError(({ message }) => ({ expected, found: message })),
      Effect.timeoutOrElse({ duration: patience, orElse: () => differs(expected, "nothing") }),
      TestClock.withLive
    )

/** The connection breaks without a last word. */
const expectLost = Effect.fnUntraced(function* (stage: Stage, client: Client) {
  const { connection } = client
  if (connection === undefined) return
  if (connection.session !== undefined) yield* expect(stage, connection.session, { _tag: "Lost" })
  else {
    const heard = yield* inTime(stage, "Lost")(Effect.result(connection.met.handshake.receive))
    if (heard._tag === "Success") return yield* differs("Lost", heard.success._tag)
  }
  yield* hangUp(client)
})

type Heard = Effect.Success<HostileClient.HostileSession["hear"]>

const expect = Effect.fnUntraced(function* (
  stage: Stage,
  session: HostileClient.HostileSession,
  answer: SessionModel.Answer
): Effect.fn.Return<void, Difference> {
  const expected = showAnswer(answer)
  const fails = (found: string) => differs(expected, found)
  if (answer._tag === "Lost") {
    const heard = yield* inTime(stage, expected)(Effect.result(session.hear))
    return heard._tag === "Success" ? yield* fails(showHeard(heard.success)) : undefined
  }
  const next = inTime(stage, expected)(session.hear)
  switch (answer._tag) {
    case "Ended": {
      const heard = yield* next
      return heard === undefined ? undefined : yield* fails(showHeard(heard))
    }
    case "Message": {
      const heard = yield* next
      const equal = heard?._tag === "Message" && heard.id === answer.id && sameMessage(heard.message, answer.message)
      return equal ? undefined : yield* fails(showHeard(heard))
    }
    case "Keyed": {
      const heard = yield* next
      if (heard?._tag !== "Message" || heard.id !== answer.id) return yield* fails(showHeard(heard))
      const offered = "signature" in heard.message ? heard.message.signature?.key : undefined
      if (offered !== undefined) stage.keys.set(session, offered)
      const equal = sameMessage(heard.message, answer.message(stage.keys.get(session) ?? noKey))
      return equal ? undefined : yield* fails(showHeard(heard))
    }
    case "Content":
      return yield* expectContent(answer, next, fails)
    case "Listing":
      return yield* expectListing(answer, next, fails)
  }
})

type Next = Effect.Effect<Heard, Difference>
type Fails = (found: string) => Effect.Effect<never, Difference>

const expectContent = Effect.fnUntraced(function* (
  { bytes, id }: Extract<SessionModel.Answer, { readonly _tag: "Content" }>,
  next: Next,
  fails: Fails
) {
  for (let at = 0; at < bytes.length;) {
    const heard = yield* next
    if (heard?._tag !== "Content" || heard.id !== id) return yield* fails(`${showHeard(heard)} at byte ${at}`)
    const wanted = bytes.subarray(at, at + heard.bytes.length)
    if (!Bytes.equals(heard.bytes, wanted)) return yield* fails(`other bytes from byte ${at} on`)
    at += heard.bytes.length
  }
})

const expectListing = Effect.fnUntraced(function* (
  { content, digest, entries, id }: Extract<SessionModel.Answer, { readonly _tag: "Listing" }>,
  next: Next,
  fails: Fails
) {
  const found: Array<FileEntry> = []
  const files = new Map(entries.map((entry) => [entry.name, entry]))
  let along = false
  while (true) {
    const heard = yield* next
    if (heard?._tag !== "Message" || heard.id !== id) return yield* fails(showHeard(heard))
    const { message } = heard
    const first = content && !along ? SessionModel.along(found.map(({ name }) => files.get(name))) : []
    if (first.length > 0 && message._tag !== "Page") {
      along = true
      const wanted = { _tag: "BundleSending", files: packSent(first) } as const
      if (!sameMessage(message, wanted)) return yield* fails(showHeard(heard))
      const bytes = Bytes.concat([new Uint8Array(0), ...first.map((one) => one.content), new Uint8Array(0)])
      yield* expectContent({ _tag: "Content", id, bytes }, next, fails)
    } else if (message._tag === "Page") {
      const entries = unpackEntries(message.entries)
      if (Result.isFailure(entries)) return yield* fails(showHeard(heard))
      found.push(...entries.success)
    } else if (message._tag !== "Listed") return yield* fails(showHeard(heard))
    else if (message.count !== found.length) return yield* fails(`a count of ${message.count}`)
    else break
  }
  const same = found.filter((entry) => {
    const { digest: its, modified, size } = files.get(entry.name) ?? {}
    const sameDigest = entry.digest === its || (!digest && entry.digest === undefined)
    return entry.size === size && entry.modified === modified && sameDigest
  })
  const names = new Set(same.map(({ name }) => name))
  if (names.size !== entries.length || found.length !== entries.length) {
    return yield* fails(`files ${found.map(showEntry).toSorted().join(", ")}`)
  }
})

const sameMessage = (one: Message.ServerMessage, other: Message.ServerMessage): boolean =>
  Bytes.equals(Message.Server.encode(one), Message.Server.encode(other))

// -----------------------------------------------------------------------------
// In words
// -----------------------------------------------------------------------------

const showMessage = (id: number, { _tag, ...fields }: Message.ServerMessage): string =>
  `${_tag} ${JSON.stringify(fields, (_, value: unknown) =>
    value instanceof Uint8Array ? `${value.length} bytes` : value
  )} to ${id}`

const showEntry = ({ digest, modified, name, size }: FileEntry): string =>
  `${JSON.stringify(name)} of ${size} bytes, ${modified}, ${digest?.slice(0, 8) ?? "no digest"}`

const showAnswer = (answer: SessionModel.Answer): string => {
  switch (answer._tag) {
    case "Message":
      return showMessage(answer.id, answer.message)
    case "Keyed":
      return showMessage(answer.id, answer.message(noKey))
    case "Content":
      return `${answer.bytes.length} bytes of content to ${answer.id}`
    case "Listing":
      return `files ${answer.entries.map(showEntry).toSorted().join(", ")}`
    case "Ended":
    case "Lost":
      return answer._tag
  }
}

const showHeard = (heard: Heard): string => {
  if (heard === undefined) return "Ended"
  return heard._tag === "Message"
    ? showMessage(heard.id, heard.message)
    : `${heard.bytes.length} bytes of content to ${heard.id}`
}
