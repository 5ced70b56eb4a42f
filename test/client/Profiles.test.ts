import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { afterEach, assert, beforeEach, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, FileSystem, Layer, PlatformError, Redacted } from "effect"
import { LoginIncorrect } from "../../src/client/ClientError.ts"
import { LineEditor } from "../../src/client/LineEditor.ts"
import * as PasswordSource from "../../src/client/PasswordSource.ts"
import * as PipesNode from "../../src/client/PipesNode.ts"
import * as ProfileCommands from "../../src/client/ProfileCommands.ts"
import { ProfileName, Profiles } from "../../src/client/Profiles.ts"
import * as ProfilesNode from "../../src/client/ProfilesNode.ts"
import * as ReporterText from "../../src/client/ReporterText.ts"
import { Screen } from "../../src/client/Screen.ts"
import { profilesContract } from "../../src/client/testing/profilesContract.ts"
import { passwordBytesMax, profileLeftoverMilliseconds } from "../../src/domain/limits.ts"

let folder = ""
beforeEach(() => {
  folder = fs.realpathSync(fs.mkdtempSync(join(tmpdir(), "paradrop-")))
})
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }))

const home = ProfileName.make("home")

/** In a folder that is not there yet. */
const real = Layer.unwrap(Effect.sync(() => ProfilesNode.layer(join(folder, "new", "paradrop")))).pipe(
  Layer.provideMerge(NodeServices.layer)
)

const profileFile = () => join(folder, "new", "paradrop", "profiles", "home.toml")
const written = (text: string) => {
  fs.mkdirSync(join(folder, "new", "paradrop", "profiles"), { recursive: true })
  fs.writeFileSync(profileFile(), text)
}

describe("memory", () => {
  for (const { effect, name } of profilesContract) {
    it.effect(name, () => {
      const passwords = new Map<string, string>()
      const isKept = (path: string) => passwords.has(path)
      return Effect.provide(effect(isKept), Profiles.layerMemory(passwords))
    })
  }
})

