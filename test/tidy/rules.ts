/**
 * The rules of the code that neither the compiler nor the linter can hold: which way imports go, what may touch the
 * platform, what must be documented, and that nothing is dead.
 *
 * A rule takes sources and returns its findings, one line each; none means that the rule holds.
 */
import { posix } from "node:path"
import * as ast from "typescript/unstable/ast"
import { lineOf, type Source, type Sources, walk } from "./Sources.ts"

export type Findings = ReadonlyArray<string>

const at = (source: Source, node: ast.Node, text: string): string =>
  `${source.path}:${lineOf(source, node.getStart(source.tree))}: ${text}`

const inFolder = (sources: Sources, folder: string): ReadonlyArray<Source> =>
  sources.files.filter((source) => source.path.startsWith(`${folder}/`) && !source.path.endsWith(".d.ts"))

// -----------------------------------------------------------------------------
// Imports
// -----------------------------------------------------------------------------

interface Import {
  readonly node: ast.Node
  /** As it is written. */
  readonly specifier: string
  /** The file that a relative import means. */
  readonly target: string | undefined
}

const specifierOf = (node: ast.Node): string | undefined => {
  if (ast.isImportTypeNode(node)) {
    return ast.isLiteralTypeNode(node.argument) ? literal(node.argument.literal) : undefined
  }
  const given =
    ast.isImportDeclaration(node) || ast.isExportDeclaration(node)
      ? node.moduleSpecifier
      : ast.isCallExpression(node) && node.expression.kind === ast.SyntaxKind.ImportKeyword
        ? node.arguments[0]
        : undefined
  return literal(given)
}

const literal = (node: ast.Node | undefined): string | undefined =>
  node !== undefined && ast.isStringLiteral(node) ? node.text : undefined

const importsOf = (source: Source): ReadonlyArray<Import> => {
  const found: Array<Import> = []
  walk(source.tree, (node) => {
    const specifier = specifierOf(node)
    if (specifier === undefined) return
    const target = specifier.startsWith(".") ? posix.join(posix.dirname(source.path), specifier) : undefined
    found.push({ node, specifier, target })
  })
  return found
}

const checkImports = (
  sources: Sources,
  broken: (source: Source, one: Import) => string | undefined,
  folder = "src"
): Findings =>
  inFolder(sources, folder).flatMap((source) =>
    importsOf(source).flatMap((one) => {
      const text = broken(source, one)
      return text === undefined ? [] : [at(source, one.node, text)]
    })
  )

/** What a server and a client may import: never each other. */
const ofBoth = [
  "values",
  "file",
  "wire",
  "channel",
  "store",
  "transfer",
  "session",
  "domain",
  "launch",
  "exitCode",
  "completions",
  "manual",
  "passwordFlags",
  "wrongUsage"
]

/** What each part may import besides itself. `values` are the files beside the folders of the domain. */
const mayImport: Record<string, ReadonlyArray<string>> = {
  values: [],
  file: ["values"],
  wire: ["values", "file"],
  channel: ["values", "file", "wire"],
  store: ["values", "file"],
  transfer: ["values", "file", "store"],
  session: ["values", "file", "wire", "channel", "store", "transfer"],
  testing: ["values", "file", "wire", "channel", "store", "transfer", "session"],
  domain: ["values", "file", "wire", "channel", "store", "transfer", "session"],
  server: ofBoth,
  client: ofBoth,
  // What the ports of either are held to: built from the kit, and never part of a server or a client.
  "server/testing": ["values", "file", "channel", "testing", "server"],
  "client/testing": ["values", "file", "store", "transfer", "testing", "client"],
  launch: [],
  exitCode: [],
  completions: [],
  manual: [],
  passwordFlags: [],
  wrongUsage: ["file"]
}

