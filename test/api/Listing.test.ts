import { assert, describe, it } from "@effect/vitest"
import { differences, documents, subpaths } from "./Listing.ts"

const files: Record<string, string> = {
  "domain/index.d.ts": `export * as B from "./B.ts";\nexport * as A from "./file/A.ts";\n`,
  "domain/file/A.d.ts": `import { C } from "../C.ts";\nexport declare const a: C;\n`,
  "domain/B.d.ts": `export declare const b: import("./D.ts").D;\nexport {};\n`,
  "domain/C.d.ts": `import { Effect } from "effect";\nimport { A } from "./file/A.ts";\nexport type C = A;\n`,
  "domain/D.d.ts": `export type D = 1;\n`,
  "domain/Unused.d.ts": `export type E = 1;\n`,
  "client/node.d.ts": `export * as F from "../domain/D.ts";\n`
}

const entries = { ".": "domain/index.d.ts", "./client/node": "client/node.d.ts" }

const list = (changed: Record<string, string> = {}) =>
  documents(
    entries,
    (path) => ({ ...files, ...changed })[path] ?? assert.fail(`reads ${path}`),
    (text) => Promise.resolve(text.replaceAll(";", ""))
  )

const written = "Written by `npm run api`; do not edit."

describe("the listing of the public surface", () => {
  it("has a document for each entry point, sorted, and one for what they name and do not export", async () => {
    assert.deepStrictEqual(
      [...(await list())],
      [
        [
          "core.md",
          `# \`paradrop\`\n\n${written}\n\n` +
            `## A\n\n\`\`\`ts\nimport { C } from "../C.ts"\nexport declare const a: C\n\`\`\`\n\n` +
            `## B\n\n\`\`\`ts\nexport declare const b: import("./D.ts").D\n\`\`\`\n`
        ],
        ["client-node.md", `# \`paradrop/client/node\`\n\n${written}\n\n## F\n\n\`\`\`ts\nexport type D = 1\n\`\`\`\n`],
        [
          "inner.md",
          `# Not exported\n\nModules that no entry point exports, and whose types the exported ones name. ` +
            `${written}\n\n` +
            `## domain/C\n\n\`\`\`ts\nimport { Effect } from "effect"\nimport { A } from "./file/A.ts"\n` +
            `export type C = A\n\`\`\`\n`
        ]
      ]
    )
  })

  it("has each module of an entry point as one of its own to import", () =>
    assert.deepStrictEqual(
      subpaths(entries, (path) => files[path] ?? assert.fail(`reads ${path}`)),
      {
        "./A": "./dist/domain/file/A.js",
        "./B": "./dist/domain/B.js",
        "./client/node/F": "./dist/domain/D.js"
      }
    ))

  it("wants an index of modules only", async () => {
    const said = await list({ "client/node.d.ts": `export { D } from "../domain/D.ts";\n` }).catch(String)
    assert.strictEqual(said, `Error: client/node.d.ts exports more than modules: export { D } from "../domain/D.ts";`)
  })

  it("says where it differs from what was kept", async () => {
    const kept = await list()
    assert.deepStrictEqual(differences(kept, await list()), [])
    assert.deepStrictEqual(differences(kept, await list({ "domain/D.d.ts": `export type D = 2;\n` })), [
      "client-node.md:8: kept 'export type D = 1', is 'export type D = 2'"
    ])
    assert.deepStrictEqual(
      differences(kept, await list({ "domain/C.d.ts": `export type C = 1;\nexport type E = 2;` })),
      ["inner.md:8: kept 'import { Effect } from \"effect\"', is 'export type C = 1'"]
    )
    const [[, text = ""] = []] = [...kept]
    assert.deepStrictEqual(differences(new Map([["core.md", text]]), new Map([["core.md", `${text}more`]])), [
      "core.md:17: kept '', is 'more'"
    ])
    assert.deepStrictEqual(differences(new Map([["old.md", ""]]), new Map([["new.md", ""]])), [
      "new.md: is missing",
      "old.md: no entry point has it"
    ])
  })
})
