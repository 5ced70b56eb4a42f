/**
 * What has to happen so that one end has what the other has.
 */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { collisions } from "../../src/client/Collisions.ts"
import * as Plan from "../../src/client/Plan.ts"
import { brokenRule } from "../../src/domain/file/FileName.ts"

/** Few of each, so that files are often equal, often there, and often in each other's way. */
const part = Schema.Literals(["a", "A", "b", "é", "e\u0301", "c\\d", "x."])
const name = Schema.Union([part, Schema.TemplateLiteral([part, "/", part])])
const file = Schema.Struct({ name, size: Schema.Literals([1, 2]), modified: Schema.Literals([1000, 2000]) })
const tree = Schema.Array(file).check(Schema.isMaxLength(8))

const once = (files: typeof tree.Type) => [...new Map(files.map((one) => [one.name, one])).values()]

/** The other end after everything in the plan has happened, in its order. */
const applied = (target: ReadonlyArray<Plan.Known>, plan: Plan.Plan<Plan.Known>): ReadonlyMap<string, Plan.Known> => {
  const there = new Map(target.map((known) => [known.name, known]))
  plan.makeRoom.forEach((gone) => assert.isTrue(there.delete(gone)))
  for (const { file, why } of plan.transfers) {
    assert.strictEqual(why, there.has(file.name) ? "changed" : "new")
    // What the store would refuse is never sent.
    if (why === "new") assert.isFalse(collisions([...there.keys(), file.name]).has(there.size), file.name)
    there.set(file.name, file)
  }
  plan.remove.forEach((gone) => assert.isTrue(there.delete(gone)))
  return there
}

/** What the other end may have before: names that stand beside each other. */
const standing = (files: typeof tree.Type): ReadonlyArray<Plan.Known> => {
  const kept: Array<Plan.Known> = []
  for (const known of once(files)) {
    const clash = collisions([...kept.map(({ name }) => name), known.name]).size > 0
    if (!clash && brokenRule(known.name) === undefined) kept.push(known)
  }
  return kept
}

describe("Plan", () => {
  for (const by of ["never", "quick", "content"] as const) {
    it.prop(
      `${by}: what may be there is there afterwards, and nothing else has changed`,
      [tree, tree, Schema.Boolean],
      ([here, there, remove]) => {
        const source: ReadonlyArray<Plan.Known> = once(here)
        const target = standing(there)
        const before = new Map<string, Plan.Known>(target.map((one) => [one.name, one]))
        // What a file holds is told by its size and time here.
        const sameTime = (name: string) =>
          source.find((one) => one.name === name)?.modified === before.get(name)?.modified
        const compare = by === "content" ? sameTime : by
        const plan = Plan.make({ source, target, compare, removes: (name) => remove && name.startsWith("a") })
        const after = applied(target, plan)
        const refused = new Set(plan.refused.map(({ file }) => file.name))

        for (const known of source) {
          const should = refused.has(known.name) ? target.find(({ name }) => name === known.name) : known
          assert.deepStrictEqual(after.get(known.name), should)
        }
        for (const known of target) {
          const wanted = source.some(({ name }) => name === known.name)
          const gone = remove && !wanted && known.name.startsWith("a")
          assert.strictEqual(after.has(known.name), !gone, known.name)
        }
        assert.strictEqual(plan.refused.length + plan.equal.length + plan.transfers.length, source.length)
        if (compare === "never") assert.strictEqual(plan.equal.length, 0)
        for (const { file, why } of compare === "never" ? [] : plan.transfers) {
          const old = before.get(file.name)
          assert.isTrue(why === "new" || old?.size !== file.size || old.modified !== file.modified)
        }

        // Once it has happened there is nothing more to do.
        if (compare === "never") return
        const again = Plan.make({
          source: source.filter(({ name }) => !refused.has(name)),
          target: [...after.values()],
          compare: by === "content" ? () => true : by,
          removes: (name) => remove && name.startsWith("a")
        })
        assert.deepStrictEqual([again.transfers, again.makeRoom, again.refused], [[], [], []])
        assert.deepStrictEqual(
          again.remove.filter((name) => !refused.has(name)),
          []
        )
      }
    )
  }

  it.prop(
    "only what stands in the way of the source goes first, also where what goes could not stand side by side anew",
    [tree, tree],
    ([here, there]) => {
      const source: ReadonlyArray<Plan.Known> = once(here)
      const plan = Plan.make({ source, target: once(there), compare: "never", removes: () => true })
      const moving = plan.transfers.map(({ file }) => file.name)
      const isInTheWay = (name: string) => collisions([...moving, name]).has(moving.length)
      assert.deepStrictEqual(plan.makeRoom.filter(isInTheWay), plan.makeRoom)
      assert.deepStrictEqual(plan.remove.filter(isInTheWay), [])
      const going = once(there).flatMap(({ name }) => (source.some((one) => one.name === name) ? [] : [name]))
      assert.deepStrictEqual([...plan.makeRoom, ...plan.remove].toSorted(), going.toSorted())
    }
  )

  const known = (name: string, size = 1, modified = 1000): Plan.Known => ({ name, size, modified })
  const shown = (plan: Plan.Plan<Plan.Known>) => ({
    refused: plan.refused.map(({ error, file }) => `${file.name} ${error._tag}`),
    equal: plan.equal.map(({ name }) => name),
    makeRoom: plan.makeRoom,
    transfers: plan.transfers.map(({ file, why }) => `${file.name} ${why}`),
    remove: plan.remove
  })

  it("a file that becomes a folder, and one that is spelt otherwise now, first make room when they may go", () => {
    const request = { source: [known("a/b"), known("C")], target: [known("a"), known("c"), known("d")] } as const
    assert.deepStrictEqual(shown(Plan.make({ ...request, compare: "quick", removes: () => true })), {
      refused: [],
      equal: [],
      makeRoom: ["a", "c"],
      transfers: ["a/b new", "C new"],
      remove: ["d"]
    })
    assert.deepStrictEqual(shown(Plan.make({ ...request, compare: "quick", removes: () => false })), {
      refused: ["a/b NamesCollide", "C NamesCollide"],
      equal: [],
      makeRoom: [],
      transfers: [],
      remove: []
    })
  })

  it("equal size and time are believed by the quick comparison alone", () => {
    const request = { source: [known("a"), known("b")], target: [known("a"), known("b", 2)], removes: () => false }
    assert.deepStrictEqual(shown(Plan.make({ ...request, compare: "quick" })).equal, ["a"])
    assert.deepStrictEqual(shown(Plan.make({ ...request, compare: () => false })).equal, [])
    // Another size is another content, whatever is said of it.
    assert.deepStrictEqual(shown(Plan.make({ ...request, compare: () => true })).equal, ["a"])
    assert.deepStrictEqual(Plan.doubtful(request.source, request.target), [known("a")])
  })
})
