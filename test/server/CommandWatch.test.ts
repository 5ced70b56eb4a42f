/**
 * What looks on at a session: every command that begins ends once, whatever the machine does.
 */
import { assert, describe, it } from "@effect/vitest"
import { ContentDigest } from "../../src/domain/file/Digest.ts"
import { packFiles, packNames } from "../../src/domain/file/PackedFiles.ts"
import { FileName } from "../../src/domain/file/FileName.ts"
import { rights as allRights } from "../../src/domain/session/Grant.ts"
import * as Session from "../../src/domain/session/Session.ts"
import type { Session as State, SessionInput } from "../../src/domain/session/SessionState.ts"
import { RequestId } from "../../src/domain/wire/Frame.ts"
import { UserName } from "../../src/domain/channel/HandshakeMessage.ts"
import { seeded } from "../../src/domain/testing/Fixture.ts"
import * as CommandWatch from "../../src/server/CommandWatch.ts"

const name = FileName.make("a")
const [before, after] = [ContentDigest.make("ab".repeat(32)), ContentDigest.make("cd".repeat(32))]
const ready: State = {
  _tag: "Ready",
  user: UserName.make("ada"),
  rights: allRights,
  lastId: 0,
  discarding: undefined,
  saidBye: false,
  draining: false
}

/** A machine and who looks on. */
const session = () => {
  const watch = CommandWatch.make()
  let state: State = ready
  const begun: Array<CommandWatch.Command> = []
  const ended: Array<CommandWatch.Ended> = []
  return {
    watch,
    begun,
    ended,
    closed: () => state._tag === "Closed",
    legal: (input: SessionInput) => Session.step(state, input).state._tag !== "Closed",
    take: (input: SessionInput) => {
      const next = Session.step(state, input)
      state = next.state
      const seen = watch.step(input, next.outputs)
      begun.push(...seen.begun)
      ended.push(...seen.ended)
    }
  }
}

const upload = (id: number, size: number): SessionInput => ({
  _tag: "Message",
  id: RequestId.make(id),
  message: { _tag: "Upload", name, size, modified: 0 }
})
const id = RequestId.make(1)

describe("one command", () => {
  it("an upload: what crossed, what was there, what is there now", () => {
    const { begun, ended, take, watch } = session()
    take(upload(1, 10))
    assert.deepStrictEqual(begun, [{ id, command: "upload", name }])
    assert.deepStrictEqual(watch.open(), { commands: 1, stagingBytes: 10 })
    watch.had(id, before)
    take({ _tag: "Staged", id, resumed: 0, base: undefined })
    take({ _tag: "Content", id, bytes: 4 })
    take({ _tag: "Content", id, bytes: 6 })
    take({ _tag: "Message", id, message: { _tag: "Commit", size: 10, digest: after } })
    take({ _tag: "Committed", id, size: 10, digest: after })
    assert.deepStrictEqual(ended, [{ id, command: "upload", name, outcome: "done", bytes: 10, before, after }])
    assert.deepStrictEqual(watch.open(), { commands: 0, stagingBytes: 0 })
    assert.deepStrictEqual(watch.end(), [])
  })

  it("a commit that the session did not live to see has happened all the same", () => {
    const { take, watch } = session()
    take(upload(1, 0))
    take(upload(2, 0))
    watch.committed(id, after)
    assert.deepStrictEqual(
      watch.end().map(({ after, id, outcome }) => [id, outcome, after]),
      [
        [1, "done", after],
        [2, "interrupted", undefined]
      ]
    )
  })

  it("what a para of a small file began with is not what it came to", () => {
    const { ended, take, watch } = session()
    const base = { size: 8, modified: 0, digest: before }
    take({ _tag: "Message", id, message: { _tag: "Para", name, size: 8, modified: 0 } })
    take({ _tag: "Staged", id, resumed: 0, base })
    take({ _tag: "Refused", id, refusal: { reason: "no-space" } })
    const second = RequestId.make(2)
    take({ _tag: "Message", id: second, message: { _tag: "Para", name, size: 8, modified: 0 } })
    take({ _tag: "Staged", id: second, resumed: 0, base })
    assert.deepStrictEqual(
      [...ended, ...watch.end()].map(({ after, before, outcome }) => [outcome, before, after]),
      [
        ["no-space", before, undefined],
        ["interrupted", before, undefined]
      ]
    )
  })

  it("so has a change, and a password is changed by a command", () => {
    const { ended, take, watch } = session()
    const ke1 = new Uint8Array(96)
    take({ _tag: "Message", id, message: { _tag: "PasswordStart", ke1, request: new Uint8Array(32) } })
    const removal = RequestId.make(2)
    take({ _tag: "Message", id: removal, message: { _tag: "Remove", name } })
    assert.deepStrictEqual(ended, [])
    watch.happened(removal)
    assert.deepStrictEqual(
      watch.end().map(({ command, name, outcome }) => [command, name, outcome]),
      [
        ["passwd", undefined, "interrupted"],
        ["remove", name, "done"]
      ]
    )
  })

  it("a bundle is an upload of each of its files", () => {
    const { begun, ended, take, watch } = session()
    const other = FileName.make("b")
    const files = [name, other].map((name) => ({ name, size: 3, modified: 0, digest: after }))
    take({ _tag: "Message", id, message: { _tag: "UploadBundle", files: packFiles(files) } })
    assert.deepStrictEqual(begun, [{ id, command: "upload", name: undefined }])
    assert.deepStrictEqual(watch.open(), { commands: 1, stagingBytes: 6 })
    take({ _tag: "Content", id, bytes: 6 })
    watch.file(id, 0, { outcome: "done", bytes: 3, before, after })
    watch.file(id, 1, { outcome: "not-a-file", bytes: 3 })
    const both: Array<CommandWatch.Ended> = [
      { id, command: "upload", name, outcome: "done", bytes: 3, before, after },
      { id, command: "upload", name: other, outcome: "not-a-file", bytes: 3, before: undefined, after: undefined }
    ]
    take({ _tag: "Placed", id, count: 1, refused: [{ index: 1, refusal: { reason: "not-a-file" } }] })
    assert.deepStrictEqual(ended, both)
    assert.deepStrictEqual(watch.open(), { commands: 0, stagingBytes: 0 })
  })

  it("a bundle that its session cuts short was done as far as it came", () => {
    const { take, watch } = session()
    take({ _tag: "Message", id, message: { _tag: "DownloadBundle", names: packNames([name, FileName.make("b")]) } })
    watch.file(id, 0, { outcome: "done", bytes: 3, after })
    assert.deepStrictEqual(
      watch.end().map(({ after, bytes, command, name, outcome }) => [command, name, outcome, bytes, after]),
      [
        ["download", "a", "done", 3, after],
        ["download", "b", "interrupted", 0, undefined]
      ]
    )
  })

  it("a bundle that ends before its turn has come names its files all the same", () => {
    const { ended, take, watch } = session()
    take(upload(1, 10))
    const second = RequestId.make(2)
    const files = [name, FileName.make("b")].map((name) => ({ name, size: 3, modified: 0, digest: after }))
    take({ _tag: "Message", id: second, message: { _tag: "UploadBundle", files: packFiles(files) } })
    take({ _tag: "Message", id: second, message: { _tag: "Cancel" } })
    assert.deepStrictEqual(
      ended.map(({ name, outcome }) => `${name} ${outcome}`),
      ["a cancelled", "b cancelled"]
    )
    assert.deepStrictEqual(watch.open(), { commands: 1, stagingBytes: 10 })
  })

  it("a refusal is its reason", () => {
    const { ended, take } = session()
    take(upload(1, 10))
    take({ _tag: "Refused", id, refusal: { reason: "no-space" } })
    assert.deepStrictEqual(
      ended.map(({ outcome }) => outcome),
      ["no-space"]
    )
  })
})

