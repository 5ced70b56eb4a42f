/**
 * Where a case runs: client and server on one machine, with loopback or a long wire between them.
 *
 * As root on Linux the whole bench runs in namespaces of its own: its loopback carries nothing else, so that every byte
 * is counted, ports are all free, /run is its own, and whatever it started ends with it. Nothing of the machine is
 * changed. Without, loopback is the machine's, bytes are not counted, and there is no wire.
 */
import { type ChildProcess, spawnSync } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type Command, output, said, start, stop } from "./Processes.ts"

/** What lies between client and server. */
export interface Wire {
  /** milliseconds there and back; 0 and no rate: loopback */
  readonly roundTrip: number
  /** Mbit/s; 0: none */
  readonly rate: number
}

export const loopback: Wire = { roundTrip: 0, rate: 0 }

export const nameOf = ({ rate, roundTrip }: Wire): string =>
  roundTrip === 0 && rate === 0 ? "loopback" : `${roundTrip} ms${rate === 0 ? "" : `, ${rate} Mbit/s`}`

/** A place that has been made. */
export interface Place {
  /** the address of the server's side */
  readonly host: string
  /** a command that is run on the server's side */
  readonly far: (command: Command) => Command
  /** bytes that have crossed so far, both ways, with all headers; NaN when they cannot be counted */
  readonly bytes: () => number
  readonly close: () => Promise<void>
}

const inside = process.env["PARADROP_BENCH_INSIDE"] === "yes"
const unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"] as const

/** Runs this program again in namespaces of its own, if it can; its exit code, or undefined when it cannot. */
export const runInside = (): number | undefined => {
  if (inside || process.platform !== "linux" || process.getuid?.() !== 0) return undefined
  const [program, ...flags] = unshare
  if (spawnSync(program, [...flags, "ip", "link"], { stdio: "ignore" }).status !== 0) return undefined
  const ended = spawnSync(program, [...flags, process.execPath, ...process.execArgv, ...process.argv.slice(1)], {
    stdio: "inherit",
    env: { ...process.env, PARADROP_BENCH_INSIDE: "yes" }
  })
  return ended.status ?? 1
}

/** Stock sizes of Linux: whoever set others on this machine has not set them here. */
const stock = {
  "net/ipv4/tcp_rmem": "4096 131072 6291456",
  "net/ipv4/tcp_wmem": "4096 16384 4194304",
  "net/ipv4/tcp_no_metrics_save": "1"
}

const setStock = (): void => {
  for (const [name, value] of Object.entries(stock)) writeFileSync(join("/proc/sys", name), value)
}

/** Once, at the start. */
export const prepare = async (): Promise<void> => {
  if (!inside) return
  await output("ip", "link", "set", "lo", "up")
  // sshd insists on a folder there.
  await output("mount", "-t", "tmpfs", "none", "/run")
  mkdirSync("/run/sshd")
  setStock()
}

const received = (device: string): { readonly rx: number; readonly tx: number } => {
  const line = new RegExp(`^\\s*${device}:(.*)$`, "m").exec(readFileSync("/proc/net/dev", "utf8"))?.[1] ?? ""
  const fields = line.trim().split(/\s+/).map(Number)
  return { rx: fields[0] ?? 0, tx: fields[8] ?? 0 }
}

const near: Place = {
  host: "127.0.0.1",
  far: (command) => command,
  // What goes out on loopback comes in on it.
  bytes: () => (inside ? received("lo").rx : Number.NaN),
  close: async () => undefined
}

/** Why there is no wire here; undefined when there is one. */
export const wireLacks = (): string | undefined => {
  if (!inside) return "a long wire needs Linux, root, and the packages util-linux and iproute2"
  if (!existsSync("/dev/net/tun")) return "a long wire needs /dev/net/tun"
  if (spawnSync("cc", ["--version"], { stdio: "ignore" }).status !== 0) return "a long wire needs a C compiler (gcc)"
  return undefined
}

/** What a router holds: the product of rate and delay, and not less than 64 KiB. */
const queueBytes = ({ rate, roundTrip }: Wire): number => Math.max((rate * 1000 * roundTrip) / 8, 64 * 1024)

/** Makes that place; `folder` is for what has to be built. */
export const open = async (wire: Wire, folder: string): Promise<Place> => {
  if (wire.roundTrip === 0 && wire.rate === 0) return near
  const lacks = wireLacks()
  if (lacks !== undefined) throw new Error(lacks)
  const program = join(folder, "link")
  if (!existsSync(program)) await output("cc", "-O2", "-o", program, join(import.meta.dirname, "link.c"))
  const holder = start({ argv: ["unshare", "--net", "sh", "-c", "echo ready; exec sleep infinity"] })
  await said(holder, /ready/)
  const enter = ["nsenter", `--net=/proc/${holder.pid}/ns/net`] as const
  const set = Object.entries(stock).map(([name, value]) => `echo '${value}' >/proc/sys/${name}`)
  await output(...enter, "sh", "-c", ["ip link set lo up", ...set].join(" && "))
  const link: ChildProcess = start({
    argv: [
      program,
      `/proc/${holder.pid}/ns/net`,
      String(wire.roundTrip * 500),
      String(wire.rate),
      String(queueBytes(wire))
    ]
  })
  await said(link, /ready/)
  return {
    host: "192.0.2.2",
    far: (command) => ({ ...command, argv: [...enter, ...command.argv] }),
    bytes: () => {
      const { rx, tx } = received("wire")
      return rx + tx
    },
    close: async () => {
      await stop(link)
      await stop(holder)
    }
  }
}
