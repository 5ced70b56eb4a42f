/**
 * The executable, as a person or a script meets it: real processes, disk and TCP on loopback.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { pathToFileURL } from "node:url"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { publicKeyBytes } from "../../src/domain/channel/Kem.ts"
import { preamble } from "../../src/domain/channel/Protocol.ts"
import { asciiJson } from "../../src/domain/file/Printable.ts"
import { eventsIn, tracing } from "./startEvents.ts"

const source = join(import.meta.dirname, "..", "..", "src")
const clientMain = join(source, "client", "main.ts")
const serverMain = join(source, "server", "main.ts")
const password = "correct horse battery"

let folder = ""
let served = ""
let work = ""
let port = 0
const running = new Set<ChildProcess>()

const environment = (more: Record<string, string>) => ({
  PATH: process.env["PATH"],
  HOME: folder,
  XDG_STATE_HOME: join(folder, "state"),
  ...more
})

interface Ended {
  /** or the signal that ended it */
  readonly code: number | NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

const start = (main: string, args: ReadonlyArray<string>, env: Record<string, string> = {}) => {
  const child = spawn(process.execPath, [main, ...args], {
    cwd: main === clientMain ? work : folder,
    env: environment(env),
    stdio: ["pipe", "pipe", "pipe"]
  })
  running.add(child)
  const output = { stdout: "", stderr: "" }
  child.stdout.on("data", (chunk) => (output.stdout += String(chunk)))
  child.stderr.on("data", (chunk) => (output.stderr += String(chunk)))
  child.stdin.on("error", () => {})
  const ended = once(child, "close").then(([code]): Ended => {
    running.delete(child)
    return { code: typeof code === "number" ? code : child.signalCode, ...output }
  })
  return { child, ended, output }
}

/** Runs the client as `ada` to its end, with that much on standard input. */
const run = (
  args: ReadonlyArray<string>,
  input = "",
  env: Record<string, string> = { PARADROP_PASSWORD: password }
) => {
  const { child, ended } = start(clientMain, ["--server", `127.0.0.1:${port}`, "--user", "ada", ...args], env)
  child.stdin.end(input)
  return ended
}

/** Runs the client with these arguments alone. */
const plain = (args: ReadonlyArray<string>, env: Record<string, string> = {}) => {
  const { child, ended } = start(clientMain, args, env)
  child.stdin.end()
  return ended
}

beforeAll(async () => {
  folder = fs.realpathSync(fs.mkdtempSync(join(tmpdir(), "paradrop-")))
  served = join(folder, "files")
  work = join(folder, "w")
  fs.mkdirSync(served)
  fs.mkdirSync(work)
  const add = start(serverMain, ["user", "add", "ada"])
  add.child.stdin.end(`${password}\n`)
  assert.strictEqual((await add.ended).code, 0)
  const server = start(serverMain, ["--port", "0"])
  while (!server.output.stdout.includes("\n")) await once(server.child.stdout, "data")
  port = Number(/:(\d+)\n$/.exec(server.output.stdout)?.[1])
})
afterAll(() => {
  for (const child of running) child.kill("SIGKILL")
  fs.rmSync(folder, { recursive: true, force: true })
})

const write = (name: string, content: string | Uint8Array) => fs.writeFileSync(join(work, name), content)
const leftovers = () => fs.readdirSync(work).filter((name) => name.endsWith(".part"))

describe.skipIf(process.platform !== "linux")("an output that cannot be written", () => {
  /** With standard output to a device that is always full, which Node writes to at once. */
  const toFullDisk = async (main: string, args: ReadonlyArray<string>) => {
    const full = fs.openSync("/dev/full", "w")
    const child = spawn(process.execPath, [main, ...args], {
      cwd: folder,
      env: { PATH: process.env["PATH"], HOME: folder, PARADROP_PASSWORD: password },
      stdio: ["ignore", full, "pipe"]
    })
    let stderr = ""
    child.stderr?.on("data", (chunk) => (stderr += String(chunk)))
    const [code] = await once(child, "close")
    fs.closeSync(full)
    return { code: typeof code === "number" ? code : -1, stderr }
  }

  it("is a failure, and told", async () => {
    const call = ["--server", `127.0.0.1:${port}`, "--user", "ada"]
    const said = "standard output cannot be written (ENOSPC)\n"
    const verdict = await run(["upload", join(import.meta.filename), "--as", "listed"])
    assert.strictEqual(verdict.code, 0)
    for (const [main, args] of [
      [clientMain, [...call, "fetch"]],
      [clientMain, [...call, "--json", "fetch"]],
      [clientMain, ["--help"]],
      [serverMain, ["config", "default"]]
    ] as const) {
      const { code, stderr } = await toFullDisk(main, args)
      assert.strictEqual(code, 1, args.join(" "))
      assert.isTrue(stderr.endsWith(said), `${args.join(" ")}: ${stderr}`)
    }
    assert.strictEqual((await run(["remove", "listed"])).code, 0)
  })

  it("changes no password, which nobody would have seen", async () => {
    const { code, stderr } = await toFullDisk(clientMain, [
      "--server",
      `127.0.0.1:${port}`,
      "--user",
      "ada",
      "passwd",
      "--generate"
    ])
    assert.deepStrictEqual([code, stderr], [1, "paradrop: standard output cannot be written (ENOSPC)\n"])
    assert.strictEqual((await run(["fetch"])).code, 0)
  })
})

