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
    await program()
  } else {
    const need = lowest.join(".")
    process.stderr.write(
      `${name}: Node ${need} or newer is needed, this is ${process.versions.node}: install a newer one\n`
    )
    process.exitCode = 1
  }
}