describe("the file system", () => {
  for (const { effect, name } of profilesContract) it.effect(name, () => Effect.provide(effect(fs.existsSync), real))

  it.effect("lets nobody else read profiles and passwords, and leaves nothing else behind", () =>
    Effect.gen(function* () {
      const profiles = yield* Profiles
      yield* profiles.add(home, { server: "files.example" })
      const path = yield* profiles.keepPassword(home, Redacted.make("s3cret"))
      assert.strictEqual(fs.readFileSync(path, "utf8"), "s3cret\n")
      for (const file of [path, profileFile()]) assert.strictEqual(fs.statSync(file).mode & 0o777, 0o600)
      assert.strictEqual(fs.statSync(join(folder, "new", "paradrop", "passwords")).mode & 0o777, 0o700)
      yield* profiles.remove(home)
      const left = fs.readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
      assert.deepStrictEqual(left, [])
    }).pipe(Effect.provide(real))
  )

  it.live("a profile whose writer is interrupted is there, and the password kept before it is not", () =>
    Effect.gen(function* () {
      const fileSystem = yield* FileSystem.FileSystem
      let interrupt = (): unknown => undefined
      // What is new takes its name by a link.
      const link: typeof fileSystem.link = (from, to) =>
        Effect.tap(fileSystem.link(from, to), () => Effect.sync(interrupt))
      const layer = Layer.provide(
        ProfilesNode.layer(folder),
        Layer.succeed(FileSystem.FileSystem, { ...fileSystem, link })
      )
      const profiles = yield* Effect.provide(Profiles, layer)
      const path = yield* profiles.keepPassword(home, Redacted.make("s3cret"))
      const adding = yield* Effect.forkChild(profiles.add(home, { server: "files.example" }))
      interrupt = () => adding.interruptUnsafe()
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(adding)))
      assert.deepStrictEqual([yield* profiles.get(home), fs.existsSync(path)], [{ server: "files.example" }, false])
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.effect("says of a profile that cannot be understood where and why, and never a value", () =>
    Effect.gen(function* () {
      const profiles = yield* Profiles
      const cases: ReadonlyArray<readonly [string, string, string]> = [
        ['server = "a"\n\npassword-flie = "s3cret"\n', "line 3 of ", "did you mean 'password-file'?"],
        ['server = "a"\npassword = "s3cret"\n', "line 2 of ", "a password has no place here"],
        ['server = "a"\nzebra = "s3cret"\n', "line 2 of ", "it may be server, user, password-file, password-command"],
        ["server = 5\n", "line 1 of ", "must be a text in quotes"],
        ['user = "ada"\n', "", "'server' is missing"],
        ["server = s3cret\n", "", "is no TOML"],
        ['server = "a"\npassword-file = "/b"\npassword-command = "c"\n', "", "exclude each other"],
        ['server = "a"\npassword-file = "b"\n', "line 2 of ", "'password-file' must be an absolute path"],
        ["#".repeat(20_000), "", "too large"]
      ]
      for (const [text, place, why] of cases) {
        written(text)
        const { message } = yield* Effect.flip(profiles.get(home))
        assert.include(message, `${place}${profileFile()}`)
        assert.include(message, why)
        assert.notInclude(message, "s3cret")
      }
    }).pipe(Effect.provide(real))
  )

  it.effect("refuses a command to run from a file that everybody may write to", () =>
    Effect.gen(function* () {
      const { get } = yield* Profiles
      const command = { server: "a", passwordCommand: "c" }
      written('server = "a"\npassword-command = "c"\n')
      assert.deepStrictEqual(yield* get(home), command)
      fs.chmodSync(profileFile(), 0o662)
      const { message } = yield* Effect.flip(get(home))
      assert.strictEqual(
        message,
        `others may write ${profileFile()}, which names a command to run: 'chmod o-w ${profileFile()}', and look at it`
      )
      fs.chmodSync(profileFile(), 0o600)
      const above = dirname(profileFile())
      fs.chmodSync(above, 0o777)
      assert.strictEqual(
        (yield* Effect.flip(get(home))).message,
        `others may replace ${profileFile()}, which names a command to run: 'chmod o-w ${above}', and look`
      )
      // Where nobody may take away what is another's.
      fs.chmodSync(above, 0o1777)
      assert.deepStrictEqual(yield* get(home), command)
      fs.chmodSync(above, 0o700)
      // Only who may do everything can give a file away.
      if (process.geteuid?.() === 0) {
        fs.chownSync(profileFile(), 4242, 0)
        assert.strictEqual(
          (yield* Effect.flip(get(home))).message,
          `${profileFile()}, which names a command to run, is another user's: look at it, and make it yours`
        )
        fs.chownSync(profileFile(), 0, 0)
      }
      fs.chmodSync(profileFile(), 0o662)
      const anywhere = ProfilesNode.layer(join(folder, "new", "paradrop"), { modeless: true })
      const modeless = yield* Effect.provide(Profiles, Layer.provide(anywhere, NodeServices.layer))
      assert.deepStrictEqual(yield* modeless.get(home), command)
      written('server = "a"\n')
      assert.deepStrictEqual(yield* get(home), { server: "a" })
      fs.chmodSync(profileFile(), 0o600)
    }).pipe(Effect.provide(real))
  )

  it.effect("says what is in the place of a profile and is no file, and waits for no writer of a pipe", () =>
    Effect.gen(function* () {
      written("")
      fs.rmSync(profileFile())
      fs.mkdirSync(profileFile())
      const { get } = yield* Profiles
      const detail = `${profileFile()} is no file: put one there, or move it away`
      assert.strictEqual((yield* Effect.flip(get(home))).message, detail)
      if (process.platform === "win32") return
      fs.rmdirSync(profileFile())
      spawnSync("mkfifo", [profileFile()])
      assert.strictEqual((yield* Effect.flip(get(home))).message, detail)
    }).pipe(Effect.provide(real))
  )

  it.effect("has no profile where its place can be none, and says so of one that is added", () =>
    Effect.gen(function* () {
      // As with a home of `/dev/null`.
      fs.writeFileSync(join(folder, "new"), "")
      const profiles = yield* Profiles
      assert.deepStrictEqual(yield* profiles.list, [])
      assert.isUndefined(yield* profiles.get(home))
      assert.strictEqual((yield* Effect.flip(profiles.remove(home)))._tag, "NoSuchProfile")
      const refused = yield* Effect.flip(profiles.add(home, { server: "files.example" }))
      assert.include(
        refused.message,
        "cannot be there, for a part of its path is no folder: set XDG_CONFIG_HOME to one"
      )
    }).pipe(Effect.provide(real))
  )

  it.effect("says of a full disk that it is full, and not who may write there", () =>
    Effect.gen(function* () {
      const fileSystem = yield* FileSystem.FileSystem
      const cause = Object.assign(new Error("no space left on device"), { code: "ENOSPC" })
      const full = PlatformError.systemError({ _tag: "Unknown", module: "FileSystem", method: "makeDirectory", cause })
      const layer = Layer.provide(
        ProfilesNode.layer(folder),
        Layer.succeed(FileSystem.FileSystem, { ...fileSystem, makeDirectory: () => Effect.fail(full) })
      )
      const profiles = yield* Effect.provide(Profiles, layer)
      const refused = yield* Effect.flip(profiles.add(home, { server: "files.example" }))
      const file = join(folder, "profiles", "home.toml")
      assert.strictEqual(refused.message, `${file} cannot be used (the disk is full): make room`)
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.effect("is in the platform's place, and nowhere without a home", () =>
    Effect.gen(function* () {
      const at = (environment: Record<string, string>, platform: string) =>
        ProfilesNode.configFolder(environment, platform)
      assert.strictEqual(yield* at({ XDG_CONFIG_HOME: "/x", HOME: "/h" }, "linux"), "/x/paradrop")
      assert.strictEqual(yield* at({ XDG_CONFIG_HOME: "x", HOME: "/h" }, "linux"), "/h/.config/paradrop")
      assert.strictEqual(yield* at({ HOME: "/h" }, "darwin"), "/h/Library/Application Support/paradrop")
      assert.strictEqual(yield* at({}, "linux"), undefined)
      const nowhere = Effect.provide(
        Effect.flatMap(Profiles, (profiles) =>
          Effect.all([profiles.get(home), profiles.list, Effect.flip(profiles.add(home, { server: "a" }))])
        ),
        ProfilesNode.layer(undefined)
      )
      const [found, names, refused] = yield* nowhere
      assert.deepStrictEqual([found, names], [undefined, []])
      assert.include(refused.message, "XDG_CONFIG_HOME")
    }).pipe(Effect.provide(NodeServices.layer))
  )
})

describe("two programs that use the profiles at once", () => {
  const other = { server: "other.example" }
  const mine = { server: "files.example" }
  const files = () =>
    fs
      .readdirSync(folder, { recursive: true, withFileTypes: true })
      .flatMap((entry) => (entry.isFile() ? [entry.name] : []))
      .toSorted()

  /** Profiles of another program, in which `then` happens whenever it has opened a file that it makes. */
  const program = Effect.fnUntraced(function* (then: Effect.Effect<void>, links = true) {
    const fileSystem = yield* FileSystem.FileSystem
    const watched = FileSystem.FileSystem.of({
      ...fileSystem,
      open: (path, options) =>
        Effect.tap(fileSystem.open(path, options), () => (options?.flag === "wx" ? then : Effect.void)),
      link: links ? fileSystem.link : () => Effect.fail(noLinks)
    })
    const layer = Layer.provide(ProfilesNode.layer(folder), Layer.succeed(FileSystem.FileSystem, watched))
    return yield* Effect.provide(Profiles, Layer.fresh(layer))
  })
  const noLinks = PlatformError.systemError({ _tag: "PermissionDenied", module: "FileSystem", method: "link" })

  /** The second begins to write while the first does, and goes on when the first is done. */
  const together = Effect.fnUntraced(function* (replace: boolean, links?: boolean) {
    const begun = yield* Deferred.make<void>()
    const done = yield* Deferred.make<void>()
    const halt = Effect.andThen(Deferred.succeed(begun, undefined), Deferred.await(done))
    const second = yield* program(halt, links)
    let adding: Fiber.Fiber<string> | undefined
    const first = yield* program(
      Effect.gen(function* () {
        adding = yield* Effect.forkDetach(tagOf(second.add(home, other, { replace })))
        yield* Deferred.await(begun)
      }),
      links
    )
    const came = [yield* tagOf(first.add(home, mine, { replace })), yield* first.get(home)]
    yield* Deferred.succeed(done, undefined)
    came.push(adding && (yield* Fiber.join(adding)), yield* first.get(home))
    return came
  })
  const tagOf = <E extends { readonly _tag: string }>(work: Effect.Effect<void, E>) =>
    Effect.match(work, { onFailure: ({ _tag }) => _tag, onSuccess: () => "added" })

  for (const links of [true, false]) {
    it.live(`and add one of a name: ${links ? "one" : "without links too one"} is told, and none is half there`, () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* together(false, links), ["added", mine, "ProfileExists", mine])
        assert.deepStrictEqual(files(), ["home.toml"])
      }).pipe(Effect.provide(NodeServices.layer))
    )
  }

  it.live("and replace one: the last one is there, and none is ever half there", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* together(true), ["added", mine, "added", other])
      assert.deepStrictEqual(files(), ["home.toml"])
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("and look at, or remove, what the other has just removed: there is none", () =>
    Effect.gen(function* () {
      const fileSystem = yield* FileSystem.FileSystem
      const gone = (path: string) => Effect.sync(() => fs.rmSync(path, { force: true }))
      const exists = (path: string) => Effect.tap(fileSystem.exists(path), () => gone(path))
      const remove: typeof fileSystem.remove = (path, options) =>
        Effect.andThen(gone(path), fileSystem.remove(path, options))
      const layer = Layer.succeed(FileSystem.FileSystem, { ...fileSystem, exists, remove })
      const profiles = yield* Effect.provide(Profiles, Layer.provide(ProfilesNode.layer(folder), layer))
      yield* profiles.add(home, mine)
      assert.deepStrictEqual(yield* tagOf(profiles.remove(home)), "NoSuchProfile")
      assert.isUndefined(yield* profiles.get(home))
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("what a crash has left of a profile goes with the next one, and what may be another's stays", () =>
    Effect.gen(function* () {
      const profiles = yield* program(Effect.void)
      const path = yield* profiles.keepPassword(home, Redacted.make("s3cret"))
      const young = profileLeftoverMilliseconds / 2
      const leave = (name: string, age: number) => {
        fs.writeFileSync(join(folder, "passwords", name), "s3cret\n")
        const time = new Date(fs.statSync(path).mtimeMs - age)
        fs.utimesSync(join(folder, "passwords", name), time, time)
      }
      for (const name of ["home.new", "home.1.new", "home-2.1.new"]) leave(name, profileLeftoverMilliseconds * 2)
      leave("home.2.new", young)
      // A person's own copy.
      leave("home.old", profileLeftoverMilliseconds * 2)
      yield* profiles.keepPassword(home, Redacted.make("another"))
      assert.deepStrictEqual(files(), ["home", "home-2.1.new", "home.2.new", "home.old"])
    }).pipe(Effect.provide(NodeServices.layer))
  )
})

describe("profile names", () => {
  for (const name of ["", "Home", "a.b", "a:1", "-a", "_a", "localhost", "::1", "a/b", "..", "a".repeat(65)]) {
    it.effect(`refuses '${name}'`, () =>
      Effect.gen(function* () {
        const screen = Screen.layerMemory({ written: { out: "", err: "" } })
        const error = yield* Effect.flip(Effect.provide(ProfileCommands.remove(name), screen))
        assert.strictEqual(error._tag, "ProfileNameRefused")
        assert.strictEqual(
          error.message,
          `'${name}' is no name for a profile: use 1 to 64 of a-z, 0-9, '_' and '-', ` +
            "a letter or digit first, and not localhost"
        )
      }).pipe(Effect.provide(Profiles.layerMemory()))
    )
  }
})

describe("profile commands", () => {
  const added = {
    name: "home",
    server: { host: "files.example", port: 8080 },
    user: "ada",
    passwordFile: undefined,
    passwordCommand: undefined,
    replace: false,
    password: undefined
  }
  const screen = () => {
    const text = { out: "", err: "" }
    return { text, layer: Screen.layerMemory({ written: text }) }
  }

  it.effect("add, list, show and remove", () =>
    Effect.gen(function* () {
      const { layer, text } = screen()
      yield* Effect.gen(function* () {
        yield* ProfileCommands.add({ ...added, passwordCommand: "pass show x", rates: { upRate: "500K" } })
        yield* ProfileCommands.add({ ...added, name: "w" })
        yield* ProfileCommands.add({ ...added, name: "w", replace: true })
        yield* ProfileCommands.add({ ...added, name: "v", replace: true })
        yield* ProfileCommands.remove("v")
        assert.isTrue(yield* ProfileCommands.list(false))
        yield* ProfileCommands.show("home", false)
        yield* ProfileCommands.show("home", true)
        yield* ProfileCommands.remove("w")
      }).pipe(Effect.provide(layer))
      assert.deepStrictEqual(text.out.split("\n"), [
        "home  ada@files.example:8080  password from a command",
        "w     ada@files.example:8080  password asked",
        "server = files.example:8080",
        "user = ada",
        "password-command = pass show x",
        "up-rate = 500K",
        '{"name":"home","server":"files.example:8080","user":"ada","upRate":"500K","passwordCommand":"pass show x"}',
        ""
      ])
      assert.deepStrictEqual(text.err.split("\n"), [
        "profile 'home' added: --server home names it",
        "profile 'w' added: --server w names it",
        "profile 'w' replaced: --server w names it",
        "profile 'v' added: --server v names it",
        "profile 'v' removed",
        "profile 'w' removed",
        ""
      ])
    }).pipe(Effect.provide([Profiles.layerMemory(), NodeServices.layer]))
  )

  it.effect("keeps a password apart, and not when the profile is refused", () => {
    const passwords = new Map<string, string>()
    return Effect.gen(function* () {
      const { layer } = screen()
      const password = Effect.succeed(Redacted.make("s3cret"))
      yield* Effect.provide(ProfileCommands.add({ ...added, password }), layer)
      const profile = yield* (yield* Profiles).get(home)
      assert.strictEqual(passwords.get(profile?.passwordFile ?? ""), "s3cret\n")
      const other = Effect.succeed(Redacted.make("other"))
      yield* Effect.flip(Effect.provide(ProfileCommands.add({ ...added, password: other }), layer))
      // Nobody is asked for what is refused.
      const unasked = Effect.die("asked")
      const refused = yield* Effect.flip(Effect.provide(ProfileCommands.add({ ...added, password: unasked }), layer))
      assert.strictEqual(refused._tag, "ProfileExists")
      for (const text of ["", "two\nlines", "x".repeat(passwordBytesMax + 1)]) {
        const unfit = { ...added, replace: true, password: Effect.succeed(Redacted.make(text)) }
        const { message } = yield* Effect.flip(Effect.provide(ProfileCommands.add(unfit), layer))
        assert.match(message, /^(the password is empty: nothing was kept|a password (has at most|is text))/)
      }
      assert.deepStrictEqual([...passwords.values()], ["s3cret\n"])
    }).pipe(Effect.provide([Profiles.layerMemory(passwords), NodeServices.layer]))
  })

  it.effect("takes no source that is refused at each use", () =>
    Effect.gen(function* () {
      const { layer } = screen()
      const refusal = (source: { readonly passwordFile?: string; readonly passwordCommand?: string }) =>
        Effect.map(Effect.flip(Effect.provide(ProfileCommands.add({ ...added, ...source }), layer)), (error) => [
          error._tag,
          error.message
        ])
      assert.deepStrictEqual(yield* refusal({ passwordFile: folder }), [
        "NoPassword",
        `the password file ${folder} is no file: name one whose first line is the password`
      ])
      const words = "the password command '' has no words, or an open quote"
      assert.deepStrictEqual(yield* refusal({ passwordCommand: " " }), ["NoPassword", words])
      assert.deepStrictEqual(yield* refusal({ passwordCommand: 'pass "show' }), [
        "NoPassword",
        "the password command 'pass' has no words, or an open quote"
      ])
      assert.deepStrictEqual(yield* (yield* Profiles).list, [])
    }).pipe(Effect.provide([Profiles.layerMemory(), NodeServices.layer]))
  )

  it.effect("lists what can be understood and tells what cannot", () =>
    Effect.gen(function* () {
      const { layer, text } = screen()
      yield* Effect.provide(ProfileCommands.add({ ...added, name: "w" }), layer)
      written("nonsense")
      assert.isFalse(yield* Effect.provide(ProfileCommands.list(false), layer))
      assert.include(text.err, `profile 'home': ${profileFile()} is no TOML`)
      assert.include(text.out, "w     ada@files.example:8080")
    }).pipe(Effect.provide(real))
  )
})

describe("where the password comes from", () => {
  const nobody = LineEditor.of({ interactive: false, open: Effect.die("nobody is there") })
  const services = Layer.mergeAll(
    NodeServices.layer,
    Layer.succeed(LineEditor, nobody),
    PipesNode.layer,
    Layer.provide(ReporterText.layer(""), Screen.layerMemory({ written: { out: "", err: "" } }))
  )
  const asked = {
    server: { host: "files.example", port: 1 },
    user: "ada",
    file: undefined,
    environment: undefined
  }
  const given = (more: Partial<PasswordSource.Asked>) =>
    Effect.map(PasswordSource.password({ ...asked, ...more }), ({ password }) => Redacted.value(password))
  const refusal = (more: Partial<PasswordSource.Asked>) =>
    Effect.map(Effect.flip(PasswordSource.password({ ...asked, ...more })), ({ message }) => message)
  const place = (mode: number) => {
    const path = join(folder, "password")
    fs.writeFileSync(path, "in the file\n", { mode })
    fs.chmodSync(path, mode)
    return path
  }

  it.effect("a person who has named no account is told how, and asked again", () =>
    Effect.gen(function* () {
      const said = { out: "", err: "" }
      const editor = LineEditor.layerScripted({ lines: [], secrets: ["another", "third"] })
      const again = (assumed: boolean) =>
        Effect.provide(PasswordSource.again(new LoginIncorrect({ user: "default", attemptsLeft: 2, assumed })), [
          editor,
          Layer.provide(ReporterText.layer(""), Screen.layerMemory({ written: said }))
        ])
      assert.isDefined(yield* again(false))
      assert.isDefined(yield* again(true))
      assert.strictEqual(said.err, "incorrect\nincorrect: name your account with --user, or try again\n")
    })
  )

  it.effect("a name that no profile has is told before anybody is asked for a password", () =>
    Effect.gen(function* () {
      const said = { out: "", err: "" }
      const reporter = Layer.provide(ReporterText.layer(""), Screen.layerMemory({ written: said }))
      const note = "note: there is no profile 'hmoe': it is taken for a host; 'profile list' shows what there is\n"
      yield* Effect.provide(refusal({ noProfile: "hmoe" }), reporter)
      assert.strictEqual(said.err, note)
      // Whose password comes from elsewhere may well mean a host.
      yield* Effect.provide(given({ noProfile: "hmoe", environment: Redacted.make("x") }), reporter)
      assert.strictEqual(said.err, note)
    }).pipe(Effect.provide(services))
  )

  it.effect("a profile's file, which others must not be able to read", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* given({ profile: { passwordFile: place(0o600) } }), "in the file")
      for (const mode of [0o640, 0o604, 0o620, 0o666]) {
        assert.include(yield* refusal({ profile: { passwordFile: place(mode) } }), "chmod 600")
      }
      assert.strictEqual(yield* given({ profile: { passwordFile: place(0o644) }, modeless: true }), "in the file")
      assert.include(yield* refusal({ profile: { passwordFile: join(folder, "none") } }), "cannot be read")
    }).pipe(Effect.provide(services))
  )

  it.effect("what is said for this run counts more than the variable, and that more than the profile", () =>
    Effect.gen(function* () {
      const profile = { passwordCommand: "printf from-profile" }
      const environment = Redacted.make("from-environment")
      assert.strictEqual(yield* given({ profile }), "from-profile")
      assert.strictEqual(yield* given({ profile, environment }), "from-environment")
      assert.strictEqual(yield* given({ profile, environment, command: "printf from-flag" }), "from-flag")
    }).pipe(Effect.provide(services))
  )

  it.effect("a command: its first line, its words quoted as in the shell, without a shell", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* given({ command: "printf 'one two\\nthree'" }), "one two")
      assert.strictEqual(yield* given({ command: "printf %s $HOME;id" }), "$HOME;id")
      assert.include(yield* refusal({ command: "false" }), "'false' failed with code 1")
      assert.include(yield* refusal({ command: "true" }), "printed no password")
      assert.include(yield* refusal({ command: "/nowhere/at/all s3cret" }), "cannot be run")
      const killed = yield* refusal({ command: "sh -c 'kill -9 $$'" })
      assert.include(killed, "'sh' was ended by a signal: run it by hand to see why")
      assert.notInclude(yield* refusal({ command: "/nowhere/at/all s3cret" }), "s3cret")
      assert.include(yield* refusal({ command: "printf 'x" }), "open quote")
    }).pipe(Effect.provide(services))
  )

  it.live("a command that has ended is not waited for again, though what it has left holds its output", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* given({ command: `sh -c 'sleep 1000 & printf "one\\ntwo"'` }), "one")
      assert.include(yield* refusal({ command: `sh -c 'sleep 1000 & echo one; exit 3'` }), "'sh' failed with code 3")
    }).pipe(Effect.provide(services))
  )

  it.live("a command whose first line never ends is given up", () =>
    Effect.gen(function* () {
      const more = "printed a first line of more than"
      assert.include(yield* refusal({ command: "cat /dev/zero" }), more)
    }).pipe(Effect.provide(services))
  )

  it.effect("the public password serves on loopback, and is never one to keep", () =>
    Effect.gen(function* () {
      const local = { server: { host: "127.0.0.1", port: 1 }, user: PasswordSource.publicUser }
      assert.strictEqual(yield* given(local), "123456")
      assert.strictEqual(
        yield* refusal({ ...local, kept: true }),
        "no password: set PARADROP_PASSWORD, name a file with --password-file or a command with " +
          "--password-command, or run on a terminal"
      )
    }).pipe(Effect.provide(services))
  )

  it.effect("what is longer than any password is none, wherever it comes from", () =>
    Effect.gen(function* () {
      const longest = "x".repeat(passwordBytesMax)
      const path = join(folder, "long")
      const more = `more than ${passwordBytesMax} bytes, which no password has: put the password alone there`
      fs.writeFileSync(path, `${longest}\r\nmore`)
      assert.strictEqual(yield* given({ file: path }), longest)
      fs.writeFileSync(path, `${longest}x\n`)
      assert.strictEqual(yield* refusal({ file: path }), `the password file ${path} has a first line of ${more}`)
      fs.writeFileSync(path, "x".repeat(5_000_000))
      assert.include(yield* refusal({ file: path }), more)
      const command = `head -c ${passwordBytesMax * 1024} /dev/zero`
      assert.strictEqual(yield* refusal({ command }), `the password command 'head' printed a first line of ${more}`)
      assert.strictEqual(yield* given({ environment: Redacted.make(longest) }), longest)
      const environment = Redacted.make(`${longest}x`)
      assert.strictEqual(yield* refusal({ environment }), `PARADROP_PASSWORD has ${more}`)
      for (const lines of ["secret\n", "secret\r", "secret\nmore"]) {
        assert.strictEqual(
          yield* refusal({ environment: Redacted.make(lines) }),
          "PARADROP_PASSWORD has a line break, which no password has: leave it out"
        )
      }
    }).pipe(Effect.provide(services))
  )
})
