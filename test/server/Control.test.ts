/**
 * What an administrator asks of a server: every layer by one contract, the socket also by those who misuse it.
 */
import { once } from "node:events"
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs"
import { connect as dial, createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { spawnSync } from "node:child_process"
import { text } from "node:stream/consumers"
import { setImmediate as immediately } from "node:timers/promises"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Scope } from "effect"
import type { Socket } from "effect/socket"
import { TestClock } from "effect/testing"
import { Opaque } from "../../src/domain/channel/Opaque.ts"
import * as limits from "../../src/domain/limits.ts"
import { Accounts, AccountsFailed } from "../../src/domain/session/Accounts.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import * as MemorySocket from "../../src/domain/testing/MemorySocket.ts"
import { Audit } from "../../src/server/Audit.ts"
import { Control } from "../../src/server/Control.ts"
import * as ControlNode from "../../src/server/ControlNode.ts"
import * as ControlSocket from "../../src/server/ControlSocket.ts"
import { LoginGuard } from "../../src/server/LoginGuard.ts"
import type { NotReady } from "../../src/server/Readiness.ts"
import * as Peer from "../../src/server/Peer.ts"
import { ServerStatus } from "../../src/server/ServerStatus.ts"
import { controlContract } from "../../src/server/testing/controlContract.ts"
import { connect, layer, settle } from "./world.ts"

const parts = Layer.mergeAll(
  LoginGuard.layer,
  ServerStatus.layer,
  Layer.orDie(Layer.provide(Fixture.accounts, Opaque.layerQuick))
)
const inProcess = (phase?: NotReady) => Layer.provideMerge(Control.layer(Effect.succeed(phase)), parts)

const overMemory = Layer.unwrap(
  Effect.map(MemorySocket.MemoryNetwork, ({ dial }) => ControlSocket.layer(dial, () => "nobody listens"))
).pipe(
  Layer.provide(Layer.provide(Layer.effectDiscard(ControlSocket.serve), inProcess())),
  Layer.provideMerge(Layer.merge(parts, MemorySocket.layer))
)

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "paradrop-control-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true }))
)

const listening = (state: string) => Layer.provide(ControlNode.listen(state), inProcess())

const overUnix = Layer.unwrap(
  Effect.map(folder, (state) => Layer.provide(ControlNode.layer(state), listening(state)))
).pipe(Layer.provideMerge(Layer.merge(parts, NodeServices.layer)))

describe("contract", () => {
  for (const { effect, name } of controlContract) {
    it.effect(`in the process: ${name}`, () => Effect.provide(effect, inProcess()))
    it.effect(`over a socket in memory: ${name}`, () => Effect.provide(effect, overMemory))
    it.effect(`over a Unix socket: ${name}`, () => Effect.provide(effect, Layer.orDie(overUnix)))
  }
})

const status = Effect.flatMap(Control, (control) => control.status)

describe("readiness", () => {
  it.effect("says what the server is about", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* status).notReady, "stopping")
    }).pipe(Effect.provide(inProcess("stopping")))
  )

  const failing = Layer.effect(
    Audit,
    Effect.map(Audit, (inner) => Audit.of({ ...inner, writing: Effect.succeed(false) }))
  ).pipe(Layer.provide(Audit.layerMemory))

  it.effect("says that commands are refused while the audit log cannot be written", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* status).notReady, "audit-failed")
    }).pipe(Effect.provide(Layer.provide(inProcess(), failing)))
  )
})

describe("accounts that cannot be read", () => {
  const damaged = new AccountsFailed({ detail: "damaged" })
  const unread = Layer.effect(
    Accounts,
    Effect.map(Accounts, (inner) => Accounts.of({ ...inner, list: Effect.fail(damaged), grants: Effect.fail(damaged) }))
  ).pipe(Layer.provide(Layer.orDie(Layer.provide(Fixture.accounts, Opaque.layerQuick))))
  const asked = Control.layer(Effect.undefined).pipe(
    Layer.provideMerge(Layer.mergeAll(LoginGuard.layer, ServerStatus.layer, unread))
  )

  it.effect("keep nobody from asking: each name of a ban is a hash then, by which it is lifted", () =>
    Effect.gen(function* () {
      const guard = yield* LoginGuard
      for (let tries = 0; tries <= limits.attemptsPerUserAndAddressMax; tries++) {
        yield* Effect.ignore(guard.attempt("ada", Peer.fromAddress("192.0.2.7")))
      }
      const { bans, lift, status } = yield* Control
      const [ban] = (yield* bans).bans
      assert.match(ban?.user ?? "", /^unknown:[0-9a-f]{16}$/)
      assert.deepStrictEqual((yield* status).bans, (yield* bans).bans)
      assert.strictEqual(yield* lift({ user: ban?.user ?? "" }), 1)
    }).pipe(Effect.provide(asked))
  )
})

