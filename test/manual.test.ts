/**
 * What is made from the command trees besides `--help`: manual pages, and completions that real shells take.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Context, Option, Schema } from "effect"
import { withLocalFiles } from "../src/completions.ts"
import * as manual from "../src/manual.ts"
import { entries } from "../src/server/Settings.ts"
import * as Terminal from "./client/terminal.ts"

const root = join(import.meta.dirname, "..")
const said = new Map<string, string>()
/** What a program prints, which is asked for once. */
const output = (side: "client" | "server", ...args: ReadonlyArray<string>): string => {
  const key = [side, ...args].join(" ")
  const known = said.get(key)
  if (known !== undefined) return known
  const ended = spawnSync(process.execPath, [join(root, "src", side, "main.ts"), ...args], { encoding: "utf8" })
  assert.deepStrictEqual([ended.status, ended.stderr], [0, ""])
  said.set(key, ended.stdout)
  return ended.stdout
}

const has = (program: string): boolean => spawnSync(program, ["--version"]).error === undefined

let folder = ""
beforeAll(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "paradrop-manual-"))
  fs.writeFileSync(join(folder, "my notes.txt"), "")
  fs.mkdirSync(join(folder, "music"))
})
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }))

/** What groff makes of a page, as text; it may have nothing to complain about. */
const shown = (page: string): string => {
  const ended = spawnSync("groff", ["-man", "-Tascii", "-ww", "-P-cbou", "-rLL=200n"], {
    input: page,
    encoding: "utf8"
  })
  assert.deepStrictEqual([ended.status, ended.stderr], [0, ""])
  return ended.stdout.replace(/\s+/g, " ")
}

const pageOf = (description: string) =>
  manual.page({
    name: "name",
    version: "1",
    manual: {
      help: {
        description: "short",
        usage: "name [flags]",
        flags: [{ name: "flag", aliases: [], type: "boolean", description: Option.some(description), required: false }],
        annotations: Context.empty()
      },
      below: []
    },
    sections: []
  })

