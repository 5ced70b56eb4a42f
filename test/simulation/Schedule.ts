/**
 * What happens in one simulation, drawn from a seed: which commands, which faults, when.
 *
 * A schedule is plain data: it can be printed, and steps can be left out of it.
 */
import type { Faults } from "../../src/domain/testing/FaultySocket.ts"
import type { Quota } from "../../src/domain/store/Meter.ts"
import { type Draw, drawer } from "../draw.ts"
import * as Content from "./Content.ts"

/** What a client is asked to do. */
export type Command =
  | { readonly _tag: "Upload"; readonly name: string; readonly content: Content.Content }
  | {
      readonly _tag: "Para"
      readonly name: string
      readonly content: Content.Content
      /** the content that the server's file should have */
      readonly expect: Content.Content | undefined
    }
  | { readonly _tag: "Download"; readonly name: string }
  /** with each block it takes, the client waits so long */
  | { readonly _tag: "SlowDownload"; readonly name: string; readonly milliseconds: number }
  | { readonly _tag: "Fetch"; readonly digests: boolean }
  | { readonly _tag: "Verify"; readonly name: string; readonly content: Content.Content }
  | { readonly _tag: "Remove"; readonly name: string; readonly expect: Content.Content | undefined }
  | { readonly _tag: "Rename"; readonly name: string; readonly to: string; readonly replace: boolean }
  /** several small files in one request */
  | { readonly _tag: "UploadBundle"; readonly files: ReadonlyArray<Sent> }
  | { readonly _tag: "DownloadBundle"; readonly names: ReadonlyArray<string> }
  /** what may be in the way of these names */
  | { readonly _tag: "FetchAlike"; readonly names: ReadonlyArray<string> }
  /** the next password of the client's own account, by number */
  | { readonly _tag: "Passwd"; readonly next: number }

/** One file of a bundle. */
export interface Sent {
  readonly name: string
  readonly content: Content.Content
}

/** How long the world goes on before the next step: time, or turns of whoever can run. */
export type Pause = { readonly milliseconds: number } | { readonly turns: number }

export type Action =
  | { readonly _tag: "Run"; readonly client: number; readonly command: Command }
  /** interrupts one of the commands under way */
  | { readonly _tag: "Interrupt"; readonly which: number }
  /** breaks the connections of a client */
  | { readonly _tag: "Cut"; readonly client: number }
  /** somebody with a wrong password, with one that was replaced, and somebody who speaks no protocol at all */
  | { readonly _tag: "Stranger"; readonly kind: "password" | "replaced" | "noise" }
  /** the power goes at the disk operation so many from now, and comes back after the time */
  | { readonly _tag: "Crash"; readonly operations: number; readonly milliseconds: number; readonly down: number }
  /** the server is told to stop, and starts again after the time */
  | { readonly _tag: "Drain"; readonly down: number }
  /** a disk operation so many from now fails */
  | { readonly _tag: "DiskFault"; readonly operations: number; readonly code: "EIO" | "EMFILE" | "ENOSPC" }

export interface Step {
  readonly action: Action
  readonly pause: Pause
}

/** What the network does to one connection. */
export interface Link {
  readonly reads: Faults
  readonly writes: Faults
  readonly hangWhenCut: boolean
}

export interface Schedule {
  /** of everything that is decided while it runs: which fiber goes first, what a crash takes, where bits flip */
  readonly seed: number
  /** the next fiber is one of so many that can run */
  readonly choices: number
  readonly capacityBytes: number
  /** what the root of each account may hold */
  readonly quota: Quota | undefined
  /** the folders that the accounts see as their roots; without one, all of it */
  readonly roots: Roots
  readonly steps: ReadonlyArray<Step>
  /** for one connection after the other, and then again from the first */
  readonly links: ReadonlyArray<Link>
}

/** A folder for each of two accounts, or for one of them. */
export type Roots = { readonly [Owner in "ada" | "grace"]?: string }

export const clients = 3

/** Whose account a client uses: the first has two sessions. */
export const ownerOf = (client: number): "ada" | "grace" => (client < 2 ? "ada" : "grace")

/** The fourth is the first on some machines. */
export const names = ["a", "folder/b", "folder/deep/c", "A"]

// -----------------------------------------------------------------------------
// Commands
// -----------------------------------------------------------------------------

/** Content of this size or more is worth a resume, and so a take-over. */
const largeBytesMin = 1_050_000

const drawSize = (draw: Draw): number => {
  const kind = draw.below(10)
  if (kind === 0) return draw.below(2)
  if (kind <= 3) return 16 + draw.upTo(60_000)
  return kind <= 6 ? 66_000 + draw.below(500_000) : largeBytesMin + draw.below(900_000)
}

