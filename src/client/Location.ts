/**
 * The server's names among the arguments of a command: plain ones, or URLs that name their server too.
 *
 * One command speaks to one server as one account. A person who names them twice must mean the same.
 */
import { Effect, Schema } from "effect"
import { printable } from "../domain/file/Printable.ts"
import * as ServerAddress from "./ServerAddress.ts"

/** Names at one server; `named` when a URL said which. */
export interface Located {
  readonly names: ReadonlyArray<string>
  readonly named: ServerAddress.Named | undefined
}

/** The arguments do not speak of names at one server. */
export class LocationRefused extends Schema.TaggedError<LocationRefused>()("LocationRefused", {
  because: Schema.Literals(["mixed", "no-name", "several-servers"]),
  /** printable: the argument that does not fit; never a URL, which could hold a password */
  name: Schema.String
}) {
  override get message(): string {
    switch (this.because) {
      case "mixed":
        return `'${this.name}' is no URL, but others are: name all files by URL, or the server once with --server`
      case "no-name":
        return "a URL names a server and no file: put the file's name behind it, paradrop://HOST/NAME"
      case "several-servers":
        return "URLs name several servers or accounts: one command speaks to one server as one account"
    }
  }
}

/** Why arguments cannot be understood. */
export type Refused = LocationRefused | ServerAddress.AddressRefused | ServerAddress.UrlRefused

/** @param options.nameless whether a URL may name a server alone; its name is then empty */
export const parse = Effect.fnUntraced(function* (
  texts: ReadonlyArray<string>,
  options: { readonly nameless?: boolean } = {}
): Effect.fn.Return<Located, Refused> {
  const urls = texts.filter(ServerAddress.isUrl)
  if (urls.length === 0) return { names: texts, named: undefined }
  const plain = texts.find((text) => !ServerAddress.isUrl(text))
  if (plain !== undefined) return yield* new LocationRefused({ because: "mixed", name: printable(plain) })
  const located = yield* Effect.forEach(texts, ServerAddress.parseUrl)
  const names = located.map(({ path }) => path)
  if (options.nameless !== true && names.includes("")) {
    return yield* new LocationRefused({ because: "no-name", name: "" })
  }
  const [first, ...others] = located
  if (first === undefined) return { names, named: undefined }
  if (!others.every((other) => other.user === first.user && agree(first, other))) {
    return yield* new LocationRefused({ because: "several-servers", name: "" })
  }
  return { names, named: { server: first.server, user: first.user } }
})

/** Whether two texts of a person can mean the same: one server, and not two accounts. */
export const agree = (one: ServerAddress.Named, other: ServerAddress.Named): boolean =>
  ServerAddress.show(one.server).toLowerCase() === ServerAddress.show(other.server).toLowerCase() &&
  (one.user === undefined || other.user === undefined || one.user === other.user)

/**
 * The URL that says what a text says where scp and rsync take it, USER@HOST:PATH, or ssh's clients, USER@HOST:PORT.
 * Undefined when it does not look like one; `./` before a name is enough for that.
 */
export const urlOfForeign = (text: string): string | undefined => {
  const [, at, rest] = /^([\w.-]+@(?:[^\s/:@[\]]+|\[[0-9a-fA-F:.%]+\])):(.*)$/s.exec(text) ?? []
  if (at === undefined || rest === undefined) return undefined
  const [, port, path = port === undefined ? rest : "NAME"] = /^(?:(\d{1,5})(?:\/+(.*))?)?$/s.exec(rest) ?? []
  const name = path.replace(/^\/+/, "").replaceAll("%", "%25")
  return `paradrop://${at}${port === undefined ? "" : `:${port}`}/${name === "" ? "NAME" : name}`
}
