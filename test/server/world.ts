/**
 * A whole server in memory, with everything that a test wants to look at: its log, its store's calls, its network.
 */
import { quickCrypto } from "../crypto.ts"
import { it } from "@effect/vitest"
import { Context, Effect, Layer, Logger, Metric, References, type Scope, Stream } from "effect"
import { type Socket, SocketServer } from "effect/socket"
import * as Client from "../../src/client/Client.ts"
import type { Cipher } from "../../src/domain/channel/Cipher.ts"
import type { Kem } from "../../src/domain/channel/Kem.ts"
import type { Opaque } from "../../src/domain/channel/Opaque.ts"
import type { UserName } from "../../src/domain/channel/HandshakeMessage.ts"
import type { Digest } from "../../src/domain/file/Digest.ts"
import type { FileName } from "../../src/domain/file/FileName.ts"
import { Accounts, AccountsFailed } from "../../src/domain/session/Accounts.ts"
import { FileStore, type Unnamed } from "../../src/domain/store/FileStore.ts"
import * as FileStoreMemory from "../../src/domain/store/FileStoreMemory.ts"
import { NoSpace, StoreFailed } from "../../src/domain/store/StoreError.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as MemorySocket from "../../src/domain/testing/MemorySocket.ts"
import type { Audit } from "../../src/server/Audit.ts"
import { type Arrived, Visitor } from "../../src/server/Doorman.ts"
import * as Server from "../../src/server/Server.ts"
import { defaultLimits, ServerLimits } from "../../src/server/ServerLimits.ts"
import type { ServerStatus } from "../../src/server/ServerStatus.ts"

export interface LogLine {
  readonly message: string
  readonly annotations: { readonly [key: string]: unknown }
}

type StoreCall = "list" | "stat" | "open" | "stage" | "write" | "read" | "remove" | "rename"

/** What the server logged and what it asked of its store. */
export class Watch extends Context.Service<
  Watch,
  {
    readonly lines: Array<LogLine>
    /** the last line of each connection, by its outcome */
    readonly outcomes: () => ReadonlyArray<unknown>
    /** calls of the store, by method */
    readonly calls: Record<StoreCall, number>
    /** stagings and files that are open now */
    readonly held: { stagings: number; files: number }
  }
>()("test/server/Watch") {}

export interface Options {
  readonly files?: FileStoreMemory.Options["files"]
  /** what the store says that it may not look into */
  readonly closed?: ReadonlyArray<FileName>
  /** what its listings lack because no name can mean it */
  readonly unnamed?: ReadonlyArray<Unnamed>
  /** whether the accounts cannot be read at this moment */
  readonly unreadable?: () => boolean
  /** what the disk fails to open */
  readonly broken?: ReadonlyArray<FileName>
  readonly limits?: Partial<ServerLimits>
  /** instead of `limits`: what a test changes while the server runs */
  readonly liveLimits?: ServerLimits
  /** the write of that number fails for want of space, counted from 1 over all stagings */
  readonly noSpaceAtWrite?: number
  /** spoils the server's end of each connection */
  readonly through?: (socket: Socket.Socket) => Socket.Socket
  /** what a doorman says of each connection; nothing when it is left out */
  readonly arrived?: Effect.Effect<Arrived | undefined>
  /** runs before each write */
  readonly beforeWrite?: Effect.Effect<void>
  readonly beforeRead?: Effect.Effect<void>
  /** what the end of a file takes, which cannot be read any more */
  readonly whileClosing?: Effect.Effect<void>
  /** runs before each commit */
  readonly beforeCommit?: Effect.Effect<void>
  /** runs when a file was removed or renamed, before anybody hears of it */
  readonly afterChange?: Effect.Effect<void>
  /** where the server puts what was done on record; nowhere when it is left out */
  readonly audit?: Layer.Layer<Audit>
}

/** Nothing was logged or asked yet. */
export const watchLayer = Layer.sync(Watch, () => makeWatch())

const noCalls = () => ({ list: 0, stat: 0, open: 0, stage: 0, write: 0, read: 0, remove: 0, rename: 0 })

const makeWatch = () => {
  const lines: Array<LogLine> = []
  return Watch.of({
    lines,
    outcomes: () =>
      lines.filter(({ message }) => message === "connection ended").map((line) => line.annotations["outcome"]),
    calls: noCalls(),
    held: { stagings: 0, files: 0 }
  })
}