describe("beside a server", () => {
  const address = "192.0.2.7"
  // As the executable puts them together: the guard and the status of the server are made once.
  const beside = Control.layer(Effect.undefined).pipe(
    Layer.provide([LoginGuard.layer, ServerStatus.layer]),
    Layer.provide(Layer.orDie(Fixture.accounts)),
    Layer.provide(Opaque.layerQuick)
  )

  it.effect("shows its sessions and bans, and lets somebody in again", () =>
    Effect.gen(function* () {
      const control = yield* Control
      yield* connect()
      const guess = Effect.scoped(connect({ ...Fixture.grace, password: Fixture.ada.password }))
      for (let attempt = 0; attempt < limits.attemptsPerUserAndAddressMax; attempt++) {
        assert.strictEqual((yield* Effect.flip(guess))._tag, "LoginIncorrect")
      }
      yield* settle
      const { bans, sessions } = yield* control.status
      assert.deepStrictEqual(
        sessions.map(({ peer, user }) => [user, peer]),
        [["ada", address]]
      )
      const retryAfterMilliseconds = limits.attemptPerUserAndAddressMilliseconds
      assert.deepStrictEqual(bans, [{ user: "grace", address, loopback: false, retryAfterMilliseconds }])
      assert.strictEqual(yield* control.lift({ user: "grace", address }), 1)
      yield* Effect.scoped(connect(Fixture.grace))
    }).pipe(
      Effect.scoped,
      Effect.provide(Layer.merge(layer(), beside)),
      Effect.provideService(Peer.PeerAddress, Effect.succeed(address))
    )
  )
})

const decode = (chunks: ReadonlyArray<Uint8Array | string>) =>
  chunks.map((chunk) => (typeof chunk === "string" ? chunk : new TextDecoder().decode(chunk))).join("")

/** A connection to the server in memory, and what comes on it: text, or "closed". */
const raw = Effect.gen(function* () {
  const socket = yield* Effect.flatMap(MemorySocket.MemoryNetwork, ({ dial }) => dial)
  const { pull } = yield* socket.reader
  const { write } = yield* socket.writer
  return {
    write,
    read: pull.pipe(
      Effect.map(decode),
      Effect.catch(() => Effect.succeed("closed"))
    )
  }
})

const misuse = <E>(name: string, body: Effect.Effect<void, E, Control | MemorySocket.MemoryNetwork | Scope.Scope>) =>
  it.effect(name, () => Effect.provide(Effect.scoped(body), overMemory))

describe("the server's socket", () => {
  const unknown = "the server does not know this question: is it of another version?"
  for (const line of ["{}", "nonsense", `{"_tag":"Stop"}`, `{"_tag":"Lift","which":{"user":7}}`, "\u0000\ufffd"]) {
    misuse(
      `refuses ${JSON.stringify(line)}, and hears the next one`,
      Effect.gen(function* () {
        const { read, write } = yield* raw
        yield* write(`${line}\n`)
        assert.strictEqual(yield* read, `${JSON.stringify({ _tag: "Failed", detail: unknown })}\n`)
        assert.strictEqual(yield* read, "closed")
        assert.strictEqual((yield* status).time, 0)
      })
    )
  }

  misuse(
    "takes a question of the greatest length, in pieces, and none that is longer",
    Effect.gen(function* () {
      for (const [extra, found] of [
        [0, /^\{"_tag":"Bans"/],
        [1, /a line has more than 4096 bytes/]
      ] as const) {
        const { read, write } = yield* raw
        yield* write(`{"_tag":`)
        yield* settle
        yield* write(`"Bans"}`.padEnd(limits.controlRequestBytesMax - 8 + extra) + "\n")
        assert.match(yield* read, found)
      }
    })
  )

  misuse(
    "takes a name of the greatest length, and none that is longer",
    Effect.gen(function* () {
      const { lift } = yield* Control
      assert.strictEqual(yield* lift({ user: "x".repeat(limits.controlTextCharactersMax) }), 0)
      const { read, write } = yield* raw
      const user = "x".repeat(limits.controlTextCharactersMax + 1)
      yield* write(`${JSON.stringify({ _tag: "Lift", which: { user } })}\n`)
      assert.include(yield* read, unknown)
    })
  )

  misuse(
    "closes a connection that asks nothing in time",
    Effect.gen(function* () {
      const { read, write } = yield* raw
      yield* write("{")
      const end = yield* Effect.forkChild(read)
      yield* settle
      yield* TestClock.adjust(limits.controlMillisecondsMax - 1)
      assert.isUndefined(end.pollUnsafe())
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* Fiber.join(end), "closed")
    })
  )

  misuse(
    "closes one connection too many at once, and serves again when one has gone",
    Effect.gen(function* () {
      yield* Effect.scoped(
        Effect.gen(function* () {
          for (let index = 0; index < limits.controlConnectionsMax; index++) yield* raw
          yield* settle
          const refused = yield* raw
          yield* settle
          assert.strictEqual(yield* refused.read, "closed")
          const error = yield* Effect.flip(status)
          assert.match(error.message, /closed before it had answered/)
        })
      )
      yield* settle
      assert.strictEqual((yield* status).time, 0)
    })
  )
})

