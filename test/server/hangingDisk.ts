/**
 * Loaded before a server's program: its disk is at something that never ends, and its last words are heard.
 *
 * `PARADROP_PIPE` names a pipe that nobody writes to.
 */
import { open, writeSync } from "node:fs"

open(process.env["PARADROP_PIPE"] ?? "", "r", () => {})
process.once("exit", () => void writeSync(2, "exiting\n"))
