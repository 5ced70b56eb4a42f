/** What is no peer but a bound: nothing that does more can be quicker. */
import { join } from "node:path"
import { type Contestant, pidOf } from "../Contestant.ts"
import { type Command, pause, said, start, stop } from "../Processes.ts"
import { certificate } from "./nginx.ts"

export const tlsPipe: Contestant = {
  name: "tls-pipe",
  about: "a bare node:tls pipe with blocks of 1 MiB: no names, no digests, no login",
  bound: true,
  needs: { openssl: "openssl" },
  start: async ({ folder, place, root }) => {
    const { cert, key } = await certificate(folder)
    const program = [process.execPath, join(import.meta.dirname, "../pipe.ts")] as const
    const child = start(place.far({ argv: [...program, "serve", place.host, key, cert, root] }))
    const [, port = ""] = await said(child, /listening on .*:(\d+)/)
    const pipe = (verb: string, from: string, to: string): Command => ({
      argv: [...program, verb, `${place.host}:${port}`, cert, from, to]
    })
    return {
      server: [pidOf(child)],
      commands: { put: (from, to) => pipe("put", from, to), get: (from, to) => pipe("get", from, to) },
      stop: () => stop(child)
    }
  }
}

const ncPort = 22_601

export const nc: Contestant = {
  name: "nc",
  about: "nc: bytes over TCP, in the clear",
  bound: true,
  needs: { nc: "netcat-openbsd" },
  start: async ({ place, root }) => {
    // The shell waits for the next file; nc serves one connection and ends.
    let child: ReturnType<typeof start> | undefined
    const listen = (text: string) => async () => {
      if (child !== undefined) await stop(child)
      child = start(place.far({ argv: ["sh", "-c", text] }))
      await pause(100)
    }
    const ended = (name: string) => `while [ ! -e ${name} ]; do sleep 0.001; done; rm ${name}`
    const mark = join(root, ".done")
    return {
      server: [],
      commands: {
        put: (from, to) => ({
          argv: ["sh", "-c", `nc -N ${place.host} ${ncPort} <${from} && ${ended(mark)}`],
          before: listen(`exec 3>${join(root, to)}; nc -l ${place.host} ${ncPort} >&3; touch ${mark}`)
        }),
        get: (from, to) => ({
          argv: ["sh", "-c", `nc -d ${place.host} ${ncPort} >${to}`],
          before: listen(`exec nc -N -l ${place.host} ${ncPort} <${join(root, from)}`)
        })
      },
      stop: async () => {
        if (child !== undefined) await stop(child)
      }
    }
  }
}

export const cp: Contestant = {
  name: "cp",
  about: "cp within the file system: no network at all",
  bound: true,
  needs: { cp: "coreutils" },
  start: async ({ root }) => {
    const copy = (from: string, to: string, ...flags: ReadonlyArray<string>): Command => ({
      argv: ["cp", "--reflink=never", ...flags, from, to]
    })
    return {
      server: [],
      commands: {
        put: (from, to) => copy(from, join(root, to)),
        get: (from, to) => copy(join(root, from), to),
        putTree: (from, to) => copy(from, join(root, to), "-r"),
        getTree: (from, to) => copy(join(root, from), to, "-r")
      },
      stop: async () => undefined
    }
  }
}
