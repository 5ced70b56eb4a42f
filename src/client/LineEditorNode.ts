/**
 * Lines from standard input: with history, completion and hidden answers on a terminal, plain from a pipe.
 *
 * What is shown while a person types goes to standard error, so that results stay alone on standard output.
 */
import { existsSync, readFileSync } from "node:fs"
import process from "node:process"
import * as readline from "node:readline"
import { Writable } from "node:stream"
import { setTimeout } from "node:timers"
import * as tty from "node:tty"
import { Effect, Exit, Layer, Predicate, Redacted } from "effect"
import { printable } from "../domain/file/Printable.ts"
import { foregroundLookMilliseconds, shellHistoryLinesMax } from "../domain/limits.ts"
import { History } from "./History.ts"
import * as HistorySearchNode from "./HistorySearchNode.ts"
import { type Completions, LineEditor, type Lines, shortened } from "./LineEditor.ts"

/** One editor of this process's terminal, or of whatever its standard input is. */
export const layer: Layer.Layer<LineEditor, never, History> = Layer.effect(
  LineEditor,
  Effect.map(History, ({ load }) => make(load))
)

const make = (load: History["Service"]["load"]): LineEditor["Service"] => {
  // Asked of the descriptor: to make the stream of standard input takes 4 ms, and few commands read it.
  const interactive = tty.isatty(0) && process.stderr.isTTY
  let users = 0
  let terminal: Terminal | undefined
  return LineEditor.of({
    interactive,
    open: Effect.map(
      Effect.acquireRelease(
        Effect.map(
          Effect.suspend(() => (interactive && terminal === undefined ? load : Effect.succeed([]))),
          (history) => {
            users += 1
            return (terminal ??= interactive ? onTerminal(history) : onPipe())
          }
        ),
        (opened) =>
          Effect.sync(() => {
            users -= 1
            if (users > 0) return
            terminal = undefined
            opened.close()
          })
      ),
      ({ lines }) => lines
    )
  })
}

interface Terminal {
  readonly lines: Lines
  readonly close: () => void
}

/** Lines that came before they were asked for, and who waits for one. */
interface Inbox {
  readonly put: (line: string) => void
  readonly end: () => void
  readonly waits: () => boolean
  readonly size: () => number
  /** The line that is given next, if it has come. */
  readonly ahead: () => string | undefined
  readonly take: Effect.Effect<string | undefined>
  /** Whoever waits gets nothing. */
  readonly decline: () => void
}

const inbox = (): Inbox => {
  const received: Array<string> = []
  let ended = false
  let waiting: ((line: string | undefined) => void) | undefined
  const give = (line: string | undefined): void => {
    const resume = waiting
    waiting = undefined
    resume?.(line)
  }
  return {
    put: (line) => (waiting === undefined ? void received.push(line) : give(line)),
    end: () => {
      ended = true
      give(undefined)
    },
    waits: () => waiting !== undefined,
    size: () => received.length,
    ahead: () => received[0],
    decline: () => give(undefined),
    take: Effect.callback<string | undefined>((resume) => {
      if (received.length > 0 || ended) return resume(Effect.succeed(received.shift()))
      waiting = (line) => resume(Effect.succeed(line))
      return Effect.sync(() => void (waiting = undefined))
    })
  }
}

// -----------------------------------------------------------------------------
// A pipe or a file
// -----------------------------------------------------------------------------

/** Lines of a script that are read ahead. */
const linesAheadMax = 256

const onPipe = (): Terminal => {
  const received = inbox()
  const reader = readline.createInterface({ input: process.stdin, terminal: false, crlfDelay: Infinity })
  let paused = false
  let closed = false
  reader.on("line", (line) => {
    received.put(line)
    if (paused || closed || received.size() < linesAheadMax) return
    paused = true
    reader.pause()
  })
  reader.on("close", () => {
    closed = true
    received.end()
  })
  const next = Effect.suspend(() => {
    if (paused && !closed && received.size() === 0) {
      paused = false
      reader.resume()
    }
    return received.take
  })
  return {
    lines: { line: () => next, secret: () => Effect.undefined, interrupt: Effect.never },
    close: () => reader.close()
  }
}

// -----------------------------------------------------------------------------
// A terminal
// -----------------------------------------------------------------------------

/** Node's readline keeps 32 texts that were cut, and has no way to drop them. */
const killRingMax = 33

const nothing: Completions = { typed: "", offers: [] }

