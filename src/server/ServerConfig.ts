/**
 * What a person says on the command line of the server.
 */
import { Schema } from "effect"
import { Argument, CliOutput, Flag } from "effect/cli"
import { printable } from "../domain/file/Printable.ts"

export const program = "paradrop-server"

/** The command line is wrong: exit code 2. */
export class WrongUsage extends Schema.TaggedError<WrongUsage>()("WrongUsage", { detail: Schema.String }) {
  override get message(): string {
    return this.detail
  }
}

/** Said of every command. */
export const shared = {
  root: Flag.String("root").pipe(
    Flag.withMetavar("DIR"),
    Flag.withDescription("the folder to serve"),
    Flag.withDefault("files")
  ),
  state: Flag.String("state").pipe(
    Flag.withMetavar("DIR"),
    Flag.withDescription("where accounts and keys are kept; never inside the served folder"),
    Flag.optional
  )
}

const portMax = 65_535

/** Said when serving. */
export const serving = {
  host: Flag.String("host").pipe(
    Flag.withMetavar("HOST"),
    Flag.withDescription("the address to listen on; any but loopback needs an account"),
    Flag.withDefault("127.0.0.1")
  ),
  port: Flag.Int("port").pipe(
    Flag.withMetavar("PORT"),
    Flag.filter(
      (port) => port >= 0 && port <= portMax,
      (port) => `a port is 0 to ${portMax}, not ${port}`
    ),
    Flag.withDescription("0 picks a free one"),
    Flag.withDefault(8080)
  ),
  durability: Flag.Literals("durability", ["full", "os"]).pipe(
    Flag.withDescription(
      "full: an uploaded file survives a power cut; os: quicker, it survives the end of the process"
    ),
    Flag.withDefault("full")
  )
}

/** Said when a password is set. */
export const passwords = {
  generate: Flag.Boolean("generate").pipe(
    Flag.withoutNegation,
    Flag.withDescription("make a strong password and print it once"),
    Flag.withDefault(false)
  ),
  allowWeak: Flag.Boolean("allow-weak").pipe(
    Flag.withoutNegation,
    Flag.withDescription("take a short or common password too"),
    Flag.withDefault(false)
  )
}

/** Parsed later, so that the message can say what a name is made of. */
export const userName = Argument.String("NAME").pipe(Argument.withDescription("the name of the account"))

/** Help as usual; wrong usage in one line, which `report` takes: the first error, the others mostly follow from it. */
export const presenter = (
  report: (line: string) => ReturnType<CliOutput.Presenter["present"]>
): CliOutput.Presenter => ({
  present: (event) =>
    event._tag === "InvalidInvocation"
      ? report(`${oneLine(event.errors[0]?.message ?? "wrong usage")} (${program} --help shows the usage)`)
      : CliOutput.defaultPresenter.present(event)
})

/** Text in one line, safe for a terminal. */
export const oneLine = (text: string): string => printable(text.trim().replace(/\s*\n\s*/g, " "))
