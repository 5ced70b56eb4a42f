import { quickCrypto } from "../crypto.ts"
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Layer, Redacted, Result } from "effect"
import * as Client from "../../src/client/Client.ts"
import type { ClientSession } from "../../src/client/ClientSession.ts"
import { History } from "../../src/client/History.ts"
import { LineEditor } from "../../src/client/LineEditor.ts"
import * as LocalFilesMemory from "../../src/client/LocalFilesMemory.ts"
import { OwnPassword, type PasswordOptions } from "../../src/client/PasswordCommand.ts"
import * as PipesNode from "../../src/client/PipesNode.ts"
import * as ReporterJson from "../../src/client/ReporterJson.ts"
import * as ReporterText from "../../src/client/ReporterText.ts"
import { Screen } from "../../src/client/Screen.ts"
import { Sessions } from "../../src/client/Sessions.ts"
import * as Shell from "../../src/client/Shell.ts"
import { WorkingFolder } from "../../src/client/WorkingFolder.ts"
import { type Password } from "../../src/domain/channel/Opaque.ts"
import { Accounts, AccountsFailed } from "../../src/domain/session/Accounts.ts"
import * as FileStoreMemory from "../../src/domain/store/FileStoreMemory.ts"
import * as FaultySocket from "../../src/domain/testing/FaultySocket.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as MemorySocket from "../../src/domain/testing/MemorySocket.ts"
import * as Server from "../../src/server/Server.ts"

const crypto = Layer.merge(quickCrypto, NodeCrypto.layerSecureRandom)
const networkOf = (accounts: typeof Fixture.accounts) =>
  Server.layer.pipe(
    Layer.provideMerge(MemorySocket.layer),
    Layer.provideMerge(accounts),
    Layer.provideMerge(FileStoreMemory.layer()),
    Layer.provideMerge(crypto)
  )
const network = networkOf(Fixture.accounts)
const present = Redacted.value(Fixture.ada.password)
const strong = "a horse of another colour"

/** A program of ada's, and whoever answers its questions. */
const world = (
  script: Parameters<typeof LineEditor.layerScripted>[0],
  columns?: number,
  reporter: typeof ReporterText.layer = ReporterText.layer,
  reads: FaultySocket.Faults = {},
  server = network,
  editor = LineEditor.layerScripted(script),
  isLost = false
) => {
  const written = { out: "", err: "" }
  let known: Password = Fixture.ada.password
  const sessions = Layer.unwrap(
    Effect.map(MemorySocket.MemoryNetwork, ({ dial }) =>
      Sessions.layer(
        Effect.suspend(() => {
          const faulty = Effect.map(dial, (socket) => FaultySocket.wrap(socket, { seed: 1, reads }))
          return Client.connect({ server: "memory", dial: faulty, user: Fixture.ada.user, password: known })
        })
      )
    )
  )
  const credentials = {
    user: Fixture.ada.user,
    current: () => known,
    changed: (next: Password) => void (known = next)
  }
  const layer = OwnPassword.layer(credentials).pipe(
    Layer.provideMerge(Layer.mergeAll(sessions, LocalFilesMemory.layer({}), reporter(""))),
    Layer.provideMerge(Screen.layerMemory({ written, isLost, ...(columns !== undefined && { columns }) })),
    Layer.provideMerge(editor),
    Layer.provideMerge(Layer.merge(NodeFileSystem.layer, PipesNode.layer)),
    Layer.provideMerge(server)
  )
  return { written, known: () => Redacted.value(known), layer }
}

const canLogIn = (password: string) =>
  Effect.gen(function* () {
    const { dial } = yield* MemorySocket.MemoryNetwork
    const { user } = Fixture.ada
    return yield* Client.connect({ server: "memory", dial, user, password: Redacted.make(password) }).pipe(
      Effect.scoped,
      Effect.as(true),
      Effect.catchTag("LoginIncorrect", () => Effect.succeed(false))
    )
  })

