/** The one interface of all that are compared. */
import type { ChildProcess } from "node:child_process"
import { accessSync, constants } from "node:fs"
import { delimiter, join } from "node:path"
import type { Place } from "./Place.ts"
import type { Command } from "./Processes.ts"

/**
 * What can be asked of a contestant. `from` and `to` are absolute paths at the client's side, and names below the
 * served folder at the server's.
 *
 * - `put`, `get`: one file
 * - `putTree`, `getTree`: all files of a folder
 * - `list`: prints the names of a folder
 * - `update`: makes the server's file equal to the client's, moving as little as it can
 * - `putAgain`, `getAgain`: goes on with what a `put` or `get` has left that was cut
 */
export const operations = ["put", "get", "putTree", "getTree", "list", "update", "putAgain", "getAgain"] as const
export type Operation = (typeof operations)[number]

export interface Site {
  /** a folder of its own for keys, settings and logs */
  readonly folder: string
  /** the folder that is served */
  readonly root: string
  readonly place: Place
  /** whether a file is to be fsynced before the client hears that it is there; who cannot do it does it not */
  readonly durable: boolean
}

/** A contestant whose server runs. */
export interface Service {
  /** the server's processes; their children belong to them */
  readonly server: ReadonlyArray<number>
  readonly commands: Partial<Record<Operation, (from: string, to: string) => Command>>
  /** Whether the server has made what it keeps of that file, as it is now. Without, it keeps nothing. */
  readonly kept?: (name: string) => boolean
  /** One program that puts a file so many times at once, as `to-0`, `to-1` and so on. */
  readonly putMany?: (from: string, to: string, count: number) => Command
  /** Sessions that stay idle until their programs are ended. */
  readonly hold?: Programs & {
    /** what each program prints when its sessions are open; without, it is waited until the server rests */
    readonly says?: RegExp
  }
  /** Logins one after the other, with nothing in between. */
  readonly logins?: Programs
  readonly stop: () => Promise<void>
}

/** Programs that together open so many sessions. */
export interface Programs {
  /** how many there are to be at full scale */
  readonly many: number
  readonly commands: (count: number) => ReadonlyArray<Command>
}

export interface Contestant {
  readonly name: string
  /** what runs, in one line */
  readonly about: string
  /** No peer but a bound: it does less than would be needed. */
  readonly bound?: true
  /** programs that must be there, each with the Debian package that has it */
  readonly needs: Readonly<Record<string, string>>
  readonly start: (site: Site) => Promise<Service>
}

/** Where a program is; sbin is looked at too. */
export const which = (program: string): string | undefined =>
  [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/sbin", "/usr/local/sbin"]
    .map((folder) => join(folder, program))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK)
        return true
      } catch {
        return false
      }
    })

/** The Debian packages that a contestant lacks here. */
export const lacks = ({ needs }: Contestant): ReadonlyArray<string> => [
  ...new Set(
    Object.entries(needs)
      .filter(([program]) => which(program) === undefined)
      .map(([, name]) => name)
  )
]

/** The id of a process that was started. */
export const pidOf = (child: ChildProcess): number => child.pid ?? 0
