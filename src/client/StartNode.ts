/**
 * Starts the client: dials and says hello when the command line is certain to need it, then loads the program.
 *
 * It stands beside the program, in a file of its own, and may import only what is loaded in no time.
 */
import * as DialAheadNode from "./DialAheadNode.ts"

export const start = async (args: ReadonlyArray<string>, environment: NodeJS.ProcessEnv): Promise<void> => {
  // A connection that cannot be dialled ahead is dialled by the program, which says what is wrong.
  await DialAheadNode.begin(args, environment).catch(() => {})
  await import("./ProgramNode.ts").then((program) => program.start(args))
}
