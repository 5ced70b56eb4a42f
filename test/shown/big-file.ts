/**
 * A large file and a small one go up and down through the real executables: equal content, and memory that does not
 * grow with the size. `node test/shown/big-file.ts [MIB...]`, 300 and 3072 without arguments.
 */
import { rm } from "node:fs/promises"
import { join } from "node:path"
import { claim, digestOfFile, inFolder, makeFile, peakOf, startClient, startServer } from "./processes.ts"

const memoryMebibytesMax = 200
const growthMax = 1.1
const given = process.argv
  .slice(2)
  .filter((arg) => arg !== "--dist")
  .map(Number)
const sizes = given.length > 0 ? given : [300, 3072]

interface Peaks {
  readonly server: number
  readonly upload: number
  readonly download: number
}

const run = async (folder: string, mebibytes: number): Promise<Peaks> => {
  const server = await startServer(join(folder, `${mebibytes}`))
  try {
    const [local, back] = [join(folder, "big.bin"), join(folder, "back.bin")]
    const digest = await makeFile(local, mebibytes * 1024 * 1024)
    const timed = async (what: string, args: ReadonlyArray<string>): Promise<number> => {
      const since = performance.now()
      const { code, peak, text } = await startClient(server, args).ended
      const seconds = (performance.now() - since) / 1000
      claim(`${what} of ${mebibytes} MiB: ${(mebibytes / seconds).toFixed(0)} MiB/s, exit ${code}`, code === 0)
      if (code !== 0) process.stdout.write(text)
      return peak
    }
    const upload = await timed("upload", ["upload", local])
    await rm(local)
    const download = await timed("download", ["download", "big.bin", "--to", back])
    claim(`${mebibytes} MiB came back as they were`, (await digestOfFile(back)) === digest)
    await rm(back)
    return { server: await peakOf(server.pid), upload, download }
  } finally {
    await server.stop()
  }
}

await inFolder(async (folder) => {
  const all: Array<Peaks> = []
  for (const mebibytes of sizes) {
    const peaks = await run(folder, mebibytes)
    all.push(peaks)
    for (const [who, peak] of Object.entries(peaks)) {
      claim(`${who} for ${mebibytes} MiB: peak ${peak.toFixed(0)} MiB resident`, peak < memoryMebibytesMax)
    }
  }
  const [small, big] = all
  if (small === undefined || big === undefined) return
  for (const who of ["server", "upload", "download"] as const) {
    const growth = big[who] / small[who]
    claim(`${who}: ${growth.toFixed(2)} times the memory for ${sizes[1]} MiB`, growth <= growthMax)
  }
})
