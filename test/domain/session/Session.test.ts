import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect } from "effect"
import { FileName, segmentKey } from "../../../src/domain/file/FileName.ts"
import {
  blocksAskedBytesMax,
  bundlesInFlightMax,
  loginAttemptsMax,
  requestsInFlightMax
} from "../../../src/domain/limits.ts"
import { lacking, type Rights, rights } from "../../../src/domain/session/Grant.ts"
import * as Session from "../../../src/domain/session/Session.ts"
import {
  type Base,
  type LoginPhase,
  type Session as State,
  type SessionInput,
  type SessionOutput,
  storeOutputs
} from "../../../src/domain/session/SessionState.ts"
import { RequestId } from "../../../src/domain/wire/Frame.ts"
import { packRanges } from "../../../src/domain/file/Packed.ts"
import { packFiles, packNames } from "../../../src/domain/file/PackedFiles.ts"
import { ClientMessage } from "../../../src/domain/wire/Message.ts"
import { aDigest, aUser, input, ready, state } from "./arbitraries.ts"
import { play, script } from "./ModelDriver.ts"

const name = FileName.make("a")
const aBundle = packFiles([{ name, size: 1, modified: 0, digest: aDigest }])
const oneByte = packRanges([{ offset: 0, length: 1 }])
const ke1 = new Uint8Array(96)
const say = (id: number, message: ClientMessage): SessionInput => ({
  _tag: "Message",
  id: RequestId.make(id),
  message
})
const content = (id: number, bytes: number): SessionInput => ({ _tag: "Content", id: RequestId.make(id), bytes })
const upload = (size: number): ClientMessage => ({ _tag: "Upload", name, size, modified: 0 })
const download: ClientMessage = { _tag: "Download", name }
const para = (size: number): ClientMessage => ({ _tag: "Para", name, size, modified: 0 })
const commit = (size: number): ClientMessage => ({ _tag: "Commit", size, digest: aDigest })
const staged = (id: number, resumed = 0): SessionInput => ({
  _tag: "Staged",
  id: RequestId.make(id),
  resumed,
  base: undefined
})
const refused = (id: number): SessionInput => ({
  _tag: "Refused",
  id: RequestId.make(id),
  refusal: { reason: "no-space" }
})
const committed = (id: number, size: number): SessionInput => ({
  _tag: "Committed",
  id: RequestId.make(id),
  size,
  digest: aDigest
})

/** All outputs of inputs in a row, and where they lead. */
const run = (from: State, inputs: ReadonlyArray<SessionInput>): Session.Step =>
  inputs.reduce<Session.Step>(
    (before, next) => {
      const step = Session.step(before.state, next)
      return { state: step.state, outputs: [...before.outputs, ...step.outputs] }
    },
    { state: from, outputs: [] }
  )

const tags = (outputs: ReadonlyArray<SessionOutput>): ReadonlyArray<string> =>
  outputs.map((output) => (output._tag === "Send" ? `${output.id} ${output.message._tag}` : output._tag))

const withResult = new Set<string>([
  "AnswerLogin",
  "VerifyLogin",
  "Stage",
  "Write",
  "Copy",
  "SendBlocks",
  "Commit",
  "Open",
  "PlaceBundle",
  "Remove",
  "Rename"
])

/** The property holds for every pair that is generated; a failure shows the smallest and how to replay it. */
const holds = <A>(arbitrary: Arbitrary.Arbitrary<A>, property: (value: A) => boolean, runs: number) =>
  Effect.gen(function* () {
    const result = yield* Arbitrary.checkEffect(arbitrary, (value) => Effect.sync(() => property(value)), { runs })
    assert.strictEqual(Arbitrary.formatCheckFailure(result), undefined)
  })

const anyStep = Arbitrary.all([state, input])
const anyWalk = Arbitrary.array(input, { maxLength: 40 })

