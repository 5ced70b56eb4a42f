/**
 * A person at a terminal: types, and waits for what is shown. The terminal is a real pseudo-terminal; Python makes it.
 */
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { setTimeout } from "node:timers"

/** Whether there can be terminals on this machine. */
export const available: boolean =
  process.platform !== "win32" && spawnSync("python3", ["-c", "import pty, termios"]).status === 0

/** What nobody waits longer for. Never reached when all is well: every wait is for a text. */
const deadlineMilliseconds = 90_000

export interface Terminal {
  /** Types, as keys do: `\r` is Enter, `\t` Tab, `\u0003` Ctrl-C, `\u0004` Ctrl-D, `\u001b[A` Up. */
  readonly type: (keys: string) => void
  /** Waits until the text is shown behind what was waited for before; gives what was shown up to its end. */
  readonly until: (text: RegExp | string) => Promise<string>
  readonly resize: (columns: number, rows: number) => void
  /** The terminal goes, as when its window is closed. */
  readonly hangUp: () => void
  /** everything that was shown so far, without what only moves the cursor or colours */
  readonly shown: () => string
  /** the same with all that it leaves out */
  readonly drawn: () => string
  /** the exit code */
  readonly ended: Promise<number | null>
  readonly kill: () => void
}

// oxlint-disable-next-line no-control-regex
const control = /\u001b\[[\d;?]*[a-zA-Z]/g

export const open = (
  command: ReadonlyArray<string>,
  options: { readonly cwd: string; readonly env: Record<string, string | undefined>; readonly columns?: number }
): Terminal => {
  const { columns = 100, cwd, env } = options
  const helper = join(import.meta.dirname, "terminal.py")
  const child = spawn("python3", [helper, String(columns), "40", ...command], {
    cwd,
    env: { TERM: "xterm-256color", ...env },
    stdio: ["pipe", "pipe", "pipe", "pipe"]
  })
  const [typed, output, errors, size] = child.stdio
  let all = ""
  let seen = 0
  output.setEncoding("utf8").on("data", (chunk: string) => void (all += chunk))
  errors.setEncoding("utf8").on("data", (chunk: string) => void (all += chunk))
  typed.on("error", () => {})
  const shown = () => all.replace(control, "")
  const until = async (text: RegExp | string): Promise<string> => {
    const late = new AbortController()
    const timer = setTimeout(() => late.abort(), deadlineMilliseconds)
    try {
      for (;;) {
        const rest = shown().slice(seen)
        const found = typeof text === "string" ? rest.indexOf(text) : (text.exec(rest)?.index ?? -1)
        const length = typeof text === "string" ? text.length : (text.exec(rest)?.[0].length ?? 0)
        if (found >= 0) {
          seen += found + length
          return rest.slice(0, found + length)
        }
        await once(output, "data", { signal: late.signal })
      }
    } catch {
      throw new Error(`'${text}' was not shown. Behind what was waited for before:\n${shown().slice(seen)}`)
    } finally {
      clearTimeout(timer)
    }
  }
  return {
    type: (keys) => typed.write(keys),
    until,
    resize: (columns, rows) => {
      if (size !== null && size !== undefined && "write" in size) size.write(`${columns} ${rows}\n`)
    },
    hangUp: () => {
      if (size !== null && size !== undefined && "end" in size) size.end()
    },
    shown,
    drawn: () => all,
    ended: once(child, "close").then(([code]) => (typeof code === "number" ? code : null)),
    kill: () => child.kill("SIGKILL")
  }
}
