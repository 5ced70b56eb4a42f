/**
 * How far the command under way has come, by what goes into the session's machine and what comes out: pure.
 */
import type { CommandName } from "./CommandWatch.ts"
import type { Session, SessionInput, SessionOutput } from "../domain/session/SessionState.ts"

export interface Progress {
  readonly command: CommandName
  /** the file's, when the command has one */
  readonly name?: string
  /** of the whole file, bytes, once known */
  readonly size?: number
  /** of it that are here, or there: from an earlier try, copied or sent */
  readonly bytes: number
}

export interface Step {
  readonly input: SessionInput
  readonly state: Session
  readonly outputs: ReadonlyArray<SessionOutput>
}

/** After a step of the machine. A command that begins as another ends is in the same step: the later one counts. */
export const step = (before: Progress | undefined, { input, outputs, state }: Step): Progress | undefined => {
  let progress = before && resultOf(before, input)
  for (const output of outputs) progress = begunBy(output) ?? progress
  // A copy is asked for long before it is done, and counts when it is.
  const written =
    input._tag === "Content" && outputs.some(({ _tag }) => _tag === "Write" || _tag === "Keep") ? input.bytes : 0
  progress = moved(progress, written)
  return state._tag === "Transferring" ? progress : undefined
}

/** So many bytes more. */
export const moved = <P extends Progress | undefined>(progress: P, bytes: number): P =>
  progress === undefined || bytes === 0 ? progress : { ...progress, bytes: progress.bytes + bytes }

/** Whether a command begins with this output. */
export const begins = (output: SessionOutput): boolean => begunBy(output) !== undefined

const begunBy = (output: SessionOutput): Progress | undefined => {
  switch (output._tag) {
    case "Stage":
      return { command: output.command === "Para" ? "para" : "upload", name: output.name, size: output.size, bytes: 0 }
    case "Gather":
      return { command: "upload", size: output.files.reduce((total, { size }) => total + size, 0), bytes: 0 }
    case "SendBundle":
      return { command: "download", bytes: 0 }
    case "Open":
      return { command: "download", name: output.name, bytes: 0 }
    case "Describe":
      return { command: "describe", name: output.name, bytes: 0 }
    case "Remove":
      return { command: "remove", name: output.name, bytes: 0 }
    case "Rename":
      return { command: "rename", name: output.name, bytes: 0 }
    case "List":
      return { command: "fetch", bytes: 0 }
    case "AnswerPassword":
      return { command: "passwd", bytes: 0 }
    default:
      return undefined
  }
}

const resultOf = (progress: Progress, input: SessionInput): Progress => {
  if (input._tag === "Staged") return { ...progress, bytes: input.resumed }
  return input._tag === "Opened" ? { ...progress, size: input.size, bytes: input.from } : progress
}

/** Bytes of the live file that are to go into the new one. */
export const copiedBy = (outputs: ReadonlyArray<SessionOutput>): number =>
  outputs.reduce((all, output) => (output._tag === "Copy" ? output.ranges.reduce(sum, all) : all), 0)

const sum = (total: number, { length }: { readonly length: number }): number => total + length