/** Sizes go by lineage: only contents of one size can be taken for each other. */
const drawContent = (draw: Draw, sizes: ReadonlyArray<number>): Content.Content => {
  const lineage = draw.below(sizes.length)
  return {
    lineage,
    version: draw.below(12),
    size: sizes[lineage] ?? 0,
    grows: draw.chance(0.3),
    modified: 1_000 * (1 + draw.below(2))
  }
}

/** Files of one bundle: now and then two of one name, or of two names that are one. */
const drawBundle = (draw: Draw, memory: Memory): ReadonlyArray<Sent> =>
  Array.from({ length: 1 + draw.below(4) }, () => ({
    name: draw.one(names),
    content: { ...drawContent(draw, memory.sizes), lineage: smallLineage, size: memory.sizes[smallLineage] ?? 0 }
  }))

/** Contents that fit into a bundle, four at a time and edited. */
const smallBytesMax = 40_000

/** The lineage that bundles take theirs from; others take from it as well. */
const smallLineage = 4

interface Memory {
  readonly sizes: ReadonlyArray<number>
  readonly sent: Array<{ readonly client: number; readonly command: Command }>
}

/** What was tried before, by the same client or by another session of its account: for a resume, and a take-over. */
const drawAgain = (draw: Draw, { sent }: Memory): Extract<Action, { readonly _tag: "Run" }> => {
  const { client, command } = draw.one(sent)
  const other = client < 2 && draw.chance(0.4)
  return { _tag: "Run", client: other ? 1 - client : client, command }
}

const drawName = (draw: Draw): string => draw.one(draw.chance(0.5) ? names.slice(0, 1) : names)

const drawRun = (draw: Draw, memory: Memory): Extract<Action, { readonly _tag: "Run" }> => {
  if (draw.chance(0.3)) return drawAgain(draw, memory)
  const client = draw.below(clients)
  const run = (command: Command) => ({ _tag: "Run" as const, client, command })
  const name = drawName(draw)
  const content = drawContent(draw, memory.sizes)
  const expect = draw.chance(0.15) ? drawContent(draw, memory.sizes) : undefined
  const kind = draw.below(32)
  if (kind < 13) {
    const sent = run(kind < 7 ? { _tag: "Upload", name, content } : { _tag: "Para", name, content, expect })
    memory.sent.push({ client, command: sent.command })
    return sent
  }
  if (kind < 16) return run({ _tag: "Download", name })
  if (kind < 17) return run({ _tag: "SlowDownload", name, milliseconds: draw.upTo(100_000) })
  if (kind < 19) return run({ _tag: "Fetch", digests: draw.chance(0.5) })
  if (kind < 20) return run({ _tag: "Verify", name, content })
  if (kind < 23) return run({ _tag: "Remove", name, expect })
  if (kind < 26) {
    const sent = run({ _tag: "UploadBundle", files: drawBundle(draw, memory) })
    memory.sent.push({ client, command: sent.command })
    return sent
  }
  if (kind < 28) return run({ _tag: "DownloadBundle", names: names.filter(() => draw.chance(0.7)).concat(name) })
  return run({ _tag: "Rename", name, to: draw.one(names), replace: draw.chance(0.6) })
}

/** Often little more than one file: then whoever comes second is refused, unless the first gives back what it had. */
const drawQuota = (draw: Draw): Quota | undefined => {
  if (draw.chance(0.65)) return undefined
  return { bytes: 100_000 + draw.below(3_500_000), ...(draw.chance(0.5) && { files: 1 + draw.below(3) }) }
}

// -----------------------------------------------------------------------------
// Faults
// -----------------------------------------------------------------------------

const drawFaults = (draw: Draw): Faults => {
  if (draw.chance(0.3)) return {}
  // Tiny pieces are for the beginning: a connection that is to carry megabytes gets larger ones.
  const early = draw.chance(0.15)
  return {
    ...(draw.chance(0.5) && { fragmentBytesMax: early ? 1 + draw.below(40) : 1_500 + draw.upTo(200_000) }),
    ...(draw.chance(0.2) && { coalesce: true }),
    ...(draw.chance(0.6) && { delayMillisecondsMax: draw.upTo(60) }),
    ...(early
      ? { cutAfterBytes: draw.below(3_000) }
      : draw.chance(0.3) && { cutAfterBytes: 1_000 + draw.upTo(3_000_000) }),
    ...(draw.chance(0.06) && { halfCloseAfterBytes: draw.upTo(1_000_000) }),
    ...(draw.chance(0.06) && { corruptAt: draw.upTo(1_000_000) }),
    ...(draw.chance(0.06) && { duplicateAt: draw.upTo(1_000_000) })
  }
}