/** @param history lines of earlier runs, oldest first */
const onTerminal = (history: ReadonlyArray<string>): Terminal => {
  const received = inbox()
  const interrupted = new Set<() => void>()
  let complete = (_line: string): Effect.Effect<Completions> => Effect.succeed(nothing)
  let asking: "line" | "secret" | "nothing" = "nothing"
  let closed = false
  const output = shownWhile(() => asking === "line")
  const tabs = tabsTyped()
  const reader = readline.createInterface({
    input: process.stdin,
    output,
    terminal: true,
    history: history.toReversed(),
    historySize: shellHistoryLinesMax,
    removeHistoryDuplicates: true,
    completer: (line: string, done: (error: Error | null, found: [Array<string>, string]) => void) => {
      completing.hold()
      Effect.runFork(asking === "line" ? complete(line) : Effect.succeed(nothing)).addObserver((exit) => {
        // A reader that was closed meanwhile throws.
        if (closed) return
        // Two Tabs at once ask for the same: what the first has put in is not put in again.
        const stands = reader.line.slice(0, reader.cursor) === line
        const { offers, typed } = shortened(stands && Exit.isSuccess(exit) ? exit.value : nothing)
        done(null, [[...offers], typed])
        completing.release()
      })
    }
  })
  tabs.complete(reader, output)
  let newestFirst: ReadonlyArray<string> = history.toReversed()
  const search = HistorySearchNode.make(reader, () => newestFirst)
  const searches = (): boolean => asking === "line" && process.env["TERM"] !== "dumb"
  const completing = keysHeld(reader, (characters, key) => searches() && search.take(characters, key))
  reader.on("history", (history) => {
    // A secret is in no history.
    if (asking === "secret") history.shift()
    newestFirst = history
  })
  let leaving = false
  reader.on("line", (text) => (leaving ? received.decline() : received.put(text)))
  // A terminal that has gone can neither be read nor be taken out of its raw mode. That is the end of what is typed; an
  // error that nobody hears would end the program in the middle of what it does.
  reader.on("error", () => {})
  reader.on("close", () => {
    closed = true
    tabs.close()
    received.end()
  })
  // Ctrl-D at a question declines it; a terminal that has gone ends everything.
  const close = reader.close.bind(reader)
  reader.close = () => (asking === "secret" && !process.stdin.readableEnded ? leave() : close())
  /** Ends the line as Enter does: what was typed of a secret would stand at the next prompt, for all to see. */
  const leave = (): void => {
    leaving = true
    reader.write(null, { name: "return" })
    leaving = false
  }
  /** Pushes what was cut from a secret out of what Ctrl-Y and Alt-Y bring back, and ends the line that Ctrl-_ would. */
  const forget = (): void => {
    // Ctrl-D, or a terminal that has gone: there is no next prompt.
    if (closed) return
    for (let length = killRingMax; length > 0; length -= 1) {
      reader.write(" ".repeat(length))
      reader.write(null, { ctrl: true, name: "u" })
    }
    leave()
  }
  reader.on("SIGINT", () => {
    if (!received.waits()) return interrupted.forEach((resume) => resume())
    if (asking === "secret") return leave()
    const nothingTyped = reader.line === ""
    clearLine(reader)
    process.stderr.write(nothingTyped ? "^C\nto leave, type exit or press Ctrl-D\n" : "^C\n")
    return reader.prompt()
  })
  /** The prompt and what has been typed, where a row begins that nothing stands in. */
  const draw = (): void => {
    standsInRow(reader, 0)
    reader.prompt(true)
  }
  const goOn = (): void => {
    process.stdin.setRawMode(true)
    process.stdin.resume()
    if (asking === "line") draw()
  }
  const goOnInForeground = (): void => {
    if (closed) return
    if (isInForeground()) return goOn()
    setTimeout(goOnInForeground, foregroundLookMilliseconds)
  }
  // Where nobody could continue it, as the leader of its session, a process is not stopped: then nothing would tell the
  // editor to go on, and the terminal would show what is typed of a secret.
  reader.on("SIGTSTP", () => {
    process.stdin.setRawMode(false)
    process.kill(process.pid, "SIGTSTP")
    if (isInForeground()) return goOn()
    // By `bg`, or by `kill`, which is heard later. Whoever takes a terminal from the background is stopped again.
    process.stdin.pause()
    goOnInForeground()
  })

  const ask = (what: "line" | "secret", show: () => void): Effect.Effect<string | undefined> =>
    Effect.suspend(() => {
      if (closed) return received.take
      asking = what
      show()
      return received.take
    }).pipe(Effect.ensuring(Effect.sync(() => (asking = "nothing"))))
  const line: Lines["line"] = (prompt, completer) =>
    ask("line", () => {
      complete = completer
      search.reset()
      reader.setPrompt(prompt)
      // A line that was typed or pasted while another was run has been read unseen.
      const ahead = received.ahead()
      if (ahead === undefined) draw()
      else process.stderr.write(`${prompt}${printable(ahead)}\n`)
    })
  const secret: Lines["secret"] = (question) =>
    ask("secret", () => {
      clearLine(reader)
      process.stderr.write(question)
    }).pipe(
      Effect.ensuring(Effect.sync(() => process.stderr.write("\n"))),
      Effect.ensuring(Effect.sync(forget)),
      Effect.map((text) => (text === undefined ? undefined : Redacted.make(text)))
    )
  const interrupt = Effect.callback<void>((resume) => {
    const listener = (): void => resume(Effect.void)
    interrupted.add(listener)
    return Effect.sync(() => interrupted.delete(listener))
  })
  return { lines: { line, secret, interrupt }, close }
}