describe("a manual page", () => {
  it.prop("holds any text without a request in it", [Schema.String], ([description]) => {
    const line = pageOf(description).split("\n").slice(8)
    assert.lengthOf(line, 1)
    assert.notMatch(line[0] ?? "", /^[.']/)
  })

  it.skipIf(!has("groff"))("shows a text with roff's own characters as it is", () => {
    for (const text of [`.so /etc/x`, `'br`, `a \\fB b \\n(.x`, `--flag 'quoted' "double"`, `"`]) {
      assert.include(shown(pageOf(text)), `--flag ${text}`)
    }
  })

  for (const side of ["client", "server"] as const) {
    it.skipIf(!has("groff"))(`of the ${side} has every command and flag of its help, and no fault`, () => {
      const page = shown(output(side, "--man"))
      const help = output(side, "--help")
      const flags = Array.from(help.matchAll(/^ {2}(--[a-z-]+)/gm), ([, flag = ""]) => flag)
      const listed = help.split("SUBCOMMANDS")[1]?.split("EXAMPLES")[0] ?? ""
      const commands = Array.from(listed.matchAll(/^ {2}(\w+)/gm), ([, name = ""]) => name)
      assert.isAbove(flags.length, 5)
      assert.isAbove(commands.length, 3)
      const program = side === "client" ? "paradrop" : "paradrop-server"
      for (const flag of flags) assert.include(page, ` ${flag}`)
      for (const command of commands) assert.include(page, `${program} ${command} `)
      for (const title of ["NAME", "SYNOPSIS", "OPTIONS", "COMMANDS", "EXIT STATUS"]) assert.include(page, title)
    })
  }

  for (const side of ["client", "server"] as const) {
    it(`of the ${side} has an example for every command`, () => {
      const [, ...commands] = output(side, "--man").split(/^\.SS /m)
      assert.isAbove(commands.length, 10)
      const without = commands.filter((command) => !command.includes(".RS 4"))
      assert.deepStrictEqual(
        without.map((command) => command.split("\n")[0]),
        []
      )
    })
  }

  it("of the client shows its examples and exit codes", () => {
    const page = output("client", "--man")
    assert.include(page, "\nStored as 2026/photos/...:\n")
    assert.notInclude(page, "/..:")
    assert.include(page, "\nparadrop download report.pdf \\-\\-to old.pdf\n")
    assert.include(page, ".B 141\n")
  })
})

/** What bash offers for a line with the cursor at its end. */
const offers = (script: string, line: string): ReadonlyArray<string> => {
  const words = line.split(" ")
  const program = `
    source ${JSON.stringify(script)}
    COMP_LINE=${JSON.stringify(line)}; COMP_POINT=\${#COMP_LINE}
    COMP_WORDS=(${words.map((word) => JSON.stringify(word)).join(" ")}); COMP_CWORD=${words.length - 1}
    _paradrop paradrop "\${COMP_WORDS[COMP_CWORD]}"
    printf '%s\\n' "\${COMPREPLY[@]}"`
  const ended = spawnSync("bash", ["--norc", "-c", program], { cwd: folder, encoding: "utf8" })
  assert.strictEqual(ended.stderr, "")
  return ended.stdout
    .split("\n")
    .filter((offer) => offer !== "")
    .toSorted()
}

/** What fish offers for each of the lines. */
const inFish = (script: string, lines: ReadonlyArray<string>): ReadonlyArray<string | undefined> => {
  const program = `source ${JSON.stringify(script)}; ${lines.map((line) => `complete -C "${line}"`).join("; ")}`
  const ended = spawnSync("fish", ["--no-config", "-c", program], { cwd: folder, encoding: "utf8" })
  assert.strictEqual(ended.stderr, "")
  return ended.stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.split("\t")[0])
}

describe("completions", () => {
  it("offers of the server's choices what its settings take", () => {
    const flag = (name: string) => ({ name, aliases: [], type: { _tag: "String" }, description: undefined }) as const
    const flags = ["durability", "log-level"].map((name) => flag(name))
    const tree = { name: "x", description: undefined, flags, arguments: [], subcommands: [] }
    const takes = (name: string) => entries.find(({ facts }) => facts.flag === name)?.facts.takes
    assert.deepStrictEqual(
      withLocalFiles(tree).flags.map(({ type }) => (type._tag === "Choice" ? type.values.join(" | ") : "")),
      flags.map(({ name }) => takes(name))
    )
  })

  for (const shell of ["bash", "zsh", "fish"]) {
    it.skipIf(!has(shell))(`${shell} can read its script`, () => {
      const script = join(folder, `script.${shell}`)
      fs.writeFileSync(script, output("client", "--completions", shell))
      const ended = spawnSync(shell, ["-n", script], { encoding: "utf8" })
      assert.deepStrictEqual([ended.status, ended.stderr], [0, ""])
      assert.isAbove(fs.statSync(script).size, 1000)
    })
  }

  it.skipIf(!has("bash"))("bash offers commands, flags and local files", () => {
    const script = join(folder, "offers.bash")
    fs.writeFileSync(script, output("client", "--completions", "bash"))
    assert.deepStrictEqual(offers(script, "paradrop up"), ["upload"])
    assert.deepStrictEqual(offers(script, "paradrop --user ada r"), ["remove", "rename"])
    assert.include(offers(script, "paradrop upload --a"), "--as")
    assert.deepStrictEqual(offers(script, "paradrop --he"), ["--help"])
    assert.deepStrictEqual(offers(script, "paradrop profile add --he"), ["--help"])
    assert.deepStrictEqual(offers(script, "paradrop --ver"), ["--verbose", "--version"])
    assert.deepStrictEqual(offers(script, "paradrop --completions z"), ["zsh"])
    assert.deepStrictEqual(offers(script, "paradrop upload --ma"), [])
    assert.deepStrictEqual(offers(script, "paradrop upload my"), ["my\\ notes.txt"])
    assert.deepStrictEqual(offers(script, "paradrop download x --to mu"), ["music/"])
    assert.deepStrictEqual(offers(script, "paradrop download my"), [])
    assert.deepStrictEqual(offers(script, "paradrop --server fe"), [])
    assert.deepStrictEqual(offers(script, "paradrop upload -r --exclude a --ex"), ["--exclude"])
  })

  const keyboards = {
    bash: { rc: "--norc", begin: (script: string) => `. ${script}; bind 'set bell-style none'` },
    zsh: { rc: "-f", begin: (script: string) => `autoload -Uz compinit; compinit -u -D; . ${script}` }
  }
  for (const [shell, { begin, rc }] of Object.entries(keyboards)) {
    it.skipIf(!has(shell) || !Terminal.available)(
      `${shell} completes at a keyboard behind '=', into folders, and for the server`,
      { timeout: 120_000 },
      async () => {
        const script = join(folder, `keys.${shell}`)
        const ofServer = join(folder, `server.${shell}`)
        fs.writeFileSync(script, output("client", "--completions", shell))
        fs.writeFileSync(ofServer, output("server", "--completions", shell))
        const terminal = Terminal.open([shell, rc], {
          cwd: folder,
          env: { PATH: process.env["PATH"], HOME: folder, TERM: "dumb", LC_ALL: "C.UTF-8" }
        })
        terminal.type(`PS1='>'; ${begin(script)}; . ${ofServer}; echo be''gun\r`)
        await terminal.until("begun")
        const lines = [
          ["paradrop --server=home fe\t", "paradrop --server=home fetch "],
          ["paradrop --durability=o\t", "paradrop --durability=os "],
          ["paradrop download x --to=mu\t", "paradrop download x --to=music/"],
          ["paradrop upload -r mu\t", "paradrop upload -r music/"],
          ["paradrop upload --json -r mu\t", "paradrop upload --json -r music/"],
          ["paradrop profile --json sh\t", "paradrop profile --json show "],
          ["paradrop-server --root=x us\t", "paradrop-server --root=x user "],
          ["paradrop-server user --root x cha\t", "paradrop-server user --root x change "]
        ] as const
        for (const [keys, line] of lines) {
          terminal.type(keys)
          await terminal.until(line)
          terminal.type("\u0015")
        }
        terminal.type("exit\r")
        assert.strictEqual(await terminal.ended, 0)
      }
    )
  }

  it.skipIf(!has("fish"))("fish offers commands behind flags and their values", () => {
    const script = join(folder, "offers.fish")
    fs.writeFileSync(script, output("client", "--completions", "fish"))
    const lines = ["paradrop up", "paradrop --server home up", "paradrop --json --user up --durability o"]
    assert.deepStrictEqual(inFish(script, lines), ["upload", "upload", "os"])
    const ofServer = join(folder, "server.fish")
    fs.writeFileSync(ofServer, output("server", "--completions", "fish"))
    const ofTheServer = ["--root x us", "--config my", "--log-level de", "user list --durability o"]
    assert.deepStrictEqual(
      inFish(
        ofServer,
        ofTheServer.map((line) => `paradrop-server ${line}`)
      ),
      ["user", "my notes.txt", "debug", "os"]
    )
  })

  it.skipIf(!has("fish"))("fish takes no name for a command, and offers again what may be repeated", () => {
    const script = join(folder, "names.fish")
    fs.writeFileSync(script, output("client", "--completions", "fish"))
    const lines = [
      "profile remove x --exp",
      "upload fetch --dig",
      "upload --as profile sho",
      "upload -r --exclude a --exc"
    ]
    const offered = inFish(
      script,
      lines.map((line) => `paradrop ${line}`)
    )
    assert.deepStrictEqual(offered, ["--exclude"])
  })
})

describe("help", () => {
  it("has an empty line before each of its parts", () => {
    for (const [side, ...command] of [["client"], ["client", "upload"], ["server"], ["server", "user"]] as const) {
      const parts = output(side, ...command, "--help").match(/^.*\n(?=[A-Z ]+\n)/gm) ?? []
      assert.isAbove(parts.length, 3)
      for (const before of parts) assert.strictEqual(before, "\n", command.join(" "))
    }
  })
})

describe("help as a word", () => {
  const leaf = (name: string) => ({ name, subcommands: [] })
  const profile = { name: "profile", subcommands: [{ commands: [leaf("add"), leaf("list")] }] }
  const command = { name: "paradrop", subcommands: [{ commands: [leaf("fetch")] }, { commands: [profile] }] }

  it("is a flag of the command that it names, and of what is none it leaves the words alone", () => {
    const cases = [
      ["fetch help", "fetch help"],
      ["help", "--help"],
      ["help fetch", "fetch --help"],
      ["help fetch notes", "fetch notes --help"],
      ["help profile", "profile --help"],
      ["help profile add", "profile add --help"],
      ["help profile ad", "profile ad"],
      ["help fetsh", "fetsh"],
      ["help add", "add"],
      // The value of a flag, behind which stands what would run.
      ["help --server host fetch", "--server host fetch --help"]
    ] as const
    for (const [typed, meant] of cases) {
      assert.deepStrictEqual(manual.helpAsFlag(command, typed.split(" ")), meant.split(" "), typed)
    }
  })

  it("may stand behind flags of the program and their values", { timeout: 120_000 }, () => {
    for (const flags of [
      ["--server", "fetch"],
      ["--json", "--server=x"],
      ["--verbose", "--user", "help"]
    ]) {
      assert.strictEqual(output("client", ...flags, "help", "fetch"), output("client", "fetch", "--help"))
    }
    assert.strictEqual(output("server", "--root", "x", "help", "user"), output("server", "user", "--help"))
  })
})
