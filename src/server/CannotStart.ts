/**
 * Why a server does not start, and what to do about it.
 */
import { Schema } from "effect"
import type { DiskError } from "../domain/store/Disk.ts"
import type { StoreFailed } from "../domain/store/StoreError.ts"
import { isFull, systemWords } from "../domain/SystemCode.ts"
import type { Settings } from "./Settings.ts"

/** The server cannot start; the message says why and what to do. */
export class CannotStart extends Schema.TaggedError<CannotStart>()("CannotStart", { detail: Schema.String }) {
  override get message(): string {
    return this.detail
  }
}

export const stateTaken = (folder: string): CannotStart =>
  new CannotStart({
    detail:
      `a server that serves another folder has the state folder '${folder}': ` +
      "each needs one of its own, name another with --state"
  })

export const servedAlready = (root: string): CannotStart =>
  new CannotStart({ detail: `another server serves '${root}' already: stop it, or serve another folder with --root` })

/** What is wrong with the folder for what is on its way is said of that: the root may be as it should be. */
export const cannotServe = (root: string, { code, ...error }: DiskError | StoreFailed): CannotStart => {
  const where = "path" in error && error.path !== undefined ? `${root}/${error.path}` : root
  const staged = "the server keeps there what is on its way"
  const anotherRoot = "serve another folder with --root"
  if (code === "EACCES" || code === "EPERM" || code === "EROFS") {
    return new CannotStart({ detail: `no permission to write in '${where}': change that, or ${anotherRoot}` })
  }
  if (isFull(code)) {
    return new CannotStart({ detail: `there is no room left where '${where}' is: make some, or ${anotherRoot}` })
  }
  const words = systemWords(code)
  if (where === root) return new CannotStart({ detail: `'${root}' cannot be served (${words}): ${anotherRoot}` })
  const texts: Record<string, string> = {
    ENOTDIR: `'${where}' is no folder, and ${staged}: move it away, or ${anotherRoot}`,
    EXDEV: `'${where}' is on another file system, and ${staged}: unmount it, or ${anotherRoot}`
  }
  return new CannotStart({ detail: texts[code] ?? `'${where}' cannot be used (${words}): ${anotherRoot}` })
}

export const cannotListen = ({ host, port }: Pick<Settings["listen"], "host" | "port">, code: string): CannotStart => {
  const anotherPort = "take another with --port (0 picks a free one)"
  const texts: Record<string, string> = {
    EADDRINUSE: `port ${port} on ${host} is taken: stop the other program, or ${anotherPort}`,
    EACCES: `no permission to listen on port ${port}: take one above 1023 with --port`,
    EADDRNOTAVAIL: `this machine has no address '${host}': name one of its own with --host`,
    EAI_AGAIN: `no name server says now where '${host}' is: name an address of this machine with --host`,
    ENOTFOUND: `there is no host '${host}': name an address of this machine with --host`
  }
  return new CannotStart({
    detail: texts[code] ?? `cannot listen on ${host} port ${port} (${code}): try another --host or --port`
  })
}

/** @param meant the address that the name has here */
export const notLoopback = (host: string, meant: string): CannotStart =>
  new CannotStart({ detail: `'${host}' means ${meant} here, which is not loopback: give --host 127.0.0.1` })

export const severalSockets = (): CannotStart =>
  new CannotStart({ detail: "the service manager gives more than one socket: name one in the unit" })

/** Neither the host nor the port of the settings is what was tried. */
export const cannotListenThere = (code: string): CannotStart =>
  new CannotStart({
    detail:
      `cannot listen on the socket that the service manager gives (${code}): ` +
      "name one of TCP in the unit, as ListenStream=0.0.0.0:8080"
  })

/** For what is done only while none runs. */
export const serverRuns = (): CannotStart =>
  new CannotStart({ detail: "the server runs, or its state cannot be locked: stop the server first" })