/** Whether the terminal is ours to read and to set. Where the system does not say, it is taken to be. */
const isInForeground = (): boolean => {
  if (!existsSync(ownStatus)) return true
  const [, , group, , , foreground = "-1"] = readFileSync(ownStatus, "utf8")
    .replace(/^.*\) /s, "")
    .split(" ")
  return foreground === "-1" || foreground === group
}

const ownStatus = "/proc/self/stat"

/**
 * Tabs that are read at once, as over a slow line, are keys, and so is Enter behind them: Node completes at the last
 * character alone, and takes Tabs before it for text that was pasted. With anything else behind them they are pasted.
 */
const tabsTyped = () => {
  let typed = false
  // Heard before the reader hears it.
  const listener = (read: Uint8Array | string): void => void (typed = /^[^\r\n\t]*\t+\r?$/.test(read.toString()))
  process.stdin.on("data", listener)
  return {
    complete: (reader: readline.Interface, output: Writable): void => {
      let last = true
      let before = 0
      Object.defineProperty(reader, "isCompletionEnabled", {
        get: () => typed || last,
        // Before what was read, and again before the last character of it.
        set: (value: boolean) => {
          if (value && !last && reader.cursor > before) atOnce(reader, output)
          if (!value) before = reader.cursor
          last = value
        }
      })
    },
    close: () => process.stdin.off("data", listener)
  }
}

/** Node moves up so many rows before it draws the line anew, and forgets to count those that were read at once. */
const standsInRow = (reader: readline.Interface, row: number): void => void Reflect.set(reader, "prevRows", row)

/** Where what was read at once ends. A terminal that has filled a row goes on in the next with what comes behind. */
const atOnce = (reader: readline.Interface, output: Writable): void => {
  const { cols, rows } = reader.getCursorPos()
  if (cols === 0) output.write(" \r")
  standsInRow(reader, rows)
}

/** Keys that were read together with a Tab wait until the line is completed. Those of a search go no further. */
const keysHeld = (reader: readline.Interface, searched: HistorySearchNode.Keys["take"]) => {
  const take: unknown = Reflect.get(reader, "_ttyWrite")
  let held: Array<Parameters<typeof searched>> | undefined
  const key = (...pressed: Parameters<typeof searched>): void => {
    if (held !== undefined) held.push(pressed)
    else if (!searched(...pressed) && Predicate.isFunction(take)) Reflect.apply(take, reader, pressed)
  }
  Object.defineProperty(reader, "_ttyWrite", { value: key })
  return {
    hold: (): void => void (held ??= []),
    release: (): void => {
      const pressed = held ?? []
      held = undefined
      for (const one of pressed) key(...one)
    }
  }
}

/** Forgets what has been typed of the line: to its end, then all before. */
const clearLine = (reader: readline.Interface): void => {
  reader.write(null, { ctrl: true, name: "e" })
  reader.write(null, { ctrl: true, name: "u" })
}

/** Standard error as the editor's output, silent while nothing is asked for or the answer is a secret. */
const shownWhile = (shown: () => boolean): Writable => {
  const output = new Writable({
    write: (chunk, _encoding, done) => {
      if (shown()) process.stderr.write(chunk)
      done()
    }
  })
  Object.defineProperty(output, "columns", { get: () => process.stderr.columns })
  process.stderr.on("resize", () => output.emit("resize"))
  return output
}
