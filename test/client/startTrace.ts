/**
 * Loaded before a client's program: writes down in which order it loads what, dials and says its hello.
 *
 * `PARADROP_TRACE` names the file that has a line of JSON for each event.
 */
import { appendFileSync } from "node:fs"
import { registerHooks } from "node:module"
import type { Socket } from "node:net"
import { basename } from "node:path"
import type { Event } from "./startEvents.ts"

const fs = process.getBuiltinModule("node:fs")
const net = process.getBuiltinModule("node:net")

const path = process.env["PARADROP_TRACE"] ?? ""
const tell = (...event: Event): void => appendFileSync(path, `${JSON.stringify(event)}\n`)

// What Node itself has loaded, whichever way it was asked for.
const loaded = (): ReadonlyArray<string> => Reflect.get(process, "moduleLoadList")
const hasCrypto = (): boolean => loaded().includes("NativeModule crypto")

registerHooks({
  load: (url, context, next) => {
    if (url.startsWith("file:") && !url.includes("/node_modules/")) tell("load", basename(url))
    return next(url, context)
  }
})

const { readFileSync } = fs
fs.readFileSync = new Proxy(readFileSync, {
  apply: (target, self, args) => {
    if (String(args[0]).endsWith("program.js")) tell("load", "program.js")
    return Reflect.apply(target, self, args)
  }
})

net.connect = new Proxy(net.connect, {
  apply: (target, self, args) => {
    tell("connect", hasCrypto() ? "with crypto" : "without crypto")
    const socket: Socket = Reflect.apply(target, self, args)
    socket.write = new Proxy(socket.write, {
      apply: (write, on, [bytes, ...more]) => {
        tell("write", bytes.length)
        return Reflect.apply(write, on, [bytes, ...more])
      }
    })
    return socket
  }
})