const options: PasswordOptions = { generate: false, allowWeak: false, confirm: false }
const change = (more: Partial<PasswordOptions> = {}) =>
  Effect.flatMap(OwnPassword, (own) => own.change({ ...options, ...more }))

describe("paradrop passwd", () => {
  const asked: Array<string> = []
  const twice = world({ secrets: [strong, strong], asked })
  it.effect("asks twice for the new password, changes it, and logs in with it from then on", () =>
    Effect.gen(function* () {
      assert.isTrue(yield* change())
      assert.deepStrictEqual(asked, ["New password of 'ada': ", "The same again: "])
      assert.deepStrictEqual(twice.written, { out: "", err: "the password is changed\n" })
      assert.strictEqual(twice.known(), strong)
      assert.deepStrictEqual([yield* canLogIn(strong), yield* canLogIn(present)], [true, false])
    }).pipe(Effect.provide(twice.layer))
  )

  const generated = world({ interactive: false })
  it.effect("--generate prints a strong one, once it works", () =>
    Effect.gen(function* () {
      assert.isTrue(yield* change({ generate: true }))
      assert.strictEqual(generated.written.out, `${generated.known()}\n`)
      const label = "new password of 'ada', shown this once, is on standard output"
      assert.strictEqual(generated.written.err, `the password is changed\n${label}\n`)
      assert.isTrue(yield* canLogIn(generated.known()))
    }).pipe(Effect.provide(generated.layer))
  )

  const onTerminal = world({ interactive: true }, 80)
  it.effect("--generate says to a person what it prints", () =>
    Effect.gen(function* () {
      assert.isTrue(yield* change({ generate: true }))
      assert.strictEqual(onTerminal.written.out, `new password of 'ada', shown this once: ${onTerminal.known()}\n`)
    }).pipe(Effect.provide(onTerminal.layer))
  )

  const script = world({ interactive: false }, undefined, ReporterJson.layer)
  it.effect("--generate gives a script with --json an object, as everything there is one", () =>
    Effect.gen(function* () {
      assert.isTrue(yield* change({ generate: true }))
      const made = { event: "password-made", user: "ada", password: script.known() }
      assert.deepStrictEqual(JSON.parse(script.written.out), made)
    }).pipe(Effect.provide(script.layer))
  )

  it.live("--generate leaves a password that works, wherever the server's answers are cut", () =>
    Effect.gen(function* () {
      const ends = new Set<string>()
      // Of the bytes before, the login takes most.
      for (let cutAfterBytes = 1_900; cutAfterBytes < 4_000; cutAfterBytes += 20) {
        const cut = world({ interactive: false }, undefined, ReporterText.layer, { cutAfterBytes })
        yield* Effect.gen(function* () {
          const changed = Result.isSuccess(yield* Effect.result(change({ generate: true })))
          const printed = cut.written.out.trim()
          const [old, made] = [yield* canLogIn(present), printed !== "" && (yield* canLogIn(printed))]
          assert.notStrictEqual(old, made, `cut after ${cutAfterBytes} bytes`)
          assert.strictEqual(cut.written.err.includes("is not known"), !changed && printed !== "")
          ends.add(`${changed} ${made}`)
        }).pipe(Effect.provide(cut.layer))
        if (ends.has("true true")) break
      }
      assert.deepStrictEqual(ends, new Set(["false false", "false true", "true true"]))
    })
  )

  /** Accounts of which a change is made, and then told as one that failed. */
  const unsafe = Layer.effect(
    Accounts,
    Effect.map(Accounts, (accounts) => ({
      ...accounts,
      change: (...args: Parameters<typeof accounts.change>) =>
        Effect.andThen(accounts.change(...args), Effect.fail(new AccountsFailed({ detail: "a power cut may undo it" })))
    }))
  ).pipe(Layer.provide(Fixture.accounts))
  const doubted = (columns?: number) =>
    world({ secrets: [strong, strong] }, columns, ReporterText.layer, {}, networkOf(unsafe))
  const doubt = "whether the password is changed is not known: try the new one as well"

  const shown = doubted(80)
  it.effect("--generate leaves a password that works where the server's disk fails behind the change", () =>
    Effect.gen(function* () {
      assert.isFalse(yield* change({ generate: true }))
      assert.include(shown.written.err, doubt)
      const [, made = ""] = /^new password of 'ada', shown this once: (\S+)\n$/.exec(shown.written.out) ?? []
      assert.deepStrictEqual([yield* canLogIn(made), yield* canLogIn(present)], [true, false])
    }).pipe(Effect.provide(shown.layer))
  )

  const typed = doubted()
  it.effect("says the same of a password that was typed", () =>
    Effect.gen(function* () {
      assert.isFalse(yield* change())
      assert.include(typed.written.err, doubt)
      assert.deepStrictEqual([yield* canLogIn(strong), yield* canLogIn(present)], [true, false])
    }).pipe(Effect.provide(typed.layer))
  )

  it.live("says that it may be changed, wherever the server's answers to a typed one are cut", () =>
    Effect.gen(function* () {
      const ends = new Set<string>()
      for (let cutAfterBytes = 1_900; cutAfterBytes < 4_000; cutAfterBytes += 20) {
        const cut = world({ secrets: [strong, strong] }, undefined, ReporterText.layer, { cutAfterBytes })
        yield* Effect.gen(function* () {
          const told = Result.isSuccess(yield* Effect.result(change()))
          const changed = yield* canLogIn(strong)
          const doubted = cut.written.err.includes(
            "whether the password is changed is not known: try the new one as well"
          )
          ends.add(`changed ${changed}, told ${told}, doubted ${doubted}`)
        }).pipe(Effect.provide(cut.layer))
        if (ends.has("changed true, told true, doubted false")) break
      }
      assert.deepStrictEqual(
        ends,
        new Set([
          // Cut before the server was asked to change it: nothing can have changed.
          "changed false, told false, doubted false",
          "changed true, told false, doubted true",
          "changed true, told true, doubted false"
        ])
      )
    })
  )

  const nobodys = Layer.effect(
    Accounts,
    Effect.map(Accounts, (accounts) => ({ ...accounts, list: Effect.succeed([]) }))
  ).pipe(Layer.provide(Fixture.accounts))
  for (const columns of [undefined, 80]) {
    const refused = world({ interactive: false }, columns, ReporterText.layer, {}, networkOf(nobodys))
    it.effect(`--generate prints none where none can be set, as for the public account: columns ${columns}`, () =>
      Effect.gen(function* () {
        assert.isFalse(yield* change({ generate: true }))
        assert.strictEqual(refused.written.out, "")
        assert.match(refused.written.err, /^the password of 'ada' cannot be changed: [^\n]*\n$/)
        assert.isTrue(yield* canLogIn(present))
      }).pipe(Effect.provide(refused.layer))
    )
  }

  const lost = world({}, undefined, ReporterText.layer, {}, network, undefined, true)
  it.effect("--generate changes nothing where all that is printed is lost", () =>
    Effect.gen(function* () {
      assert.isFalse(yield* change({ generate: true }))
      assert.match(lost.written.err, /^nothing keeps standard output, and nobody would see the new password: /)
      assert.strictEqual(lost.written.out, "")
      assert.isTrue(yield* canLogIn(present))
    }).pipe(Effect.provide(lost.layer))
  )

  const fromFile = world({ interactive: false })
  for (const confirm of [false, true]) {
    let standing: ClientSession | undefined
    const ending = Effect.suspend(() => standing?.close ?? Effect.void)
    const secrets = [...(confirm ? [present] : []), strong, strong]
    const slow = Layer.effect(
      LineEditor,
      Effect.map(LineEditor, (editor) => ({
        ...editor,
        open: Effect.map(editor.open, (lines) => ({
          ...lines,
          secret: (question: string) => Effect.andThen(ending, lines.secret(question))
        }))
      }))
    ).pipe(Layer.provide(LineEditor.layerScripted({ secrets })))
    const late = world({}, undefined, ReporterText.layer, {}, network, slow)
    it.effect(`changes it for whoever takes longer to answer than the session lasts: confirm ${confirm}`, () =>
      Effect.gen(function* () {
        standing = yield* (yield* Sessions).session
        assert.isTrue(yield* change({ confirm }))
        assert.strictEqual(late.written.err, "the password is changed\n")
        assert.deepStrictEqual([yield* canLogIn(strong), yield* canLogIn(present)], [true, false])
      }).pipe(Effect.provide(late.layer))
    )
  }

  it.live("--new-password-file takes the first line of a file", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const newFile = yield* fs.makeTempFileScoped()
      yield* fs.writeFileString(newFile, `${strong}\nmore\n`)
      assert.isTrue(yield* change({ newFile }))
      assert.isTrue(yield* canLogIn(strong))
      yield* fs.writeFileString(newFile, "password1\n")
      assert.isFalse(yield* change({ newFile }))
      assert.include(fromFile.written.err, "this is one of the first passwords that anybody would try")
      assert.isTrue(yield* canLogIn(strong))
      assert.isTrue(yield* change({ newFile, allowWeak: true }))
      assert.isTrue(yield* canLogIn("password1"))
      const nobody = yield* Effect.flip(change())
      assert.include(nobody.message, "no new password: --generate one, name a file with --new-password-file")
    }).pipe(Effect.scoped, Effect.provide(fromFile.layer))
  )

  const differing = world({ secrets: [strong, `${strong}!`, "short"] })
  it.effect("changes nothing when the two differ or the new one is weak", () =>
    Effect.gen(function* () {
      assert.isFalse(yield* change())
      assert.include(differing.written.err, "the two passwords differ: nothing was changed, try again")
      assert.isFalse(yield* change())
      assert.include(differing.written.err, "at least 8 characters")
      assert.isTrue(yield* canLogIn(present))
    }).pipe(Effect.provide(differing.layer))
  )
})