describe("any state, any input", () => {
  it.effect("gives a state and outputs that a driver can follow", () =>
    holds(
      anyStep,
      ([before, next]) => {
        const { outputs, state } = Session.step(before, next)
        const closes = outputs.filter(({ _tag }) => _tag === "Close").length
        return (
          outputs.slice(0, -1).every(({ _tag }) => !withResult.has(_tag)) &&
          closes === (state._tag === "Closed" && before._tag !== "Closed" ? 1 : 0) &&
          (closes === 0 || outputs.at(-1)?._tag === "Close")
        )
      },
      20_000
    )
  )

  it.effect("leaves a closed session as it is and asks for nothing", () =>
    holds(
      anyStep,
      ([before, next]) => {
        if (before._tag !== "Closed") return true
        const step = Session.step(before, next)
        return step.state === before && step.outputs.length === 0
      },
      4_000
    )
  )

  it.effect("takes a request only with an id above all earlier ones", () =>
    holds(
      anyStep,
      ([before, next]) => {
        if (before._tag !== "Ready" && before._tag !== "Transferring") return true
        const { state } = Session.step(before, next)
        if (state._tag !== "Ready" && state._tag !== "Transferring") return true
        const began =
          next._tag === "Message" &&
          [
            "Fetch",
            "Describe",
            "Upload",
            "UploadBundle",
            "Download",
            "DownloadBundle",
            "Para",
            "Remove",
            "Rename",
            "PasswordStart"
          ].includes(next.message._tag)
        return began ? state.lastId === next.id && next.id > before.lastId : state.lastId === before.lastId
      },
      20_000
    )
  )

  it.effect("never touches the store before Ready, whatever comes in whatever order", () =>
    holds(
      anyWalk,
      (walk) => {
        let at: State = Session.initial
        for (const next of walk) {
          const step = Session.step(at, next)
          if (at._tag === "Unauthenticated" && step.outputs.some(({ _tag }) => storeOutputs.has(_tag))) return false
          at = step.state
        }
        return true
      },
      4_000
    )
  )

  it.effect("asks the store for nothing that the account has no right to", () =>
    holds(
      Arbitrary.all([state, anyWalk]),
      ([from, walk]) => {
        let at = from
        for (const next of walk) {
          const step = Session.step(at, next)
          const held = "rights" in step.state ? step.state.rights : "rights" in at ? at.rights : []
          if (!step.outputs.every((output) => isPermitted(held, output))) return false
          at = step.state
        }
        return true
      },
      8_000
    )
  )

  it.effect("refuses with the right that is missing, once, and goes on", () =>
    holds(
      Arbitrary.all([state, input]),
      ([before, next]) => {
        if (before._tag !== "Ready" || before.saidBye || before.draining || next._tag !== "Message") return true
        const { id, message } = next
        if (!isCommand(message) || id <= before.lastId) return true
        const missing = lacking(before.rights, message)
        const { outputs, state: after } = Session.step(before, next)
        const refused = { _tag: "Refused", reason: "not-permitted", detail: missing }
        const said = JSON.stringify(outputs) === JSON.stringify([{ _tag: "Send", id, message: refused }])
        return missing === undefined ? !said : said && after._tag === "Ready"
      },
      20_000
    )
  )

  it.effect("ends when the account is revoked, and lets go of what it holds", () =>
    holds(
      state,
      (before) => {
        if (before._tag !== "Ready" && before._tag !== "Transferring") return true
        const { outputs, state: after } = Session.step(before, { _tag: "Revoked" })
        const tags = outputs.map(({ _tag }) => _tag).join()
        const expected = before._tag === "Ready" ? "Close" : "Discard,Close"
        return after._tag === "Closed" && after.reason === "revoked" && tags === expected
      },
      4_000
    )
  )

  it.effect("writes no more than was declared", () =>
    holds(
      Arbitrary.all([state, anyWalk]),
      ([from, walk]) => {
        let at = from
        for (const next of walk) {
          const before = at
          const step = Session.step(before, next)
          at = step.state
          if (!step.outputs.some(({ _tag }) => _tag === "Write")) continue
          if (before._tag !== "Transferring" || before.transfer._tag !== "Receiving" || next._tag !== "Content") {
            return false
          }
          if (before.transfer.received + next.bytes > before.transfer.declared) return false
        }
        return true
      },
      4_000
    )
  )
})

const isCommand = ClientMessage.isAnyOf(["Fetch", "Describe", "Upload", "Download", "Para", "PasswordStart"])

const mayWrite = (held: Rights, target: "absent" | "present" | undefined): boolean => {
  if (target === "absent") return held.includes("write")
  if (target === "present") return held.includes("replace")
  return held.includes("write") && held.includes("replace")
}

/** Whether an output that begins work on the store is one that those rights allow. */
const isPermitted = (held: Rights, output: SessionOutput): boolean => {
  switch (output._tag) {
    case "List":
      return held.includes("list") && (!output.digest || held.includes("read"))
    case "Describe":
    case "Open":
    case "SendBundle":
      return held.includes("read")
    case "Gather":
      return mayWrite(held, output.target)
    case "Stage": {
      if (output.command === "Para") return held.includes("read") && held.includes("replace")
      return mayWrite(held, output.target)
    }
    default:
      return true
  }
}

// Every message, every login phase: written out, because this is what must never be wrong.
const everyMessage: { readonly [Tag in ClientMessage["_tag"]]: Extract<ClientMessage, { readonly _tag: Tag }> } = {
  Hello: { _tag: "Hello", client: "x" },
  Fetch: { _tag: "Fetch" },
  Describe: { _tag: "Describe", name },
  NeedChunks: { _tag: "NeedChunks", first: 0, count: 1 },
  NeedBlocks: { _tag: "NeedBlocks", ranges: oneByte },
  Copies: { _tag: "Copies", ranges: oneByte },
  Want: { _tag: "Want", ranges: oneByte },
  Upload: { _tag: "Upload", name, size: 1, modified: 0 },
  UploadBundle: { _tag: "UploadBundle", files: aBundle },
  Download: { _tag: "Download", name },
  DownloadBundle: { _tag: "DownloadBundle", names: packNames([name]) },
  Para: { _tag: "Para", name, size: 1, modified: 0 },
  Remove: { _tag: "Remove", name },
  Rename: { _tag: "Rename", name, to: name },
  Commit: { _tag: "Commit", size: 0, digest: aDigest },
  PasswordStart: { _tag: "PasswordStart", ke1: new Uint8Array(96), request: new Uint8Array(32) },
  PasswordFinish: { _tag: "PasswordFinish", ke3: new Uint8Array(64), record: new Uint8Array(192) },
  Cancel: { _tag: "Cancel" },
  Ping: { _tag: "Ping" },
  Bye: { _tag: "Bye" }
}
const everyPhase: { readonly [Tag in LoginPhase["_tag"]]: Extract<LoginPhase, { readonly _tag: Tag }> } = {
  AwaitingStart: { _tag: "AwaitingStart" },
  Answering: { _tag: "Answering", user: aUser },
  AwaitingFinish: { _tag: "AwaitingFinish", user: aUser },
  Verifying: { _tag: "Verifying", user: aUser },
  AwaitingHello: { _tag: "AwaitingHello", user: aUser, rights }
}

