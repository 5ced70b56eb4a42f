/**
 * Sessions as data: what up to three clients of one server do, step by step, and any such script by seed.
 *
 * A step says what a client means, not which bytes it sends: ids, digests and offsets follow from what happened before
 * (`SessionModel`), so that a script stays a script when steps are taken out of it. A step that has no meaning where
 * it stands does nothing. A client that is not logged in logs in first.
 */
import { Arbitrary, Schema } from "effect"
import { FileName } from "../file/FileName.ts"
import type { Milliseconds } from "../file/FileEntry.ts"
import { deltaBytesMin } from "../limits.ts"
import * as Fixture from "./Fixture.ts"

/** Names that are the same name by case or normalisation, that need a folder, and that exclude each other. */
export const names: ReadonlyArray<FileName> = ["a", "b/c", "A", "b", "B/d", "b/c/e", "\u00e9", "e\u0301"].map((name) =>
  FileName.make(name)
)

/** What a script's clients have: the smallest first, and some that are large enough for a delta. */
export const contents: ReadonlyArray<{ readonly content: Uint8Array; readonly modified: Milliseconds }> = [
  0,
  1,
  300,
  deltaBytesMin,
  deltaBytesMin,
  3 * deltaBytesMin + 1
].map((length, seed) => ({ content: Fixture.bytes(seed, length), modified: seed * 1_000_000_123 }))

/** How many clients a script has. */
export const clientsMax = 3

/** Steps that one client is given one after the other, at most, when a script is generated. */
export const turnStepsMax = 5

// Steps that are about one file meet; the other names are for what happens between names.
const name = Schema.Union([
  Schema.Literals([0]),
  Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: names.length - 1 }))
])
const file = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: contents.length - 1 }))

/** Which digest the file must have: the one that it has, any, or one that it has not. */
const expect = Schema.Literals(["now", "any", "other"])

/** What a client does. `name` and `file` are positions in `names` and `contents`. */
export const Action = Schema.TaggedUnion({
  /** A login that must fail; on a connection of its own, or on one where it failed before. */
  WrongPassword: { user: Schema.Literals(["known", "unknown"]) },
  Fetch: { digest: Schema.Boolean, content: Schema.Boolean },
  Describe: { name },
  Download: { name, delta: Schema.Boolean },
  /** The request alone: content and commit are steps of their own. */
  Upload: { name, file },
  Para: { name, file, expect },
  Remove: { name, expect },
  Rename: { name, to: name, replace: Schema.Boolean, expect },
  /** An upload, its content and its commit, all sent at once. */
  Put: { name, file },
  /** Some of the same, and a request behind them, all sent at once. */
  Pipeline: { names: Schema.Array(name).check(Schema.isMaxLength(3)), file, behind: Schema.Literals(["list", "get"]) },
  /** Several files in one request: all at once, the request alone, or all at once with a wrong digest for the last. */
  PutBundle: {
    names: Schema.Array(name).check(Schema.isMaxLength(3)),
    file,
    said: Schema.Literals(["all", "request", "wrong"])
  },
  GetBundle: { names: Schema.Array(name).check(Schema.isMaxLength(3)) },
  /** A para, its content and its commit, each when its turn has come. */
  Update: { name, file },
  Content: { amount: Schema.Literals(["rest", "some", "too-much"]) },
  /** The server's own file for a part of the new one, as far as it fits. */
  Copies: {},
  NeedChunks: {},
  NeedBlocks: {},
  Want: { ranges: Schema.Literals(["all", "ends"]) },
  Commit: { of: Schema.Literals(["what-was-sent", "what-was-declared", "something-else"]) },
  /** Of the request so many before the last. */
  Cancel: { back: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2 })) },
  Ping: {},
  Bye: {},
  /** The end record: nothing more comes from this client. */
  End: {},
  /** Closes the socket, without a word. */
  Disconnect: {},
  /** An hour in which nobody does anything. */
  Idle: {},
  /** What no state allows: the session ends. */
  Illegal: {
    what: Schema.Literals([
      "no-hello",
      "second-hello",
      "old-id",
      "bye-with-id",
      "content-unasked",
      "commit-unasked",
      "want-unasked",
      "no-frame",
      "no-cbor",
      "no-name",
      "no-record"
    ])
  }
})
export type Action = typeof Action.Type

/** One client does one thing. */
export const Step = Schema.Struct({
  client: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: clientsMax - 1 })),
  action: Action
})
export type Step = typeof Step.Type