const drawLink = (draw: Draw): Link =>
  draw.chance(0.35)
    ? { reads: {}, writes: {}, hangWhenCut: false }
    : { reads: drawFaults(draw), writes: drawFaults(draw), hangWhenCut: draw.chance(0.3) }

/** Most of what can go wrong needs something that is there. */
const drawFirst = (draw: Draw, memory: Memory): Action => {
  const command = { _tag: "Upload" as const, name: draw.one(names), content: drawContent(draw, memory.sizes) }
  memory.sent.push({ client: 0, command })
  return { _tag: "Run", client: 0, command }
}

const drawAction = (draw: Draw, memory: Memory): Action => {
  const kind = draw.below(100)
  if (kind < 66) return drawRun(draw, memory)
  if (kind < 75) return { _tag: "Interrupt", which: draw.below(8) }
  if (kind < 81) return { _tag: "Cut", client: draw.below(clients) }
  if (kind < 83) return { _tag: "Stranger", kind: draw.one(["password", "noise"]) }
  if (kind < 92) {
    const [operations, milliseconds, down] = [1 + draw.upTo(60), draw.upTo(2_000), draw.upTo(5_000)]
    return { _tag: "Crash", operations, milliseconds, down }
  }
  if (kind < 96) return { _tag: "Drain", down: draw.upTo(2_000) }
  return { _tag: "DiskFault", operations: 1 + draw.upTo(80), code: draw.one(["EIO", "EMFILE", "ENOSPC"]) }
}

const drawPause = (draw: Draw): Pause => {
  const kind = draw.below(10)
  if (kind < 4) return { turns: 0 }
  if (kind < 8) return { turns: draw.upTo(3_000) }
  return { milliseconds: draw.upTo(kind < 9 ? 3_000 : 90_000) }
}

/** Now and then both sessions of an account send the same large file, the second a moment after the first. */
const drawTwice = (draw: Draw, step: Step): ReadonlyArray<Step> => {
  const { action, pause } = step
  if (action._tag !== "Run" || action.client > 1 || !draw.chance(0.4)) return [step]
  const { client, command } = action
  if ((command._tag !== "Upload" && command._tag !== "Para") || command.content.size < largeBytesMin) return [step]
  return [
    { action, pause: { turns: draw.upTo(1_500) } },
    { action: { _tag: "Run", client: 1 - client, command }, pause }
  ]
}

// -----------------------------------------------------------------------------
// Accounts
// -----------------------------------------------------------------------------

/** No name of a schedule has it: whoever reads it in an error has seen behind the own root. */
export const rootMark = "vault"

const apart: Roots = { ada: `${rootMark}/ada`, grace: `${rootMark}/grace` }

/** What the one calls `folder/b` is `b` to the other. */
const inside: Roots = { grace: "folder" }

/** Spellings of names and folders that are there, and such as are not. */
const alikeNames = ["a", "A", "folder/b", "Folder/x", "FOLDER", "b/x", "deep/c", "DEEP", "nothing", rootMark]

const drawAccountStep = (draw: Draw): Action => {
  const client = draw.below(clients)
  const kind = draw.below(4)
  if (kind < 2) {
    const names = Array.from({ length: 1 + draw.below(3) }, () => draw.one(alikeNames))
    return { _tag: "Run", client, command: { _tag: "FetchAlike", names } }
  }
  if (kind < 3) return { _tag: "Run", client, command: { _tag: "Passwd", next: 1 + draw.below(1_000) } }
  return { _tag: "Stranger", kind: "replaced" }
}

/** The names of a command as who has the root says them. */
const seenFrom = (root: string, command: Command): Command => {
  const seen = (name: string): string => (name.startsWith(`${root}/`) ? name.slice(root.length + 1) : name)
  if (command._tag === "UploadBundle")
    return { ...command, files: command.files.map((file) => ({ ...file, name: seen(file.name) })) }
  if (command._tag === "DownloadBundle") return { ...command, names: command.names.map(seen) }
  if (command._tag === "Rename") return { ...command, name: seen(command.name), to: seen(command.to) }
  return "name" in command ? { ...command, name: seen(command.name) } : command
}