const partOf = (path: string): string => {
  const [, top = "", second = "", third] = path.split("/")
  if ((top === "server" || top === "client") && second === "testing") return `${top}/testing`
  if (top !== "domain") return top.replace(/\.ts$/, "")
  if (third !== undefined) return second
  return second === "index.ts" || second === "node.ts" ? "domain" : "values"
}

/** Imports go one way, down the stack; server and client never meet. */
export const importsGoOneWay = (sources: Sources): Findings =>
  checkImports(sources, (source, { target }) => {
    if (target === undefined) return undefined
    if (!target.startsWith("src/")) return `imports ${target}, which is not published`
    const [from, to] = [partOf(source.path), partOf(target)]
    const allowed = mayImport[from]
    if (allowed === undefined) return `'${from}' is no part of the architecture`
    return from === to || allowed.includes(to) ? undefined : `'${from}' may not import '${to}' (${target})`
  })

const isEdge = (path: string): boolean => /(Node|\/node)\.ts$/.test(path)
const isWiring = (path: string): boolean => isEdge(path) || /^src\/(server|client)\/(main|bin)\.ts$/.test(path)
const isPlatform = (specifier: string): boolean => /^(node:|@effect\/platform-|@napi-rs\/)/.test(specifier)

/** The pure core runs anywhere: only *Node.ts touches the platform, and only wiring imports *Node.ts. */
export const platformOnlyAtTheEdge = (sources: Sources): Findings =>
  checkImports(sources, (source, { specifier, target }) => {
    if (source.path.startsWith("src/domain/") && !isEdge(source.path) && isPlatform(specifier)) {
      return `only *Node.ts may import '${specifier}'`
    }
    if (target !== undefined && isEdge(target) && !isWiring(source.path)) {
      return `only *Node.ts, node.ts, main.ts and bin.ts may import '${target}'`
    }
    return undefined
  })

/**
 * The server's own state lies beside the served root and is named by nobody outside: these may join its paths, over
 * Effect's portable `Path`.
 */
const stateFiles = new Set([
  "src/domain/session/AccountsFile.ts",
  "src/domain/session/StateFile.ts",
  "src/domain/transfer/SignatureKeepFiles.ts",
  "src/server/PublicAccount.ts",
  "src/server/StateFolder.ts",
  "src/server/UserCommands.ts",
  "src/server/ServeNode.ts",
  "src/server/main.ts"
])

/** A module of Node's is imported as a whole or by names: where both meet in one executable, it cannot be built. */
export const builtinsAreImportedOneWay = (sources: Sources): Findings => {
  const clauses = inFolder(sources, "src").flatMap((source) =>
    importsOf(source).flatMap(({ node, specifier }) =>
      specifier.startsWith("node:") && ast.isImportDeclaration(node) && node.importClause !== undefined
        ? [{ source, node, specifier, clause: node.importClause }]
        : []
    )
  )
  const whole = new Set(clauses.flatMap(({ clause, specifier }) => (clause.name === undefined ? [] : [specifier])))
  return clauses.flatMap(({ clause, node, source, specifier }) =>
    whole.has(specifier) && clause.namedBindings !== undefined && ast.isNamedImports(clause.namedBindings)
      ? [at(source, node, `imports '${specifier}' by names, and others import it as a whole`)]
      : []
  )
}

/** Paths are made in one place: a FileName becomes a path in a *Node.ts and nowhere else. */
export const pathsOnlyAtTheEdge = (sources: Sources): Findings =>
  checkImports(sources, (source, { node, specifier }) => {
    if (isEdge(source.path) || stateFiles.has(source.path)) return undefined
    const named = /^(node:)?path(\/|$)/.test(specifier) || /^effect\/Path$/.test(specifier)
    const fromBarrel = specifier === "effect" && /\bPath\b/.test(node.getText(source.tree).split(" from ")[0] ?? "")
    return named || fromBarrel ? "only *Node.ts may build paths" : undefined
  })

