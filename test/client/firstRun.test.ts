/**
 * What a person meets whose first try fails: each way in one line that says what happened and what to do.
 */
import { quickCrypto } from "../crypto.ts"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, type Scope } from "effect"
import { Socket } from "effect/socket"
import { TestClock } from "effect/testing"
import * as CauseChain from "../../src/client/CauseChain.ts"
import * as Client from "../../src/client/Client.ts"
import * as Reporter from "../../src/client/Reporter.ts"
import * as ReporterText from "../../src/client/ReporterText.ts"
import * as ReporterVerbose from "../../src/client/ReporterVerbose.ts"
import { Screen } from "../../src/client/Screen.ts"
import * as SecureChannel from "../../src/domain/channel/SecureChannel.ts"
import * as Transport from "../../src/domain/channel/Transport.ts"
import { causesShownMax, dialMillisecondsMax, handshakeMillisecondsMax } from "../../src/domain/limits.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import { pair } from "../../src/domain/testing/MemorySocket.ts"
import { settle } from "../server/world.ts"
import * as Bytes from "../../src/domain/Bytes.ts"

const connect = (dial: Effect.Effect<Socket.Socket>) =>
  Client.connect({ server: "files.example:8080", dial, ...Fixture.ada })

/** How a try fails, after so much time. */
const failing = Effect.fnUntraced(function* (dial: Effect.Effect<Socket.Socket>, milliseconds = 0) {
  const fiber = yield* Effect.forkChild(Effect.flip(connect(dial)))
  // The first try has ended when the time is over.
  if (milliseconds > 0) yield* Effect.andThen(settle, TestClock.adjust(milliseconds))
  return yield* Fiber.join(fiber)
})

const patience = dialMillisecondsMax + handshakeMillisecondsMax

/** A socket that the system refuses to open. */
const refusing = (code: string): Socket.Socket => {
  const cause = Object.assign(new Error(`connect ${code} 192.0.2.1:8080`), { code })
  const refused = Effect.fail(
    new Socket.SocketError({ reason: new Socket.SocketOpenError({ kind: "Unknown", cause }) })
  )
  return Socket.make({ reader: refused, writer: Effect.never })
}

/** A fresh socket for each try; at its other end is whoever the script makes of it. */
const answering = <E, R>(script: (socket: Socket.Socket) => Effect.Effect<unknown, E, R | Scope.Scope>) =>
  Effect.gen(function* () {
    const context = yield* Effect.context<Exclude<R, Scope.Scope>>()
    const scope = yield* Effect.scope
    return Effect.flatMap(pair, ([near, far]) =>
      script(far).pipe(
        Effect.scoped,
        Effect.ignore,
        Effect.provideContext(context),
        Effect.forkIn(scope),
        Effect.as(near)
      )
    )
  })

/** Says these bytes to whatever comes, and closes. */
const saying = (text: string) =>
  answering((socket) =>
    Effect.gen(function* () {
      const transport = yield* Transport.open(socket)
      yield* transport.take(1)
      if (text !== "") yield* transport.write([Bytes.fromUtf8(text)])
      yield* transport.finish
    })
  )