describe("before Ready", () => {
  for (const phase of Object.values(everyPhase)) {
    const from: State = { _tag: "Unauthenticated", attempts: 1, phase }

    for (const message of Object.values(everyMessage)) {
      for (const id of [0, 1]) {
        const legal = phase._tag === "AwaitingHello" && message._tag === "Hello" && id === 0
        it(`${phase._tag}: ${message._tag} for ${id} ${legal ? "admits" : "ends the session"}`, () => {
          const step = Session.step(from, say(id, message))
          assert.deepStrictEqual(tags(step.outputs), legal ? ["Admit", "0 Correct"] : ["Close"])
          assert.strictEqual(step.state._tag, legal ? "Ready" : "Closed")
        })
      }
    }

    it(`${phase._tag}: content ends the session`, () => {
      assert.deepStrictEqual(Session.step(from, content(1, 5)), {
        state: { _tag: "Closed", reason: "protocol-violation" },
        outputs: [{ _tag: "Close", reason: "protocol-violation" }]
      })
    })

    const legalHandshake = { AwaitingStart: ["LoginStart"], AwaitingFinish: ["LoginFinish", "GiveUp"] }
    const handshakes: ReadonlyArray<Extract<SessionInput, { readonly _tag: "Handshake" }>["message"]> = [
      { _tag: "LoginStart", user: aUser, ke1 },
      { _tag: "LoginFinish", ke3: new Uint8Array(64) },
      { _tag: "GiveUp" }
    ]
    for (const message of handshakes) {
      const legal = new Map<string, ReadonlyArray<string>>(Object.entries(legalHandshake)).get(phase._tag)
      const goesOn = legal?.includes(message._tag) ?? false
      it(`${phase._tag}: ${message._tag} ${goesOn ? "goes on" : "ends the session"}`, () => {
        const step = Session.step(from, { _tag: "Handshake", message })
        assert.strictEqual(step.state._tag, goesOn ? "Unauthenticated" : "Closed")
        assert.isFalse(step.outputs.some(({ _tag }) => storeOutputs.has(_tag)))
      })
    }
  }

  it("takes three attempts and no fourth", () => {
    const attempt: ReadonlyArray<SessionInput> = [
      { _tag: "Handshake", message: { _tag: "LoginStart", user: aUser, ke1 } },
      { _tag: "LoginAnswered", ke2: new Uint8Array(320), stretching: 1 },
      { _tag: "Handshake", message: { _tag: "GiveUp" } }
    ]
    const { outputs, state } = run(Session.initial, [...attempt, ...attempt, ...attempt, ...attempt])
    assert.deepStrictEqual(state, { _tag: "Closed", reason: "incorrect" })
    const left = outputs.flatMap((output) =>
      output._tag === "SendHandshake" && output.message._tag === "Incorrect" ? [output.message.attemptsLeft] : []
    )
    assert.deepStrictEqual(left, [2, 1, 0])
    assert.strictEqual(outputs.filter(({ _tag }) => _tag === "AnswerLogin").length, loginAttemptsMax)
  })

  it.effect("asks for at most three answers and three verifications on any walk", () =>
    holds(
      anyWalk,
      (walk) => {
        const { outputs } = run(Session.initial, walk)
        const count = (tag: string) => outputs.filter(({ _tag }) => _tag === tag).length
        return count("AnswerLogin") <= loginAttemptsMax && count("VerifyLogin") <= loginAttemptsMax
      },
      4_000
    )
  )
})

describe("the queue", () => {
  const fetches = (count: number): ReadonlyArray<SessionInput> =>
    Array.from({ length: count }, (_, index) => say(index + 1, { _tag: "Fetch" }))

  it("holds so many commands behind the active one", () => {
    const { state } = run(ready, fetches(1 + requestsInFlightMax))
    assert.strictEqual(state._tag === "Transferring" ? state.queue.length : 0, requestsInFlightMax)
  })

  it("ends the session of who sends more", () => {
    const { state } = run(ready, fetches(2 + requestsInFlightMax))
    assert.deepStrictEqual(state, { _tag: "Closed", reason: "protocol-violation" })
  })

  it("holds few listings that are narrowed by names: each may have many", () => {
    const alike: ClientMessage = { _tag: "Fetch", alike: [name] }
    const waiting = Array.from({ length: bundlesInFlightMax }, (_, index) => say(index + 2, alike))
    const { state } = run(ready, [say(1, alike), ...waiting])
    assert.strictEqual(state._tag === "Transferring" ? state.queue.length : 0, bundlesInFlightMax)
    const bundle: ClientMessage = { _tag: "DownloadBundle", names: packNames([name]) }
    for (const [next, expected] of [
      [alike, "Closed"],
      [bundle, "Closed"],
      [{ _tag: "Fetch" }, "Transferring"]
    ] as const) {
      assert.strictEqual(run(state, [say(bundlesInFlightMax + 2, next)]).state._tag, expected)
    }
    // With the turn of the first there is room again.
    const listed: SessionInput = { _tag: "Listed", id: RequestId.make(1), count: 0 }
    assert.strictEqual(run(state, [listed, say(bundlesInFlightMax + 2, alike)]).state._tag, "Transferring")
  })

  it("refuses an id twice, and one below", () => {
    for (const second of [7, 6, 0]) {
      const { state } = run(ready, [say(7, { _tag: "Fetch" }), say(second, { _tag: "Fetch" })])
      assert.deepStrictEqual(state, { _tag: "Closed", reason: "protocol-violation" })
    }
  })
})

