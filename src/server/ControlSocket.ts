/**
 * `Control` over a socket: a line of JSON with the question, a line with the answer, and the connection is over.
 *
 * Who may connect may ask: whoever listens keeps others away (`ControlNode` by the modes of a folder and a socket).
 */
import { Effect, Layer, Schema, type Scope, Semaphore } from "effect"
import { type Socket, SocketServer } from "effect/socket"
import * as Bytes from "../domain/Bytes.ts"
import {
  controlAnswerBytesMax,
  controlConnectionsMax,
  controlMillisecondsMax,
  controlRequestBytesMax
} from "../domain/limits.ts"
import { Bans, Control, ControlFailed, Status, Which } from "./Control.ts"

const Request = Schema.TaggedUnion({ Status: {}, Bans: {}, Lift: { which: Which } })
type Request = typeof Request.Type

const Answer = Schema.TaggedUnion({
  Status: { status: Status },
  Bans: { bans: Bans },
  Lifted: { count: Schema.Int },
  Failed: { detail: Schema.String }
})
type Answer = typeof Answer.Type

const RequestLine = Schema.fromJsonString(Request)
const AnswerLine = Schema.fromJsonString(Answer)

const isAskable = Schema.is(Which)

const failed = (detail: string): ControlFailed => new ControlFailed({ detail })

// -----------------------------------------------------------------------------
// The server's end
// -----------------------------------------------------------------------------

/**
 * Answers in the background until the scope closes. A connection that asks nothing in time is closed, and so is one too
 * many.
 */
export const serve: Effect.Effect<void, never, Control | Scope.Scope | SocketServer.SocketServer> = Effect.gen(
  function* () {
    const server = yield* SocketServer.SocketServer
    const control = yield* Control
    const seats = yield* Semaphore.make(controlConnectionsMax)
    const handler = (socket: Socket.Socket) =>
      Effect.gen(function* () {
        // The reader owns the connection: without it a refused one would stay open.
        const line = yield* open(socket)
        yield* converse(line, control).pipe(seats.withPermitsIfAvailable(1))
      }).pipe(Effect.scoped, Effect.timeoutOption(controlMillisecondsMax), Effect.ignore)
    yield* Effect.forkScoped(server.run(handler))
  }
)

const converse = Effect.fnUntraced(function* (line: Line, control: Control["Service"]) {
  const answer = yield* line.receive(controlRequestBytesMax).pipe(
    Effect.flatMap((asked) => Effect.mapError(Schema.decodeEffect(RequestLine)(asked), unknown)),
    Effect.flatMap((request) => answerTo(request, control)),
    Effect.catchTag("ControlFailed", ({ detail }) => Effect.succeed<Answer>({ _tag: "Failed", detail }))
  )
  yield* line.send(yield* Schema.encodeEffect(AnswerLine)(answer))
})

const unknown = () => failed("the server does not know this question: is it of another version?")

const answerTo = (request: Request, control: Control["Service"]): Effect.Effect<Answer, ControlFailed> =>
  Request.match(request, {
    Status: () => Effect.map(control.status, (status): Answer => ({ _tag: "Status", status })),
    Bans: () => Effect.map(control.bans, (bans): Answer => ({ _tag: "Bans", bans })),
    Lift: ({ which }) => Effect.map(control.lift(which), (count): Answer => ({ _tag: "Lifted", count }))
  })

// -----------------------------------------------------------------------------
// The administrator's end
// -----------------------------------------------------------------------------

/**
 * A server that runs somewhere else, asked over a connection of its own for each question.
 *
 * @param dial makes a connection
 * @param unreachable says why there is none, and what to do
 */
export const layer = (
  dial: Effect.Effect<Socket.Socket>,
  unreachable: (error: Socket.SocketError) => string
): Layer.Layer<Control> => {
  const ask = Effect.fnUntraced(
    function* (request: Request) {
      const line = yield* Effect.mapError(Effect.flatMap(dial, open), (error) => failed(unreachable(error)))
      yield* line.send(yield* Effect.orDie(Schema.encodeEffect(RequestLine)(request)))
      const answer = yield* Effect.mapError(
        Schema.decodeEffect(AnswerLine)(yield* line.receive(controlAnswerBytesMax)),
        () => failed("the answer of the server makes no sense: is it of another version?")
      )
      return answer._tag === "Failed" ? yield* failed(answer.detail) : answer
    },
    Effect.scoped,
    Effect.timeoutOrElse({
      duration: controlMillisecondsMax,
      orElse: () => Effect.fail(failed(`the server did not answer in ${controlMillisecondsMax / 1000} seconds`))
    })
  )
  const another = Effect.fail(failed("the server answered another question: is it of another version?"))
  return Layer.succeed(Control, {
    status: Effect.flatMap(ask({ _tag: "Status" }), (answer) =>
      answer._tag === "Status" ? Effect.succeed(answer.status) : another
    ),
    bans: Effect.flatMap(ask({ _tag: "Bans" }), (answer) =>
      answer._tag === "Bans" ? Effect.succeed(answer.bans) : another
    ),
    lift: (which) =>
      isAskable(which)
        ? Effect.flatMap(ask({ _tag: "Lift", which }), (answer) =>
            answer._tag === "Lifted" ? Effect.succeed(answer.count) : another
          )
        : // So long a name is no ban's.
          Effect.succeed(0)
  })
}

// -----------------------------------------------------------------------------
// Lines
// -----------------------------------------------------------------------------

interface Line {
  /** The first line, without its end, of at most so many bytes. Once for each connection. */
  readonly receive: (bytesMax: number) => Effect.Effect<string, ControlFailed>
  readonly send: (text: string) => Effect.Effect<void, ControlFailed>
}

const lineFeed = 10

const open = Effect.fnUntraced(function* (
  socket: Socket.Socket
): Effect.fn.Return<Line, Socket.SocketError, Scope.Scope> {
  const reader = yield* socket.reader
  const writer = yield* socket.writer
  const lost = () =>
    failed("the connection to the server was closed before it had answered: it may be stopping, or busy")
  return {
    receive: Effect.fnUntraced(function* (bytesMax) {
      const parts: Array<Uint8Array> = []
      let bytes = 0
      while (true) {
        for (const chunk of yield* Effect.mapError(reader.pull, lost)) {
          const part = Bytes.fromChunk(chunk)
          const end = part.indexOf(lineFeed)
          bytes += end === -1 ? part.length : end
          if (bytes > bytesMax) return yield* failed(`a line has more than ${bytesMax} bytes`)
          parts.push(end === -1 ? part : part.subarray(0, end))
          if (end !== -1) return new TextDecoder().decode(Bytes.concat(parts))
        }
      }
    }),
    send: (text) => Effect.mapError(writer.write(`${text}\n`), lost)
  }
})
