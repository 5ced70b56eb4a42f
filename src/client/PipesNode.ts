/**
 * Named pipes of this machine. Whoever opens one as a file waits for its writer in a thread of the pool, and the
 * process cannot end before; so it is opened without waiting, and the event loop tells when something has come.
 */
import * as nodeFs from "node:fs"
import * as net from "node:net"
import { Effect, Layer, type Scope } from "effect"
import { systemCodeOf } from "../domain/SystemCode.ts"
import { concat } from "../domain/Bytes.ts"
import { PipeFailed, Pipes } from "./Pipes.ts"

/** The pipes of this machine. */
export const layer: Layer.Layer<Pipes> = Layer.sync(Pipes, () =>
  Pipes.of({ head: (path, bytesMax) => Effect.scoped(Effect.flatMap(open(path), (pipe) => read(pipe, bytesMax))) })
)

const withoutWaiting = nodeFs.constants.O_RDONLY | (nodeFs.constants.O_NONBLOCK ?? 0)

const failed = (error: unknown): PipeFailed =>
  new PipeFailed({
    code: systemCodeOf(error)
  })

const open = (path: string): Effect.Effect<net.Socket, PipeFailed, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.flatMap(descriptor(path), (fd) =>
      Effect.try({ try: () => new net.Socket({ fd, readable: true, writable: false }), catch: failed }).pipe(
        Effect.tapError(() => Effect.callback<void>((resume) => nodeFs.close(fd, () => resume(Effect.void))))
      )
    ),
    (pipe) => Effect.sync(() => void pipe.destroy())
  )

const descriptor = (path: string) =>
  Effect.callback<number, PipeFailed>((resume) =>
    nodeFs.open(path, withoutWaiting, (error, fd) => resume(error ? Effect.fail(failed(error)) : Effect.succeed(fd)))
  )

const lineFeed = 0x0a

const read = (pipe: net.Socket, bytesMax: number): Effect.Effect<Uint8Array, PipeFailed> =>
  Effect.callback((resume) => {
    const parts: Array<Uint8Array> = []
    let length = 0
    const end = (): void => resume(Effect.succeed(concat(parts)))
    pipe.on("data", (part: Buffer) => {
      parts.push(part)
      length += part.length
      // Its writer may keep it open.
      if (part.includes(lineFeed) || length >= bytesMax) end()
    })
    pipe.on("end", end)
    pipe.on("error", (error) => resume(Effect.fail(failed(error))))
  })
