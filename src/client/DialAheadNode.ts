/**
 * The first connection, dialled before the program is loaded: on a long wire it is there when the program is.
 *
 * Loading takes a tenth of a second, and a connection a round trip: one after the other they are a fifth of what a
 * listing takes at 100 ms. So what starts the program reads the command line before, and dials if it is sure that the
 * program would. Where it is not, nothing is lost: the program dials. What is sent here is the hello, which needs no
 * answer and says nothing of anybody: a server that is near has answered it when the program is there.
 *
 * It stands beside the program, in a file of its own, and may import only what is loaded in no time.
 */
import type { Socket } from "node:net"
import { helloOf } from "../domain/channel/Protocol.ts"
import type * as XWingNode from "../domain/channel/XWingNode.ts"
import * as ReadRing from "./ReadRing.ts"

// Not imported: Node reads every property of a module for an import, and loads a tenth of itself for some.
const { statSync } = process.getBuiltinModule("node:fs")
const { connect } = process.getBuiltinModule("node:net")

/** A host as the system resolves it, and a port. */
export interface Address {
  readonly host: string
  readonly port: number
}

/** A connection that may be still on its way, and where it reads to. */
export interface Connection {
  readonly socket: Socket
  readonly ring: ReadRing.ReadRing
  /** Calls back whenever something has come; before that nobody is told. */
  readonly onCome: (heard: () => void) => void
}

/** Dials: half open, so that both sides can prove their end. */
export const dial = ({ host, port }: Address): Connection => {
  const ring = ReadRing.make()
  let heard = (): void => undefined
  const callback = (bytes: number): boolean => {
    ring.came(bytes)
    heard()
    return ring.hasRoom()
  }
  return {
    socket: connect({ host, port, noDelay: true, allowHalfOpen: true, onread: { buffer: ring.next, callback } }),
    ring,
    onCome: (next) => void (heard = next)
  }
}

const tree = ["--recursive", "-r", "--delete", "--include", "--exclude"]

interface Form {
  readonly flags: ReadonlyArray<string>
  /** how many words it takes */
  readonly least: number
  readonly most: number
  /** the first of its words that is a local file, as all behind it are */
  readonly localFrom: number
}

/** Commands that dial whenever they are right and their local files are there. */
const forms = new Map<string, Form>([
  ["fetch", { flags: ["--digest"], least: 0, most: 1, localFrom: 1 }],
  ["upload", { flags: ["--as", ...tree], least: 1, most: Infinity, localFrom: 0 }],
  ["para", { flags: ["--as", "--expect", "--checksum", ...tree], least: 1, most: Infinity, localFrom: 0 }],
  ["download", { flags: ["--to", "--checksum", ...tree], least: 1, most: Infinity, localFrom: Infinity }],
  ["verify", { flags: [], least: 2, most: 2, localFrom: 1 }],
  ["remove", { flags: ["--expect"], least: 1, most: Infinity, localFrom: Infinity }],
  ["rename", { flags: ["--replace", "--expect"], least: 2, most: 2, localFrom: Infinity }]
])

const valued = ["--server", "--user", "--durability", "--password-file"]
const shared = new Set([...valued, "--quiet", "--json", "--verbose"])
const withValue = new Set([...valued, "--up-rate", "--down-rate", "--as", "--to", "--expect", "--include", "--exclude"])

/** The words of a command line apart from its flags; undefined when one of them stands for itself. */
const parsed = (args: ReadonlyArray<string>) => {
  const flags = new Map<string, string>()
  const words: Array<string> = []
  for (let index = 0; index < args.length; index += 1) {
    const arg = args[index] ?? ""
    if (!arg.startsWith("-")) {
      words.push(arg)
      continue
    }
    const [, name = arg, joined] = /^(--[^=]+)=(.*)$/s.exec(arg) ?? []
    const value = withValue.has(name) ? (joined ?? args[(index += 1)]) : joined === undefined ? "" : undefined
    // Said twice it may mean either.
    if (value === undefined || (flags.has(name) && !tree.includes(name))) return undefined
    flags.set(name, value)
  }
  return { flags, words }
}

/** How many kinds of commands `kindOf` tells apart. */
export const kindsMax = 16