describe("any session", () => {
  it("ends each command that began, once", () => {
    let commands = 0
    for (let seed = 1; seed <= 300; seed++) {
      const random = seeded(seed)
      const pick = (from: ReadonlyArray<() => SessionInput>): SessionInput =>
        from[Math.floor(random() * from.length)]?.() ?? { _tag: "Drain" }
      const { begun, closed, ended, legal, take, watch } = session()
      let next = 0
      for (let turn = 0; turn < 200 && !closed(); turn++) {
        const id = RequestId.make(Math.max(1, next - Math.floor(random() * 3)))
        const fresh = (message: Extract<SessionInput, { _tag: "Message" }>["message"]): SessionInput => ({
          _tag: "Message",
          id: RequestId.make((next += 1)),
          message
        })
        const input = pick([
          () => upload((next += 1), 8),
          () => fresh({ _tag: "Fetch" }),
          () => fresh({ _tag: "Describe", name }),
          () => fresh({ _tag: "Download", name }),
          () => fresh({ _tag: "Para", name, size: 8, modified: 0 }),
          () => ({ _tag: "Message", id, message: { _tag: "Cancel" } }),
          () => ({ _tag: "Message", id, message: { _tag: "Commit", size: 8, digest: after } }),
          () => ({ _tag: "Content", id, bytes: 8 }),
          () => ({ _tag: "Staged", id, resumed: 0, base: undefined }),
          () => ({ _tag: "Committed", id, size: 8, digest: after }),
          () => ({ _tag: "Listed", id, count: 1 }),
          () => ({ _tag: "Refused", id, refusal: { reason: "no-space" } }),
          () => ({ _tag: "PeerEnded" })
        ])
        // What is not legal ends a session: most sessions live on for a while.
        if (legal(input) || random() < 0.02) take(input)
      }
      const all = [...ended, ...watch.end()]
      assert.deepStrictEqual(
        all.map(({ id }) => id).toSorted((a, b) => a - b),
        begun.map(({ id }) => id),
        `seed ${seed}`
      )
      assert.deepStrictEqual(watch.open(), { commands: 0, stagingBytes: 0 })
      commands += begun.length
    }
    assert.isAbove(commands, 600)
  })
})