/** What several clients do, one step after the other. */
export type Script = ReadonlyArray<Step>

const {
  Cancel,
  Commit,
  Content,
  Copies,
  Describe,
  Download,
  Fetch,
  GetBundle,
  NeedBlocks,
  NeedChunks,
  Para,
  Pipeline,
  Put,
  PutBundle,
  Remove,
  Rename,
  Update,
  Upload,
  Want
} = Action.cases

const whole = Schema.Union([
  Put,
  Put,
  Put,
  Put,
  PutBundle,
  GetBundle,
  Update,
  Pipeline,
  Remove,
  Rename,
  Rename,
  Download,
  Describe,
  Fetch
])
const begin = Schema.Union([Upload, Para, PutBundle, Download])
const goOn = Schema.Union([Content, Content, Commit, Commit, Copies, NeedChunks, NeedBlocks, Want, Cancel])

// Most turns move files, whole or part by part: single actions at random would mostly break off or do nothing.
const Turn = Schema.Struct({
  client: Schema.Union([Schema.Literals([0]), Step.fields.client]),
  actions: Schema.Union([
    Schema.Tuple([whole]),
    Schema.TupleWithRest(Schema.Tuple([begin]), [goOn]).check(Schema.isMaxLength(turnStepsMax)),
    Schema.Array(goOn).check(Schema.isMaxLength(turnStepsMax)),
    Schema.Tuple([Action])
  ])
})
type Turns = ReadonlyArray<typeof Turn.Type>

const stepsOf = (turns: Turns): Script =>
  turns.flatMap(({ actions, client }) => actions.map((action) => ({ client, action })))

const turnsOf = (script: Script): Turns => script.map(({ action, client }) => ({ client, actions: [action] }))

/** Any script, for `Arbitrary.checkEffect`: shrinks by taking steps out and making what is left simpler. */
export const arbitrary: Arbitrary.Arbitrary<Script> = Arbitrary.map(
  Arbitrary.schema(Schema.Array(Turn), {
    shrink: (turns) => {
      const script = stepsOf(turns)
      // First step by step, so that any step can go.
      const smaller = script.length === turns.length ? [...shorter(script), ...simpler(script)] : [script]
      return smaller.map(turnsOf)
    }
  }),
  stepsOf
)

/** Without the second half, without the first, without each quarter, and so on to each single step. */
function* shorter(script: Script): IterableIterator<Script> {
  for (let length = Math.ceil(script.length / 2); length >= 1; length = length === 1 ? 0 : Math.ceil(length / 2)) {
    for (let start = script.length - length; start > -length; start -= length) {
      yield script.filter((_, index) => index < start || index >= start + length)
    }
  }
}

/** The same steps, but fewer clients, or one step of the first name, with a smaller content, or of fewer files. */
function* simpler(script: Script): IterableIterator<Script> {
  for (let from = clientsMax - 1; from > 0; from--) {
    const into = (to: number) => script.map((step) => (step.client === from ? { ...step, client: to } : step))
    if (script.some(({ client }) => client === from)) for (let to = 0; to < from; to++) yield into(to)
  }
  for (const [index, { action, client }] of script.entries()) {
    const as = (action: Action) => script.with(index, { client, action })
    if ("name" in action && action.name > 0) yield as({ ...action, name: 0 })
    if ("expect" in action && action.expect !== "any") yield as({ ...action, expect: "any" })
    if (action._tag === "Pipeline") {
      const [first] = action.names
      if (first !== undefined) yield as({ _tag: "Put", name: first, file: action.file })
      if (first !== undefined) yield as({ ...action, names: action.names.slice(1) })
    }
    if (action._tag === "PutBundle" || action._tag === "GetBundle") {
      const [first] = action.names
      if (first !== undefined && action._tag === "PutBundle") yield as({ _tag: "Put", name: first, file: action.file })
      if (first !== undefined) yield as({ ...action, names: action.names.slice(1) })
    }
    if ("file" in action) for (let file = 0; file < action.file; file++) yield as({ ...action, file })
  }
}

/** A step in words: `client 0: Put {"name":"a","file":1}`. */
export const show = ({ action: { _tag, ...rest }, client }: Step): string => {
  const named = "name" in rest ? { ...rest, name: names[rest.name] } : rest
  const fields = "to" in rest ? { ...named, to: names[rest.to] } : named
  return `client ${client}: ${_tag} ${JSON.stringify(fields)}`
}
