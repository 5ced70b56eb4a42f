/**
 * Client or server is killed with -9 at a random moment of an upload or para of 64 MiB; the server starts again, and
 * the same command again must end right. `node test/shown/kill9.ts [ROUNDS] [SEED]`, 20 rounds without arguments.
 */
import { randomInt } from "node:crypto"
import { open, readdir, stat, utimes } from "node:fs/promises"
import { join } from "node:path"
import { stagingFolder } from "../../src/domain/file/FileName.ts"
import { resumeBytesMin } from "../../src/domain/limits.ts"
import { claim, digestOfFile, inFolder, makeFile, startClient, startServer } from "./processes.ts"

const mebibyte = 1024 * 1024
const sizeMebibytes = 64
const [rounds = 20, seed = randomInt(1, 2 ** 31)] = process.argv
  .slice(2)
  .filter((arg) => /^\d+$/.test(arg))
  .map(Number)

/** Numbers from 0 up to 1, the same for the same seed (xorshift32). */
let state = seed
const random = (): number => {
  state ^= state << 13
  state ^= state >>> 17
  state ^= state << 5
  return (state >>> 0) / 2 ** 32
}

const pause = (milliseconds: number): Promise<void> => new Promise((done) => setTimeout(done, milliseconds))

/** New bytes at places of the file, and a time of its own. */
const edit = async (path: string, round: number): Promise<void> => {
  const file = await open(path, "r+")
  try {
    for (let place = 0; place < 40; place += 1) {
      const bytes = Buffer.alloc(100_000, `${round}:${random()}`)
      await file.write(bytes, 0, bytes.length, Math.floor(random() * (sizeMebibytes * mebibyte - bytes.length)))
    }
  } finally {
    await file.close()
  }
  await utimes(path, 1_700_000_000 + round, 1_700_000_000 + round)
}

/** Sizes of what is staged, bytes. */
const stagedIn = async (root: string): Promise<ReadonlyArray<number>> => {
  const folder = join(root, stagingFolder)
  return Promise.all(
    (await readdir(folder)).map(async (name) => (await stat(join(folder, name)).catch(() => ({ size: 0 }))).size)
  )
}

/** What the client says of bytes that it needed not send again; 0 when nothing. */
const reusedOf = (text: string): number =>
  Math.max(
    0,
    ...text
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .flatMap((line) => [...line.matchAll(/"reused":(\d+)/g)].map((match) => Number(match[1])))
  )

await inFolder(async (folder) => {
  process.stdout.write(`${rounds} rounds, seed ${seed}\n`)
  const local = join(folder, "file.bin")
  await makeFile(local, sizeMebibytes * mebibyte)
  let server = await startServer(folder)
  let failures = 0
  let resumed = 0
  let cut = 0
  const fail = (round: number, what: string): void => {
    failures += 1
    process.stdout.write(`FAIL round ${round}: ${what}\n`)
  }
  const send = (command: string) => startClient(server, ["--json", command, local])
  const since = performance.now()
  const first = await send("upload").ended
  if (first.code !== 0) fail(0, first.text)
  // How long an undisturbed one takes: kills fall before, within and after.
  const milliseconds = performance.now() - since
  const sinceStart = performance.now()
  await startClient(server, ["fetch"]).ended
  const startMilliseconds = (performance.now() - sinceStart) * 0.9
  let committed = await digestOfFile(local)

  for (let round = 1; round <= rounds; round += 1) {
    await edit(local, round)
    const wanted = await digestOfFile(local)
    const command = random() < 0.5 ? "upload" : "para"
    const victim = random() < 0.5 ? "server" : "client"
    const client = send(command)
    let ended = false
    void client.ended.then(() => (ended = true))
    // Every other kill waits for content to be there, so that there is something to go on with.
    const target = round % 2 === 0 ? random() * sizeMebibytes * mebibyte : 0
    if (target === 0) await pause(startMilliseconds + random() * (milliseconds - startMilliseconds) * 1.1)
    else while (!ended && Math.max(0, ...(await stagedIn(server.root))) < target) await pause(1)
    if (victim === "server") process.kill(server.pid, "SIGKILL")
    else client.child.kill("SIGKILL")
    const broken = await client.ended
    if (victim === "server") {
      while (server.alive()) await pause(5)
      server = await startServer(folder)
    }
    const found = await digestOfFile(join(server.root, "file.bin"))
    if (found !== committed && found !== wanted) fail(round, `a mixture after the kill of the ${victim}`)
    if (broken.code === 0 && found !== wanted) fail(round, "an acknowledged commit is lost")
    if (broken.code !== 0) cut += 1
    const kept = (await stagedIn(server.root)).find((size) => size >= resumeBytesMin)
    const again = await send(command).ended
    if (again.code !== 0) fail(round, `${command} again: exit ${again.code} ${again.text}`)
    // A para also reuses what the server's file has.
    const reused = reusedOf(again.text)
    if (command === "upload" && kept !== undefined && reused < kept) fail(round, `${kept} kept, ${reused} reused`)
    resumed += command === "upload" ? reused : (kept ?? 0)
    if ((await digestOfFile(join(server.root, "file.bin"))) !== wanted) fail(round, "wrong content at the end")
    committed = wanted
  }
  const staged = (await stagedIn(server.root)).length
  await server.stop()
  process.stdout.write(`${cut} of ${rounds} commands were cut, ${(resumed / mebibyte).toFixed(1)} MiB were resumed\n`)
  claim(`${failures} failures in ${rounds} rounds`, failures === 0)
  claim(`${staged} files are left staged`, staged === 0)
})
