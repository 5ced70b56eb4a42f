/**
 * Records a session on a terminal: real programs, in a tmux of its own, with keys typed and texts waited for.
 *
 * `npm run record` writes docs/session.txt and docs/session.svg. The bar of the upload is shown as it stood half-way,
 * above the line that took its place.
 */
import { spawnSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import { join } from "node:path"
import process from "node:process"
import { setTimeout } from "node:timers/promises"
import { picture } from "./sessionPicture.ts"
import { inFolder, startServer } from "./shown/processes.ts"

const root = join(import.meta.dirname, "..")
const columns = 96
const rows = 60
const password = "correct horse battery staple"

/** Bytes a second that the account may send: the transfer lasts long enough to be seen. */
const upRate = 12 * 1024 * 1024

const deadlineMilliseconds = 120_000

/** One terminal, and a person at it. */
const open = (folder: string, socket: string) => {
  const tmux = (...args: ReadonlyArray<string>): string => {
    const { error, status, stderr, stdout } = spawnSync("tmux", ["-f", "/dev/null", "-S", socket, ...args], {
      encoding: "utf8",
      env: {
        PATH: `${join(folder, "bin")}:${process.env["PATH"]}`,
        HOME: folder,
        XDG_STATE_HOME: join(folder, "own"),
        TERM: "xterm-256color",
        LANG: "C.UTF-8"
      }
    })
    if (error !== undefined) throw new Error("this needs tmux", { cause: error })
    if (status !== 0) throw new Error(`tmux ${args[0]}: ${stderr}`)
    return stdout
  }
  const size = ["-x", String(columns), "-y", String(rows)]
  // A shell in between would take the prompt away.
  tmux("new-session", "-d", ...size, "-c", join(folder, "w"), "env", "PS1=$ ", "bash", "--norc", "-i")
  tmux("set-option", "-g", "default-terminal", "xterm-256color")
  let seen = 0
  const screen = (...options: ReadonlyArray<string>) => tmux("capture-pane", "-p", ...options)
  /** Waits for a text behind what was waited for before; gives the screen with its colours. */
  const until = async (text: RegExp): Promise<string> => {
    for (let waited = 0; waited < deadlineMilliseconds; waited += 50) {
      const found = text.exec(screen().trimEnd().slice(seen))
      if (found !== null) {
        seen += found.index + found[0].length
        return screen("-e")
      }
      await setTimeout(50)
    }
    throw new Error(`${text} was not shown:\n${screen()}`)
  }
  const type = async (line: string, shown = true) => {
    tmux("send-keys", "-l", line)
    // What is typed shows before the answer does.
    if (shown) await until(new RegExp(line.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")))
    tmux("send-keys", "Enter")
  }
  return { until, type, close: () => tmux("kill-server") }
}

const place = (path: string, content: Uint8Array | string, day: string) => {
  fs.mkdirSync(join(path, ".."), { recursive: true })
  fs.writeFileSync(path, content)
  fs.utimesSync(path, new Date(day), new Date(day))
}

const recorded = async (folder: string): Promise<string> => {
  const { account, port, root: served, stop } = await serving(folder)
  const own = join(folder, "w")
  place(join(served, "talks", "keynote.pdf"), randomBytes(2_400_000), "2026-11-20T10:15Z")
  place(join(served, "talks", "2025", "notes.txt"), "notes\n", "2025-11-02T09:00Z")
  const film = randomBytes(30_000_000)
  place(join(own, "holiday.mov"), film, "2026-11-22T18:30Z")
  place(join(own, "shopping list.txt"), "milk, bread", "2026-11-23T08:00Z")
  const changed = () => {
    film.write("another ending.", 20_000_000)
    place(join(own, "holiday.mov"), film, "2026-11-23T09:00Z")
  }
  const terminal = open(folder, join(folder, "tmux"))
  try {
    return await typed(terminal, `paradrop://${account}@localhost:${port}`, changed)
  } finally {
    terminal.close()
    await stop()
  }
}

type Terminal = ReturnType<typeof open>

const typed = async ({ type, until }: Terminal, url: string, changed: () => void): Promise<string> => {
  const prompt = /^paradrop(:\S+)?>$/m
  await until(/^\$$/m)
  await type(`paradrop shell ${url}`)
  await until(/^Password of .*:$/m)
  await type("a wrong guess", false)
  await until(/tries are left\):$/m)
  await type(password, false)
  await until(prompt)
  await type(`upload holiday.mov "shopping list.txt"`)
  const halfWay = await until(/^upload .*[456]\d %.*$/m)
  await until(prompt)
  await type("cd talks")
  await until(prompt)
  await type("fetch")
  await until(prompt)
  await type("download keynote.pdf")
  await until(prompt)
  await type("cd ..")
  await until(prompt)
  changed()
  await type("para holiday.mov")
  await until(prompt)
  await type("verify holiday.mov holiday.mov")
  await until(prompt)
  await type("download nowhere.txt")
  await until(prompt)
  await type("help rename")
  await until(prompt)
  await type("exit")
  const end = await until(/^\$$/m)
  return withBar(halfWay, end)
}

const serving = async (folder: string) => {
  const bin = join(folder, "bin")
  fs.mkdirSync(bin)
  const client = [process.execPath, join(root, "src", "client", "main.ts")].map((part) => `'${part}'`).join(" ")
  fs.writeFileSync(join(bin, "paradrop"), `#!/bin/sh\nexec ${client} "$@"\n`, { mode: 0o755 })
  const state = ["--root", join(folder, "root"), "--state", join(folder, "state")]
  fs.mkdirSync(join(folder, "root"))
  const added = spawnSync(
    process.execPath,
    [join(root, "src", "server", "main.ts"), "user", "add", "ada", "--up-rate", String(upRate), ...state],
    { input: `${password}\n`, encoding: "utf8" }
  )
  if (added.status !== 0) throw new Error(added.stderr)
  return { account: "ada", ...(await startServer(folder)) }
}

/** The last screen, with the bar that stood where the upload's result is now. */
const withBar = (halfWay: string, end: string): string => {
  const bar = halfWay.trimEnd().split("\n").at(-1) ?? ""
  const lines = end.trimEnd().split("\n").slice(0, -1)
  const result = lines.findIndex((line) => line.includes("uploaded successfully"))
  return [...lines.slice(0, result), bar, ...lines.slice(result)].map((line) => line.trimEnd()).join("\n")
}

// oxlint-disable-next-line no-control-regex
const plain = (text: string): string => text.replace(/\u001b\[[\d;]*m/g, "").replace(/ +$/gm, "")

await inFolder(async (folder) => {
  const session = await recorded(folder)
  fs.writeFileSync(join(root, "docs", "session.txt"), `${plain(session)}\n`)
  fs.writeFileSync(join(root, "docs", "session.svg"), picture(session))
})