describe("uploads", () => {
  it("writes, commits and answers", () => {
    const { outputs, state } = run(ready, [
      say(1, upload(5)),
      staged(1),
      content(1, 2),
      content(1, 3),
      say(1, commit(5)),
      committed(1, 5)
    ])
    assert.deepStrictEqual(tags(outputs), ["Stage", "1 Proceed", "Write", "Write", "Commit", "1 Uploaded"])
    assert.deepStrictEqual(state, { ...ready, lastId: RequestId.make(1) })
  })

  it("sends what is behind the place where a download goes on, and no empty range behind the last byte", () => {
    const id = RequestId.make(1)
    for (const [from, ranges] of [
      [3, [{ offset: 3, length: 2 }]],
      [5, []]
    ] as const) {
      const opened: SessionInput = { _tag: "Opened", id, size: 5, modified: 0, from }
      const { outputs } = run(ready, [say(1, download), opened])
      assert.deepStrictEqual(outputs[2], { _tag: "SendContent", id, ranges })
    }
  })

  it("lists with content what is named, or everything", () => {
    for (const [alike, content] of [
      [[name], [name]],
      [undefined, []]
    ] as const) {
      const { outputs } = run(ready, [say(1, { _tag: "Fetch", content: true, ...(alike && { alike }) })])
      assert.deepStrictEqual(
        outputs.map((output) => output._tag === "List" && output.content),
        [content]
      )
    }
  })

  it("narrows a listing by the keys of outermost parts", () => {
    const names = ["Docs/a", "dOCS", "ß/x"].map((name) => FileName.make(name))
    const { outputs } = run(ready, [say(1, { _tag: "Fetch", alike: names })])
    const keys = new Set(["docs", segmentKey("ß")])
    assert.deepStrictEqual(outputs, [{ _tag: "List", id: RequestId.make(1), digest: false, alike: keys }])
  })

  it("throws away the rest of one that was refused, by its id alone", () => {
    const { outputs, state } = run(ready, [
      say(1, upload(5)),
      staged(1),
      content(1, 2),
      refused(1),
      content(1, 2),
      say(2, { _tag: "Fetch" }),
      content(1, 1),
      say(1, commit(5)),
      { _tag: "Listed", id: RequestId.make(2), count: 0 }
    ])
    assert.deepStrictEqual(tags(outputs), ["Stage", "1 Proceed", "Write", "Discard", "1 Refused", "List", "2 Listed"])
    assert.deepStrictEqual(state, { ...ready, lastId: RequestId.make(2) })
  })

  it("throws away what was sent at once with one that is refused when it is staged", () => {
    const { outputs, state } = run(ready, [say(1, upload(5)), refused(1), content(1, 5), say(1, commit(5))])
    assert.deepStrictEqual(tags(outputs), ["Stage", "1 Refused"])
    assert.deepStrictEqual(state, { ...ready, lastId: RequestId.make(1) })
  })

  it("throws away what was sent with several that were refused one after another, each by its own id", () => {
    // When the listing ends the client may send the content of the first at once: it has not heard of the refusals.
    const both = run(ready, [
      say(1, { _tag: "Fetch" }),
      say(2, upload(5)),
      say(3, upload(5)),
      { _tag: "Listed", id: RequestId.make(1), count: 0 },
      refused(2),
      refused(3)
    ])
    assert.deepStrictEqual(tags(both.outputs), ["List", "1 Listed", "Stage", "2 Refused", "Stage", "3 Refused"])
    const over = { state: { ...ready, lastId: RequestId.make(3) }, outputs: [] }
    for (const end of [commit(5), { _tag: "Cancel" }] as const) {
      const body = (id: number) => [content(id, 3), content(id, 2), say(id, end)]
      assert.deepStrictEqual(run(both.state, [...body(2), ...body(3)]), over)
      assert.deepStrictEqual(run(both.state, [...body(3), ...body(2)]), over)
      // The body of one that is over has no second end.
      assert.strictEqual(run(both.state, [...body(2), content(2, 1)]).state._tag, "Closed")
    }
  })

  it("remembers so many that were refused, and of more the newest", () => {
    const no: State = { ...ready, rights: [] }
    const asked = Array.from({ length: requestsInFlightMax + 1 }, (_, index) => say(index + 1, upload(1)))
    const { state } = run(no, asked)
    assert.strictEqual("discarding" in state ? state.discarding?.size : 0, requestsInFlightMax)
    assert.strictEqual(run(state, [content(2, 1), content(requestsInFlightMax + 1, 1)]).state._tag, "Ready")
    assert.strictEqual(run(state, [content(1, 1)]).state._tag, "Closed")
  })

  it("ends the session over content that belongs to nothing", () => {
    for (const inputs of [
      [content(1, 1)],
      [say(1, upload(5)), refused(1), content(2, 5)],
      [say(1, upload(5)), refused(1), say(1, commit(5)), content(1, 5)],
      [say(1, para(5)), refused(1), content(1, 5)],
      [say(1, download), content(1, 1)],
      [say(1, upload(1)), staged(1), say(2, upload(1)), content(2, 1)]
    ]) {
      assert.deepStrictEqual(run(ready, inputs).state, { _tag: "Closed", reason: "protocol-violation" })
    }
  })

  it("refuses the byte beyond the declared size before it is written", () => {
    const { outputs } = run(ready, [say(1, upload(5)), staged(1), content(1, 5), content(1, 1), content(1, 9)])
    assert.deepStrictEqual(tags(outputs), ["Stage", "1 Proceed", "Write", "Discard", "1 Refused"])
  })

  it("refuses a commit of another size than was sent or declared", () => {
    for (const [sent, said] of [
      [4, 5],
      [5, 4],
      [4, 4]
    ] as const) {
      const { outputs } = run(ready, [say(1, upload(5)), staged(1), content(1, sent), say(1, commit(said))])
      assert.deepStrictEqual(tags(outputs), ["Stage", "1 Proceed", "Write", "Discard", "1 Refused"])
    }
  })
})

