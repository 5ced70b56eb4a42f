/** Paradrop as it is installed: the two executables of the build. */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { type Contestant, pidOf, type Site } from "../Contestant.ts"
import { type Command, said, start, stop } from "../Processes.ts"
import { bundle, sessions } from "../Sessions.ts"

const dist = resolve(import.meta.dirname, "../../../dist")
const client = join(dist, "client/bin.js")
const server = join(dist, "server/bin.js")
const password = "correct horse battery staple"

/** More sessions than any case has, from one address and one account. */
const limits = [
  "sessions",
  "sessions-before-login",
  "sessions-before-login-per-address",
  "sessions-before-login-from-loopback",
  "sessions-per-address",
  "sessions-per-account"
].flatMap((name) => ["--set", `limits.${name}=4096`])

let profiles: string | undefined

/** From now on our own processes leave CPU profiles there: they cost time, so nothing that is timed then counts. */
export const profiledFor = (folder: string): void => {
  profiles = folder
}

const node = (side: "client" | "server"): readonly [string, ...ReadonlyArray<string>] =>
  profiles === undefined
    ? [process.execPath]
    : [process.execPath, "--cpu-prof", `--cpu-prof-dir=${join(profiles, side)}`]

const common = ["--port", "0", "--log-level", "warn"]

/** Of passwords, as `paradrop-server user stretching` names them: full is the default, light the lowest. */
type Stretching = 1 | 3
const lowest = 3

/** What the server runs with: more and other settings for cases that need them. */
export interface Paradrop {
  readonly name: string
  readonly about: string
  readonly stretching: Stretching
}

const files = (site: Site) => ({
  state: join(site.folder, "state"),
  password: join(site.folder, "password"),
  cache: join(site.folder, "cache")
})

/** What Node has compiled is kept from one start to the next, as it is for everybody who has a folder for it. */
const environment = (site: Site) => ({ XDG_CACHE_HOME: files(site).cache })

/** How a client is called at that site. */
export const clientOf = (site: Site, port: string) => {
  const args = ["--server", `${site.place.host}:${port}`, "--user", "bench", "--password-file", files(site).password]
  const env = environment(site)
  return (...command: ReadonlyArray<string>): Command => ({
    argv: [...node("client"), client, ...args, ...command],
    env
  })
}

/** Whether a signature of just this version of a file is kept: each begins with the version that it is of. */
const isKept = (signatures: string, path: string): boolean => {
  const { ctimeNs, dev, ino, mtimeNs, size } = statSync(path, { bigint: true })
  const version = [dev, ino, size, mtimeNs, ctimeNs].join(":")
  return readdirSync(signatures)
    .filter((name) => name.endsWith(".sig"))
    .some((name) => readFileSync(join(signatures, name)).includes(version))
}

/** Starts the server with one account; its process and port. */
export const serve = async (site: Site, stretching: Stretching, settings: ReadonlyArray<string> = []) => {
  if (!existsSync(client) || !existsSync(server)) throw new Error("there is no build: run npm run build")
  const { cache, password: passwordFile, state } = files(site)
  mkdirSync(cache, { mode: 0o700 })
  mkdirSync(state, { recursive: true, mode: 0o700 })
  writeFileSync(join(state, "accounts.json"), JSON.stringify({ version: 2, stretching, accounts: [] }), { mode: 0o600 })
  writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 })
  const folders = ["--root", site.root, "--state", state]
  // Where peers do not fsync we do not either.
  const durability = ["--durability", site.durable ? "full" : "os"]
  const add = start({
    argv: [process.execPath, server, "user", "add", "bench", ...folders],
    input: passwordFile,
    env: environment(site)
  })
  await said(add, /bench/)
  const child = start(
    site.place.far({
      env: environment(site),
      argv: [
        ...node("server"),
        server,
        ...folders,
        ...common,
        ...durability,
        "--host",
        site.place.host,
        ...limits,
        ...settings
      ]
    })
  )
  const [, port = ""] = await said(child, /listening on .*:(\d+)\n/)
  // Its log is nobody's concern, and must not stop it.
  child.stderr?.resume()
  return { child, port, state, password: passwordFile }
}

export const make = ({ about, name, stretching }: Paradrop): Contestant => ({
  name,
  about,
  needs: {},
  start: async (site) => {
    const { child, port, state } = await serve(site, stretching)
    const paradrop = clientOf(site, port)
    const put = (from: string, to: string) => paradrop("upload", from, "--as", to)
    const get = (from: string, to: string) => paradrop("--durability", "os", "download", from, "--to", to)
    return {
      server: [pidOf(child)],
      kept: (name) => isKept(join(state, "signatures"), join(site.root, name)),
      commands: {
        put,
        get,
        putAgain: put,
        getAgain: get,
        // A folder keeps its name.
        putTree: (from) => paradrop("upload", "-r", from),
        getTree: (from, to) => paradrop("--durability", "os", "download", "-r", from, "--to", dirname(to)),
        list: (from) => paradrop("fetch", `${from}/*`),
        update: (from, to) => paradrop("para", from, "--as", to)
      },
      stop: () => stop(child)
    }
  }
})

export const paradrop = make({
  name: "paradrop",
  about: "paradrop, the lowest stretching (light: for passwords that nobody can guess)",
  stretching: lowest
})

export const paradropDefault = make({
  name: "paradrop-default",
  about: "paradrop with its default stretching (Argon2id, 64 MiB, 3 passes)",
  stretching: 1
})

export const paradropSessions: Contestant = {
  name: "paradrop-sessions",
  about: "paradrop, all sessions of one client process, the lowest stretching",
  needs: {},
  start: async (site) => {
    await bundle()
    const { child, password, port } = await serve(site, lowest)
    const server = `${site.place.host}:${port}`
    return {
      server: [pidOf(child)],
      commands: {},
      putMany: (from, _to, count) => sessions("upload", server, password, count, from),
      hold: { many: 2000, says: /open/, commands: (count) => [sessions("hold", server, password, count)] },
      logins: { many: 100, commands: (count) => [sessions("login", server, password, count)] },
      stop: () => stop(child)
    }
  }
}
