/**
 * A para of a large sparse file: memory of both sides. `node test/shown/sparse.ts [GIB] [--dist]`, 10 without.
 *
 * Noise of 1 MiB stands at every 64 MiB; the client's version has other noise at every 1024 MiB.
 */
import { open } from "node:fs/promises"
import { randomBytes } from "node:crypto"
import { join } from "node:path"
import { claim, inFolder, peakOf, startClient, startServer } from "./processes.ts"

const mebibyte = 1024 * 1024
const memoryMebibytesMax = 200
const size = Number(process.argv.slice(2).find((arg) => arg !== "--dist") ?? 10) * 1024 * mebibyte

/** Both versions; what they have in common is written to both. */
const make = async (older: string, newer: string): Promise<void> => {
  const [first, second] = [await open(older, "w"), await open(newer, "w")]
  await Promise.all([first.truncate(size), second.truncate(size)])
  for (let at = 0; at < size; at += 64 * mebibyte) {
    const noise = randomBytes(mebibyte)
    await first.write(noise, 0, mebibyte, at)
    await second.write(at % (1024 * mebibyte) === 0 ? randomBytes(mebibyte) : noise, 0, mebibyte, at)
  }
  await Promise.all([first.close(), second.close()])
}

await inFolder(async (folder) => {
  const server = await startServer(folder)
  try {
    const local = join(folder, "big.bin")
    await make(join(server.root, "big.bin"), local)
    const since = performance.now()
    const { code, peak, text } = await startClient(server, ["para", local]).ended
    const seconds = (performance.now() - since) / 1000
    process.stdout.write(text)
    claim(`para of ${size / 1024 / mebibyte} GiB in ${seconds.toFixed(1)} s, exit ${code}`, code === 0)
    claim(`client: peak ${peak.toFixed(0)} MiB resident`, peak < memoryMebibytesMax)
    const atServer = await peakOf(server.pid)
    claim(`server: peak ${atServer.toFixed(0)} MiB resident`, atServer < memoryMebibytesMax)
  } finally {
    await server.stop()
  }
})