describe("para", () => {
  const stagedOver: SessionInput = { _tag: "Staged", id: RequestId.make(1), resumed: 0, base: { size: 9, modified: 3 } }
  const missing: SessionInput = { _tag: "Refused", id: RequestId.make(1), refusal: { reason: "no-such-file" } }

  it("says which of the two it is, and what came of it", () => {
    const here = run(ready, [say(1, para(1)), stagedOver, content(1, 1), say(1, commit(1)), committed(1, 1)])
    assert.deepStrictEqual(tags(here.outputs), [
      "Stage",
      "1 SameFileHere",
      "Write",
      "Commit",
      "1 SuccessfullyParallelized"
    ])
    const notHere = run(ready, [say(1, para(1)), missing])
    assert.deepStrictEqual(tags(notHere.outputs), ["Stage", "1 SameFileNotHere"])
    assert.deepStrictEqual(notHere.state, { ...ready, lastId: RequestId.make(1) })
  })
})

describe("para of a file that is the same already", () => {
  const over = (base: Base): SessionInput => ({ _tag: "Staged", id: RequestId.make(1), resumed: 0, base })
  const same = over({ size: 5, modified: 3, digest: aDigest })

  it("writes nothing where the digest is the one that the server has told, and drops what was left", () => {
    const { outputs, state } = run(ready, [say(1, para(5)), same, say(1, commit(5))])
    assert.deepStrictEqual(tags(outputs), ["Stage", "1 SameFileHere", "Discard", "1 SuccessfullyParallelized"])
    assert.deepStrictEqual(outputs[2], { _tag: "Discard", id: RequestId.make(1), drop: true })
    assert.deepStrictEqual(state, { ...ready, lastId: RequestId.make(1) })
  })

  it("is written where content came for it, and refused where some of it did or its size is another", () => {
    const rest = (...inputs: ReadonlyArray<SessionInput>) => tags(run(ready, inputs).outputs).slice(2)
    assert.deepStrictEqual(rest(say(1, para(5)), same, content(1, 5), say(1, commit(5))), ["Write", "Commit"])
    const refusal = ["Discard", "1 Refused"]
    assert.deepStrictEqual(rest(say(1, para(5)), same, content(1, 4), say(1, commit(5))), ["Write", ...refusal])
    assert.deepStrictEqual(rest(say(1, para(9)), same, say(1, commit(5))), refusal)
    const unknown = over({ size: 5, modified: 3 })
    assert.deepStrictEqual(rest(say(1, para(5)), unknown, say(1, commit(5))), refusal)
  })

  it("is asked about in so many bytes at once, and no more", () => {
    const size = blocksAskedBytesMax + 1
    const asked = (length: number) =>
      run(ready, [
        say(1, para(5)),
        over({ size, modified: 3 }),
        say(1, { _tag: "NeedBlocks", ranges: packRanges([{ offset: 0, length }]) })
      ])
    assert.deepStrictEqual(tags(asked(blocksAskedBytesMax).outputs), ["Stage", "1 SameFileHere", "SendBlocks"])
    assert.deepStrictEqual(asked(size).state, { _tag: "Closed", reason: "protocol-violation" })
  })
})

