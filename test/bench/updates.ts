/**
 * Updates of a large random file, beside rsync over ssh when both are installed.
 *
 * `node test/bench/updates.ts [--mib 1024] [--rounds 3] [--folder /dev/shm] [--cases abcdef] [--mbit 100 --rtt 40]`
 *
 * Interleaved rounds, medians. Time counts from the moment of the login: here by the client's own clock, for rsync by
 * subtracting a transfer of a tiny file. Both commit durably (rsync with --fsync). Bytes are TCP payload here and
 * rsync's own statistics there. Signatures are kept, as they are after any transfer that is a moment old.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { randomFillSync, randomInt } from "node:crypto"
import { once } from "node:events"
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
  writeSync
} from "node:fs"
import { tmpdir, userInfo } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"

const { values } = parseArgs({
  options: {
    mib: { type: "string", default: "1024" },
    rounds: { type: "string", default: "3" },
    folder: { type: "string", default: existsSync("/dev/shm") ? "/dev/shm" : tmpdir() },
    cases: { type: "string", default: "abcdef" },
    mbit: { type: "string", default: "0" },
    rtt: { type: "string", default: "0" }
  }
})
const mib = 1024 * 1024
const size = Number(values.mib) * mib
const rounds = Number(values.rounds)
const folder = mkdtempSync(join(values.folder, "paradrop-bench-"))
const here = import.meta.dirname
const children = new Set<ChildProcess>()

// -----------------------------------------------------------------------------
// Files
// -----------------------------------------------------------------------------

const noise = (path: string, from: number, to: number): void => {
  const fd = openSync(path, existsSync(path) ? "r+" : "w")
  const block = new Uint8Array(4 * mib)
  for (let at = from; at < to; at += block.length) {
    const part = block.subarray(0, Math.min(block.length, to - at))
    randomFillSync(part)
    writeSync(fd, part, 0, part.length, at)
  }
  closeSync(fd)
}

const base = join(folder, "base")
const edits: Record<string, { readonly what: string; readonly make: (path: string) => void }> = {
  // In its time as well.
  a: {
    what: "identical",
    make: (path) => {
      copyFileSync(base, path)
      const { atime, mtime } = statSync(base)
      utimesSync(path, atime, mtime)
    }
  },
  b: {
    what: "100 overwrites of 100 KiB",
    make: (path) => {
      copyFileSync(base, path)
      for (let index = 0; index < 100; index += 1) {
        const at = randomInt(size - 102_400)
        noise(path, at, at + 102_400)
      }
    }
  },
  c: {
    what: "1 MiB inserted at the start",
    make: (path) => {
      noise(path, 0, mib)
      append(path, base, mib, 0, size)
    }
  },
  d: {
    what: "100 single bytes changed",
    make: (path) => {
      copyFileSync(base, path)
      for (let index = 0; index < 100; index += 1) {
        const at = randomInt(size)
        noise(path, at, at + 1)
      }
    }
  },
  e: {
    what: "100 MiB appended",
    make: (path) => {
      copyFileSync(base, path)
      noise(path, size, size + 100 * mib)
    }
  },
  f: {
    what: "two halves swapped",
    make: (path) => {
      append(path, base, 0, size / 2, size)
      append(path, base, size / 2, 0, size / 2)
    }
  }
}

/** Bytes [from, to) of one file to a place in another. */
const append = (path: string, source: string, at: number, from: number, to: number): void => {
  execFileSync("dd", [
    `if=${source}`,
    `of=${path}`,
    "bs=1M",
    "conv=notrunc",
    "iflag=skip_bytes,count_bytes",
    "oflag=seek_bytes",
    `skip=${from}`,
    `count=${to - from}`,
    `seek=${at}`,
    "status=none"
  ])
}

// -----------------------------------------------------------------------------
// Contestants
// -----------------------------------------------------------------------------

interface Figures {
  readonly seconds: number
  readonly bytes: number
}

interface Contestant {
  readonly name: string
  /** Makes the other end's file the base again. */
  readonly reset: () => Promise<void>
  readonly update: (path: string) => Promise<Figures>
}