describe("one call", () => {
  it("takes one source of a new password", async () => {
    const both = await run(["passwd", "--generate", "--new-password-file", "x"])
    assert.strictEqual(both.code, 2)
    assert.include(both.stderr, "--generate makes a password, and --new-password-file has one: give one")
  })

  it("takes no empty pattern", async () => {
    const kept = await run(["upload", "-r", ".", "--exclude", ""])
    assert.deepStrictEqual([kept.code, kept.stdout], [2, ""])
    assert.include(kept.stderr, "--exclude takes a pattern, and '' is none")
    const watched = await run(["para", "--watch", ".", "--include", ""])
    assert.deepStrictEqual([watched.code, watched.stdout], [2, ""])
    assert.include(watched.stderr, "--include takes a pattern, and '' is none")
  })

  it("uploads, lists, brings up to date and downloads", async () => {
    write("my file.txt", "one")
    const up = await run(["upload", "my file.txt", "none"])
    assert.match(
      up.stdout,
      /^File 'my file\.txt' uploaded successfully\. \(3 B in [\d.]+ s, \d+ B\/s\)\nupload: 1 file, 1 failed \(/
    )
    assert.strictEqual(up.stderr, "paradrop: could not find the file in clientSide to upload: none\n")
    assert.strictEqual(up.code, 1)
    assert.strictEqual(fs.readFileSync(join(served, "my file.txt"), "utf8"), "one")

    write("my file.txt", "two and more")
    const para = await run(["para", "my file.txt"])
    assert.match(para.stdout, /^my file\.txt: the file has been parallelized \(/)
    assert.strictEqual(para.code, 0)

    write("old", "an older copy")
    const down = await run(["download", "my file.txt", "--to", "old"])
    assert.strictEqual(down.code, 0)
    assert.strictEqual(fs.readFileSync(join(work, "old"), "utf8"), "two and more")

    const listed = await run(["--json", "fetch", "*.txt"])
    const { modified, ...rest } = JSON.parse(listed.stdout) as { readonly modified: string }
    assert.deepStrictEqual(rest, { name: "my file.txt", size: 12 })
    assert.strictEqual(new Date(modified).toISOString(), modified)
    assert.deepStrictEqual([listed.code, listed.stderr], [0, ""])

    const url = `paradrop://ada@127.0.0.1:${port}`
    const byUrl = await plain(["download", `${url}/my%20file.txt`, "--to", "by url"], { PARADROP_PASSWORD: password })
    assert.deepStrictEqual([byUrl.code, byUrl.stderr], [0, ""])
    assert.strictEqual(fs.readFileSync(join(work, "by url"), "utf8"), "two and more")
    const there = await plain(["--json", "fetch", `${url}/my*`], { PARADROP_PASSWORD: password })
    assert.strictEqual(there.stdout, listed.stdout)
  })

  it("goes on over the connection that was dialled before its program, with the hello said there", async () => {
    write("early", "early")
    const trace = join(folder, "trace")
    const args = ["--server", `127.0.0.1:${port}`, "--user", "ada", "upload", join(work, "early")]
    const env = { PARADROP_PASSWORD: password, PARADROP_TRACE: trace }
    const { child, ended } = start("--import", [tracing, join(source, "client", "bin.ts"), ...args], env)
    child.stdin.end()
    const { code, stderr } = await ended
    assert.deepStrictEqual([code, stderr], [0, ""])
    assert.strictEqual(fs.readFileSync(join(served, "early"), "utf8"), "early")
    const events = eventsIn(trace)
    // One hello more, or one of another key pair, and the server would have hung up.
    const early = events.slice(
      0,
      events.findIndex(([, what]) => what === "main.ts")
    )
    const said = early.filter(([what]) => what === "write")
    assert.deepStrictEqual(said, [["write", preamble.length + publicKeyBytes]])
    assert.lengthOf(
      events.filter(([what]) => what === "connect"),
      1
    )
  })

  it("keeps to the rates that are set, by a flag or by a profile", async () => {
    write("slow", "s".repeat(96 * 1024))
    const milliseconds = ({ code, stdout }: { readonly code: Ended["code"]; readonly stdout: string }) => {
      assert.strictEqual(code, 0)
      const done = stdout.split("\n").find((line) => line.includes('"milliseconds"'))
      return (JSON.parse(done ?? "") as { readonly milliseconds: number }).milliseconds
    }
    // A quarter of a second goes at once.
    assert.isAtLeast(milliseconds(await run(["--json", "upload", "slow", "--up-rate", "192K"])), 240)
    const env = { PARADROP_PASSWORD: password, XDG_CONFIG_HOME: join(folder, "narrow") }
    const server = `ada@127.0.0.1:${port}`
    assert.strictEqual((await plain(["profile", "add", "narrow", server, "--down-rate", "192K"], env)).code, 0)
    const down = ["--json", "--server", "narrow", "download", "slow", "--to", "slow again"]
    assert.isAtLeast(milliseconds(await plain(down, env)), 240)
    const file = join(folder, "narrow", "paradrop", "profiles", "narrow.toml")
    fs.writeFileSync(file, fs.readFileSync(file, "utf8").replace("192K", "fast"))
    const wrong = await plain(down, env)
    assert.deepStrictEqual(wrong, {
      code: 2,
      stdout: "",
      stderr:
        "paradrop: down-rate of the profile is bytes each second, 4096 or more, as 500K or 5M; not 'fast' " +
        "(paradrop --help shows the usage)\n"
    })
  })

  it("renames and removes, several at once, and tells each", async () => {
    fs.mkdirSync(join(served, "old"))
    fs.writeFileSync(join(served, "old", "draft"), "draft")
    fs.writeFileSync(join(served, "taken"), "taken")
    const taken = await run(["rename", "old/draft", "taken"])
    assert.deepStrictEqual([taken.code, taken.stdout], [1, ""])
    assert.include(taken.stderr, "paradrop: old/draft: 'taken' exists on the server already, and nothing was changed")
    const renamed = await run(["rename", "old/draft", "new/report"])
    assert.deepStrictEqual(
      [renamed.code, renamed.stdout, renamed.stderr],
      [0, "File 'old/draft' renamed to 'new/report'.\n", ""]
    )
    assert.isFalse(fs.existsSync(join(served, "old")))
    assert.strictEqual(fs.readFileSync(join(served, "new", "report"), "utf8"), "draft")
    assert.strictEqual((await run(["rename", "new/report", "taken", "--replace"])).code, 0)
    const removed = await run(["--json", "remove", "taken", "none"])
    assert.strictEqual(removed.stdout.split("\n")[0], '{"event":"removed","name":"taken"}')
    assert.strictEqual(
      removed.stderr,
      "paradrop: none: the server does not have this file: 'fetch' shows what it has\n"
    )
    assert.deepStrictEqual([removed.code, fs.existsSync(join(served, "taken"))], [1, false])
  })

  it("takes whole folders both ways, with times and the executable bit, and leaves out what is no file", async () => {
    fs.mkdirSync(join(work, "tree", "sub"), { recursive: true })
    write("tree/run", "#!/bin/sh\n")
    fs.chmodSync(join(work, "tree", "run"), 0o755)
    write("tree/sub/ü", "text")
    fs.utimesSync(join(work, "tree", "sub", "ü"), 1, 1)
    fs.symlinkSync("run", join(work, "tree", "link"))
    const up = await run(["para", "-r", "tree", "--as", "folders"])
    assert.strictEqual(up.stderr, "left out: tree/link (a symbolic link)\n")
    assert.match(up.stdout, /^para: 2 files \(.*\n$/)
    assert.strictEqual(fs.statSync(join(served, "folders/tree/run")).mode & 0o100, 0o100)
    const down = await run(["download", "-r", "folders/tree", "--to", "back"])
    assert.deepStrictEqual([up.code, down.code], [0, 0])
    assert.strictEqual(fs.statSync(join(work, "back/tree/run")).mode & 0o100, 0o100)
    const { mode, mtimeMs } = fs.statSync(join(work, "back/tree/sub/ü"))
    assert.deepStrictEqual([mode & 0o111, mtimeMs], [0, 1000])
    const again = await run(["para", "-r", "tree", "--as", "folders", "--delete"])
    assert.match(again.stdout, /^para: 2 files, 2 equal already \(/)
    assert.strictEqual((await run(["upload", "tree", "--delete"])).code, 2)
    const quiet = await run(["--quiet", "upload", "-r", "tree", "none"])
    assert.deepStrictEqual(quiet, {
      code: 1,
      stdout: "",
      stderr: "paradrop: could not find the file in clientSide to upload: none\n"
    })
  })

  it("says what is wrong in one line: missing files, wrong password, no password, nobody there", async () => {
    const cases: ReadonlyArray<readonly [Promise<Ended>, string]> = [
      [run(["download", "none"]), "none: the server does not have this file: 'fetch' shows what it has"],
      [
        run(["fetch"], "", { PARADROP_PASSWORD: "wrong" }),
        "incorrect: wrong user or password for 'ada', or not the server that knows you: check all three"
      ],
      [
        plain(["--server", `127.0.0.1:${port}`, "fetch"], { PARADROP_PASSWORD: "wrong" }),
        "incorrect: wrong user or password for 'default', or not the server that knows you: " +
          "name your account with --user"
      ],
      [
        run(["fetch"], "", {}),
        "no password: set PARADROP_PASSWORD, name a file with --password-file or a command with --password-command, " +
          "or run on a terminal"
      ],
      [
        run(["--password-file", "absent", "fetch"]),
        "the password file absent cannot be read: check its path and who may read it"
      ],
      [
        plain(["--server", "127.0.0.1:1", "fetch"], { PARADROP_PASSWORD: "x" }),
        "nothing listens at 127.0.0.1:1: start the server, or check host and port (ECONNREFUSED)"
      ]
    ]
    for (const [ended, text] of cases) {
      const { code, stderr, stdout } = await ended
      assert.strictEqual(stderr, `paradrop: ${text}\n`)
      assert.deepStrictEqual([code, stdout], [1, ""])
    }
  })

  it("a link where a download goes is replaced, and one to a folder is the folder", async () => {
    write("linked", "x")
    write("precious", "precious")
    assert.strictEqual((await run(["upload", "linked"])).code, 0)
    fs.mkdirSync(join(work, "real"))
    fs.symlinkSync("precious", join(work, "way"))
    fs.symlinkSync("real", join(work, "way in"))
    for (const to of ["way", "way in"]) assert.strictEqual((await run(["download", "linked", "--to", to])).code, 0)
    const content = (name: string) => fs.readFileSync(join(work, name), "utf8")
    assert.deepStrictEqual([content("precious"), content("way"), content("real/linked")], ["precious", "x", "x"])
    assert.isFalse(fs.lstatSync(join(work, "way")).isSymbolicLink())
  })

  it("--durability says whether what is written here is fsynced", async () => {
    write("durable", "x")
    assert.strictEqual((await run(["upload", "durable"])).code, 0)
    const count = `import fs from "node:fs"
      import { syncBuiltinESMExports } from "node:module"
      const { fsync } = fs
      fs.fsync = (fd, done) => { fs.writeSync(2, "[fsync]"); fsync(fd, done) }
      syncBuiltinESMExports()`
    const counting = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(count)}` }
    const password = { PARADROP_PASSWORD: "correct horse battery", ...counting }
    const full = await run(["download", "durable", "--to", "durable-full"], "", password)
    assert.strictEqual(full.stderr, "[fsync][fsync]")
    const os = await run(["--durability", "os", "download", "durable", "--to", "durable-os"], "", password)
    assert.deepStrictEqual([os.stderr, fs.readFileSync(join(work, "durable-os"), "utf8")], ["", "x"])
    const none = await run(["download", "durable", "--durability", "none"])
    assert.deepStrictEqual([none.code, none.stdout], [2, ""])
    assert.match(none.stderr, /^paradrop: .*durability.*full.*os.*\n$/)
  })

  it("--verbose shows what stands behind an error", async () => {
    const { code, stderr } = await plain(["--server", "127.0.0.1:1", "--verbose", "fetch"], { PARADROP_PASSWORD: "x" })
    assert.strictEqual(
      stderr,
      "paradrop: nothing listens at 127.0.0.1:1: start the server, or check host and port (ECONNREFUSED)\n" +
        "  caused by SocketError: An error occurred during Open\n" +
        "  caused by Error: connect ECONNREFUSED 127.0.0.1:1\n"
    )
    assert.strictEqual(code, 1)
  })

  for (const args of [
    ["bogus"],
    ["upload", "a", "b", "--as", "c"],
    ["para", "--watch", "*.none"],
    ["--server", "a:b", "fetch"],
    ["--up-rate", "4095", "fetch"],
    ["--down-rate", "quick", "fetch"],
    ["profile", "add", "quick", "files.example", "--up-rate", "0"],
    []
  ]) {
    it(`wrong usage: ${args.join(" ")}`, async () => {
      const { code, stderr, stdout } = await plain(args)
      assert.deepStrictEqual([code, stdout], [2, ""])
      assert.match(stderr, /^paradrop: .*\(paradrop --help shows the usage\)\n$/)
      assert.notMatch(stderr, /subcommand/i)
    })
  }

  it("a word that is no command", async () => {
    const [near, below] = await Promise.all([plain(["fetsh"]), plain(["profile", "bogus"])])
    assert.strictEqual(
      near.stderr,
      "paradrop: 'fetsh' is no command: did you mean 'fetch'? (paradrop --help shows the usage)\n"
    )
    assert.strictEqual(below.stderr, "paradrop: 'bogus' is no command of 'profile' (paradrop --help shows the usage)\n")
  })

  it("a flag that is none, and a command that is none by itself", async () => {
    const usage = "(paradrop --help shows the usage)\n"
    const cases = [
      [["upload", "--bas", "x"], `'--bas' is no flag of 'upload': did you mean '--as'? ${usage}`],
      [["--zzzzzzzz", "fetch"], `'--zzzzzzzz' is no flag ${usage}`],
      [["--json", "profile"], `say what to do: profile add, list, show, remove ${usage}`],
      [["--server", "a", "--server=b", "fetch"], `'--server' was given 2 times: give it once ${usage}`],
      [["upload", "-r", "--recursive", "-r", "x"], `'--recursive' was given 3 times: give it once ${usage}`],
      [["upload", "x", "--dry-run", "--include=*"], `of folders alone, which take -r: --dry-run, --include ${usage}`],
      [["--password-file=", "fetch"], `--password-file takes a path, and '' is none ${usage}`],
      [["profile", "add", "p", "h", "--password-file", ""], `--password-file takes a path, and '' is none ${usage}`],
      [["--password-command", "", "fetch"], `--password-command takes a command, and '' is none ${usage}`],
      [["fetch", ""], `fetch takes a pattern, and '' is none: without one it lists all files ${usage}`],
      [["fetch", "--watch", ""], `fetch takes a pattern, and '' is none: without one it lists all files ${usage}`],
      [["passwd", "--new-password-file", ""], `--new-password-file takes a path, and '' is none ${usage}`]
    ] as const
    for (const [args, text] of cases) {
      assert.deepStrictEqual(await plain([...args]), { code: 2, stdout: "", stderr: `paradrop: ${text}` })
    }
  })

  it("a name that begins with - and has h or v in it asks for no help, which would end with 0", async () => {
    const why = "is no flag: a name that begins with '-' stands behind '--', or behind a flag and '='"
    const cases = [
      ["download", "-dash"],
      ["upload", "-dash"],
      ["upload", "x", "--as", "-dash"],
      ["upload", "-dash", "--", "-h"]
    ]
    for (const args of cases) {
      const stderr = `paradrop: '-dash' ${why} (paradrop --help shows the usage)\n`
      assert.deepStrictEqual(await plain(args), { code: 2, stdout: "", stderr })
    }
    const [short, operand] = await Promise.all([plain(["upload", "-h"]), plain(["upload", "--", "-dash"])])
    assert.deepStrictEqual([short.code, short.stderr], [0, ""])
    assert.include(operand.stderr, "could not find the file in clientSide to upload: -dash")
  })

  it("a password in an address is refused wherever it stands, and not repeated", async () => {
    const [bare, url] = ["ada:s3cret@host", "paradrop://ada:s3cret@host"]
    const all = [[url], [bare], ["--server", `${bare}:80`, "fetch"], [`--server=${url}`, "fetch"], ["upload", url]]
    for (const { code, stderr, stdout } of await Promise.all(all.map((args) => plain(args)))) {
      assert.deepStrictEqual([code, stdout], [2, ""])
      assert.match(stderr, /^paradrop: a password in a URL is seen by everyone on this machine: leave it out, /)
      assert.notInclude(stderr, "s3cret")
    }
    const [user, address] = await Promise.all([plain(["--user", "ada:s3cret", "fetch"]), plain(["ada@host"])])
    assert.deepStrictEqual([user.code, user.stderr.includes("s3cret")], [2, false])
    assert.include(address.stderr, "'ada@host' is a server and no command: say '--server ada@host', and then a command")
  })

  it("what scp, rsync and ssh take as a server is not asked of this machine's", async () => {
    const url = "paradrop://ada@host/x"
    const named = `'ada@host:x' reads as a server: write ${url}, or name the server with --server`
    const own = "a local file of that name is './ada@host:x'"
    const local = `'ada@host:x' reads as a server's file: say '--as ${url}'; ${own}`
    const cases = [
      [["fetch", "ada@host:x"], named],
      [["download", "ada@host:x"], named],
      [["remove", "a", "ada@host:x"], named],
      [["verify", "ada@host:x", "file"], named],
      [["rename", "ada@host:x", "y"], named],
      [["upload", "file", "--as", "ada@host:x"], named],
      [["upload", "file", "ada@host:x"], local],
      [["para", "file", "ada@host:x"], local],
      [["upload", "file", url], "a URL names a file of the server, and these are local: say '--as URL'"],
      [["shell", "ada@host"], "'ada@host' is a server and no folder: 'paradrop --server ada@host shell'"],
      [["shell", "ada@host:8080"], "'ada@host:8080' is a server and no folder: 'paradrop --server ada@host:8080 shell'"]
    ] as const
    const usage = " (paradrop --help shows the usage)\n"
    for (const [args, text] of cases) {
      assert.deepStrictEqual(await plain([...args]), { code: 2, stdout: "", stderr: `paradrop: ${text}${usage}` })
    }
  }, 120_000)

  it("--help and --version are no errors", async () => {
    const help = await plain(["--help"])
    for (const word of [
      "--server",
      "--user",
      "--json",
      "--password-file",
      "fetch",
      "upload",
      "download",
      "para",
      "remove",
      "rename",
      "shell"
    ]) {
      assert.include(help.stdout, word)
    }
    assert.deepStrictEqual([help.code, (await plain(["--version"])).code], [0, 0])
    assert.include((await plain(["remove", "--help"])).stdout, "or its URL; never a pattern")
    assert.deepStrictEqual(await plain(["help"]), help)
    assert.deepStrictEqual(await plain(["help", "profile", "add"]), await plain(["profile", "add", "--help"]))
    const unknown = await plain(["help", "profile", "ad"])
    assert.deepStrictEqual([unknown.code, unknown.stdout], [2, ""])
    assert.include(unknown.stderr, "'ad' is no command of 'profile': did you mean 'add'?")
  })

  it("takes the password from a file; it is in no argument, output or message", async () => {
    write("secret", `${password}\r\nmore`)
    fs.writeFileSync(join(served, "here"), "x")
    const call = start(clientMain, [
      "--server",
      `127.0.0.1:${port}`,
      "--user",
      "ada",
      "--password-file",
      "secret",
      "shell"
    ])
    call.child.stdin.write("fetch\n")
    while (call.output.stdout === "") await once(call.child.stdout, "data")
    if (process.platform === "linux") {
      assert.notInclude(fs.readFileSync(`/proc/${call.child.pid}/cmdline`, "utf8"), "correct")
    }
    call.child.stdin.end("exit\n")
    const { code, stderr, stdout } = await call.ended
    fs.rmSync(join(served, "here"))
    assert.strictEqual(code, 0)
    assert.notInclude(stdout + stderr, "correct horse")
    const wrong = await run(["--verbose", "fetch"], "", {
      PARADROP_PASSWORD: "horse wrong battery",
      PARADROP_DEBUG: "1"
    })
    assert.notInclude(wrong.stdout + wrong.stderr, "horse")
  })

  it("tells a script in JSON too what left no command to begin", async () => {
    const events = (stdout: string) => stdout.split("\n").flatMap((text) => (text === "" ? [] : [JSON.parse(text)]))
    const nobody = await plain(["--json", "--server", "127.0.0.1:1", "--user", "ada", "fetch"], {
      PARADROP_PASSWORD: password
    })
    const wrong = await run(["--json", "remove", "none"], "", { PARADROP_PASSWORD: "another" })
    assert.deepStrictEqual([nobody.code, wrong.code], [1, 1])
    assert.deepStrictEqual(
      [...events(nobody.stdout), ...events(wrong.stdout)].map(({ error, event, message }) => [event, error, message]),
      [
        ["failed", "ConnectFailed", nobody.stderr.replace("paradrop: ", "").trimEnd()],
        ["failed", "LoginIncorrect", wrong.stderr.replace("paradrop: ", "").trimEnd()]
      ]
    )
  })

  it("keeps standard output to events in a shell, whatever a line asks for", async () => {
    const { code, stderr, stdout } = await run(["--json", "shell"], "pwd\nlls\nhelp\nhelp fetch\nfetch nothing\n")
    assert.strictEqual(code, 1)
    assert.include(stderr, "fetch [")
    const [only, ...others] = stdout.split("\n")
    assert.deepInclude(JSON.parse(only ?? ""), { event: "failed", name: "nothing" })
    assert.deepStrictEqual(others, [""])
  })

  it("explains each command by what its lines take", async () => {
    const explained = async (name: string) => (await run(["shell"], `help ${name}\n`)).stdout.split("\n")
    assert.deepStrictEqual(await explained("cd"), [
      "cd [FOLDER]",
      "  stand in a folder of the server; alone: at the top",
      ""
    ])
    assert.deepStrictEqual(await explained("fetch"), [
      "fetch [PATTERN] [--digest]",
      "  list the server's files",
      "  PATTERN   show only names that fit, as in '*.txt' or 'photos/**', with code 1 when none does",
      "  --digest  show the digest of each file (BLAKE3), which the server may have to compute",
      "examples:",
      "  fetch          all files",
      "  fetch '*.pdf'  those whose name ends so, in any folder",
      ""
    ])
    const rest = await explained("para\nhelp upload\nhelp download\nhelp verify\nhelp remove\nhelp rename")
    assert.deepStrictEqual(
      rest.filter((line) => /URL|--watch/.test(line)),
      []
    )
    assert.include(
      rest,
      "  para -r site                          the server's site/... becomes yours: what is new or differs"
    )
  })

  it("ends quietly when nobody reads its output any more", async () => {
    const call = start(clientMain, ["--server", `127.0.0.1:${port}`, "--user", "ada", "--json", "shell"], {
      PARADROP_PASSWORD: password
    })
    call.child.stdin.write("fetch\n")
    while (call.output.stdout === "") await once(call.child.stdout, "data")
    call.child.stdout.destroy()
    call.child.stdin.write("fetch\nfetch\n")
    const { code, stderr } = await call.ended
    assert.deepStrictEqual([code, stderr], [141, ""])
  })
})

describe("a transfer that ends early", () => {
  const size = 400 * 1024 * 1024
  const growing = async () => {
    for (;;) {
      const [part] = leftovers()
      if (part !== undefined && fs.statSync(join(work, part)).size > 0) return
      await Effect.runPromise(Effect.sleep(2))
    }
  }

  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    it(`${signal} leaves the old file and at most what may be gone on with, and ends it as a signal does`, async () => {
      fs.writeFileSync(join(served, "large"), "")
      fs.truncateSync(join(served, "large"), size)
      write("large", "old")
      const call = start(clientMain, ["--server", `127.0.0.1:${port}`, "--user", "ada", "download", "large"], {
        PARADROP_PASSWORD: password
      })
      await growing()
      call.child.kill(signal)
      const { code, stderr, stdout } = await call.ended
      assert.deepStrictEqual([code, stdout, stderr], [signal, "", "paradrop: interrupted\n"])
      assert.strictEqual(fs.readFileSync(join(work, "large"), "utf8"), "old")
      for (const part of leftovers()) {
        assert.match(part, new RegExp(`^\\.large\\.${size}-\\d+\\.[0-9a-f]{24}\\.part$`))
        assert.isAtLeast(fs.statSync(join(work, part)).size, 1024 * 1024)
        fs.unlinkSync(join(work, part))
      }
    })
  }
})

/** One that takes connections and says nothing. */
const silentServer = async () => {
  const silent = createServer().listen(0, "127.0.0.1")
  await once(silent, "listening")
  const address = silent.address()
  return { silent, there: `127.0.0.1:${typeof address === "object" ? address?.port : 0}` }
}

for (const signals of [["SIGINT"], ["SIGTERM"], ["SIGHUP"], ["SIGINT", "SIGINT"]] as const) {
  it.skipIf(process.platform !== "linux")(`${signals.join(", ")}: a pipe of others too is left as it was`, async () => {
    const pipe = join(folder, `shared-${signals.join("-")}`)
    execFileSync("mkfifo", [pipe])
    const shared = fs.openSync(pipe, "r+")
    const flags = () => /^flags:\t(\d+)$/m.exec(fs.readFileSync(`/proc/self/fdinfo/${shared}`, "utf8"))?.[1]
    const before = flags()
    const { silent, there } = await silentServer()
    const child = spawn(process.execPath, [clientMain, "--server", there, "--user", "ada", "fetch"], {
      cwd: work,
      env: environment({ PARADROP_PASSWORD: password }),
      stdio: ["ignore", shared, shared]
    })
    const [connection] = await once(silent, "connection")
    for (const signal of signals) child.kill(signal)
    const ended = await once(child, "close")
    connection.destroy()
    silent.close()
    // A second signal does not wait for what is said.
    if (signals.length === 1) {
      const said = Buffer.alloc(100)
      const length = fs.readSync(shared, said)
      assert.strictEqual(said.toString("utf8", 0, length), "paradrop: interrupted\n")
    }
    assert.deepStrictEqual([ended, flags()], [[null, signals[0]], before])
    fs.closeSync(shared)
  })
}

it.skipIf(process.platform !== "linux")(
  "a socket that a script shares with it is left as it was, also its input",
  async () => {
    const script = [
      "exec 3<&0",
      '"$@" <&3 &',
      'echo "client $!" >&2',
      "wait $!",
      'echo "code $?"',
      "grep -h ^flags: /proc/self/fdinfo/0 /proc/self/fdinfo/1 /proc/self/fdinfo/2 <&3"
    ].join("\n")
    const client = [process.execPath, clientMain, "--server", `127.0.0.1:${port}`, "--user", "ada", "shell"]
    // Node gives sockets to what it starts.
    const child = spawn("bash", ["-c", script, "bash", ...client], {
      cwd: work,
      env: environment({ PARADROP_PASSWORD: password })
    })
    const ended = once(child, "close")
    const output = { stdout: "", stderr: "" }
    child.stderr.on("data", (chunk) => (output.stderr += String(chunk)))
    child.stdout.on("data", (chunk) => (output.stdout += String(chunk)))
    child.stdin.write("lpwd\n")
    while (!output.stdout.includes("\n")) await once(child.stdout, "data")
    process.kill(Number(/^client (\d+)$/m.exec(output.stderr)?.[1]), "SIGTERM")
    await ended
    // For reading and writing, and nothing else.
    const flags = "flags:\t02\n"
    assert.strictEqual(output.stdout, `${fs.realpathSync(work)}\ncode 143\n${flags.repeat(3)}`)
    assert.match(output.stderr, /^client \d+\nparadrop: interrupted\n$/)
  }
)

it("a second SIGINT ends a client whose disk hangs for ever", async () => {
  const pipe = join(folder, "pipe")
  execFileSync("mkfifo", [pipe])
  const preload = pathToFileURL(join(import.meta.dirname, "..", "server", "hangingDisk.ts")).href
  const { silent, there } = await silentServer()
  const env = { PARADROP_PASSWORD: password, PARADROP_PIPE: pipe, NODE_OPTIONS: `--import ${preload}` }
  const { child, output } = start(clientMain, ["--server", there, "--user", "ada", "fetch"], env)
  const [connection] = await once(silent, "connection")
  child.kill("SIGINT")
  while (!output.stderr.includes("exiting")) await once(child.stderr, "data")
  child.kill("SIGINT")
  await once(child, "close")
  connection.destroy()
  silent.close()
  assert.strictEqual(child.signalCode, "SIGINT")
})

describe("the same download again", () => {
  it("goes on after kill -9, then finds the file equal, and verify tells so", async () => {
    const content = Buffer.alloc(300 * 1024 * 1024, "abcdefg")
    fs.writeFileSync(join(served, "killed"), content)
    const call = start(clientMain, ["--server", `127.0.0.1:${port}`, "--user", "ada", "download", "killed"], {
      PARADROP_PASSWORD: password
    })
    const staged = () => leftovers().reduce((total, part) => total + fs.statSync(join(work, part)).size, 0)
    while (staged() < 2 * 1024 * 1024) await Effect.runPromise(Effect.sleep(2))
    call.child.kill("SIGKILL")
    await call.ended
    const kept = staged()
    const again = await run(["--json", "download", "killed"])
    const done = again.stdout.trimEnd().split("\n").at(-1) ?? ""
    const { received, reused } = JSON.parse(done) as { readonly received: number; readonly reused: number }
    assert.deepStrictEqual([again.code, again.stderr, reused], [0, "", kept])
    assert.isBelow(received, content.length - kept + 256 * 1024)
    assert.isTrue(content.equals(fs.readFileSync(join(work, "killed"))))
    assert.deepStrictEqual(leftovers(), [])
    const equal = await run(["verify", "killed", "killed"])
    assert.strictEqual(equal.stdout, "killed is equal to the server's killed (300.0 MiB)\n")
    write("other", "x")
    const other = await run(["verify", "killed", "other"])
    assert.deepStrictEqual([equal.code, other.code], [0, 1])
    assert.match(other.stdout, /^other differs from the server's killed \(1 B here, \d+ B on the server\)\n$/)
  })
})

describe("a script for the shell", () => {
  it("runs line by line without a prompt, and fails when a line did", async () => {
    write("a b", "x")
    const good = await run(["shell"], `upload "a b"\nfetch 'a b'\n`)
    assert.match(good.stdout, /^File 'a b' uploaded successfully\. .*\n {7}1 B {2}.* {2}a b\n$/)
    assert.deepStrictEqual([good.code, good.stderr], [0, ""])
    const bad = await run(["shell"], "uplaod x\nfetch 'a b'")
    assert.include(bad.stderr, "invalid command: the client must pay attention to acceptable input patterns\n")
    assert.include(bad.stderr, "did you mean 'upload'?\n")
    assert.include(bad.stdout, "a b\n")
    assert.strictEqual(bad.code, 1)
    assert.notInclude(bad.stdout + bad.stderr, "\u001b")
  })
})

describe("para --watch", () => {
  /** Waits until the process has said so. */
  const says = async ({ child, output }: ReturnType<typeof start>, stream: "stderr" | "stdout", wanted: RegExp) => {
    while (!wanted.test(output[stream])) await once(child[stream], "data")
    output[stream] = ""
  }
  const watching = (...args: ReadonlyArray<string>) =>
    start(clientMain, ["--server", `127.0.0.1:${port}`, "--user", "ada", "para", "--watch", ...args], {
      PARADROP_PASSWORD: password
    })
  const there = (name: string) => fs.readFileSync(join(served, name), "utf8")

  it("follows a file that is written, one that an editor puts in its place, and a new one, until SIGINT", async () => {
    fs.mkdirSync(join(work, "watched"))
    write("watched/note", "first")
    const call = watching("watched")
    await says(call, "stdout", /^para: 1 file \(/)
    await says(call, "stderr", /^watching watched: Ctrl-C ends it\n$/)
    assert.strictEqual(there("watched/note"), "first")

    write("watched/note", "second")
    await says(call, "stdout", /'watched\/note'.*\npara: /)
    assert.strictEqual(there("watched/note"), "second")

    write("saved", "third")
    fs.renameSync(join(work, "saved"), join(work, "watched", "note"))
    await says(call, "stdout", /'watched\/note'.*\npara: /)
    assert.strictEqual(there("watched/note"), "third")

    fs.mkdirSync(join(work, "watched", "sub"))
    write("watched/sub/new", "fourth")
    await says(call, "stdout", /'watched\/sub\/new'.*\n/)
    assert.strictEqual(there("watched/sub/new"), "fourth")

    fs.rmSync(join(work, "watched", "note"))
    call.child.kill("SIGINT")
    const { code, stderr } = await call.ended
    assert.deepStrictEqual([code, stderr], ["SIGINT", "paradrop: interrupted\n"])
    // Nothing goes that was not asked to.
    assert.strictEqual(there("watched/note"), "third")
  }, 120_000)

  it("removes with --delete what has gone here, and says what it has done", async () => {
    fs.mkdirSync(join(work, "mirror"))
    for (const name of ["a", "b"]) write(`mirror/${name}`, name)
    const call = watching("mirror", "--delete")
    await says(call, "stderr", /^watching mirror: Ctrl-C ends it\n$/)
    fs.rmSync(join(work, "mirror", "a"))
    await says(call, "stdout", /File 'mirror\/a' removed\.\npara: 1 file, .*1 removed/)
    assert.deepStrictEqual(fs.readdirSync(join(served, "mirror")), ["b"])
    call.child.kill("SIGTERM")
    assert.strictEqual((await call.ended).code, "SIGTERM")
  }, 120_000)
})

describe("profiles", () => {
  it("are added, listed, used and removed, with the password that was kept for one", async () => {
    write("profiled", "x")
    const server = `ada@127.0.0.1:${port}`
    const env = { PARADROP_PASSWORD: password }
    const added = await plain(["profile", "add", "home", server, "--keep-password"], env)
    assert.deepStrictEqual(added, { code: 0, stdout: "", stderr: "profile 'home' added: --server home names it\n" })
    const asked = await plain(["profile", "add", "local", `127.0.0.1:${port}`, "--keep-password"])
    assert.deepStrictEqual([asked.code, asked.stdout], [1, ""])
    assert.match(asked.stderr, /^paradrop: no password: set PARADROP_PASSWORD/)
    const again = await plain(["profile", "add", "home", server])
    assert.deepStrictEqual([again.code, again.stdout], [1, ""])
    assert.match(again.stderr, /^paradrop: there is a profile 'home' already/)

    // Neither account nor password is said any more.
    assert.strictEqual((await plain(["--server", "home", "upload", "profiled"])).code, 0)
    assert.strictEqual(fs.readFileSync(join(served, "profiled"), "utf8"), "x")
    const wrong = await plain(["--server", "home", "fetch"], { PARADROP_PASSWORD: "another password" })
    assert.deepStrictEqual([wrong.code, wrong.stdout], [1, ""])

    const kept = join(folder, ".config", "paradrop", "passwords", "home")
    const listed = await plain(["profile", "list"])
    assert.deepStrictEqual(listed, { code: 0, stdout: `home  ${server}  password from a file\n`, stderr: "" })
    const shown = await plain(["--json", "profile", "show", "home"])
    const profile = { name: "home", server: `127.0.0.1:${port}`, user: "ada", passwordFile: kept }
    assert.deepStrictEqual(JSON.parse(shown.stdout), profile)
    assert.strictEqual(fs.statSync(kept).mode & 0o777, 0o600)

    assert.strictEqual((await plain(["profile", "remove", "home"])).code, 0)
    assert.isFalse(fs.existsSync(kept))
    const none = await plain(["profile", "list"])
    assert.deepStrictEqual([none.code, none.stdout], [0, ""])
    const gone = await plain(["profile", "remove", "home"])
    assert.deepStrictEqual([gone.code, gone.stdout], [1, ""])
  }, 120_000)

  it("that fail are told to a script as well, but for wrong usage", async () => {
    const file = join(folder, ".config", "paradrop", "profiles", "broken.toml")
    fs.mkdirSync(dirname(file), { recursive: true })
    fs.writeFileSync(file, "server = 5\n")
    const bad = `line 1 of ${file}: 'server' must be a text in quotes`
    const none = "there is no profile 'none': 'profile list' shows what there is"
    const there = "there is a profile 'broken' already: --replace writes over it"
    for (const [args, error, message] of [
      [["--server", "broken", "fetch"], "ProfilesFailed", bad],
      [["profile", "show", "broken"], "ProfilesFailed", bad],
      [["profile", "show", "none"], "NoSuchProfile", none],
      [["profile", "remove", "none"], "NoSuchProfile", none],
      [["profile", "add", "broken", "host"], "ProfileExists", there]
    ] as const) {
      const { code, stderr, stdout } = await plain(["--json", ...args])
      assert.deepStrictEqual([code, stdout], [1, `${asciiJson({ event: "failed", error, message })}\n`])
      assert.include(stderr, message)
    }
    const listed = await plain(["--json", "profile", "list"])
    const event = { event: "failed", name: "broken", error: "ProfilesFailed", message: bad }
    assert.deepStrictEqual([listed.code, listed.stdout], [1, `${asciiJson(event)}\n`])
    assert.strictEqual(listed.stderr, `profile 'broken': ${bad}\n`)
    const wrong = await plain(["--json", "profile", "show", "Nobody"])
    assert.deepStrictEqual([wrong.code, wrong.stdout], [2, ""])
    fs.rmSync(file)
  }, 120_000)
})

describe("the public account", () => {
  it("is used by itself on loopback, with a calm note", async () => {
    const other = join(folder, "other")
    fs.mkdirSync(other)
    const server = start(serverMain, ["--port", "0", "--root", "other"])
    while (!server.output.stdout.includes("\n")) await once(server.child.stdout, "data")
    const address = server.output.stdout.replace("listening on ", "").trim()
    const { code, stderr, stdout } = await plain(["--server", address, "fetch"])
    assert.deepStrictEqual([code, stdout], [0, ""])
    assert.strictEqual(
      stderr,
      "note: logging in as 'default' with the public default password, which works on this machine only\n"
    )
    server.child.kill("SIGTERM")
    assert.strictEqual((await server.ended).code, 0)
  })
})