describe("cancel", () => {
  it("takes a command that waits out of the queue, at once", () => {
    const { outputs } = run(ready, [
      say(1, { _tag: "Fetch" }),
      say(2, download),
      say(3, download),
      say(2, { _tag: "Cancel" }),
      { _tag: "Listed", id: RequestId.make(1), count: 0 }
    ])
    assert.deepStrictEqual(tags(outputs), ["List", "2 Refused", "1 Listed", "Open"])
  })

  it("stops what is being sent; its end is the answer, whichever comes first", () => {
    const opened: SessionInput = { _tag: "Opened", id: RequestId.make(1), size: 3, modified: 0, from: 0 }
    const before = [say(1, download), opened, say(1, { _tag: "Cancel" })]
    const stopped: SessionInput = { _tag: "Refused", id: RequestId.make(1), refusal: { reason: "cancelled" } }
    const delivered: SessionInput = { _tag: "Delivered", id: RequestId.make(1), size: 3, digest: aDigest }
    const common = ["Open", "1 Sending", "SendContent", "StopSending"]
    assert.deepStrictEqual(tags(run(ready, [...before, stopped]).outputs), [...common, "1 Refused"])
    assert.deepStrictEqual(tags(run(ready, [...before, delivered]).outputs), [...common, "1 Sent"])
  })

  it("discards what is being received, and expects no more of it", () => {
    const inputs = [say(1, upload(5)), staged(1), content(1, 1), say(1, { _tag: "Cancel" })]
    assert.deepStrictEqual(tags(run(ready, inputs).outputs), ["Stage", "1 Proceed", "Write", "Discard", "1 Refused"])
    assert.strictEqual(run(ready, [...inputs, content(1, 1)]).state._tag, "Closed")
  })

  it("is the last that comes for an upload, also when the store refuses it after that", () => {
    const inputs = [say(1, upload(5)), say(1, { _tag: "Cancel" }), refused(1)] as const
    assert.deepStrictEqual(run(ready, inputs).state, { ...ready, lastId: RequestId.make(1) })
  })

  it("ends the body of one that was refused, also while another request is served", () => {
    const inputs = [say(1, upload(5)), refused(1), say(2, { _tag: "Fetch" }), say(1, { _tag: "Cancel" })]
    assert.strictEqual(run(ready, inputs).state._tag, "Transferring")
    assert.strictEqual(run(ready, [...inputs, content(1, 1)]).state._tag, "Closed")
  })

  it("keeps nothing of what is being received when it is told to drop it", () => {
    const inputs = [say(1, upload(5)), staged(1), content(1, 1)]
    const before = run(ready, inputs).state
    for (const drop of [true, undefined] as const) {
      const { outputs } = Session.step(before, say(1, { _tag: "Cancel", ...(drop && { drop }) }))
      assert.deepStrictEqual(outputs[0], { _tag: "Discard", id: RequestId.make(1), ...(drop && { drop }) })
    }
  })

  it("of something that has ended, or never was, changes nothing", () => {
    for (const id of [0, 1, 9]) {
      assert.deepStrictEqual(Session.step(ready, say(id, { _tag: "Cancel" })), { state: ready, outputs: [] })
    }
  })
})