describe("passwd in the shell", () => {
  const script = world({ lines: ["passwd", "pwd"], interactive: false })
  it.effect("of a script is a line that failed, and those behind it are run", () =>
    Effect.gen(function* () {
      const memory = Layer.merge(History.layerMemory([]), WorkingFolder.layerMemory({ "/home/ada": [] }))
      assert.isFalse(yield* Effect.provide(Shell.run(""), memory))
      assert.strictEqual(
        script.written.err,
        "the shell changes a password on a terminal alone, nothing was changed: " +
          "a script runs 'paradrop passwd' with --generate or --new-password-file\n"
      )
      assert.strictEqual(script.written.out, "/\n")
      assert.isTrue(yield* canLogIn(present))
    }).pipe(Effect.provide(script.layer))
  )

  const lines = ["passwd", "passwd", `passwd ${strong}`, "fetch"]
  const questions: Array<string> = []
  const shell = world({ lines, secrets: ["wrong", strong, strong, present, strong, strong], asked: questions })
  it.effect("asks for the present password, takes none in the line, and the session goes on", () =>
    Effect.gen(function* () {
      const kept: Array<string> = []
      yield* Effect.provide(Shell.run(""), [History.layerMemory(kept), WorkingFolder.layerMemory({ "/home/ada": [] })])
      // Whatever was typed in a wrong place: no password is in the history.
      assert.deepStrictEqual(kept, ["passwd", "passwd", "fetch"])
      const { err } = shell.written
      assert.include(err, "incorrect: that is not your present password, nothing was changed")
      assert.include(err, "a password is never typed into a line: you are asked for it")
      assert.include(err, "the password is changed\n")
      assert.isFalse(err.includes(strong) || shell.written.out.includes(strong))
      assert.strictEqual(questions.filter((question) => question === "Present password of 'ada': ").length, 2)
      assert.deepStrictEqual([yield* canLogIn(strong), yield* canLogIn(present)], [true, false])
    }).pipe(Effect.provide(shell.layer))
  )
})