/** What concerns accounts comes on top, from draws of its own: without it a seed stays what it was. */
const withAccounts = (schedule: Schedule): Schedule => {
  const draw = drawer(schedule.seed ^ 0x0acc_0047)
  const roots = draw.one<Roots>([{}, {}, {}, apart, apart, inside])
  const often = draw.one([0, 0, 0.05, 0.15])
  const steps = schedule.steps.flatMap((step): ReadonlyArray<Step> => {
    const more = draw.chance(often) ? [{ action: drawAccountStep(draw), pause: drawPause(draw) }] : []
    const { action } = step
    const root = action._tag === "Run" ? roots[ownerOf(action.client)] : undefined
    if (action._tag !== "Run" || root === undefined) return [step, ...more]
    return [{ ...step, action: { ...action, command: seenFrom(root, action.command) } }, ...more]
  })
  return { ...schedule, steps, roots }
}

/** The same seed gives the same schedule. */
export const fromSeed = (seed: number): Schedule => withAccounts(drawn(seed))

const drawn = (seed: number): Schedule => {
  const draw = drawer(seed)
  const sizes = Array.from({ length: smallLineage }, () => drawSize(draw))
  const memory: Memory = { sizes: [...sizes, draw.upTo(smallBytesMax)], sent: [] }
  return {
    seed,
    choices: draw.one([1, 1, 2, 8]),
    capacityBytes: draw.chance(0.25) ? 2_000_000 + draw.below(3_000_000) : 64_000_000,
    quota: drawQuota(draw),
    roots: {},
    steps: Array.from({ length: 6 + draw.below(24) }, (_, index) => ({
      action: index < 3 ? drawFirst(draw, memory) : drawAction(draw, memory),
      pause: drawPause(draw)
    })).flatMap((step) => drawTwice(draw, step)),
    links: Array.from({ length: 12 }, () => drawLink(draw))
  }
}

// -----------------------------------------------------------------------------
// For people
// -----------------------------------------------------------------------------

const showExpected = ({ expect }: { readonly expect: Content.Content | undefined }): string =>
  expect === undefined ? "" : `, expecting ${Content.show(expect)}`

/** A command in words. */
export const showCommand = (command: Command): string => {
  switch (command._tag) {
    case "Upload":
      return `upload ${command.name}: ${Content.show(command.content)}`
    case "Para":
      return `para ${command.name}: ${Content.show(command.content)}${showExpected(command)}`
    case "Download":
      return `download ${command.name}`
    case "SlowDownload":
      return `download ${command.name}, ${command.milliseconds} ms for each block`
    case "Fetch":
      return command.digests ? "fetch with digests" : "fetch"
    case "Verify":
      return `verify ${command.name} against ${Content.show(command.content)}`
    case "Remove":
      return `remove ${command.name}${showExpected(command)}`
    case "Rename":
      return `rename ${command.name} to ${command.to}${command.replace ? ", replacing" : ""}`
    case "UploadBundle":
      return `upload together ${command.files.map((file) => `${file.name}: ${Content.show(file.content)}`).join("; ")}`
    case "DownloadBundle":
      return `download together ${command.names.join(", ")}`
    case "FetchAlike":
      return `fetch what is alike to ${command.names.join(", ")}`
    case "Passwd":
      return `change the password to number ${command.next}`
  }
}

const strangers = {
  password: "a wrong password",
  replaced: "a password that was replaced",
  noise: "noise instead of a handshake"
}

export const showAction = (action: Action): string => {
  switch (action._tag) {
    case "Run":
      return `client ${action.client}: ${showCommand(action.command)}`
    case "Interrupt":
      return `interrupt one of the commands under way (${action.which})`
    case "Cut":
      return `cut the connections of client ${action.client}`
    case "Stranger":
      return strangers[action.kind]
    case "Crash":
      return (
        `power cut ${action.operations} disk operations from now, ` +
        `noticed after ${action.milliseconds} ms, back after ${action.down} ms`
      )
    case "Drain":
      return `the server stops, and starts again after ${action.down} ms`
    case "DiskFault":
      return `the disk fails with ${action.code} ${action.operations} operations from now`
  }
}

const showPause = (pause: Pause): string =>
  "turns" in pause ? (pause.turns === 0 ? "" : `, then ${pause.turns} turns`) : `, then ${pause.milliseconds} ms`

/** One line for each step, and then the network. */
export const show = ({ capacityBytes, choices, links, quota, roots, seed, steps }: Schedule): string =>
  [
    `seed ${seed}, one of ${choices} ready fibers goes next, a disk of ${capacityBytes} bytes, ` +
      (quota === undefined ? "no quota" : `a quota of ${JSON.stringify(quota)}`) +
      (Object.keys(roots).length === 0 ? "" : `, roots ${JSON.stringify(roots)}`),
    ...steps.map(({ action, pause }, index) => `${index + 1}. ${showAction(action)}${showPause(pause)}`),
    ...links.map((link, index) => `connection ${index}: ${JSON.stringify(link)}`)
  ].join("\n")