/** What is published needs only what package.json declares to those who install it. */
export const importsAreDeclared =
  (dependencies: ReadonlyArray<string>) =>
  (sources: Sources): Findings =>
    checkImports(sources, (_source, { specifier, target }) => {
      if (target !== undefined || specifier.startsWith("node:")) return undefined
      const name = specifier
        .split("/")
        .slice(0, specifier.startsWith("@") ? 2 : 1)
        .join("/")
      return dependencies.includes(name) ? undefined : `'${name}' is not in dependencies`
    })

const entries = [
  "src/domain/index.ts",
  "src/domain/node.ts",
  "src/domain/testing/index.ts",
  "src/server/index.ts",
  "src/server/testing/index.ts",
  "src/server/bin.ts",
  "src/client/index.ts",
  "src/client/node.ts",
  "src/client/testing/index.ts",
  "src/client/bin.ts"
]

/** Every source is reachable from an export or an executable. */
export const nothingIsDead = (sources: Sources): Findings => {
  const files = new Map(inFolder(sources, "src").map((source) => [source.path, source]))
  const reached = new Set<string>()
  const waiting = [...entries]
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const source = files.get(path)
    if (source === undefined || reached.has(path)) continue
    reached.add(path)
    for (const { target } of importsOf(source)) if (target !== undefined) waiting.push(target)
  }
  return [...files.keys()].filter((path) => !reached.has(path)).map((path) => `${path}: nothing imports this file`)
}

// -----------------------------------------------------------------------------
// Code
// -----------------------------------------------------------------------------

const checkNodes = (
  files: ReadonlyArray<Source>,
  broken: (node: ast.Node, source: Source) => string | undefined
): Findings => {
  const found: Array<string> = []
  for (const source of files) {
    walk(source.tree, (node) => {
      const text = broken(node, source)
      if (text !== undefined) found.push(at(source, node, text))
    })
  }
  return found
}

const forbiddenSyntax = (node: ast.Node): string | undefined => {
  if (ast.isTryStatement(node)) return "try/catch: use Effect.try, Result.try or Schema"
  if (ast.isThrowStatement(node)) return "throw: fail with a tagged error, or Effect.die"
  if (!ast.isNewExpression(node) || !ast.isIdentifier(node.expression)) return undefined
  const { arguments: given, expression } = node
  return expression.text === "Date" && (given?.length ?? 0) === 0 ? "new Date() reads the clock: use Clock" : undefined
}

/** Failures are values and time comes from outside. The linter forbids the rest of this kind. */
export const syntaxIsAllowed = (sources: Sources): Findings => checkNodes(inFolder(sources, "src"), forbiddenSyntax)

// What `Effect.fnUntraced` wants of a generator makes it `any`: nothing is checked, of callers neither.
const untypedDefault = (node: ast.Node): string | undefined => {
  if (!ast.isFunctionExpression(node) || node.asteriskToken === undefined) return undefined
  const untyped = node.parameters.find(
    ({ initializer, name, type }) => initializer !== undefined && type === undefined && ast.isIdentifier(name)
  )
  return untyped === undefined ? undefined : `'${untyped.getText()}' is any: give the parameter a type`
}

/** A parameter with a default has a type of its own where a generator is handed on: it would be `any`. */
export const defaultsAreTyped = (sources: Sources): Findings => checkNodes(inFolder(sources, "src"), untypedDefault)

/** A line fits beside another file. */
export const linesAreShort = (sources: Sources): Findings =>
  [...inFolder(sources, "src"), ...inFolder(sources, "test")]
    .filter((source) => !source.path.startsWith("test/vectors/"))
    .flatMap((source) =>
      source.tree.text
        .split("\n")
        .flatMap((line, index) =>
          line.length > 120 ? [`${source.path}:${index + 1}: ${line.length} characters, 120 at most`] : []
        )
    )

