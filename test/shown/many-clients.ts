/**
 * Many clients at once upload and download; one is killed in the middle. `node test/shown/many-clients.ts [CLIENTS]`.
 */
import { join } from "node:path"
import { claim, digestOfFile, inFolder, makeFile, peakOf, startClient, startServer } from "./processes.ts"

const clients = Number(process.argv.slice(2).find((arg) => arg !== "--dist") ?? 64)
const fileBytes = 16 * 1024 * 1024
const victim = 7

await inFolder(async (folder) => {
  const server = await startServer(folder)
  try {
    const names = Array.from({ length: clients }, (_, index) => `f${index}.bin`)
    const digests: Array<string> = []
    for (const name of names) digests.push(await makeFile(join(folder, name), fileBytes))
    const since = performance.now()
    const results = await Promise.all(
      names.map(async (name, index) => {
        const up = startClient(server, ["upload", join(folder, name)])
        // Killed as soon as its content is on its way.
        if (index === victim % clients) setTimeout(() => up.child.kill("SIGKILL"), 1_500 + clients * 20)
        const { code, text } = await up.ended
        if (code !== 0) process.stdout.write(text)
        if (code !== 0) return { name, killed: up.child.signalCode === "SIGKILL", equal: false }
        const back = join(folder, `${name}.back`)
        const down = await startClient(server, ["download", name, "--to", back]).ended
        if (down.code !== 0) process.stdout.write(down.text)
        return { name, killed: false, equal: down.code === 0 && (await digestOfFile(back)) === digests[index] }
      })
    )
    const seconds = (performance.now() - since) / 1000
    const killed = results.filter((result) => result.killed)
    const whole = results.filter((result) => result.equal).length
    claim(
      `${whole} of ${clients} clients got back what they sent, in ${seconds.toFixed(1)} s`,
      whole === clients - killed.length
    )
    claim(`${killed.length} was killed before its upload was done`, killed.length === 1)
    const listing = await startClient(server, ["--json", "fetch"]).ended
    claim("the listing works afterwards", listing.code === 0)
    for (const { name } of killed) claim(`'${name}' is not in the listing`, !listing.text.includes(`"${name}"`))
    claim(`server: peak ${(await peakOf(server.pid)).toFixed(0)} MiB resident`, server.alive())
  } finally {
    await server.stop()
  }
})