describe("a bundle", () => {
  const entry = (size: number) => ({ name, size, modified: 0, digest: aDigest })
  const bundle = (...sizes: ReadonlyArray<number>): ClientMessage => ({
    _tag: "UploadBundle",
    files: packFiles(sizes.map(entry))
  })
  const fetched = (...names: ReadonlyArray<FileName>): ClientMessage => ({
    _tag: "DownloadBundle",
    names: packNames(names)
  })
  const placed = (id: number, count: number, ...indices: ReadonlyArray<number>): SessionInput => ({
    _tag: "Placed",
    id: RequestId.make(id),
    count,
    refused: indices.map((index) => ({ index, refusal: { reason: "not-a-file" } }))
  })

  it("is placed with the last byte of its content, and each refusal is told before its end", () => {
    const begun = run(ready, [say(1, bundle(2, 0, 3)), content(1, 4)])
    assert.deepStrictEqual(tags(begun.outputs), ["Gather", "1 Proceed", "Keep"])
    const { outputs, state } = run(begun.state, [content(1, 1), placed(1, 2, 1)])
    assert.deepStrictEqual(tags(outputs), ["Keep", "PlaceBundle", "1 FileRefused", "1 BundleDone"])
    assert.strictEqual(state._tag, "Ready")
  })

  it("without content is placed at once", () => {
    assert.deepStrictEqual(tags(run(ready, [say(1, bundle(0, 0))]).outputs), ["Gather", "1 Proceed", "PlaceBundle"])
  })

  it("with more content than it declares is refused, and the rest is dropped", () => {
    const { outputs, state } = run(ready, [say(1, bundle(2)), content(1, 3), content(1, 9)])
    assert.deepStrictEqual(tags(outputs), ["Gather", "1 Proceed", "Discard", "1 Refused"])
    assert.strictEqual(state._tag, "Ready")
  })

  it("is cancelled until its last byte, and not any more then", () => {
    const cancel = say(1, { _tag: "Cancel" })
    const early = run(ready, [say(1, bundle(2)), content(1, 1), cancel])
    assert.deepStrictEqual(tags(early.outputs), ["Gather", "1 Proceed", "Keep", "Discard", "1 Refused"])
    const late = run(ready, [say(1, bundle(2)), content(1, 2), cancel, placed(1, 1)])
    assert.deepStrictEqual(tags(late.outputs), ["Gather", "1 Proceed", "Keep", "PlaceBundle", "1 BundleDone"])
  })

  it("needs the rights that its files need, and says which must be there", () => {
    const without = (...missing: ReadonlyArray<string>): State => ({
      ...ready,
      rights: rights.filter((right) => !missing.includes(right))
    })
    const target = (from: State) =>
      run(from, [say(1, bundle(1))]).outputs.map((output) => "target" in output && output.target)
    assert.deepStrictEqual(target(without("replace")), ["absent", false])
    assert.deepStrictEqual(target(without("write")), ["present", false])
    const none = run(without("write", "replace"), [say(1, bundle(1)), content(1, 1)])
    assert.deepStrictEqual([tags(none.outputs), none.state._tag], [["1 Refused"], "Ready"])
    assert.deepStrictEqual(tags(run(without("read"), [say(1, fetched(name))]).outputs), ["1 Refused"])
  })

  it("that makes no sense ends the session, also when its turn comes later", () => {
    const bad: ClientMessage = { _tag: "UploadBundle", files: new Uint8Array(3) }
    assert.strictEqual(run(ready, [say(1, bad)]).state._tag, "Closed")
    const none: ClientMessage = { _tag: "DownloadBundle", names: new Uint8Array(0) }
    const listed: SessionInput = { _tag: "Listed", id: RequestId.make(1), count: 0 }
    assert.strictEqual(run(ready, [say(1, { _tag: "Fetch" }), say(2, none), listed]).state._tag, "Closed")
  })

  it("is sent beside, stopped by a cancel, and over when all was sent", () => {
    const done: SessionInput = { _tag: "BundleSent", id: RequestId.make(1), count: 1 }
    assert.deepStrictEqual(tags(run(ready, [say(1, fetched(name)), done]).outputs), ["SendBundle", "1 BundleDone"])
    const { outputs } = run(ready, [say(1, fetched(name)), say(1, { _tag: "Cancel" }), refused(1)])
    assert.deepStrictEqual(tags(outputs), ["SendBundle", "StopSending", "1 Refused"])
  })

  it("takes no content behind the last byte: that ends the session, and takes nothing back", () => {
    const { outputs, state } = run(ready, [say(1, bundle(3)), content(1, 3), placed(1, 1), content(1, 1)])
    assert.deepStrictEqual(tags(outputs), ["Gather", "1 Proceed", "Keep", "PlaceBundle", "1 BundleDone", "Close"])
    assert.deepStrictEqual(state, { _tag: "Closed", reason: "protocol-violation" })
  })

  it("few of them may wait", () => {
    const waiting = Array.from({ length: bundlesInFlightMax }, (_, index) => say(index + 2, fetched(name)))
    const full = run(ready, [say(1, { _tag: "Fetch" }), ...waiting])
    assert.strictEqual(full.state._tag, "Transferring")
    assert.strictEqual(run(full.state, [say(bundlesInFlightMax + 2, fetched(name))]).state._tag, "Closed")
    assert.strictEqual(run(full.state, [say(bundlesInFlightMax + 2, download)]).state._tag, "Transferring")
  })

  it("whose client has ended is discarded", () => {
    const { outputs, state } = run(ready, [say(1, bundle(5)), content(1, 1), { _tag: "PeerEnded" }])
    assert.deepStrictEqual(tags(outputs), ["Gather", "1 Proceed", "Keep", "Discard", "Close"])
    assert.deepStrictEqual(state, { _tag: "Closed", reason: "ended-early" })
  })
})

