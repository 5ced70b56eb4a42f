import { assert, describe, it } from "@effect/vitest"
import { DiskError } from "../../src/domain/store/Disk.ts"
import { cannotServe } from "../../src/server/CannotStart.ts"

describe("a folder that cannot be served", () => {
  const said = (code: string) => cannotServe("/srv/files", new DiskError({ operation: "open root", code })).message

  it("is told in words, with what to do", () => {
    assert.strictEqual(
      said("EROFS"),
      "no permission to write in '/srv/files': change that, or serve another folder with --root"
    )
    assert.strictEqual(
      said("ENOSPC"),
      "there is no room left where '/srv/files' is: make some, or serve another folder with --root"
    )
    assert.strictEqual(
      said("EIO"),
      "'/srv/files' cannot be served (the disk reports a fault): serve another folder with --root"
    )
  })
})
