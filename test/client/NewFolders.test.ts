import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, describe, it } from "@effect/vitest"
import * as NewFoldersNode from "../../src/client/NewFoldersNode.ts"
import { systemCodeOf } from "../../src/domain/SystemCode.ts"

const codeOf = (made: Promise<unknown>): Promise<string> => made.then(() => "none", systemCodeOf)

describe("new folders", () => {
  const base = fs.mkdtempSync(join(tmpdir(), "paradrop-folders-"))
  afterAll(() => fs.rmSync(base, { recursive: true }))

  it("are made with those above them, and the outermost is told", async () => {
    assert.strictEqual(await NewFoldersNode.make(join(base, "a", "b", "c"), 0o700), join(base, "a"))
    assert.strictEqual(await NewFoldersNode.make(join(base, "a", "b", "d")), join(base, "a", "b", "d"))
    assert.strictEqual(await NewFoldersNode.make(join(base, "a", "b", "c")), undefined)
    assert.strictEqual(await NewFoldersNode.make("/"), undefined)
    for (const made of ["a", "a/b", "a/b/c"]) assert.strictEqual(fs.statSync(join(base, made)).mode & 0o777, 0o700)
  })

  it("are not made in the place of a file, nor below one", async () => {
    fs.writeFileSync(join(base, "file"), "")
    assert.strictEqual(await codeOf(NewFoldersNode.make(join(base, "file"))), "EEXIST")
    assert.strictEqual(await codeOf(NewFoldersNode.make(join(base, "file", "x", "y"))), "ENOTDIR")
  })

  it.runIf(fs.existsSync("/proc/self"))("are refused where a folder that is there takes none", async () => {
    assert.include(["ENOENT", "EACCES"], await codeOf(NewFoldersNode.make("/proc/paradrop/x")))
  })
})
