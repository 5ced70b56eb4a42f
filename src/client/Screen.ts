/**
 * Port: where a person or a script reads.
 *
 * Contract: text appears as it is given, in order; whoever calls has made every peer's text printable. `write` ends
 * when the text is handed over, so that a slow reader slows its writer. It never fails: when nobody reads any more,
 * the program is told in another way.
 */
import { Context, Effect, Layer } from "effect"

/** One of the two outputs. */
export interface Output {
  readonly write: (text: string) => Effect.Effect<void>
  /** whether it shows colours */
  readonly colours: boolean
  /** columns of the terminal; undefined when it is none, or one on which nothing can be drawn again */
  readonly columns: () => number | undefined
  /** whether all that is written there is lost, as where the system keeps nothing; without it: it is not */
  readonly isLost?: () => boolean
}

/** Port: the two streams that a person or a script reads. What is written has passed `printable`. Never fails. */
export class Screen extends Context.Service<
  Screen,
  {
    /** results */
    readonly out: Output
    /** progress, notes and errors */
    readonly err: Output
  }
>()("paradrop/client/Screen") {
  /** What was written, for tests. */
  static readonly layerMemory = (options: {
    readonly written: { out: string; err: string }
    readonly columns?: number
    readonly colours?: boolean
    readonly isLost?: boolean
  }): Layer.Layer<Screen> => {
    const { colours = false, columns, isLost = false, written } = options
    const output = (name: "err" | "out"): Output => ({
      write: (text) => Effect.sync(() => void (written[name] += text)),
      colours,
      columns: () => columns,
      isLost: () => isLost
    })
    return Layer.succeed(Screen, Screen.of({ out: output("out"), err: output("err") }))
  }
}

/** Green, for success. */
export const green = ({ colours }: Output, text: string): string => (colours ? `\x1b[32m${text}\x1b[39m` : text)

/** Red, for failure. */
export const red = ({ colours }: Output, text: string): string => (colours ? `\x1b[31m${text}\x1b[39m` : text)