/** Asks a server that says that. */
const toldBy = (answer: (writer: Socket.Writer) => Effect.Effect<unknown, Socket.SocketError>) =>
  Effect.gen(function* () {
    const [near, far] = yield* MemorySocket.pair
    yield* Effect.forkChild(
      Effect.scoped(
        Effect.gen(function* () {
          const { pull } = yield* far.reader
          const writer = yield* far.writer
          yield* pull
          yield* answer(writer)
        })
      )
    )
    return yield* Effect.flip(
      Effect.provide(
        status,
        ControlSocket.layer(Effect.succeed(near), () => "")
      )
    )
  })

describe("who asks", () => {
  it.effect("says what is wrong with an answer", () =>
    Effect.gen(function* () {
      const told = (text: string) =>
        Effect.map(
          toldBy((writer) => writer.write(`${text}\n`)),
          ({ message }) => message
        )
      assert.match(yield* told("{}"), /makes no sense/)
      assert.match(yield* told(`{"_tag":"Lifted","count":1}`), /answered another question/)
      assert.strictEqual(yield* told(`{"_tag":"Failed","detail":"why"}`), "why")
      assert.match(yield* told(""), /makes no sense/)
    })
  )

  it.effect("takes no answer beyond the limit, and waits for none for ever", () =>
    Effect.gen(function* () {
      const flood = yield* toldBy((writer) => Effect.forever(writer.write(new Uint8Array(65_536).fill(32))))
      assert.strictEqual(flood.message, `a line has more than ${limits.controlAnswerBytesMax} bytes`)
      const silence = yield* Effect.forkChild(toldBy(() => Effect.never))
      yield* settle
      yield* TestClock.adjust(limits.controlMillisecondsMax)
      assert.strictEqual((yield* Fiber.join(silence)).message, "the server did not answer in 5 seconds")
    })
  )
})

const idle = {
  state: "idle",
  peer: "192.0.2.1",
  since: 0,
  user: "ada",
  received: 0,
  sent: 0,
  receivedPerSecond: 0,
  sentPerSecond: 0
} as const

const mode = (path: string) => statSync(path).mode & 0o777

/** What listening in that folder comes to. */
const listen = (state: string) =>
  Layer.build(listening(state)).pipe(
    Effect.as("listens"),
    Effect.catch(({ message }) => Effect.succeed(message))
  )

