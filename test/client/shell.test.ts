/**
 * The shell as a person has it: a real process on a real pseudo-terminal, with keys and what they show.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import { once } from "node:events"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { type Relay, relay } from "./relay.ts"
import * as terminal from "./terminal.ts"

const source = join(import.meta.dirname, "..", "..", "src")
const password = "correct horse battery"
const MiB = 1024 * 1024
/** What two kernels may take of a connection that nobody reads is below it: 32 MiB to receive and 4 to send (Linux). */
const neverSentWhole = 96 * MiB

let folder = ""
let served = ""
let work = ""
let serverPort = 0
let network: Relay
let server: ChildProcess | undefined
const shells = new Set<terminal.Terminal>()

const environment = () => ({ PATH: process.env["PATH"], HOME: folder, XDG_STATE_HOME: join(folder, "state") })

const serverProcess = (...args: ReadonlyArray<string>) =>
  spawn(process.execPath, [join(source, "server", "main.ts"), ...args], {
    cwd: folder,
    env: environment(),
    stdio: ["pipe", "pipe", "ignore"]
  })

/** A shell of ada's over the network that can be held and cut; with her password already unless it is to be typed. */
const shell = (
  options: { readonly columns?: number; readonly typed?: boolean; readonly kind?: string } = {}
): terminal.Terminal => {
  const { columns = 100, kind = "xterm-256color", typed = false } = options
  const address = `paradrop://ada@127.0.0.1:${network.port}`
  const opened = terminal.open([process.execPath, join(source, "client", "main.ts"), "shell", address], {
    cwd: work,
    columns,
    env: { ...environment(), TERM: kind, ...(!typed && { PARADROP_PASSWORD: password }) }
  })
  shells.add(opened)
  return opened
}

const [enter, tab, up, ctrlC, ctrlD, ctrlR] = ["\r", "\t", "\u001b[A", "\u0003", "\u0004", "\u0012"]
const history = () => fs.readFileSync(join(folder, "state", "paradrop", "shell-history"), "utf8")

