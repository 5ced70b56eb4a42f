/**
 * The stream that log lines go to: standard error, which may be a file on a full disk, or a pipe that nobody reads.
 */
import type { Writable } from "node:stream"
import process from "node:process"

/**
 * Writes lines to a stream. Those of one turn of the event loop are written together: a call of the kernel for each
 * would cost more.
 *
 * A line that cannot be written is lost, and ends nobody who is served. A full disk may have taken the half of it, so
 * the next one begins on a line of its own. A terminal that has gone ends the process: nobody means to leave a server
 * behind.
 *
 * @param text whole lines, each with its end
 */
export const make = (stream: Writable & { readonly isTTY?: boolean }): ((text: string) => void) => {
  let failed = false
  if (stream.isTTY !== true) stream.on("error", () => void (failed = true))
  return (text) => {
    if (stream.writableCorked === 0) {
      stream.cork()
      process.nextTick(() => stream.uncork())
    }
    stream.write(failed ? `\n${text}` : text)
    failed = false
  }
}
