/**
 * The project's own sources as syntax trees with types: what the tidy rules look at.
 */
import { readdirSync, readFileSync } from "node:fs"
import { join, relative } from "node:path"
import { createVirtualFileSystem } from "typescript/unstable/fs"
import { API, type Checker } from "typescript/unstable/sync"
import type { Node, SourceFile } from "typescript/unstable/ast"

/** One file of TypeScript. The path is relative to the project, with `/`. */
export interface Source {
  readonly path: string
  readonly tree: SourceFile
}

export interface Sources {
  readonly files: ReadonlyArray<Source>
  readonly checker: Checker
  readonly close: () => void
}

const open = (api: API, root: string): Sources => {
  const snapshot = api.updateSnapshot({ openProjects: [join(root, "tsconfig.json")] })
  const project = snapshot.getProjects()[0]
  if (project === undefined) throw new Error(`no project in ${root}`)
  const files = project.rootFiles.flatMap((file) => {
    const tree = project.program.getSourceFile(file)
    return tree === undefined ? [] : [{ path: relative(root, file).replaceAll("\\", "/"), tree }]
  })
  return { files, checker: project.checker, close: () => api.close() }
}

/** The sources that tsconfig.json of the folder names. */
export const ofProject = (root: string): Sources => open(new API({ cwd: root }), root)

/** Sources that exist in memory only: samples on which a rule must fail. */
export const ofSamples = (samples: Record<string, string>): Sources => {
  const root = "/sample"
  const config = { compilerOptions: { noEmit: true, lib: ["es2024"], types: [] }, include: ["**/*"] }
  const files = { "tsconfig.json": JSON.stringify(config), ...samples }
  const absolute = Object.fromEntries(Object.entries(files).map(([path, text]) => [`${root}/${path}`, text]))
  return open(new API({ cwd: root, fs: createVirtualFileSystem(absolute) }), root)
}

/** Calls `visit` for a node and everything below it. */
export const walk = (node: Node, visit: (node: Node) => void): void => {
  visit(node)
  node.forEachChild((child) => walk(child, visit))
}

/** The line of a position, counted from 1. */
export const lineOf = (source: Source, position: number): number =>
  source.tree.getLineAndCharacterOfPosition(position).line + 1

const skipped = new Set(["node_modules", ".git", "dist", "coverage"])

/** Every text file that belongs to the project, path -> content. */
export const textsOf = (root: string, folder = "."): ReadonlyArray<readonly [path: string, text: string]> =>
  readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = folder === "." ? entry.name : `${folder}/${entry.name}`
    if (skipped.has(entry.name)) return []
    if (entry.isDirectory()) return textsOf(root, path)
    if (!entry.isFile()) return []
    const bytes = readFileSync(join(root, path))
    return bytes.includes(0) ? [] : [[path, bytes.toString("utf8")] as const]
  })
