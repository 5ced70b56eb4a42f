/**
 * What docs/deploy ships: as far as it can be checked without the machine that it is for.
 */
import { spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { resolve } from "../src/server/Configuration.ts"
import { defaultSettings } from "../src/server/Settings.ts"

const root = join(import.meta.dirname, "..")
const read = (path: string): string => readFileSync(join(root, path), "utf8")
const manifest = JSON.parse(read("package.json"))

const unit = read("docs/deploy/paradrop-server.service")
const values = (key: string): ReadonlyArray<string> =>
  unit.split("\n").flatMap((line) => (line.startsWith(`${key}=`) ? [line.slice(key.length + 1)] : []))

describe("the systemd unit", () => {
  it("starts the executable with flags that there are, and writes where it may", () => {
    const [program = "", ...args] = values("ExecStart")[0]?.split(" ") ?? []
    assert.include(Object.keys(manifest.bin), program.split("/").at(-1))
    const flags = Object.fromEntries(
      args.flatMap((arg, index) => (arg.startsWith("--") ? [[arg.slice(2), args[index + 1] ?? ""]] : []))
    )
    assert.deepStrictEqual(Object.keys(flags), ["config", "root", "state"])
    const { settings } = Result.getOrThrow(resolve({ file: undefined, environment: {}, flags, set: {} }))
    const written = values("StateDirectory")[0]
      ?.split(" ")
      .map((folder) => `/var/lib/${folder}`)
    assert.deepStrictEqual(written, [settings.store.root, settings.store.state])
  })

  it("gives a server the time that it asks for, and hears its messages", () => {
    assert.isAbove(Number(values("TimeoutStopSec")[0]) * 1000, defaultSettings.limits.drainMilliseconds + 5_000)
    assert.deepStrictEqual(values("Type"), ["notify"])
    assert.deepStrictEqual(values("NotifyAccess"), ["all"])
    assert.deepStrictEqual(values("MemoryDenyWriteExecute"), [])
  })

  const analyze = (...args: ReadonlyArray<string>) => spawnSync("systemd-analyze", args, { encoding: "utf8" })
  const there = analyze("--version").status === 0

  it.skipIf(!there)("passes systemd's own checks, with little exposure", () => {
    const folder = mkdtempSync(join(tmpdir(), "paradrop-unit-"))
    const copy = join(folder, "paradrop-server.service")
    // The program need not be installed here; everything else is as it is shipped.
    writeFileSync(copy, unit.replace(/^ExecStart=\S+/m, `ExecStart=${process.execPath}`))
    writeFileSync(join(folder, "paradrop-server.socket"), read("docs/deploy/paradrop-server.socket"))
    const verified = analyze("verify", copy, join(folder, "paradrop-server.socket"))
    // Threshold in tenths: 2.0 of 10.
    const security = analyze("security", "--offline=yes", "--threshold=20", copy)
    rmSync(folder, { recursive: true })
    assert.strictEqual(verified.status, 0, verified.stderr)
    assert.strictEqual(verified.stderr, "")
    assert.strictEqual(security.status, 0, security.stdout)
  })
})

describe("the Dockerfile", () => {
  const instructions = read("docs/deploy/Dockerfile")
    .replaceAll(/^#.*\n/gm, "")
    .replaceAll("\\\n", " ")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => /^([A-Z]+) +(.*)$/.exec(line) ?? [])
  const of = (word: string) => instructions.flatMap(([, name, rest = ""]) => (name === word ? [rest] : []))

  it("has instructions that Docker knows, from one Node that the package supports", () => {
    const known = ["FROM", "WORKDIR", "COPY", "RUN", "USER", "VOLUME", "EXPOSE", "ENV", "STOPSIGNAL", "ENTRYPOINT"]
    for (const [, name = ""] of instructions) assert.include(known, name)
    const images = of("FROM").map((from) => from.split(" ")[0])
    assert.strictEqual(new Set(images).size, 1)
    const major = Number(/^node:(\d+)/.exec(images[0] ?? "")?.[1])
    assert.strictEqual(major, Number(manifest.devDependencies.node.split(".")[0]))
  })

  it("copies what is there or what the build makes, and runs scripts of the package", () => {
    for (const copy of of("COPY").filter((rest) => !rest.startsWith("--from"))) {
      for (const path of copy.split(" ").slice(0, -1)) assert.isTrue(existsSync(join(root, path)), path)
    }
    const built = of("COPY").flatMap((copy) => /^--from=build .*\/src\/(\S+) /.exec(copy)?.[1] ?? [])
    assert.deepStrictEqual(built, ["package.json", "node_modules", "dist"])
    assert.include(of("RUN").join(" "), "npm run -s build")
    assert.property(manifest.scripts, "build")
    const [node, script] = JSON.parse(of("ENTRYPOINT")[0] ?? "[]")
    assert.strictEqual(node, "node")
    assert.strictEqual(script, `/opt/paradrop/${manifest.bin["paradrop-server"]}`)
  })

  it("does not serve as root, and sets variables that are settings", () => {
    assert.deepStrictEqual(of("USER"), ["node"])
    const environment = Object.fromEntries(
      of("ENV").flatMap((line) =>
        line.split(/ +/).map((pair): [string, string] => [pair.split("=")[0] ?? "", pair.split("=")[1] ?? ""])
      )
    )
    const { origins, settings } = Result.getOrThrow(resolve({ file: undefined, environment, flags: {}, set: {} }))
    assert.strictEqual(origins.size, Object.keys(environment).length)
    assert.strictEqual(of("EXPOSE")[0], String(settings.listen.port))
    assert.isTrue(settings.store.root.startsWith(of("VOLUME")[0] ?? "?"))
    assert.strictEqual(settings.store.state, "/data/state")
  })
})