const functionKinds = new Set([
  ast.SyntaxKind.FunctionDeclaration,
  ast.SyntaxKind.FunctionExpression,
  ast.SyntaxKind.ArrowFunction,
  ast.SyntaxKind.MethodDeclaration,
  ast.SyntaxKind.Constructor,
  ast.SyntaxKind.GetAccessor,
  ast.SyntaxKind.SetAccessor
])

// Lines of a node, less those of the functions inside it: each function counts for itself.
const ownLines = (source: Source, node: ast.Node): number => {
  const lines = (one: ast.Node): number => lineOf(source, one.end) - lineOf(source, one.getStart(source.tree))
  let total = lines(node) + 1
  const visit = (child: ast.Node): void => {
    if (functionKinds.has(child.kind)) total -= lines(child)
    else child.forEachChild(visit)
  }
  node.forEachChild(visit)
  return total
}

/** A function fits on a screen: 70 lines of its own at most. */
export const functionsAreShort = (sources: Sources): Findings =>
  checkNodes(inFolder(sources, "src"), (node, source) => {
    if (!functionKinds.has(node.kind)) return undefined
    const lines = ownLines(source, node)
    return lines > 70 ? `a function of ${lines} lines, 70 at most` : undefined
  })

/** A bound that nothing enforces is no bound. */
export const limitsAreUsed = (sources: Sources): Findings => {
  const home = "src/domain/limits.ts"
  const limits = sources.files.find((source) => source.path === home)
  if (limits === undefined) return [`${home}: missing`]
  const used = new Set<string>()
  const declared = new Set<ast.Node>()
  for (const source of inFolder(sources, "src")) {
    walk(source.tree, (node) => {
      // A declaration is no use; a mention in another limit is one.
      if (ast.isVariableDeclaration(node)) declared.add(node.name)
      else if (ast.isIdentifier(node) && !declared.has(node)) used.add(node.text)
    })
  }
  const found: Array<string> = []
  walk(limits.tree, (node) => {
    if (!ast.isVariableDeclaration(node) || !ast.isIdentifier(node.name)) return
    if (!used.has(node.name.text)) found.push(at(limits, node, `nothing uses '${node.name.text}'`))
  })
  return found
}

/** A port is its contract: every exported service has a doc comment, its own or the file's. */
export const servicesAreDocumented = (sources: Sources): Findings =>
  checkNodes(inFolder(sources, "src"), (node, source) => {
    if (!ast.isClassDeclaration(node)) return undefined
    const text = source.tree.text
    const start = node.getStart(source.tree)
    const [head = ""] = text.slice(start).split("{")
    if (!head.startsWith("export") || !/\bContext\s*\.\s*Service\b/.test(head)) return undefined
    const own = /\*\/\s*$/.test(text.slice(0, start)) && /\/\*\*(?:(?!\*\/)[^])*\*\/\s*$/.test(text.slice(0, start))
    const ofFile =
      text.startsWith("/**") && /^## Contract/m.test(text.slice(0, text.indexOf("*/")).replaceAll(" * ", ""))
    return own || ofFile ? undefined : `'${node.name?.text ?? ""}' is a service without a doc comment`
  })

const indexes = [
  "src/domain/index.ts",
  "src/domain/node.ts",
  "src/domain/testing/index.ts",
  "src/server/index.ts",
  "src/client/index.ts",
  "src/client/node.ts"
]

const hasDocComment = (source: Source, node: ast.Node): boolean =>
  /\/\*\*(?:(?!\*\/)[^])*\*\/\s*$/.test(source.tree.text.slice(node.pos, node.getStart(source.tree)))

// A `const` carries its comment on the statement around it.
const declarationsOf = (statement: ast.Node): ReadonlyArray<string> => {
  if (ast.isVariableStatement(statement)) {
    return statement.declarationList.declarations.flatMap(({ name }) => (ast.isIdentifier(name) ? [name.text] : []))
  }
  const named =
    ast.isClassDeclaration(statement) ||
    ast.isFunctionDeclaration(statement) ||
    ast.isInterfaceDeclaration(statement) ||
    ast.isTypeAliasDeclaration(statement)
  return named && statement.name !== undefined ? [statement.name.text] : []
}

