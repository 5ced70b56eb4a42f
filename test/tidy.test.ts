/**
 * The architecture and the style, enforced. Every rule is shown to fail on a sample that breaks it.
 */
import { spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as rules from "./tidy/rules.ts"
import { ofProject, ofSamples, type Sources, textsOf } from "./tidy/Sources.ts"

const root = join(import.meta.dirname, "..")
const read = (path: string): string => readFileSync(join(root, path), "utf8")

const Names = Schema.Record(Schema.String, Schema.String)
const manifest = Schema.decodeUnknownSync(
  Schema.fromJsonString(
    Schema.Struct({ engines: Schema.Struct({ node: Schema.String }), dependencies: Names, devDependencies: Names })
  )
)(read("package.json"))

interface Case {
  readonly rule: (sources: Sources) => rules.Findings
  readonly sample: Record<string, string>
  readonly findings: ReadonlyArray<string>
}

const service = (name: string): string => `export class ${name} extends Context.Service<${name}, {}>()("x") {}`

const cases: Record<string, Case> = {
  "imports go one way": {
    rule: rules.importsGoOneWay,
    sample: {
      "src/domain/file/A.ts": `import { b } from "../wire/B.ts"\nimport "../limits.ts"`,
      "src/domain/wire/B.ts": `import type { A } from "../file/A.ts"\nexport * from "../store/S.ts"`,
      "src/domain/Bytes.ts": `import "./limits.ts"`,
      "src/server/Server.ts": `type X = import("../domain/index.ts").X\nimport "../client/Client.ts"`,
      "src/client/Client.ts": `import "../domain/testing/index.ts"\nimport "../../test/x.ts"`,
      "src/other/X.ts": `import "../domain/index.ts"`
    },
    findings: [
      "src/client/Client.ts:1: 'client' may not import 'testing' (src/domain/testing/index.ts)",
      "src/client/Client.ts:2: imports test/x.ts, which is not published",
      "src/domain/file/A.ts:1: 'file' may not import 'wire' (src/domain/wire/B.ts)",
      "src/domain/wire/B.ts:2: 'wire' may not import 'store' (src/domain/store/S.ts)",
      "src/other/X.ts:1: 'other' is no part of the architecture",
      "src/server/Server.ts:2: 'server' may not import 'client' (src/client/Client.ts)"
    ]
  },
  "only *Node.ts touches the platform": {
    rule: rules.platformOnlyAtTheEdge,
    sample: {
      "src/domain/store/DiskNode.ts": `import "node:fs"`,
      "src/domain/store/Disk.ts": `import "node:fs"\nimport "@effect/platform-node/NodeFileSystem"`,
      "src/domain/node.ts": `export * from "./store/DiskNode.ts"`,
      "src/domain/index.ts": `export * from "./store/DiskNode.ts"`,
      "src/server/main.ts": `import "node:process"\nimport "../domain/node.ts"`,
      "src/server/Server.ts": `import "../domain/node.ts"`
    },
    findings: [
      "src/domain/index.ts:1: only *Node.ts, node.ts, main.ts and bin.ts may import 'src/domain/store/DiskNode.ts'",
      "src/domain/store/Disk.ts:1: only *Node.ts may import 'node:fs'",
      "src/domain/store/Disk.ts:2: only *Node.ts may import '@effect/platform-node/NodeFileSystem'",
      "src/server/Server.ts:1: only *Node.ts, node.ts, main.ts and bin.ts may import 'src/domain/node.ts'"
    ]
  },
  "modules of Node's are imported one way": {
    rule: rules.builtinsAreImportedOneWay,
    sample: {
      "src/A.ts": `import process from "node:process"\nimport { join } from "node:path"`,
      "src/B.ts": `import { nextTick } from "node:process"\nimport * as fs from "node:fs"`,
      "src/C.ts": `import { open } from "node:fs"\nimport process, { argv } from "node:process"`
    },
    findings: [
      "src/B.ts:1: imports 'node:process' by names, and others import it as a whole",
      "src/C.ts:2: imports 'node:process' by names, and others import it as a whole"
    ]
  },
  "only *Node.ts builds paths": {
    rule: rules.pathsOnlyAtTheEdge,
    sample: {
      "src/client/Files.ts": `import { join } from "node:path"\nimport { Effect, Path } from "effect"`,
      "src/client/Other.ts": `import { Effect } from "effect"\nimport { PathX } from "effect"`,
      "src/client/FilesNode.ts": `import { join } from "node:path"`
    },
    findings: [
      "src/client/Files.ts:1: only *Node.ts may build paths",
      "src/client/Files.ts:2: only *Node.ts may build paths"
    ]
  },
  "imports are declared dependencies": {
    rule: rules.importsAreDeclared(Object.keys(manifest.dependencies)),
    sample: {
      "src/client/A.ts": `import "effect/cli"\nimport "@noble/curves/x.js"\nimport "node:fs"\nimport "./B.ts"`
    },
    findings: ["src/client/A.ts:2: '@noble/curves' is not in dependencies"]
  },
  "no file is dead": {
    rule: rules.nothingIsDead,
    sample: {
      "src/client/bin.ts": `await import("./main.ts")`,
      "src/client/main.ts": `export * from "./A.ts"`,
      "src/client/A.ts": `import "./main.ts"`,
      "src/client/Dead.ts": `import "./A.ts"`,
      "src/ambient.d.ts": `type X = 1`
    },
    findings: ["src/client/Dead.ts: nothing imports this file"]
  },
  "no try, throw or hidden clock": {
    rule: rules.syntaxIsAllowed,
    sample: {
      "src/client/A.ts": [
        `// try { } catch { }`,
        `export const a = "try {"`,
        `export const b = () => {`,
        `  try {`,
        `    throw a`,
        `  } catch {`,
        `    return a`,
        `  }`,
        `}`,
        `export const c = [new Date(0), new Date()]`
      ].join("\n")
    },
    findings: [
      "src/client/A.ts:10: new Date() reads the clock: use Clock",
      "src/client/A.ts:4: try/catch: use Effect.try, Result.try or Schema",
      "src/client/A.ts:5: throw: fail with a tagged error, or Effect.die"
    ]
  },
  "defaults of generators have types": {
    rule: rules.defaultsAreTyped,
    sample: {
      "src/A.ts": [
        `export const a = Effect.fnUntraced(function* (b: string, c = false) {})`,
        `export const d = Effect.fnUntraced(function* (b: string, c: boolean = false, { e = 1 }: E = {}) {})`,
        `export function* f(c = false) {}`,
        `export const g = (c = false) => c`
      ].join("\n")
    },
    findings: ["src/A.ts:1: 'c = false' is any: give the parameter a type"]
  },
  "lines are short": {
    rule: rules.linesAreShort,
    sample: {
      "src/A.ts": `// ${"a".repeat(117)}\n// ${"a".repeat(118)}`,
      "test/vectors/V.ts": `// ${"a".repeat(200)}`
    },
    findings: ["src/A.ts:2: 121 characters, 120 at most"]
  },
  "functions are short": {
    rule: rules.functionsAreShort,
    sample: {
      "src/A.ts": `export const a = () => {\n${"\n".repeat(68)}}`,
      "src/B.ts": `export const a = () => {\n${"\n".repeat(69)}}`,
      "src/C.ts": `export const a = () => {\n  return () => {\n${"\n".repeat(68)}}\n}`
    },
    findings: ["src/B.ts:1: a function of 71 lines, 70 at most"]
  },
  "limits are used": {
    rule: rules.limitsAreUsed,
    sample: {
      "src/domain/limits.ts":
        "export const one = 1\nexport const two = 2\nexport const three = 3\nexport const four = three",
      "src/domain/A.ts": `import { one } from "./limits.ts"\nexport const a = one + 1 // two`
    },
    findings: ["src/domain/limits.ts:2: nothing uses 'two'", "src/domain/limits.ts:4: nothing uses 'four'"]
  },
  "services are documented": {
    rule: rules.servicesAreDocumented,
    sample: {
      "src/A.ts": `/** Port. */\n${service("A")}\n${service("B")}\nclass C extends Context.Service<C, {}>()("c") {}`,
      "src/D.ts": `/**\n * Port.\n *\n * ## Contract\n */\nimport "x"\n${service("D")}`,
      "src/E.ts": `/** Port. */\nimport "x"\n// Because.\n${service("E")}\nexport class F {}`
    },
    findings: [
      "src/A.ts:3: 'B' is a service without a doc comment",
      "src/E.ts:4: 'E' is a service without a doc comment"
    ]
  },
  "exports are documented": {
    rule: rules.exportsAreDocumented,
    sample: Object.fromEntries([
      ...["src/domain/node.ts", "src/domain/testing/index.ts", "src/server/index.ts", "src/client/index.ts"].map(
        (path) => [path, `/** Nothing. */`] as const
      ),
      ["src/client/node.ts", `export * as A from "./A.ts"`],
      ["src/client/A.ts", `/**\n * Port.\n *\n * ## Contract\n */\nimport "x"\n${service("A")}\nexport class B {}`],
      ["src/domain/index.ts", `/** All. */\nexport * as B from "./B.ts"`],
      [
        "src/domain/B.ts",
        [
          `/** Head. */`,
          `import "./C.ts"`,
          `/** Said. */`,
          `export const a = 1`,
          `export const b = 2 // not said`,
          `/** Said. */`,
          `export const c = 3`,
          `export type c = number`,
          `export interface D {}`,
          `const e = 4`
        ].join("\n")
      ],
      ["src/domain/C.ts", `export const internal = 1`]
    ]),
    findings: [
      "src/client/A.ts:8: 'B' is exported without a doc comment",
      "src/client/node.ts:1: is exported without a doc comment of its own",
      "src/domain/B.ts:5: 'b' is exported without a doc comment",
      "src/domain/B.ts:9: 'D' is exported without a doc comment"
    ]
  },
  "no effect or promise is dropped": {
    rule: rules.nothingFloats,
    sample: {
      "src/A.ts": [
        `interface Effect<A> { readonly value: A; [Symbol.iterator](): Iterator<A> }`,
        `declare const effect: () => Effect<number>`,
        `export const a = async () => {`,
        `  effect()`,
        `  await a()`,
        `  void a()`,
        `  a()`,
        `}`,
        `export function* b() {`,
        `  yield* effect()`,
        `}`
      ].join("\n")
    },
    findings: [
      "src/A.ts:4: Effect<…> is dropped: run, return or yield* it",
      "src/A.ts:7: Promise<…> is dropped: run, return or yield* it"
    ]
  }
}

describe("tidy", () => {
  let project: Sources
  beforeAll(() => {
    project = ofProject(root)
  })
  afterAll(() => project.close())

  for (const [name, { findings, rule, sample }] of Object.entries(cases)) {
    it(name, () => assert.deepStrictEqual(rule(project), []))

    it(`${name}: fails on a sample`, () => {
      const sources = ofSamples(sample)
      assert.deepStrictEqual([...rule(sources)].toSorted(), [...findings].toSorted())
      sources.close()
    })
  }

  it("names no machine and no registry", () => assert.deepStrictEqual(rules.namesNoMachine(textsOf(root)), []))

  it("names no machine and no registry: fails on a sample", () => {
    const lines = [
      "see ./work/x",
      ["", "work", "x"].join("/"),
      ["", "tmp", "x"].join("/"),
      ['"resolved"', '"x"'].join(": ")
    ]
    assert.deepStrictEqual(rules.namesNoMachine([["a.md", lines.join("\n")]]), [
      "a.md:2: holds a path of one machine",
      "a.md:3: holds a path of one machine",
      "a.md:4: holds the address of a package"
    ])
  })

  it("every dependency has its reason in docs/DEPENDENCIES.md", () => {
    const headings = new Set(
      read("docs/DEPENDENCIES.md")
        .matchAll(/^### `([^`]+)`/gm)
        .map(([, name]) => name)
    )
    const declared = Object.keys({ ...manifest.dependencies, ...manifest.devDependencies })
    assert.deepStrictEqual([...headings].toSorted(), declared.toSorted())
  })

  it("dependencies are pinned exactly", () => {
    const versions = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies })
    assert.deepStrictEqual(
      versions.filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version)),
      []
    )
  })

  it("the executables ask for the Node that engines names", () => {
    const [, major, minor] = /const lowest = \[(\d+), (\d+)\]/.exec(read("src/launch.ts")) ?? []
    assert.strictEqual(manifest.engines.node, `>=${major}.${minor}.0`)
  })

  it("the linter refuses what the rules above leave to it", () => {
    const folder = mkdtempSync(join(tmpdir(), "paradrop-tidy-"))
    const lines = [
      `export const a = (x: unknown) => x as string`,
      `export const b = (x?: string) => x!`,
      `export const c = (x: any) => x`,
      `export const d = () => Date.now() + performance.now()`,
      `export const e = () => Math.random()`,
      `export const f = () => setTimeout(d, 1)`,
      `export const g = (x: unknown) => x == 1`,
      `console.log({ a } as const satisfies object)`
    ]
    writeFileSync(join(folder, "bad.ts"), lines.join("\n"))
    const oxlint = join(root, "node_modules/oxlint/bin/oxlint")
    const args = [oxlint, "-c", join(root, ".oxlintrc.json"), "-f", "unix", "bad.ts"]
    const run = spawnSync(process.execPath, args, { cwd: folder, encoding: "utf8" })
    rmSync(folder, { recursive: true })
    const found = [...run.stdout.matchAll(/^bad\.ts:(\d+):.*\/\w+\(([\w-]+)\)\]$/gm)].map(
      ([, line, rule]) => `${line} ${rule}`
    )
    assert.deepStrictEqual(found.toSorted(), [
      "1 consistent-type-assertions",
      "2 no-non-null-assertion",
      "3 no-explicit-any",
      "4 no-restricted-properties",
      "4 no-restricted-properties",
      "5 no-restricted-properties",
      "6 no-restricted-globals",
      "7 eqeqeq",
      "8 no-console"
    ])
    assert.strictEqual(run.status, 1)
  })
})
