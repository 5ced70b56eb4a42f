/**
 * Starts an executable, or says in one line that this Node is too old for it.
 *
 * Only what an old Node can parse may stand here, and nothing may be imported: an import of the program
 * would fail with a stack trace before the line could be printed.
 */

/** The lowest Node that runs the package: `engines` of package.json. */
const lowest = [24, 7] as const

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number)

/** Imports the program when this Node can run it. */
export const launch = async (name: string, program: () => Promise<unknown>): Promise<void> => {
  if (major > lowest[0] || (major === lowest[0] && minor >= lowest[1])) {
    // It only saves time: a start without it is as good.
    await keepCompiled(process.env, process.platform).catch(() => {})
    await program()
  } else {
    const need = lowest.join(".")
    process.stderr.write(
      `${name}: Node ${need} or newer is needed, this is ${process.versions.node}: install a newer one\n`
    )
    process.exitCode = 1
  }
}

/**
 * Lets Node keep what it compiles for the next start: a third of the time of a short command.
 *
 * Who can write there decides what runs. So not where Node would keep it, in the folder for temporary files that all
 * users share, but in one that is this user's own and that nobody else can enter; without one nothing is kept.
 */
const keepCompiled = async (env: NodeJS.ProcessEnv, platform: NodeJS.Platform): Promise<void> => {
  const { lstatSync, mkdirSync, statSync } = process.getBuiltinModule("node:fs")
  const { isAbsolute, join } = process.getBuiltinModule("node:path")
  const user = process.geteuid?.()
  const isOwn = (folder: string, look: typeof lstatSync = lstatSync): boolean => {
    const entry = look(folder, { throwIfNoEntry: false })
    return entry?.isDirectory() === true && (user === undefined || (entry.uid === user && (entry.mode & 0o022) === 0))
  }
  const xdg = env["XDG_CACHE_HOME"] ?? ""
  const [base = "", ...below] =
    platform === "win32"
      ? [env["LOCALAPPDATA"]]
      : platform === "darwin"
        ? [env["HOME"], "Library", "Caches"]
        : isAbsolute(xdg)
          ? [xdg]
          : [env["HOME"], ".cache"]
  if (!isAbsolute(base)) return
  // The XDG Base Directory Specification has its folders made by who needs them.
  if (base === xdg && lstatSync(base, { throwIfNoEntry: false }) === undefined) mkdirSync(base, { mode: 0o700 })
  if (!isOwn(base)) return
  const folder = join(base, ...below, "paradrop")
  const compiled = join(folder, "compiled")
  if (!isOwn(compiled)) {
    // One by one: where none can be made, as in /proc, Node never ends making several.
    let made = base
    for (const name of [...below, "paradrop", "compiled"]) {
      made = join(made, name ?? "")
      if (lstatSync(made, { throwIfNoEntry: false }) === undefined) mkdirSync(made, { mode: 0o700 })
    }
  }
  // Who can write in one above it can put another in its place. That one may be a link to where there is room.
  const isAboveOwn = below.every((_, index) => isOwn(join(base, ...below.slice(0, index + 1)), statSync))
  // Below it Node makes a folder as the umask says, perhaps one that all may write: nobody else may come to that.
  const isPrivate = user === undefined || (lstatSync(compiled).mode & 0o077) === 0
  if (isAboveOwn && isOwn(folder) && isOwn(compiled) && isPrivate)
    process.getBuiltinModule("node:module").enableCompileCache(compiled)
}