/** Which kind of command a line is, as far as it runs other parts of the program than another: below `kindsMax`. */
export const kindOf = (args: ReadonlyArray<string>): number => {
  const { flags, words: [command = ""] = [] } = parsed(args) ?? {}
  const isOfTrees = flags?.has("-r") === true || flags?.has("--recursive") === true
  return Array.from(forms.keys()).indexOf(command) + 1 + (isOfTrees ? kindsMax / 2 : 0)
}

/** USER@HOST:PORT, also as a URL. Without a port it may be a profile. */
const addressOf = (text: string): Address | undefined => {
  const [, bracketed, plain, digits] =
    /^(?:paradrop:\/\/)?(?:[a-z0-9._-]{1,64}@)?(?:\[([0-9a-fA-F:.]+)\]|([\w.-]+)):(\d{1,5})\/?$/.exec(text) ?? []
  const host = bracketed ?? plain
  const port = Number(digits)
  return host === undefined || port < 1 || port > 65_535 ? undefined : { host, port }
}

/** What is asked of the place where a command is given. */
export interface Surroundings {
  /** whether there is a file or folder of that path */
  readonly isThere: (path: string) => boolean
  /** whether that file has something in it */
  readonly isFilled: (path: string) => boolean
  /** whether the environment has the password */
  readonly password: boolean
}

/**
 * Whom a command line is certain to dial; undefined where that is not certain: of flags that are not known, of local
 * files that are not there, of a password that a person is asked for, of a server that only the program can name.
 */
export const whom = (args: ReadonlyArray<string>, here: Surroundings): Address | undefined => {
  const { flags, words: [command = "", ...words] = [] } = parsed(args) ?? {}
  const form = forms.get(command)
  if (flags === undefined || form === undefined) return undefined
  const passwordFile = flags.get("--password-file")
  const isRight =
    flags.keys().every((name) => shared.has(name) || form.flags.includes(name)) &&
    words.length >= form.least &&
    words.length <= form.most &&
    words.every((word, index) => !/^paradrop:/i.test(word) && (index < form.localFrom || here.isThere(word))) &&
    (passwordFile === undefined ? here.password : here.isFilled(passwordFile))
  return isRight ? addressOf(flags.get("--server") ?? "") : undefined
}

/** A connection with our hello on its way, and the key pair that is in it: for this connection alone. */
export interface Greeted {
  readonly connection: Connection
  readonly keyPair: XWingNode.KeyPair
}

let dialled: (Greeted & { readonly address: Address }) | undefined

/** Dials and says hello, if the command line is certain to. A connection that nobody takes keeps no process. */
export const begin = async (args: ReadonlyArray<string>, environment: NodeJS.ProcessEnv): Promise<void> => {
  const entry = (path: string) => statSync(path, { throwIfNoEntry: false })
  const address = whom(args, {
    isThere: (path) => entry(path) !== undefined,
    isFilled: (path) => (entry(path)?.size ?? 0) > 0,
    password: (environment["PARADROP_PASSWORD"] ?? "") !== ""
  })
  if (address === undefined) return
  const connection = dial(address)
  // Who takes it finds it destroyed, and dials again to hear why.
  connection.socket.unref().on("error", () => undefined)
  // Node sends the first packet in the next tick, which would come when the program is loaded.
  await new Promise<void>((resolve) => process.nextTick(resolve))
  // Node's cryptography takes 10 ms to load: the connection is on its way meanwhile.
  const { freshKeyPair } = await import("../domain/channel/XWingNode.ts")
  const keyPair = freshKeyPair()
  connection.socket.write(helloOf(keyPair.publicKey))
  dialled = { address, connection, keyPair }
}

/** The connection that was dialled ahead, once, if it goes there and has not failed; it may be still on its way. */
export const take = ({ host, port }: Address): Greeted | undefined => {
  const ahead = dialled
  dialled = undefined
  if (ahead === undefined || ahead.connection.socket.destroyed) return undefined
  const { address, connection, keyPair } = ahead
  const { socket } = connection
  if (address.host === host && address.port === port) {
    socket.ref()
    return { connection, keyPair }
  }
  socket.destroy()
  return undefined
}