describe("the first try", () => {
  for (const [what, code, text] of [
    [
      "nobody listens",
      "ECONNREFUSED",
      "nothing listens at files.example:8080: start the server, or check host and port"
    ],
    ["the name is unknown", "ENOTFOUND", "the host of files.example:8080 has no address: check its spelling"],
    ["no name server answers", "EAI_AGAIN", "the host of files.example:8080 has no address: check its spelling"],
    ["the system gives up", "ETIMEDOUT", "files.example:8080 did not answer in time: check host, port and firewall"],
    ["there is no way", "EHOSTUNREACH", "files.example:8080 cannot be reached: check the network"]
  ] as const) {
    it.effect(`${what} (${code})`, () =>
      Effect.gen(function* () {
        const error = yield* failing(Effect.succeed(refusing(code)))
        assert.strictEqual(error.message, `${text} (${code})`)
        assert.deepStrictEqual(CauseChain.lines(error), [
          "  caused by SocketError: An error occurred during Open\n",
          `  caused by Error: connect ${code} 192.0.2.1:8080\n`
        ])
      }).pipe(Effect.scoped, Effect.provide(quickCrypto))
    )
  }

  const suite = "\u0001"
  const otherVersion =
    "the server at files.example:8080 speaks another version of the protocol: " +
    "update the older of the two (other-version)"
  for (const [what, says, text] of [
    [
      "another program answers",
      "HTTP/1.1 400 Bad Request\r\n\r\n",
      "what listens at files.example:8080 is no paradrop server: check host and port (bad-hello)"
    ],
    ["a server of another version answers", `pd/2${suite}`, otherVersion],
    ["a server with another suite answers", "pd/1\u0002", otherVersion],
    [
      "whoever is there closes without a word",
      "",
      "files.example:8080 closed the connection before the login was over: it is full, or no paradrop server; " +
        "try again later (truncated)"
    ]
  ] as const) {
    it.effect(what, () =>
      Effect.gen(function* () {
        const error = yield* failing(yield* saying(says), says === "" ? patience : 0)
        assert.strictEqual(error.message, text)
        assert.lengthOf(CauseChain.lines(error), 1)
      }).pipe(Effect.scoped, Effect.provide(quickCrypto))
    )
  }

  it.effect("whoever is there says nothing", () =>
    Effect.gen(function* () {
      const silent = yield* answering((socket) => Effect.andThen(Transport.open(socket), Effect.never))
      const { message } = yield* failing(silent, patience)
      assert.strictEqual(
        message,
        "files.example:8080 did not answer in time: check host, port and firewall (ETIMEDOUT)"
      )
    }).pipe(Effect.scoped, Effect.provide(quickCrypto))
  )

  it.effect("a client of another version is told the server's, and nobody else is", () =>
    Effect.gen(function* () {
      const told = Effect.fnUntraced(function* (hello: string) {
        const [near, far] = yield* pair
        const server = yield* Effect.forkScoped(
          Effect.flip(
            Effect.scoped(Effect.flatMap(Transport.open(far), (transport) => SecureChannel.accept(transport)))
          )
        )
        const transport = yield* Transport.open(near)
        yield* transport.write([Bytes.fromUtf8(hello)])
        const heard = yield* Effect.result(transport.take(5))
        const error = yield* Fiber.join(server)
        return [heard._tag === "Success" ? String.fromCharCode(...Bytes.concat(heard.success)) : "", error.message]
      })
      assert.deepStrictEqual(yield* told("pd/9\u0001"), [
        `pd/1${suite}`,
        "the other end speaks another version of this protocol: update the older of the two"
      ])
      assert.deepStrictEqual(yield* told("GET /"), [
        "",
        "the other end does not speak this protocol: check host and port"
      ])
    }).pipe(Effect.scoped, Effect.provide(quickCrypto))
  )
})

describe("what stands behind an error", () => {
  it("is told from the nearest on, each address of a host, and never raw", () => {
    const far = new AggregateError([new Error("::1 \u001b[31m"), new Error("127.0.0.1\nnext")], "")
    const error = new Error("said already", { cause: new TypeError("near", { cause: far }) })
    assert.deepStrictEqual(CauseChain.lines(error), [
      "  caused by TypeError: near\n",
      "  caused by AggregateError\n",
      "  caused by Error: ::1 \\x1b[31m\n",
      "  caused by Error: 127.0.0.1\\x0anext\n"
    ])
    assert.deepStrictEqual(CauseChain.lines(new Error("alone")), [])
  })

  it("ends, also when it goes round", () => {
    const error = new Error("round")
    error.cause = error
    assert.lengthOf(CauseChain.lines(error), causesShownMax)
  })

  it("shows no value that is not an error's text", () => {
    assert.deepStrictEqual(CauseChain.lines(new Error("a", { cause: { password: "secret" } })), [
      "  caused by object\n"
    ])
  })

  it.effect("is added to what is said of a failure", () =>
    Effect.gen(function* () {
      const written = { out: "", err: "" }
      const error = Object.assign(new Error("outer", { cause: new Error("inner") }), { _tag: "Outer" })
      const layer = ReporterVerbose.layer(ReporterText.layer("paradrop: "))
      yield* Effect.flatMap(Reporter.Reporter, (reporter) => reporter.failed({ error })).pipe(
        Effect.provide(layer.pipe(Layer.provide(Screen.layerMemory({ written }))))
      )
      assert.deepStrictEqual(written, { out: "", err: "paradrop: outer\n  caused by Error: inner\n" })
    })
  )
})