describe("the end", () => {
  const drain: SessionInput = { _tag: "Drain" }
  const ended: SessionInput = { _tag: "PeerEnded" }
  const bye = say(0, { _tag: "Bye" })
  const listed: SessionInput = { _tag: "Listed", id: RequestId.make(1), count: 0 }

  it("closes at once when nothing is under way", () => {
    for (const [input, reason] of [
      [drain, "draining"],
      [ended, "bye"],
      [bye, "bye"]
    ] as const) {
      assert.deepStrictEqual(Session.step(ready, input).state, { _tag: "Closed", reason })
    }
  })

  it("is no Bye of a request's id, and ends the session", () => {
    for (const inputs of [[], [say(1, { _tag: "Fetch" })]]) {
      const { state } = run(ready, [...inputs, say(2, { _tag: "Bye" })])
      assert.deepStrictEqual(state, { _tag: "Closed", reason: "protocol-violation" })
    }
  })

  it("waits for no proof of a client that has ended before it", () => {
    const id = RequestId.make(1)
    const answered: SessionInput = {
      _tag: "PasswordAnswered",
      id,
      ke2: ke1,
      response: ke1,
      stretching: 1
    }
    const { outputs, state } = run(ready, [say(1, everyMessage.PasswordStart), answered, ended])
    assert.deepStrictEqual(tags(outputs), ["AnswerPassword", "1 PasswordAnswer", "Close"])
    assert.deepStrictEqual(state, { _tag: "Closed", reason: "ended-early" })
  })

  it("finishes what was asked before Bye, and takes nothing after it", () => {
    const { outputs } = run(ready, [say(1, { _tag: "Fetch" }), say(2, download), bye, listed])
    assert.deepStrictEqual(tags(outputs), ["List", "1 Listed", "Open"])
    const { state } = run(ready, [say(1, { _tag: "Fetch" }), bye, say(2, download)])
    assert.deepStrictEqual(state, { _tag: "Closed", reason: "protocol-violation" })
  })

  it("drains: the transfer under way ends, what waits is refused, in order", () => {
    const { outputs, state } = run(ready, [
      say(1, { _tag: "Fetch" }),
      say(2, download),
      drain,
      say(3, download),
      listed
    ])
    assert.deepStrictEqual(tags(outputs), ["List", "1 Listed", "2 Refused", "3 Refused", "Close"])
    assert.deepStrictEqual(state, { _tag: "Closed", reason: "draining" })
  })

  it("drains on when the client says Bye, or ends, meanwhile", () => {
    for (const last of [bye, ended]) {
      const { outputs } = run(ready, [say(1, { _tag: "Fetch" }), say(2, download), drain, last, listed])
      assert.deepStrictEqual(tags(outputs), ["List", "1 Listed", "2 Refused", "Close"])
    }
  })

  it("takes nothing after Bye, whether the drain came before it or after", () => {
    for (const both of [
      [bye, drain],
      [drain, bye]
    ]) {
      const { state } = run(ready, [say(1, { _tag: "Fetch" }), ...both, say(2, download)])
      assert.deepStrictEqual(state, { _tag: "Closed", reason: "protocol-violation" })
      const { outputs } = run(ready, [say(1, { _tag: "Fetch" }), say(2, download), ...both, bye, drain, listed])
      assert.deepStrictEqual(tags(outputs), ["List", "1 Listed", "2 Refused", "Close"])
    }
  })

  it("discards an upload whose client has ended", () => {
    const { outputs, state } = run(ready, [say(1, upload(5)), staged(1), content(1, 1), ended])
    assert.deepStrictEqual(tags(outputs), ["Stage", "1 Proceed", "Write", "Discard", "Close"])
    assert.deepStrictEqual(state, { _tag: "Closed", reason: "ended-early" })
  })

  it("keeps nothing of an upload that is staged when its client has ended", () => {
    for (const end of [staged(1), refused(1)]) {
      const { state } = run(ready, [say(1, upload(5)), ended, end])
      assert.deepStrictEqual(state, { _tag: "Closed", reason: "bye" })
    }
  })

  it("waits for no content of a client that has ended, and serves what it still may want", () => {
    const { outputs, state } = run(ready, [
      say(1, { _tag: "Fetch" }),
      say(2, upload(5)),
      say(3, para(5)),
      say(4, download),
      ended,
      listed
    ])
    assert.deepStrictEqual(tags(outputs), ["List", "2 Refused", "3 Refused", "1 Listed", "Open"])
    assert.strictEqual(state._tag, "Transferring")
  })

  it("waits for no choice and no proof of a client that has ended, and serves what stands behind them", () => {
    const { outputs, state } = run(ready, [
      say(1, { _tag: "Fetch" }),
      say(2, { _tag: "Download", name, delta: true }),
      say(3, { _tag: "Download", name, delta: false }),
      say(4, everyMessage.PasswordStart),
      say(5, { _tag: "Remove", name }),
      ended,
      listed,
      refused(3),
      { _tag: "Removed", id: RequestId.make(5), name }
    ])
    const cancelled = outputs.flatMap((output) =>
      output._tag === "Send" && output.message._tag === "Refused" ? [[output.id, output.message.reason]] : []
    )
    assert.deepStrictEqual(cancelled, [
      [2, "cancelled"],
      [4, "cancelled"],
      [3, "no-space"]
    ])
    const rest = ["1 Listed", "Open", "3 Refused", "Remove", "5 Removed", "Close"]
    assert.deepStrictEqual(tags(outputs), ["List", "2 Refused", "4 Refused", ...rest])
    assert.deepStrictEqual(state, { _tag: "Closed", reason: "bye" })
  })
})

describe("legal scripts", () => {
  it.effect("get one final answer for each request, in the order of the requests but for what was cancelled", () =>
    holds(
      script,
      (one) => {
        const { answers, cancelled, final, order, overwritten } = play(one)
        const inTurn = order.filter((id) => !cancelled.has(id))
        return (
          final._tag === "Closed" &&
          final.reason === "bye" &&
          one.commands.every((_, index) => answers.get(index + 1)?.length === 1) &&
          order.length === one.commands.length &&
          inTurn.every((id, index) => index === 0 || id > (inTurn[index - 1] ?? 0)) &&
          overwritten === 0
        )
      },
      3_000
    )
  )

  it("meet every kind of end, so that the property above says something", () => {
    const seen = new Set<string>()
    for (let seed = 0; seed < 300; seed++) {
      const { answers } = play({
        seed,
        commands: ["Upload", "Fetch", "Para", "Download", "Describe", "Delta", "Upload", "Para"]
      })
      for (const own of answers.values()) own.forEach((tag) => seen.add(tag))
    }
    assert.deepStrictEqual([...seen].toSorted(), [
      "Described",
      "Listed",
      "Refused",
      "SameFileNotHere",
      "Sent",
      "SuccessfullyParallelized",
      "Uploaded"
    ])
  })
})
