/**
 * Every setting of the executable: one Schema, by sections. A file, variables and flags fill it (`Configuration`).
 */
import { Schema } from "effect"
import { auditFileBytesMax, auditFilesMax } from "../domain/limits.ts"
import { isLoopback, isNetwork } from "./Peer.ts"
import { Limits } from "./ServerLimits.ts"
import * as Setting from "./Setting.ts"

const portMax = 65_535

/** HOST:PORT of loopback; undefined: the text is none. */
export const loopbackPort = (text: string): { readonly host: string; readonly port: number } | undefined => {
  const [, host = "", digits = ""] = /^\[?([^[\]]+)\]?:(\d{1,5})$/.exec(text) ?? []
  const port = Number(digits)
  return isLoopback(host) && port <= portMax ? { host, port } : undefined
}

/** A whole URL that HTTP is spoken to. */
export const isWebUrl = (text: string): boolean => /^https?:\/\/[^\s/]/.test(text) && URL.canParse(text)

/** One line for each setting, here or where a section is made; nothing else is needed to add one. */
export const Settings = Schema.Struct({
  listen: Schema.Struct({
    host: Setting.text("127.0.0.1", "the address to listen on; any but loopback needs an account", { flag: "host" }),
    port: Setting.count(8080, "the port to listen on; 0 picks a free one", { flag: "port", min: 0, max: portMax }),
    proxies: Setting.list(
      [],
      "addresses and networks of proxies, which must say with PROXY v2 whose connections they pass on",
      { each: isNetwork, takes: `a list of addresses and networks, as in ["10.0.0.7", "2001:db8::/32"]` }
    )
  }),
  store: Schema.Struct({
    root: Setting.text("files", "the folder to serve", { flag: "root" }),
    state: Setting.optionalText("where accounts and keys are kept; never inside the served folder", { flag: "state" }),
    durability: Setting.choice(
      ["full", "os"],
      "full",
      "full: an uploaded file survives a power cut; os: quicker, it survives the end of the process",
      { flag: "durability" }
    )
  }),
  log: Schema.Struct({
    level: Setting.choice(
      ["debug", "info", "warn", "error"],
      "info",
      "the least that is logged: debug, info, warn or error",
      {
        live: true,
        flag: "log-level"
      }
    )
  }),
  audit: Schema.Struct({
    enabled: Setting.flag(true, "whether what is done is put on record, in the folder audit of the state folder"),
    fileSize: Setting.bytes(auditFileBytesMax, "a file of the audit log is left for a new one at this size"),
    files: Setting.count(auditFilesMax, "files of the audit log that are kept; the oldest goes first", { max: 10_000 })
  }),
  monitor: Schema.Struct({
    address: Setting.optionalText("where /metrics, /healthz and /readyz are served: HOST:PORT of loopback", {
      each: (text) => loopbackPort(text) !== undefined,
      takes: `a port of loopback, as in "127.0.0.1:9464"`
    }),
    otlp: Setting.optionalText("the URL of an OTLP collector, which gets traces and metrics", {
      each: isWebUrl,
      takes: `a URL, as in "http://127.0.0.1:4318"`
    })
  }),
  limits: Limits
})

export type Settings = typeof Settings.Type

export const defaultSettings: Settings = Schema.decodeUnknownSync(Settings)(
  Object.fromEntries(Object.keys(Settings.fields).map((section) => [section, {}]))
)

/** One setting, as people name it. */
export interface Entry {
  /** as in the file: `limits.sessions-before-login` */
  readonly key: string
  /** as in the environment */
  readonly variable: string
  readonly section: string
  /** its key within the section: `sessions-before-login` */
  readonly name: string
  readonly property: string
  readonly facts: Setting.Facts
}

/** What the names of all variables begin with. */
export const variablePrefix = "PARADROP_SERVER_"

/** A time says its unit itself: `loginMilliseconds` is written `login-time`. */
const nameOf = (property: string): string =>
  property.replace(/Milliseconds$/, "Time").replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)

/** All settings, in the order of the Schema. */
export const entries: ReadonlyArray<Entry> = Object.entries(Settings.fields).flatMap(([section, { fields }]) =>
  Object.entries<Schema.Constraint>(fields).flatMap(([property, field]): ReadonlyArray<Entry> => {
    const facts = Setting.factsOf(field)
    if (facts === undefined) return []
    const name = nameOf(property)
    const variable = variablePrefix + `${section}_${name}`.replaceAll("-", "_").toUpperCase()
    return [{ key: `${section}.${name}`, variable, section, name, property, facts }]
  })
)
