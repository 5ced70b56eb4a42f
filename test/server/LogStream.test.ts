import { once } from "node:events"
import { Writable } from "node:stream"
import { assert, describe, it } from "@effect/vitest"
import * as LogStreamNode from "../../src/server/LogStreamNode.ts"

/** A file on a disk with room for so many bytes, which a write fills to the last; and what makes room. */
const fileOn = (room: number) => {
  const state = { content: "", room }
  const take = (text: string) => {
    const taken = text.slice(0, state.room)
    state.content += taken
    state.room -= taken.length
    return taken.length < text.length ? new Error("ENOSPC") : undefined
  }
  const stream = new Writable({
    decodeStrings: false,
    autoDestroy: false,
    writev: (chunks, done) => done(take(chunks.map(({ chunk }) => String(chunk)).join(""))),
    write: (chunk, _, done) => done(take(String(chunk)))
  })
  return { state, stream }
}

const turn = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve))

describe("the stream of a log", () => {
  it("loses what finds no room, and begins anew behind the half of it", async () => {
    const { state, stream } = fileOn(12)
    const write = LogStreamNode.make(stream)
    write("first\n")
    await turn()
    write("second\n")
    write("third\n")
    await once(stream, "error")
    assert.strictEqual(state.content, "first\nsecond")
    state.room = 100
    write("fourth\n")
    write("fifth\n")
    await turn()
    assert.strictEqual(state.content, "first\nsecond\nfourth\nfifth\n")
  })

  it("of a terminal that has gone tells whoever listens, and nobody else", () => {
    const { stream } = fileOn(0)
    const terminal = Object.assign(stream, { isTTY: true })
    LogStreamNode.make(terminal)
    assert.strictEqual(terminal.listenerCount("error"), 0)
  })
})