/** The store in memory, counted, and failing where it was told to. */
const watchedStore = (options: Options) =>
  Layer.effect(
    FileStore,
    Effect.gen(function* () {
      const { calls, held } = yield* Watch
      const store = yield* FileStoreMemory.make(options.files === undefined ? {} : { files: options.files })
      const holding = (kind: "stagings" | "files") =>
        Effect.acquireRelease(
          Effect.sync(() => void (held[kind] += 1)),
          () => Effect.sync(() => void (held[kind] -= 1))
        )
      return FileStore.of({
        list: ({ onUnlisted = () => Effect.void, onUnnamed = () => Effect.void, ...where } = {}) => {
          const told = Effect.forEach(options.closed ?? [], onUnlisted, { discard: true })
          const alsoTold = Effect.forEach(options.unnamed ?? [], onUnnamed, { discard: true })
          return Stream.unwrap(Effect.as(Effect.andThen(told, alsoTold), store.list(where)))
        },
        stat: (name) => Effect.suspend(() => ((calls.stat += 1), store.stat(name))),
        open: Effect.fnUntraced(function* (name) {
          calls.open += 1
          if (options.broken?.includes(name)) return yield* new StoreFailed({ operation: "open", code: "EIO" })
          const file = yield* store.open(name)
          yield* holding("files")
          let isOpen = true
          yield* Effect.addFinalizer(() =>
            Effect.suspend(() => ((isOpen = false), options.whileClosing ?? Effect.void))
          )
          const reading = (offset: number, length: number) =>
            Effect.suspend(() =>
              isOpen ? file.read(offset, length) : Effect.fail(new StoreFailed({ operation: "read", code: "EBADF" }))
            )
          return {
            ...file,
            read: (offset, length) =>
              Effect.suspend(() => ((calls.read += 1), options.beforeRead ?? Effect.void)).pipe(
                Effect.andThen(reading(offset, length))
              )
          }
        }),
        stage: Effect.fnUntraced(function* (request) {
          calls.stage += 1
          if (options.broken?.includes(request.name)) return yield* new StoreFailed({ operation: "write", code: "EIO" })
          const staging = yield* store.stage(request)
          yield* holding("stagings")
          return {
            ...staging,
            write: Effect.fnUntraced(function* (parts) {
              calls.write += 1
              yield* options.beforeWrite ?? Effect.void
              if (calls.write === options.noSpaceAtWrite) return yield* new NoSpace({ name: request.name })
              yield* staging.write(parts)
            }),
            commit: (expected) => Effect.andThen(options.beforeCommit ?? Effect.void, staging.commit(expected))
          }
        }),
        remove: (request) =>
          Effect.suspend(() => ((calls.remove += 1), store.remove(request))).pipe(
            Effect.tap(options.afterChange ?? Effect.void)
          ),
        rename: (request) =>
          Effect.suspend(() => ((calls.rename += 1), store.rename(request))).pipe(
            Effect.tap(options.afterChange ?? Effect.void)
          )
      })
    })
  )

/** On a busy machine the test clock warns of a test that takes more than a real second. The server said none of it. */
const ofTestClock = /\btest clock\b/

/** Sends the log to the `Watch`. */
export const logTo = Layer.unwrap(
  Effect.map(Watch, ({ lines }) => {
    return Logger.layer([
      Logger.make(({ fiber, message }) => {
        const text = (Array.isArray(message) ? message : [message]).map(String).join(" ")
        if (ofTestClock.test(text)) return
        lines.push({ message: text, annotations: fiber.getRef(References.CurrentLogAnnotations) })
      })
    ])
  })
)

const accountsOf = ({ unreadable = () => false }: Options) =>
  Layer.effect(
    Accounts,
    Effect.map(Accounts, (accounts) => ({
      ...accounts,
      find: (user: UserName) =>
        Effect.suspend(() =>
          unreadable() ? Effect.fail(new AccountsFailed({ detail: "in pieces" })) : accounts.find(user)
        )
    }))
  ).pipe(Layer.provide(Layer.orDie(Fixture.accounts)))

const nobody: Effect.Effect<Arrived | undefined> = Effect.undefined

const spoiled = ({ arrived = nobody, through = (socket) => socket }: Options) =>
  Layer.effect(
    SocketServer.SocketServer,
    Effect.map(SocketServer.SocketServer, ({ address, run }) =>
      SocketServer.SocketServer.of({
        address,
        run: (handler) => run((socket) => Effect.provideServiceEffect(handler(through(socket)), Visitor, arrived))
      })
    )
  )

export type World =
  Watch | FileStore | MemorySocket.MemoryNetwork | Accounts | Cipher | Digest | Kem | Opaque | ServerStatus

export const layer = (options: Options = {}) =>
  Server.layer.pipe(
    Layer.provideMerge(options.audit ?? Layer.empty),
    Layer.provideMerge(Layer.sync(Metric.MetricRegistry, () => new Map())),
    Layer.provide(logTo),
    Layer.provide(Layer.succeed(ServerLimits, options.liveLimits ?? { ...defaultLimits, ...options.limits })),
    Layer.provide(spoiled(options)),
    Layer.provideMerge(MemorySocket.layer),
    Layer.provideMerge(accountsOf(options)),
    Layer.provideMerge(watchedStore(options)),
    Layer.provideMerge(watchLayer),
    Layer.provideMerge(quickCrypto)
  )

/** A test against a server of its own. Its clients have gone before the server stops. */
export const scenario = <E>(
  name: string,
  body: () => Effect.Effect<void, E, World | Scope.Scope>,
  options: Options = {}
) => it.effect(name, () => Effect.scoped(body()).pipe(Effect.provide(layer(options))))

/** A fresh connection to the server. */
export const dial: Effect.Effect<Socket.Socket, never, MemorySocket.MemoryNetwork> = Effect.flatMap(
  MemorySocket.MemoryNetwork,
  ({ dial }) => dial
)

/** A session of the real client; `through` may spoil its sockets. */
export const connect = (
  who: Fixture.Credentials = Fixture.ada,
  through: (socket: Socket.Socket) => Socket.Socket = (socket) => socket
) =>
  Effect.flatMap(MemorySocket.MemoryNetwork, (network) =>
    Client.connect({ server: "memory", dial: Effect.map(network.dial, through), ...who })
  )

/** Gives all others so many turns. */
export const yields = (turns: number) =>
  Effect.forEach(Array.from({ length: turns }), () => Effect.yieldNow, { discard: true })

/** Lets everything run that can run without time passing. */
export const settle = yields(50)