const onDisk = (
  name: string,
  body: (state: string) => Effect.Effect<void, unknown, NodeServices.NodeServices | Scope.Scope>
) => it.live(name, () => Effect.flatMap(folder, body).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

const asks = (state: string) =>
  Effect.provide(status, ControlNode.layer(state)).pipe(
    Effect.as("answered"),
    Effect.catch(({ message }) => Effect.succeed(message))
  )

describe("the Unix socket", () => {
  onDisk("is for its owner alone, whatever the modes of the folders, and goes with the server", (state) =>
    Effect.gen(function* () {
      mkdirSync(join(state, "control"))
      chmodSync(join(state, "control"), 0o777)
      yield* Effect.scoped(
        Effect.gen(function* () {
          assert.strictEqual(yield* listen(state), "listens")
          assert.strictEqual(mode(join(state, "control")), 0o700)
          assert.strictEqual(mode(join(state, "control", "socket")), 0o600)
          assert.strictEqual(yield* asks(state), "answered")
        })
      )
      assert.isFalse(existsSync(join(state, "control", "socket")))
      assert.match(yield* asks(state), /^no server runs on the state folder '/)
    })
  )

  onDisk("keeps no server from stopping whose answer nobody reads", (state) =>
    Effect.gen(function* () {
      const status = yield* ServerStatus
      // More than the kernel takes.
      const client = "c".repeat(limits.controlListBytesMax / 2)
      yield* status.attend(() => ({ ...idle, client }))
      const scope = yield* Scope.make()
      yield* Layer.buildWithScope(
        ControlNode.listen(state).pipe(
          Layer.provide(Control.layer(Effect.undefined)),
          Layer.provide([LoginGuard.layer, Layer.orDie(Layer.provide(Fixture.accounts, Opaque.layerQuick))])
        ),
        scope
      )
      const stopped = dial(join(state, "control", "socket"))
      yield* Effect.addFinalizer(() => Effect.sync(() => stopped.destroy()))
      stopped.write(`{"_tag":"Status"}\n`)
      yield* Effect.promise(() => once(stopped, "readable"))
      yield* Scope.close(scope, Exit.void)
    }).pipe(Effect.provide(ServerStatus.layer))
  )

  onDisk("answers who has ended the own direction behind the question, however long that takes", (state) =>
    Effect.gen(function* () {
      // What is asked of the disk takes turns of the event loop, in which the end of the question comes.
      const turn = Effect.promise(() => immediately())
      const slow = Control.layer(Effect.as(Effect.repeat(turn, { times: 100 }), undefined))
      yield* Layer.build(Layer.provide(ControlNode.listen(state), Layer.provide(slow, parts)))
      const answerTo = (question: string) =>
        Effect.promise(() => text(dial(join(state, "control", "socket")).end(question)))
      assert.match(yield* answerTo(`{"_tag":"Status"}\n`), /^\{"_tag":"Status",.*\}\n$/)
      assert.match(yield* answerTo(`{"_tag":"Status"}`), /^\{"_tag":"Failed","detail":"the connection .*\}\n$/)
    })
  )

  onDisk("takes the place of one that a killed server has left", (state) =>
    Effect.gen(function* () {
      const path = join(state, "control", "socket")
      mkdirSync(join(state, "control"))
      const script =
        'require("node:net").createServer().listen(process.argv[1], () => process.kill(process.pid, "SIGKILL"))'
      spawnSync(process.execPath, ["-e", script, path])
      assert.isTrue(statSync(path).isSocket())
      assert.match(yield* asks(state), /^no server runs on the state folder '/)
      assert.strictEqual(yield* listen(state), "listens")
      assert.strictEqual(yield* asks(state), "answered")
    })
  )

  onDisk("leaves alone what is no socket", (state) =>
    Effect.gen(function* () {
      mkdirSync(join(state, "control"))
      writeFileSync(join(state, "control", "socket"), "kept")
      assert.match(
        yield* listen(state),
        /^cannot listen on '.*socket' \(another program listens there\): see what is there/
      )
      assert.isTrue(statSync(join(state, "control", "socket")).isFile())
      assert.match(yield* asks(state), /cannot be asked|no server runs/)
    })
  )

  onDisk("has a path of at most so many bytes", (state) =>
    Effect.gen(function* () {
      const long = join(state, "x".repeat(limits.controlPathBytesMax - state.length - "//control/socket".length))
      assert.strictEqual(yield* listen(long), "listens")
      assert.strictEqual(yield* asks(long), "answered")
      assert.match(yield* listen(`${long}x`), /is too long for a socket \(103 bytes\): take a shorter --state/)
      assert.match(yield* asks(`${long}x`), /is too long for a socket/)
    })
  )

  onDisk("is told from the socket of another program", (state) =>
    Effect.gen(function* () {
      mkdirSync(join(state, "control"))
      const other = createServer((socket) => socket.resume().end("220 hello\n"))
      yield* Effect.acquireRelease(
        Effect.promise(() => once(other.listen(join(state, "control", "socket")), "listening")),
        () => Effect.promise(() => new Promise<void>((resolve) => other.close(() => resolve())))
      )
      assert.match(yield* asks(state), /makes no sense/)
    })
  )
})