describe.skipIf(!terminal.available)("a shell on a terminal", { timeout: 240_000 }, () => {
  beforeAll(async () => {
    folder = fs.realpathSync(fs.mkdtempSync(join(tmpdir(), "paradrop-shell-")))
    served = join(folder, "files")
    work = join(folder, "w")
    fs.mkdirSync(served)
    fs.mkdirSync(work)
    const add = serverProcess("user", "add", "ada")
    add.stdin.end(`${password}\n`)
    assert.deepStrictEqual(await once(add, "close"), [0, null])
    const serving = serverProcess("--port", "0", "--log-level", "error")
    server = serving
    let said = ""
    serving.stdout.on("data", (chunk) => (said += String(chunk)))
    while (!said.includes("\n")) await once(serving.stdout, "data")
    serverPort = Number(/:(\d+)\n/.exec(said)?.[1])
    network = await relay(() => serverPort)
  }, 120_000)
  afterAll(() => {
    for (const opened of shells) opened.kill()
    server?.kill("SIGKILL")
    network?.close()
    fs.rmSync(folder, { recursive: true, force: true })
  })

  /** At the first question of `passwd`. */
  const askedToChange = async (opened: terminal.Terminal) => {
    opened.type(`passwd${enter}`)
    await opened.until("Present password of 'ada': ")
  }

  it("asks for the password unseen, completes, says how to leave, and knows its lines the next time", async () => {
    fs.writeFileSync(join(work, "my notes.txt"), "notes")
    fs.mkdirSync(join(served, "plans"))
    fs.writeFileSync(join(served, "plans", "old plan.txt"), "plan")
    const first = shell({ typed: true })
    await first.until("Password of 'ada' at ")
    first.type(`guess horse${enter}`)
    await first.until("incorrect")
    await first.until("(2 tries are left): ")
    first.type(password + enter)
    await first.until("correct")
    await first.until("Ctrl-D leaves")
    await first.until("paradrop> ")

    first.type(`upl${tab}`)
    await first.until("upload ")
    first.type(`m${tab}`)
    await first.until("my\\ notes.txt ")
    first.type(enter)
    await first.until("File 'my notes.txt' uploaded successfully.")
    await first.until("paradrop> ")
    first.type(`down${tab}`)
    await first.until("download ")
    first.type(`p${tab}`)
    await first.until("plans/")
    first.type(tab)
    await first.until("old\\ plan.txt ")
    first.type(enter)
    await first.until("File 'plans/old plan.txt' downloaded to old plan.txt")
    await first.until("paradrop> ")

    first.type(`${password}${enter}`)
    await first.until("invalid command")
    await first.until("paradrop> ")
    first.type("half a li")
    await first.until("half a li")
    first.type(ctrlC)
    await first.until("^C")
    await first.until("paradrop> ")
    first.type(ctrlC)
    await first.until("to leave, type exit or press Ctrl-D")
    await first.until("paradrop> ")
    first.type(`exit${enter}`)
    assert.strictEqual(await first.ended, 0)
    // Typed as a command, it shows, as anything does; at the question it did not, and it is kept nowhere.
    assert.strictEqual(first.shown().split(password).length, 2)
    assert.notInclude(first.shown(), "guess horse")
    assert.strictEqual(history(), "upload my\\ notes.txt \ndownload plans/old\\ plan.txt \nexit\n")

    const second = shell()
    await second.until("paradrop> ")
    second.type(up + up)
    await second.until("download plans/old\\ plan.txt")
    second.type(enter)
    await second.until("File 'plans/old plan.txt' downloaded to old plan.txt")
    await second.until("paradrop> ")
    second.type(ctrlD)
    assert.strictEqual(await second.ended, 0)
  })

  it("searches with Ctrl-R what was typed, runs what was found, and forgets a search that is left", async () => {
    const opened = shell()
    await opened.until("paradrop> ")
    opened.type(`lls nowhere${enter}`)
    await opened.until("paradrop> ")
    opened.type(`pwd${enter}`)
    await opened.until("\n/")
    await opened.until("paradrop> ")
    opened.type(`half${ctrlR}`)
    await opened.until("search '': half")
    opened.type("w")
    await opened.until("search 'w': pwd")
    opened.type(ctrlR)
    await opened.until("search 'w': lls nowhere")
    opened.type("\u007f")
    await opened.until("search 'w': pwd")
    opened.type("\u0007")
    await opened.until("paradrop> half")
    opened.type(`${ctrlR}lls n\u001b[D!`)
    await opened.until("paradrop> lls nowher!e")
    opened.type(`${ctrlR}pw${ctrlC}`)
    await opened.until("^C")
    await opened.until("paradrop> ")
    // Read at once, as a paste is: the found line is run at Enter, at its own prompt.
    opened.type(`${ctrlR}pw${enter}`)
    await opened.until(/paradrop> pwd\s+\/\s+paradrop> /)
    opened.type(`exit${enter}`)
    assert.strictEqual(await opened.ended, 0)
    assert.match(history(), /pwd\npwd\nexit\n$/)
  })

  it("takes two Tabs that are read at once for keys, and not for text", async () => {
    for (const name of ["seen-a.txt", "seen-b.txt"]) fs.writeFileSync(join(served, name), "")
    const opened = shell()
    await opened.until("paradrop> ")
    opened.type(`down${tab}`)
    await opened.until("download ")
    // The first completes, the second lists. More of them would be one text with what is typed next, if read late.
    opened.type(`see${tab}${tab}`)
    await opened.until(/seen-a\.txt +seen-b\.txt/)
    await opened.until("paradrop> download seen-")
    opened.type(`b${tab}${tab}`)
    // Not in the list, which the second Tab may show once more.
    await opened.until(/(?:^|> download seen-)b\.txt /)
    opened.type(enter)
    await opened.until("File 'seen-b.txt' downloaded to seen-b.txt")
    await opened.until("paradrop> ")
    opened.type(`exit${enter}`)
    assert.strictEqual(await opened.ended, 0)
    assert.isFalse(history().includes(tab))
    for (const name of ["seen-a.txt", "seen-b.txt"]) fs.rmSync(join(served, name))
  })

  it("shows the first of very many names, and how many others there are", async () => {
    fs.mkdirSync(join(served, "rows"))
    const names = Array.from({ length: 250 }, (_, index) => `row${String(index).padStart(3, "0")}`)
    for (const name of names) fs.writeFileSync(join(served, "rows", name), "")
    const opened = shell()
    await opened.until("paradrop> ")
    opened.type(`download rows/${tab}`)
    await opened.until("download rows/row")
    opened.type(`${tab}${tab}`)
    await opened.until("... 150 more")
    await opened.until("paradrop> download rows/row")
    assert.include(opened.shown(), "row099")
    assert.notInclude(opened.shown(), "row100")
    opened.type(`249${tab}`)
    await opened.until("249 ")
    opened.type(`${ctrlC}exit${enter}`)
    assert.strictEqual(await opened.ended, 0)
    fs.rmSync(join(served, "rows"), { recursive: true })
  })

  it("completes a name before Enter that is read together with the Tab", async () => {
    fs.writeFileSync(join(served, "whole-name.txt"), "")
    const opened = shell()
    await opened.until("paradrop> ")
    opened.type(`fetch whole-${tab}${enter}`)
    await opened.until("fetch whole-name.txt ")
    await opened.until(/0 B .*whole-name\.txt/)
    await opened.until("paradrop> ")
    opened.type(`exit${enter}`)
    assert.strictEqual(await opened.ended, 0)
    fs.rmSync(join(served, "whole-name.txt"))
  })

  it("shows lines that are pasted, each at its prompt, and a long one that is edited once", async () => {
    const opened = shell({ columns: 40 })
    await opened.until("paradrop> ")
    opened.type(`pwd${enter}lpwd${enter}pw`)
    await opened.until(/pwd\s+\/\s+paradrop> lpwd\s/)
    await opened.until("paradrop> pw")
    opened.type(`d${enter}`)
    await opened.until("\n/")
    await opened.until("paradrop> ")
    opened.type(`fetch ${"a".repeat(60)}`)
    await opened.until("aaa")
    opened.type("\u001b[H")
    await opened.until("paradrop> fetch")
    opened.type("x")
    await opened.until("paradrop> xfetch")
    // Up to the row that it began in, before it is drawn again.
    assert.include(opened.drawn(), "\u001b[1A\u001b[1G\u001b[0Jparadrop> fetch")
    opened.type(ctrlC)
    await opened.until("paradrop> ")
    // Its last character is the first one of a row.
    opened.type(`fetch ${"b".repeat(24)}c`)
    await opened.until(/b\s*c/)
    const before = opened.drawn().length
    opened.type("\u007f")
    await opened.until("paradrop> fetch")
    assert.include(opened.drawn().slice(before), "\u001b[1A\u001b[1G\u001b[0Jparadrop> fetch")
    opened.type(ctrlC)
    await opened.until("paradrop> ")
    opened.type(ctrlD)
    assert.strictEqual(await opened.ended, 0)
  })

  it.skipIf(spawnSync("bash", ["-c", "true"]).status !== 0)(
    "stopped with Ctrl-Z it ends by a kill of its job, and goes on behind bg and fg",
    async () => {
      const ready = /bash-[\d.]+[#$] /
      const line = `"$OWN_NODE" "$OWN_MAIN" shell paradrop://ada@127.0.0.1:${network.port}${enter}`
      const opened = terminal.open(["bash", "--norc", "--noprofile", "-i"], {
        cwd: work,
        env: {
          ...environment(),
          PARADROP_PASSWORD: password,
          OWN_NODE: process.execPath,
          OWN_MAIN: join(source, "client", "main.ts")
        }
      })
      shells.add(opened)
      await opened.until(ready)
      opened.type(line)
      await opened.until("paradrop> ")
      opened.type("pw\u001a")
      await opened.until("Stopped")
      await opened.until(ready)
      opened.type(`bg${enter}`)
      await opened.until(ready)
      opened.type(`fg${enter}`)
      await opened.until("paradrop> pw")
      opened.type(`d${enter}`)
      await opened.until("\n/")
      await opened.until("paradrop> ")
      opened.type("\u001a")
      await opened.until("Stopped")
      await opened.until(ready)
      // Bash may not have heard yet that it goes on: it is not waited for while it counts as stopped.
      opened.type(`kill %1; c=999; while [ $c -gt 143 ]; do wait %1; c=$?; done; echo "code $c"${enter}`)
      await opened.until("code 143")
      opened.type(`exit${enter}`)
      assert.strictEqual(await opened.ended, 0)
    }
  )

  it("draws its bar for 80 columns where the terminal says none, and none on a dumb one", async () => {
    fs.writeFileSync(join(work, "large"), randomBytes(neverSentWhole))
    const unsaid = shell({ columns: 0 })
    await unsaid.until("paradrop> ")
    network.holdAfter(4 * MiB)
    unsaid.type(`upload large${enter}`)
    await unsaid.until(/\rupload large[^\r]{45,68}\r/)
    unsaid.type(ctrlC)
    await unsaid.until("cancelled")
    network.release()
    unsaid.kill()

    fs.writeFileSync(join(work, "little"), "little")
    const dumb = shell({ kind: "dumb" })
    await dumb.until("paradrop> ")
    dumb.type(`upload little${enter}`)
    await dumb.until("File 'little' uploaded successfully.")
    // A bar would have been cleared from the line.
    assert.isFalse(dumb.shown().includes("\rFile 'little'"))
    dumb.type(`remove little${enter}`)
    await dumb.until(/removed/i)
    dumb.type(`exit${enter}`)
    assert.strictEqual(await dumb.ended, 0)
  })

  it("fits its bar to the terminal when that changes; Ctrl-C cancels the transfer and not the shell", async () => {
    fs.writeFileSync(join(work, "large"), randomBytes(neverSentWhole))
    const held = shell({ columns: 100 })
    await held.until("paradrop> ")
    network.holdAfter(4 * MiB)
    held.type(`upload large${enter}`)
    const bar = /\rupload large[^\r]*%[^\r]*\r/
    const widthOf = (shown: string) => Array.from(bar.exec(shown)?.[0].trim() ?? "").length
    const wide = widthOf(await held.until(bar))
    assert.isTrue(wide > 60 && wide < 100, `${wide} columns`)
    held.resize(50, 20)
    const narrow = /\rupload large[^\r]{1,37}\r/
    // A bar of before may be shown once more.
    await held.until(narrow)
    held.type(ctrlC)
    await held.until("cancelled")
    await held.until("paradrop> ")
    network.release()
    held.type(`fetch my*${enter}`)
    await held.until("my notes.txt")
    await held.until("paradrop> ")
    held.type(`exit${enter}`)
    assert.strictEqual(await held.ended, 0)
    assert.isFalse(fs.existsSync(join(served, "large")))
  })

  /** Runs a command on a terminal that uploads `large`, and types Ctrl-C when its bar is half-way. */
  const interrupted = async (command: ReadonlyArray<string>) => {
    const held = terminal.open(command, {
      cwd: work,
      columns: 80,
      env: { ...environment(), PARADROP_PASSWORD: password }
    })
    shells.add(held)
    network.holdAfter(4 * MiB)
    await held.until(/\rupload large[^\r]*%/)
    held.type(ctrlC)
    assert.strictEqual(await held.ended, 130)
    // What it has left on its way is not to count for the next one.
    network.cut()
    return held.shown()
  }
  const client = () => [
    process.execPath,
    join(source, "client", "main.ts"),
    "--server",
    `ada@127.0.0.1:${network.port}`
  ]

  it("outside the shell, Ctrl-C leaves nothing of the bar behind", async () => {
    const shown = await interrupted([...client(), "upload", "large"])
    // All of it is in one line, which is taken away: it ends before the last column.
    const [line = ""] = /[^\r\n]*\^C/.exec(shown) ?? []
    assert.isTrue(line.startsWith("upload large") && line.length < 80, line)
    assert.match(shown, /\^C[^\n]*\r(?:paradrop: )?interrupted\r\n$/)
  })

  it.skipIf(spawnSync("bash", ["-c", "true"]).status !== 0)("Ctrl-C ends a loop of a shell's too", async () => {
    const loop = 'for name in large large; do "$@" upload "$name"; echo "ended: $?"; done'
    assert.notInclude(await interrupted(["bash", "-c", loop, "loop", ...client()]), "ended")
  })

  it("a terminal that is closed at the question for the password ends the program as its signal does", async () => {
    const closed = shell({ typed: true })
    await closed.until("Password of 'ada'")
    closed.hangUp()
    assert.strictEqual(await closed.ended, 129)
  })

  it("so does one that is closed in the middle of a transfer", async () => {
    fs.writeFileSync(join(work, "long"), randomBytes(16 * MiB))
    const closed = shell()
    await closed.until("paradrop> ")
    network.holdAfter(4 * MiB)
    closed.type(`upload long${enter}`)
    await closed.until(/\rupload long[^\r]*%/)
    closed.hangUp()
    assert.strictEqual(await closed.ended, 129)
    network.release()
  })

  it("and one that is closed while the server is asked for names", async () => {
    const closed = shell()
    await closed.until("paradrop> ")
    server?.kill("SIGSTOP")
    try {
      closed.type(`download p${tab}`)
      await closed.until("download p")
      closed.hangUp()
      assert.strictEqual(await closed.ended, 129)
    } finally {
      server?.kill("SIGCONT")
    }
  })

  it("Ctrl-C at a question of passwd leaves the command and not the shell, nor what was typed", async () => {
    const left = shell()
    await left.until("paradrop> ")
    await askedToChange(left)
    left.type(ctrlC)
    await left.until("cancelled")
    await left.until("paradrop> ")
    await askedToChange(left)
    left.type(`mistyped\u0015${password}${enter}`)
    await left.until("New password of 'ada': ")
    left.type(`another horse${ctrlC}`)
    await left.until("cancelled")
    await left.until("paradrop> ")
    // Nothing brings back what was typed of it: not the next line, not Ctrl-Y, Ctrl-_ or the line before.
    left.type(`\u0019${"\u001by".repeat(40)}\u001f\u001f${up}${up}`)
    left.type(`${ctrlC}pwd${enter}`)
    await left.until("\n/")
    await left.until("paradrop> ")
    left.type(`exit${enter}`)
    assert.strictEqual(await left.ended, 0)
    assert.notInclude(left.shown(), "another")
    assert.notInclude(left.shown(), "mistyped")
    assert.notInclude(left.shown(), password)
    const again = shell()
    await again.until("paradrop> ")
    again.type(ctrlD)
    assert.strictEqual(await again.ended, 0)
  })

  it("Ctrl-Z where nobody could continue the shell shows nothing of a password, nor takes the keys away", async () => {
    const left = shell()
    await left.until("paradrop> ")
    await askedToChange(left)
    left.type("\u001a")
    left.type(`mistyped\u0015${password}${enter}`)
    await left.until("New password of 'ada': ")
    left.type(ctrlC)
    await left.until("paradrop> ")
    left.type(`\u001apw\u001a`)
    left.type(`d${enter}`)
    await left.until("\n/")
    await left.until("paradrop> ")
    left.type(ctrlD)
    assert.strictEqual(await left.ended, 0)
    assert.notInclude(left.shown(), "mistyped")
    assert.notInclude(left.shown(), password)
  })

  it("Ctrl-D at a password leaves the command, and not the shell", async () => {
    const left = shell()
    await left.until("paradrop> ")
    await askedToChange(left)
    left.type(ctrlD)
    await left.until("cancelled")
    await left.until("paradrop> ")
    left.type(`pwd${enter}`)
    await left.until("/\r\n")
    await left.until("paradrop> ")
    left.type(ctrlD)
    assert.strictEqual(await left.ended, 0)
    const before = shell({ typed: true })
    await before.until("Password of 'ada' at ")
    before.type(ctrlD)
    assert.strictEqual(await before.ended, 130)
    for (const { shown } of [left, before]) assert.notInclude(shown(), "defect")
  })

  it("connects again after the connection was lost, and goes on with the transfer", async () => {
    const content = randomBytes(32 * MiB)
    fs.writeFileSync(join(work, "moving"), content)
    const cut = shell()
    await cut.until("paradrop> ")
    const before = network.sent()
    network.holdAfter(16 * MiB)
    cut.type(`upload moving${enter}`)
    await cut.until(/\d\d %/)
    network.cut()
    await cut.until("the connection was lost (")
    await cut.until("connected again: going on")
    await cut.until("File 'moving' uploaded successfully.")
    await cut.until("paradrop> ")
    assert.isTrue(content.equals(fs.readFileSync(join(served, "moving"))))
    // Sent again: less than what the first connection had brought.
    assert.isBelow(network.sent() - before, content.length + 15 * MiB)

    // At the prompt it is lost without a word, and made again for the next line.
    network.cut()
    cut.type(`verify moving moving${enter}`)
    await cut.until("moving is equal to the server's moving (32.0 MiB)")
    await cut.until("paradrop> ")
    cut.type(ctrlD)
    assert.strictEqual(await cut.ended, 0)
  })
})
