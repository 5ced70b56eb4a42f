/**
 * Where a running server is asked on Node: a Unix socket in its state folder, for its own user alone.
 *
 * Of mode 0600, in a folder of mode 0700 made for it: nobody else can connect, not even while it is being made.
 */
import process from "node:process"
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import { Effect, FileSystem, Layer, Option, Path, type PlatformError } from "effect"
import { type Socket, SocketServer } from "effect/socket"
import { utf8Length } from "../domain/Bytes.ts"
import * as SocketNode from "../domain/channel/SocketNode.ts"
import { printable } from "../domain/file/Printable.ts"
import { controlPathBytesMax } from "../domain/limits.ts"
import { platformWords, systemCode, systemWords } from "../domain/SystemCode.ts"
import { type Control, ControlFailed } from "./Control.ts"
import * as ControlSocket from "./ControlSocket.ts"

/**
 * Listens in the state folder and answers until the scope closes. Whoever calls holds the lock of the state folder:
 * a socket that is there already is one that a server left when it was killed.
 */
export const listen = (state: string): Layer.Layer<never, ControlFailed, Control | FileSystem.FileSystem | Path.Path> =>
  Layer.provide(Layer.effectDiscard(ControlSocket.serve), Layer.effect(SocketServer.SocketServer, listening(state)))

/** The server that runs on a state folder. */
export const layer = (state: string): Layer.Layer<Control, ControlFailed, Path.Path> =>
  Layer.unwrap(
    Effect.map(place(state), ({ path }) =>
      ControlSocket.layer(NodeSocket.makeNet({ path }), (error) =>
        isNobody(error)
          ? `no server runs on the state folder '${printable(state)}': ` +
            "give the server's --root, --state or --config"
          : `the server of the state folder '${printable(state)}' cannot be asked (${whyNot(error)}): ` +
            "run this as the user that the server runs as"
      )
    )
  )

const place = Effect.fnUntraced(function* (
  state: string
): Effect.fn.Return<{ readonly folder: string; readonly path: string }, ControlFailed, Path.Path> {
  const { join } = yield* Path.Path
  const folder = join(state, "control")
  const path = join(folder, "socket")
  if (process.platform === "win32") {
    return yield* new ControlFailed({ detail: "a server on Windows cannot be asked: it has no socket for it" })
  }
  if (utf8Length(path) > controlPathBytesMax) {
    return yield* new ControlFailed({
      detail: `'${printable(path)}' is too long for a socket (${controlPathBytesMax} bytes): take a shorter --state`
    })
  }
  return { folder, path }
})

const listening = Effect.fnUntraced(function* (state: string) {
  const fs = yield* FileSystem.FileSystem
  const { folder, path } = yield* place(state)
  yield* fs.makeDirectory(folder, { recursive: true, mode: 0o700 }).pipe(
    Effect.andThen(fs.chmod(folder, 0o700)),
    Effect.andThen(removeStale(path)),
    Effect.mapError((error) => cannotListen(path, platformWords(error)))
  )
  const server = yield* Effect.mapError(NodeSocketServer.make({ path, allowHalfOpen: true }), ({ reason }) =>
    cannotListen(path, systemWords(systemCode(reason.cause) ?? reason._tag))
  )
  yield* Effect.mapError(fs.chmod(path, 0o600), (error) => cannotListen(path, platformWords(error)))
  return ending(server)
})

/**
 * Cuts a connection soon after it was answered: one that nobody reads, as of a program that was stopped, would stay,
 * and with it the server that is told to stop.
 */
const ending = ({ address, run }: SocketServer.SocketServer["Service"]): SocketServer.SocketServer["Service"] =>
  SocketServer.SocketServer.of({
    address,
    run: (handler) =>
      run((socket) =>
        Effect.flatMap(Effect.serviceOption(NodeSocket.NetSocket), (connection) =>
          handler(Option.match(connection, { onNone: () => socket, onSome: (own) => SocketNode.make(own) }))
        )
      )
  })

/** Anything but a socket is not ours, and stays. */
const removeStale = (path: string): Effect.Effect<void, PlatformError.PlatformError, FileSystem.FileSystem> =>
  FileSystem.FileSystem.use((fs) =>
    Effect.flatMap(fs.stat(path), ({ type }) => (type === "Socket" ? fs.remove(path) : Effect.void)).pipe(
      Effect.catchIf(
        ({ reason }) => reason._tag === "NotFound",
        () => Effect.void
      )
    )
  )

const cannotListen = (path: string, why: string): ControlFailed =>
  new ControlFailed({ detail: `cannot listen on '${printable(path)}' (${why}): see what is there, and who owns it` })

const codeOf = ({ reason }: Socket.SocketError): string =>
  ("cause" in reason ? systemCode(reason.cause) : undefined) ?? reason._tag

const whyNot = (error: Socket.SocketError): string => systemWords(codeOf(error))

const isNobody = (error: Socket.SocketError): boolean => ["ENOENT", "ECONNREFUSED"].includes(codeOf(error))
