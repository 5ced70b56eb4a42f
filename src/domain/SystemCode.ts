/**
 * The code of an error that the system gave, such as ENOENT, and what it means.
 */
import type { PlatformError } from "effect"

/** Undefined: it has none. */
export const systemCode = (error: unknown): string | undefined =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined

/** The same of any error. */
export const systemCodeOf = (error: unknown): string => systemCode(error) ?? "EUNKNOWN"

/** Why the system refused something, in words for a person; a code that is rare stays one. */
export const systemWords = (code: string): string => words.get(code) ?? code

const words = new Map([
  ["EACCES", "no permission"],
  ["EPERM", "no permission"],
  ["ENOENT", "it is not there"],
  ["ENOTDIR", "a part of its path is no folder"],
  ["EEXIST", "something else has that name"],
  ["EISDIR", "it is a folder"],
  ["ELOOP", "its links lead in a circle"],
  ["ENAMETOOLONG", "its name is too long"],
  ["ENOSPC", "the disk is full"],
  ["EDQUOT", "the disk quota is used up"],
  ["EROFS", "the file system is read-only"],
  ["EIO", "the disk reports a fault"],
  ["EMFILE", "too many files are open"],
  ["ENFILE", "too many files are open"],
  ["EADDRINUSE", "another program listens there"]
])

/** Whether nothing is wrong but that there is no more room: what was written before it stands. */
export const isFull = (code: string): boolean => code === "ENOSPC" || code === "EDQUOT"

/** The same of an error of a platform service: what it says of itself, else what the system said. */
export const platformWords = ({ reason }: PlatformError.PlatformError): string =>
  reason.description ?? systemWords(systemCode(reason.cause) ?? reason._tag)
