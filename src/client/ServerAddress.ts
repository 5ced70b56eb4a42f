/**
 * Where a server is, as a person names it.
 */
import { Effect, Schema } from "effect"
import { printable } from "../domain/file/Printable.ts"

/** Of a server that is named without one. */
export const defaultPort = 8080

/** A host and a port, parsed. */
export interface ServerAddress {
  readonly host: string
  readonly port: number
}

/** The text names no server. */
export class AddressRefused extends Schema.TaggedError<AddressRefused>()("AddressRefused", { text: Schema.String }) {
  override get message(): string {
    return `'${this.text}' is no server: give HOST, HOST:PORT or [IPv6]:PORT, with a port from 1 to ${portMax}`
  }
}

const portMax = 65_535

/** HOST, HOST:PORT, [IPv6], [IPv6]:PORT or a bare IPv6 address. */
export const parse = (text: string): Effect.Effect<ServerAddress, AddressRefused> => {
  const [, bracketed, plain, digits] = /^(?:\[([0-9a-fA-F:.%\w]+)\]|([^\s:[\]/@]+))(?::(\d{1,5}))?$/.exec(text) ?? []
  // No brackets, and colons as only an IPv6 address has them: there is no place for a port.
  const bare = /^[0-9a-fA-F:.]+(?:%\w+)?$/.test(text) && /::|^(?:[^:]+:){7}/.test(text) ? text : undefined
  const host = bracketed ?? plain ?? bare
  const port = digits === undefined ? defaultPort : Number(digits)
  return host === undefined || port < 1 || port > portMax
    ? Effect.fail(new AddressRefused({ text: printable(text) }))
    : Effect.succeed({ host, port })
}

/** What names a server: its address, and the account when the text is a URL with one. */
export interface Named {
  readonly server: ServerAddress
  readonly user: string | undefined
}

/** A server, and what a URL names there. */
export interface Located extends Named {
  /** percent-decoded, as it stands behind the server's `/`; empty when nothing does */
  readonly path: string
}

/** A URL holds what it must not, or not as it must; none of it is repeated, for it may be a password. */
export class UrlRefused extends Schema.TaggedError<UrlRefused>()("UrlRefused", {
  because: Schema.Literals(["encoding", "password", "path"])
}) {
  override get message(): string {
    return urlText[this.because]
  }
}

const urlText: Record<UrlRefused["because"], string> = {
  encoding: "a '%' in a URL stands before two hex digits, '%25' is a '%' itself; together they must be UTF-8",
  password: "a password in a URL is seen by everyone on this machine: leave it out, you are asked for it",
  path: "a server's URL is paradrop://USER@HOST:PORT: give the file's name behind the command"
}

const scheme = "paradrop://"

/**
 * Whether a text looks like an address with a password in it, of whatever scheme. A port is none, and what follows it
 * is a path.
 */
export const holdsPassword = (text: string): boolean =>
  /^(?:[a-z][a-z0-9+.-]*:\/\/)?[^/\s:@[]*:(?!\d{1,5}\/|\/\/)[^@]*@/i.test(text)

/** Whether a text is a URL, of whatever scheme, with a password in it. */
export const isUrlWithPassword = (text: string): boolean => text.includes("://") && holdsPassword(text)

/** Whether a text is meant as a URL of ours. */
export const isUrl = (text: string): boolean => text.toLowerCase().startsWith(scheme)

/**
 * paradrop://USER@HOST:PORT/PATH, account, port and path optional. There is no query: `?` and `#`
 * are themselves. The first `/` ends the authority (RFC 3986, section 3.2): an `@` behind it is one of the path.
 */
export const parseUrl = (text: string): Effect.Effect<Located, AddressRefused | UrlRefused> => {
  const [, authority = "", encoded = ""] = /^([^/]*)\/?([^]*)$/.exec(text.slice(scheme.length)) ?? []
  const at = authority.lastIndexOf("@")
  const user = at < 0 ? undefined : authority.slice(0, at)
  if (user?.includes(":") === true || holdsPassword(text)) return Effect.fail(new UrlRefused({ because: "password" }))
  // What cannot be a port, with an account's mark behind it, may be the beginning of a password.
  const parsed = Effect.mapError(parse(authority.slice(at + 1)), (error) =>
    encoded.includes("@") ? new UrlRefused({ because: "password" }) : error
  )
  return Effect.flatMap(parsed, (server) => Effect.map(percentDecoded(encoded), (path) => ({ server, user, path })))
}

const percentDecoded = (text: string): Effect.Effect<string, UrlRefused> =>
  Effect.try({ try: () => decodeURIComponent(text), catch: () => new UrlRefused({ because: "encoding" }) })

/** The same as `parse`, USER@ before it, or a URL that names nothing but a server. */
export const parseNamed = (text: string): Effect.Effect<Named, AddressRefused | UrlRefused> =>
  isUrl(text) || text.includes("@")
    ? Effect.flatMap(parseUrl(isUrl(text) ? text : `${scheme}${text}`), ({ path, server, user }) =>
        /^\/*$/.test(path) ? Effect.succeed({ server, user }) : Effect.fail(new UrlRefused({ because: "path" }))
      )
    : Effect.map(parse(text), (server) => ({ server, user: undefined }))

/** HOST:PORT, or [IPv6]:PORT. */
export const show = ({ host, port }: ServerAddress): string => `${host.includes(":") ? `[${host}]` : host}:${port}`

/** Whether the name can only mean this machine. */
export const isLoopback = ({ host }: ServerAddress): boolean =>
  host.toLowerCase() === "localhost" || host === "::1" || /^127(?:\.\d{1,3}){3}$/.test(host)