const lines = async (child: ChildProcess, wanted: RegExp): Promise<RegExpExecArray> => {
  let text = ""
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (chunk) => (text += String(chunk)))
  while (true) {
    const found = wanted.exec(text)
    if (found !== null) return found
    if (child.exitCode !== null) throw new Error(`ended early: ${text}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

const output = async (command: string, args: ReadonlyArray<string>): Promise<string> => {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] })
  children.add(child)
  let text = ""
  child.stdout.on("data", (chunk) => (text += String(chunk)))
  const [code] = await once(child, "close")
  children.delete(child)
  if (code !== 0) throw new Error(`${command} ended with ${String(code)}`)
  return text
}

/** The port to dial instead of this one: that of a slow link when there is to be one. */
const linked = async (port: string): Promise<string> => {
  if (values.mbit === "0" && values.rtt === "0") return port
  const args = [join(here, "link.ts"), port, "--mbit", values.mbit, "--rtt", values.rtt]
  const link = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] })
  children.add(link)
  return (await lines(link, /listening on .*:(\d+)/))[1] ?? ""
}

const paradrop = async (): Promise<Contestant> => {
  const root = join(folder, "served")
  mkdirSync(root)
  copyFileSync(base, join(root, "file"))
  const server = spawn(
    process.execPath,
    [join(here, "../../src/server/main.ts"), "--port", "0", "--root", root, "--state", join(folder, "state")],
    { stdio: ["ignore", "pipe", "pipe"] }
  )
  children.add(server)
  const direct = (await lines(server, /listening on .*:(\d+)/))[1] ?? ""
  const port = await linked(direct)
  const para = async (path: string, through = port): Promise<Figures> => {
    const text = await output(process.execPath, [join(here, "paraClient.ts"), through, path, "file"])
    const { received, seconds, sent }: { seconds: number; sent: number; received: number } = JSON.parse(text)
    return { seconds, bytes: sent + received }
  }
  return {
    name: "paradrop",
    reset: async () => {
      await para(base, direct)
      // The signature of the new version is made in the background, a moment later.
      await new Promise((resolve) => setTimeout(resolve, 2_000 + size / 250_000))
    },
    update: (path) => para(path)
  }
}

const rsync = async (): Promise<Contestant | undefined> => {
  if (!existsSync("/usr/sbin/sshd") || !existsSync("/usr/bin/rsync")) {
    console.log("rsync over ssh is not here: install rsync and openssh-server (Debian) to compare")
    return undefined
  }
  const etc = join(folder, "etc")
  mkdirSync(etc)
  const key = join(etc, "key")
  execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key])
  writeFileSync(join(etc, "authorized"), readFileSync(`${key}.pub`), { mode: 0o600 })
  mkdirSync("/run/sshd", { recursive: true })
  const port = 20_000 + randomInt(20_000)
  writeFileSync(
    join(etc, "sshd"),
    [
      `Port ${port}`,
      "ListenAddress 127.0.0.1",
      `HostKey ${key}`,
      `AuthorizedKeysFile ${join(etc, "authorized")}`,
      "StrictModes no",
      "PermitRootLogin prohibit-password",
      "UsePAM no",
      "PidFile none"
    ].join("\n")
  )
  const server = spawn("/usr/sbin/sshd", ["-D", "-e", "-f", join(etc, "sshd")], { stdio: ["ignore", "pipe", "pipe"] })
  children.add(server)
  await lines(server, /Server listening/)
  const shell = [
    "ssh",
    `-p ${await linked(String(port))}`,
    `-i ${key}`,
    "-c aes256-gcm@openssh.com",
    "-o StrictHostKeyChecking=no",
    `-o UserKnownHostsFile=${join(etc, "known")}`,
    "-o LogLevel=ERROR"
  ].join(" ")
  const target = join(folder, "rsynced")
  const tiny = join(folder, "tiny")
  writeFileSync(tiny, "x")
  copyFileSync(base, target)
  const timed = async (path: string, to: string): Promise<{ seconds: number; text: string }> => {
    const began = performance.now()
    const text = await output("rsync", [
      "-t",
      "--ignore-times",
      "--no-whole-file",
      "--fsync",
      "--stats",
      "-e",
      shell,
      path,
      `${userInfo().username}@127.0.0.1:${to}`
    ])
    return { seconds: (performance.now() - began) / 1000, text }
  }
  const bytesOf = (text: string): number =>
    [...text.matchAll(/Total bytes (?:sent|received): ([\d,]+)/g)].reduce(
      (total, [, count = "0"]) => total + Number(count.replaceAll(",", "")),
      0
    )
  return {
    name: "rsync",
    reset: async () => {
      copyFileSync(base, target)
    },
    update: async (path) => {
      const trivial = await timed(tiny, `${target}.tiny`)
      const { seconds, text } = await timed(path, target)
      return { seconds: seconds - trivial.seconds, bytes: bytesOf(text) }
    }
  }
}

// -----------------------------------------------------------------------------
// The run
// -----------------------------------------------------------------------------

const median = (figures: ReadonlyArray<number>): number =>
  figures.toSorted((a, b) => a - b)[Math.floor(figures.length / 2)] ?? Number.NaN

const spread = (figures: ReadonlyArray<number>): string =>
  `${median(figures).toFixed(2)} s (${Math.min(...figures).toFixed(2)}-${Math.max(...figures).toFixed(2)})`

const main = async (): Promise<void> => {
  noise(base, 0, size)
  const contestants = [await paradrop(), await rsync()].filter((one) => one !== undefined)
  console.log(`${values.mib} MiB of random bytes in ${values.folder}, ${rounds} rounds`)
  for (const [letter, { make, what }] of Object.entries(edits).filter(([one]) => values.cases.includes(one))) {
    const target = join(folder, "target")
    const figures = new Map(contestants.map(({ name }) => [name, { seconds: [0].slice(1), bytes: [0].slice(1) }]))
    for (let round = 0; round < rounds; round += 1) {
      rmSync(target, { force: true })
      make(target)
      for (const contestant of contestants) {
        await contestant.reset()
        const { bytes, seconds } = await contestant.update(target)
        figures.get(contestant.name)?.seconds.push(seconds)
        figures.get(contestant.name)?.bytes.push(bytes)
      }
    }
    const ours = figures.get("paradrop")
    const theirs = figures.get("rsync")
    const ratio = ours && theirs ? `  ratio ${(median(ours.seconds) / median(theirs.seconds)).toFixed(2)}` : ""
    const row = [...figures].map(([name, one]) => `${name} ${spread(one.seconds)} ${Math.round(median(one.bytes))} B`)
    console.log(`${letter} ${what}: ${row.join(" | ")}${ratio}`)
  }
}

try {
  await main()
} finally {
  for (const child of children) child.kill("SIGTERM")
  rmSync(folder, { recursive: true, force: true })
}
