/**
 * An upload whose network is cut in the middle, and the same command again: how much is sent a second time, and how
 * soon new bytes move. `node test/shown/resume.ts [MIB]`, 1024 without arguments.
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { stat } from "node:fs/promises"
import { join } from "node:path"
import { claim, digestOfFile, inFolder, makeFile, startServer } from "./processes.ts"

const mebibyte = 1024 * 1024
const size = Number(process.argv.slice(2).find((arg) => arg !== "--dist") ?? 1024) * mebibyte
const here = import.meta.dirname
/** At most 51 % and one chunk, whatever was on its way when the link broke. */
const sentBytesMax = 0.51 * size + 256 * 1024
const firstSecondsMax = 0.5

const textOf = async (args: ReadonlyArray<string>): Promise<string> => {
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "ignore"] })
  let text = ""
  child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()))
  await once(child, "close")
  return text
}

const throughLink = async <A>(port: number, cut: number, use: (port: string) => Promise<A>): Promise<A> => {
  const link = spawn(process.execPath, [join(here, "link.ts"), String(port), "--cut", String(cut)], {
    stdio: ["ignore", "pipe", "inherit"]
  })
  const [line] = await once(link.stdout, "data")
  try {
    return await use(/:(\d+)/.exec(String(line))?.[1] ?? "")
  } finally {
    link.kill("SIGTERM")
  }
}

await inFolder(async (folder) => {
  const server = await startServer(folder)
  try {
    const local = join(folder, "big.bin")
    const digest = await makeFile(local, size)
    const upload = (port: string) => textOf([join(here, "uploadClient.ts"), port, local, "big"])
    const broken = await throughLink(server.port, size / 2, upload)
    claim("the first command did not end well: its network was cut at 50 %", broken === "")
    const again: { sent: number; firstMoved: number; seconds: number } = JSON.parse(await upload(String(server.port)))
    const share = again.sent / size
    claim(
      `again: ${(share * 100).toFixed(2)} % sent, the first new bytes after ${again.firstMoved.toFixed(3)} s`,
      again.sent <= sentBytesMax && again.firstMoved < firstSecondsMax
    )
    claim("the server has the whole file", (await digestOfFile(join(server.root, "big"))) === digest)
    claim("and nothing else of that size", (await stat(join(server.root, "big"))).size === size)
  } finally {
    await server.stop()
  }
})
