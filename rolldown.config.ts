/**
 * The two executables, each as one file beside what starts it: a start reads a handful of files instead of hundreds,
 * and holds only what it uses.
 *
 * Measured on Node 26: 0.25 s and 91 MiB for `--help` instead of 0.61 s and 120 MiB.
 */
import { readdirSync, readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import { Script } from "node:vm"
import { defineConfig, type Plugin } from "rolldown"

// The folder of the package that a module belongs to; undefined for the project's own.
const packageOf = (module: string): string | undefined =>
  /^.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+/.exec(module)?.[0]

const noticeOf = (folder: string): string => {
  const { license, name, version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"))
  const texts = readdirSync(folder).filter((file) => /^(licen[cs]e|notice)/i.test(file))
  if (texts.length === 0) throw new Error(`${name} has no licence text to go with the executables`)
  return [`${name} ${version} (${license})`, ...texts.map((file) => readFileSync(join(folder, file), "utf8"))].join(
    "\n\n"
  )
}

/** The licences of what became part of the file, beside it, as they demand. */
const notices: Plugin = {
  name: "notices",
  generateBundle(_options, bundle) {
    const modules = Object.values(bundle).flatMap((output) => (output.type === "chunk" ? output.moduleIds : []))
    const folders = new Set(modules.map(packageOf).filter((folder) => folder !== undefined))
    const source = [...folders]
      .toSorted()
      .map(noticeOf)
      .join(`\n${"-".repeat(80)}\n\n`)
    this.emitFile({ type: "asset", fileName: "NOTICES.txt", source })
  }
}

/** Modules of Node's that a short command does not use, and that take milliseconds to load. */
const seldomUsed = new Set([
  "node:child_process",
  "node:fs/promises",
  "node:readline",
  "node:tls",
  "node:worker_threads"
])

/**
 * Node's modules without their ES facades: to make one, Node reads every property of the module, and some of them load
 * a whole HTTP client or the system's certificates. Those that the program imports by name are all read here at once;
 * seldom used ones that it imports as a whole are loaded at their first use.
 */
const builtins: Plugin = {
  name: "builtins",
  renderChunk: (code) => {
    const direct = code.replace(
      /^import (?:\* as )?([\w$]+|\{[^}]*\}) from "(node:[\w/]+)";$/gm,
      (_, names: string, module: string) => {
        const loaded = `process.getBuiltinModule("${module}")`
        const lazily = seldomUsed.has(module) && !names.startsWith("{")
        const value = lazily ? `new Proxy({}, { get: (_, name) => ${loaded}[name] })` : loaded
        return `const ${names.replaceAll(" as ", ": ")} = ${value};`
      }
    )
    const left = /^import .* from "node:.*/m.exec(direct)
    if (left !== null) throw new Error(`an import of Node's that was not understood: ${left[0]}`)
    return direct
  }
}

/** Text of ASCII alone: the engine holds it in a byte for each character, and reads it faster. */
const ascii: Plugin = {
  name: "ascii",
  generateBundle: (_options, bundle) => {
    for (const output of Object.values(bundle)) {
      if (output.type !== "chunk") continue
      // There the escape would be other text.
      if (/String\.raw`[^`]*[^\0-\x7f]/.test(output.code)) throw new Error("String.raw cannot be escaped")
      output.code = output.code.replace(
        /[^\0-\x7f]/g,
        (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`
      )
    }
  }
}

/**
 * A script that is one function, of what a module is given: `require`, its `import.meta` and a dynamic import; and of
 * the module that the start has loaded already. Of a script the engine's own form can be kept as it is at the end of a
 * run (`client/ProgramNode.ts`).
 */
const script: Plugin = {
  name: "script",
  generateBundle: (_options, bundle) => {
    for (const output of Object.values(bundle)) {
      if (output.type !== "chunk") continue
      const body = output.code
        .replaceAll(/\bimport ?\* ?as (\w+) ?from ?["']\.\/DialAheadNode\.js["'];/g, "const $1=dialAhead;")
        .replaceAll(/\bimport\.meta\b/g, "importMeta")
        .replaceAll(/\bimport\((?=["'`])/g, "importModule(")
        .replace(/\bexport *\{ *\};\s*$/, "")
      // A worker's text has one, and is run as it is.
      if (/\bimport\((?!workerData\))/.test(body)) throw new Error("a dynamic import that was not understood")
      output.code = `(function(require,importMeta,importModule,dialAhead){"use strict";${body}\n})`
      // What is left of a module is no script.
      void new Script(output.code)
    }
  }
}

const another = (module: string) => new Error(`effect's ${module} is another: look at it again`)

/** Work that a dependency does when it is imported, put off to its first use. Each must be there exactly once. */
const putOff: Plugin = {
  name: "put-off",
  transform: {
    filter: { id: /effect\/dist\/cli\/CliOutput\.js$/ },
    handler: (code) => {
      // Takes 6 ms to make, for help texts alone.
      const made = /const graphemeSegmenter = .*?(new Intl\.Segmenter\(.*?\));/s
      const parts = code.split("graphemeSegmenter.segment(")
      if (!made.test(code) || parts.length !== 2) throw another("CliOutput")
      return parts
        .join("graphemeSegmenter().segment(")
        .replace(made, "let segmenterMade; const graphemeSegmenter = () => segmenterMade ??= $1;")
    }
  }
}

/** What a dependency finds out about its engine when it is imported, and is known of Node. */
const known: Plugin = {
  name: "known",
  transform: {
    filter: { id: /effect\/dist\/Utils\.js$/ },
    handler: (code) => {
      // Takes 4 ms: for the first stack trace of a process, Node loads what it writes stack traces with.
      const probe = /const limit = getStackTraceLimit\(\);.*?return error\.stack\?\.includes\(.*?;/s
      if (code.split("error.stack?.").length !== 2 || !probe.test(code)) throw another("Utils")
      return code.replace(probe, "return standard[InternalTypeId];")
    }
  }
}

const minify = { compress: true, mangle: false, codegen: { removeWhitespace: true } }

const executable = (name: string, file: string, more: ReadonlyArray<Plugin> = []) => {
  // The compiler's map describes the file that this one replaces.
  rmSync(`dist/${name}/${file}.map`, { force: true })
  return {
    input: `dist/${name}/main.js`,
    platform: "node" as const,
    // Prebuilt native code and WebAssembly stay in their packages; what is loaded before the program stays beside it.
    external: [/^@napi-rs\//, /^@serenity-kit\//, /\/DialAheadNode\.js$/],
    plugins: [notices, builtins, putOff, known, ascii, ...more],
    // What is loaded on demand is in the file too, and only evaluated on demand.
    output: {
      file: `dist/${name}/${file}`,
      format: "esm" as const,
      codeSplitting: false,
      minify
    }
  }
}

/** What is loaded before the client's program, in one file: each module of its own takes a millisecond. */
const start = () => {
  rmSync("dist/client/StartNode.js.map", { force: true })
  return {
    input: "dist/client/StartNode.js",
    platform: "node" as const,
    // The program as modules, where it was not built.
    external: [/\/main\.js$/],
    plugins: [builtins, ascii],
    output: { file: "dist/client/StartNode.js", format: "esm" as const, codeSplitting: false, minify }
  }
}

export default defineConfig([executable("client", "program.js", [script]), executable("server", "main.js"), start()])
