/**
 * Port: where a person's, or a script's, lines come from.
 *
 * ## Contract
 *
 * - `open` gives the lines until its scope closes; opened again meanwhile, it gives the same ones.
 * - `line` gives the next line; undefined at the end of input. On a terminal it shows the prompt, keeps history and
 *   completes; otherwise nothing is shown.
 * - `secret` gives a line that is neither shown nor kept; undefined when the person declines.
 * - `interrupt` succeeds when Ctrl-C is pressed while no line is asked for. While one is asked for, Ctrl-C clears it,
 *   and declines a secret, as Ctrl-D does.
 */
import { Context, Effect, Layer, Redacted, type Scope } from "effect"
import { completionShownMax } from "../domain/limits.ts"

/** What may stand where the line's last `typed` characters are; each is a whole replacement for them. */
export interface Completions {
  readonly typed: string
  readonly offers: ReadonlyArray<string>
}

/**
 * What is offered, or of more than a person reads the first of it and how many others there are. What all of it begins
 * with is offered alone before that: of the first ones it may be longer.
 */
export const shortened = ({ offers, typed }: Completions): Completions => {
  const [first = "", ...others] = offers
  if (offers.length <= completionShownMax) return { typed, offers }
  const common = others.reduce(commonBeginning, first)
  if (common.length > typed.length) return { typed, offers: [common] }
  return { typed, offers: [...offers.slice(0, completionShownMax), `... ${offers.length - completionShownMax} more`] }
}

/** Whole characters: half of one is none. */
const commonBeginning = (one: string, other: string): string => {
  let end = 0
  for (const character of one) {
    if (!other.startsWith(character, end)) break
    end += character.length
  }
  return one.slice(0, end)
}

/** One use of the editor: asks for lines; undefined at the end of the input. */
export interface Lines {
  readonly line: (
    prompt: string,
    complete: (line: string) => Effect.Effect<Completions>
  ) => Effect.Effect<string | undefined>
  readonly secret: (question: string) => Effect.Effect<Redacted.Redacted<string> | undefined>
  readonly interrupt: Effect.Effect<void>
}

export class LineEditor extends Context.Service<
  LineEditor,
  {
    /** whether a person types: only then a secret can be asked for */
    readonly interactive: boolean
    readonly open: Effect.Effect<Lines, never, Scope.Scope>
  }
>()("paradrop/client/LineEditor") {
  /** Answers with a script: the lines in order, then the end. Secrets come from a list of their own. */
  static readonly layerScripted = (script: {
    readonly lines?: ReadonlyArray<string>
    readonly secrets?: ReadonlyArray<string>
    readonly interactive?: boolean
    /** Ctrl-C while a command runs; never when left out */
    readonly interrupt?: Effect.Effect<void>
    /** every question that was asked */
    readonly asked?: Array<string>
  }): Layer.Layer<LineEditor> =>
    Layer.sync(LineEditor, () => {
      const lines = [...(script.lines ?? [])]
      const secrets = [...(script.secrets ?? [])]
      const ask = (question: string): void => void script.asked?.push(question)
      return LineEditor.of({
        interactive: script.interactive ?? true,
        open: Effect.succeed({
          line: (prompt) =>
            Effect.sync(() => {
              ask(prompt)
              return lines.shift()
            }),
          secret: (question) =>
            Effect.sync(() => {
              ask(question)
              const secret = secrets.shift()
              return secret === undefined ? undefined : Redacted.make(secret)
            }),
          interrupt: script.interrupt ?? Effect.never
        })
      })
    })
}
