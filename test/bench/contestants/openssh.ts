/** OpenSSH's sftp and rsync over ssh, both with aes256-gcm, over an sshd of our own with keys of its own. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { userInfo } from "node:os"
import { join } from "node:path"
import { type Contestant, type Operation, pidOf, type Service, type Site, which } from "../Contestant.ts"
import { type Command, output, said, start, stop } from "../Processes.ts"

const cipher = "aes256-gcm@openssh.com"
/** Above what other programs listen on; in a namespace of our own it is free in any case. */
const basePort = 22_022

const lines = (...all: ReadonlyArray<string>): string => `${all.join("\n")}\n`

/** Keys, settings and a running sshd. */
const sshd = async (site: Site, port: number) => {
  const key = join(site.folder, "key")
  const hostKey = join(site.folder, "host")
  for (const path of [key, hostKey]) await output("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path)
  const authorized = join(site.folder, "authorized")
  const known = join(site.folder, "known")
  writeFileSync(authorized, readFileSync(`${key}.pub`), { mode: 0o600 })
  writeFileSync(known, `[${site.place.host}]:${port} ${readFileSync(`${hostKey}.pub`, "utf8")}`)
  const serverConfig = join(site.folder, "sshd_config")
  writeFileSync(
    serverConfig,
    lines(
      `Port ${port}`,
      `ListenAddress ${site.place.host}`,
      `HostKey ${hostKey}`,
      `AuthorizedKeysFile ${authorized}`,
      "StrictModes no",
      "PermitRootLogin prohibit-password",
      "PasswordAuthentication no",
      "UsePAM no",
      "UseDNS no",
      "PidFile none",
      "PrintMotd no",
      "MaxStartups 4096",
      "MaxSessions 4096",
      "Subsystem sftp /usr/lib/openssh/sftp-server"
    )
  )
  const config = join(site.folder, "ssh_config")
  writeFileSync(
    config,
    lines(
      "Host *",
      `User ${userInfo().username}`,
      `Port ${port}`,
      `IdentityFile ${key}`,
      "IdentitiesOnly yes",
      `UserKnownHostsFile ${known}`,
      "GlobalKnownHostsFile /dev/null",
      "StrictHostKeyChecking yes",
      `Ciphers ${cipher}`,
      "LogLevel ERROR"
    )
  )
  const program = which("sshd") ?? "sshd"
  const child = start(site.place.far({ argv: [program, "-D", "-e", "-f", serverConfig] }))
  await said(child, /Server listening/)
  child.stderr?.resume()
  return { child, config }
}

const withSshd =
  (port: number, service: (site: Site, config: string) => Omit<Service, "server" | "stop">) =>
  async (site: Site): Promise<Service> => {
    const { child, config } = await sshd(site, port)
    return { server: [pidOf(child)], ...service(site, config), stop: () => stop(child) }
  }

export const sftp: Contestant = {
  name: "sftp",
  about: `OpenSSH sftp, ${cipher}, key`,
  needs: { sshd: "openssh-server", sftp: "openssh-client", "ssh-keygen": "openssh-client" },
  start: withSshd(basePort, (site, config) => {
    const batches = join(site.folder, "batches")
    mkdirSync(batches, { recursive: true })
    let count = 0
    const batch = (...text: ReadonlyArray<string>): Command => {
      const path = join(batches, String((count += 1)))
      writeFileSync(path, lines(...text))
      return { argv: ["sftp", "-F", config, "-q", "-b", path, site.place.host] }
    }
    const there = (name: string) => join(site.root, name)
    // Its input never ends and says nothing. Without a shell between, which would be ended and leave it behind.
    const silent = join(site.folder, "silent")
    const waiting = `[ -p ${silent} ] || mkfifo ${silent}; exec sftp -F ${config} -q ${site.place.host} <>${silent}`
    const idle = { argv: ["sh", "-c", waiting] } as const
    return {
      commands: {
        put: (from, to) => batch(`put ${from} ${there(to)}`),
        get: (from, to) => batch(`get ${there(from)} ${to}`),
        putTree: (from, to) => batch(`mkdir ${there(to)}`, `put -R ${from}/. ${there(to)}`),
        getTree: (from, to) => batch(`get -R ${there(from)} ${to}`),
        list: (from) => batch(`ls -1 ${there(from)}`),
        putAgain: (from, to) => batch(`reput ${from} ${there(to)}`),
        getAgain: (from, to) => batch(`reget ${there(from)} ${to}`)
      },
      hold: { many: 100, commands: (count) => Array.from({ length: count }, () => idle) },
      logins: { many: 20, commands: (count) => Array.from({ length: count }, () => batch("pwd")) }
    }
  })
}

export const rsync: Contestant = {
  name: "rsync",
  about: `rsync -a over ssh, ${cipher}, key`,
  needs: { sshd: "openssh-server", ssh: "openssh-client", "ssh-keygen": "openssh-client", rsync: "rsync" },
  start: withSshd(basePort + 1, (site, config) => {
    const shell = ["-e", `ssh -F ${config}`]
    const fsync = site.durable ? ["--fsync"] : []
    const there = (name: string) => `${site.place.host}:${join(site.root, name)}`
    const rsync = (...args: ReadonlyArray<string>): Command => ({ argv: ["rsync", "-a", ...shell, ...args] })
    // Without --partial what has come of a file is dropped when it is cut.
    const put = (from: string, to: string) => rsync("--partial", from, there(to))
    const get = (from: string, to: string) => rsync("--partial", there(from), to)
    const commands: Record<Operation, (from: string, to: string) => Command> = {
      put,
      get,
      putAgain: put,
      getAgain: get,
      putTree: (from, to) => rsync(`${from}/`, `${there(to)}/`),
      getTree: (from, to) => rsync(`${there(from)}/`, `${to}/`),
      list: (from) => ({ argv: ["rsync", "--list-only", "--outbuf=L", ...shell, `${there(from)}/`] }),
      // Every byte is looked at, as ours does: size and time may say nothing about content.
      update: (from, to) =>
        rsync(...fsync, "--ignore-times", "--no-whole-file", "--no-times", "--stats", from, there(to))
    }
    return { commands }
  })
}