/**
 * What the package exports is documented: each module by the head of its file, each name in it by a doc comment.
 *
 * A value and its type of the same name share one. A port may have its contract at the head of the file instead.
 */
export const exportsAreDocumented = (sources: Sources): Findings => {
  const files = new Map(sources.files.map((source) => [source.path, source]))
  const modules = new Set<string>()
  for (const index of indexes) {
    const source = files.get(index)
    if (source === undefined) return [`${index}: missing`]
    modules.add(index)
    for (const { target } of importsOf(source)) if (target !== undefined) modules.add(target)
  }
  return [...modules].flatMap((path) => {
    const source = files.get(path)
    return source === undefined ? [] : undocumented(source)
  })
}

const undocumented = (source: Source): Findings => {
  const { text } = source.tree
  const head = text.startsWith("/**") ? text.slice(0, text.indexOf("*/")) : ""
  const all: Array<readonly [name: string, node: ast.Node]> = []
  source.tree.forEachChild((node) => {
    for (const name of declarationsOf(node)) all.push([name, node])
  })
  const own = (node: ast.Node): string => text.slice(node.getStart(source.tree), node.end)
  const contract = (node: ast.Node): boolean =>
    /^ \* ## Contract/m.test(head) && /Context\s*\.\s*Service\b/.test(own(node))
  const documented = new Set(
    all.filter(([, node]) => hasDocComment(source, node) || contract(node)).map(([name]) => name)
  )
  const found = all
    .filter(([name, node]) => own(node).startsWith("export ") && !documented.has(name))
    .map(([name, node]) => at(source, node, `'${name}' is exported without a doc comment`))
  if (head === "") found.push(`${source.path}:1: is exported without a doc comment of its own`)
  return found
}

/** An effect that is a statement of its own never runs; a promise would run unwatched. */
export const nothingFloats = (sources: Sources): Findings =>
  [...inFolder(sources, "src"), ...inFolder(sources, "test")].flatMap((source) => {
    const statements: Array<ast.Expression> = []
    walk(source.tree, (node) => {
      if (ast.isExpressionStatement(node) && !ast.isYieldExpression(node.expression)) statements.push(node.expression)
    })
    const types = sources.checker.getTypeAtLocation(statements)
    return statements.flatMap((statement, index) => {
      const type = types[index]
      const name = type === undefined ? "" : sources.checker.typeToString(type)
      const [kind] = /^(?:Effect|Stream|Layer|Promise)</.exec(name.replace(/^\w+\./, "")) ?? []
      return kind === undefined ? [] : [at(source, statement, `${kind}…> is dropped: run, return or yield* it`)]
    })
  })

// -----------------------------------------------------------------------------
// Texts
// -----------------------------------------------------------------------------

// Written in pieces, so that this file does not hold what it looks for.
const machineWords = [
  { pattern: new RegExp(String.raw`(?<![\w.])/${"work"}/`), what: "a path of one machine" },
  { pattern: new RegExp(String.raw`(?<![\w.])/${"tmp"}/\w`), what: "a path of one machine" },
  { pattern: new RegExp(String.raw`(?<![\w.])/${"root"}/`), what: "a path of one machine" },
  { pattern: new RegExp(String.raw`\bregistry\.${"npmjs"}\b`), what: "the host of a package registry" },
  { pattern: new RegExp(`"${"resolved"}":`), what: "the address of a package" }
]

/** The project works on every machine and names none. */
export const namesNoMachine = (texts: ReadonlyArray<readonly [path: string, text: string]>): Findings =>
  texts.flatMap(([path, text]) =>
    text
      .split("\n")
      .flatMap((line, index) =>
        machineWords
          .filter(({ pattern }) => pattern.test(line))
          .map(({ what }) => `${path}:${index + 1}: holds ${what}`)
      )
  )
