/**
 * What a monitoring system sees of a server: its endpoint over real HTTP, and a collector of OTLP in this process.
 */
import { spawnSync } from "node:child_process"
import { once } from "node:events"
import { createServer } from "node:http"
import { connect as dial } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Metric, References } from "effect"
import { FetchHttpClient } from "effect/http"
import { TestClock } from "effect/testing"
import { FileName } from "../../src/domain/file/FileName.ts"
import * as Fixture from "../../src/domain/testing/Fixture.ts"
import { Audit } from "../../src/server/Audit.ts"
import * as Logging from "../../src/server/Logging.ts"
import * as Metrics from "../../src/server/Metrics.ts"
import type { NotReady } from "../../src/server/Readiness.ts"
import * as MonitorNode from "../../src/server/MonitorNode.ts"
import { exporters, monitor } from "../../src/server/ObservabilityNode.ts"
import { connect, layer } from "./world.ts"

const registry = Layer.sync(Metric.MetricRegistry, () => new Map())

/** Runs against an endpoint of its own. */
const asking = (
  use: (
    get: (path: string, method?: string) => Promise<{ status: number; text: string }>,
    port: () => number
  ) => Promise<void>,
  state: { phase: NotReady | undefined; writing: boolean } = { phase: undefined, writing: true }
) => {
  let base = ""
  const audit = Layer.effect(
    Audit,
    Effect.map(Audit, (inner) => Audit.of({ ...inner, writing: Effect.sync(() => state.writing) }))
  ).pipe(Layer.provide(Audit.layerMemory))
  const endpoint = MonitorNode.endpoint(
    { host: "127.0.0.1", port: 0 },
    Effect.sync(() => state.phase),
    (address) =>
      Effect.sync(() => void (base = address._tag === "UnixPathAddress" ? "" : `http://127.0.0.1:${address.port}`))
  )
  return Effect.gen(function* () {
    yield* Metrics.register
    yield* Layer.build(endpoint)
    yield* Effect.promise(() =>
      use(
        async (path, method = "GET") => {
          const response = await fetch(base + path, { method, headers: { connection: "close" } })
          return { status: response.status, text: await response.text() }
        },
        () => Number(new URL(base).port)
      )
    )
  }).pipe(Effect.scoped, Effect.provide(Layer.merge(audit, registry)), Effect.runPromise)
}

describe("the endpoint", () => {
  it("shows the metrics as promtool wants them", () =>
    asking(async (get) => {
      const { status, text } = await get("/metrics")
      assert.strictEqual(status, 200)
      for (const { name } of Metrics.allMetrics) assert.include(text, `# TYPE ${name} `)
      const promtool = spawnSync("promtool", ["check", "metrics"], { input: text, encoding: "utf8" })
      if (promtool.error === undefined) assert.strictEqual(promtool.stdout + promtool.stderr, "")
    }))

  it("says whether the server lives, and whether clients should come", () => {
    const state: { phase: NotReady | undefined; writing: boolean } = { phase: "starting", writing: true }
    return asking(async (get) => {
      assert.deepStrictEqual(await get("/readyz"), { status: 503, text: "starting\n" })
      assert.deepStrictEqual(await get("/healthz"), { status: 200, text: "ok\n" })
      state.phase = undefined
      assert.deepStrictEqual(await get("/readyz"), { status: 200, text: "ok\n" })
      state.writing = false
      assert.deepStrictEqual(await get("/readyz"), { status: 503, text: "audit-failed\n" })
      state.phase = "stopping"
      assert.deepStrictEqual(await get("/readyz"), { status: 503, text: "stopping\n" })
    }, state)
  })

  it("says why it cannot listen, and what to do", () =>
    asking(async (_, port) => {
      const at = { host: "127.0.0.1", port: port() }
      const taken = Layer.build(MonitorNode.endpoint(at, Effect.undefined, () => Effect.void))
      const { message } = await Effect.runPromise(
        Effect.flip(Effect.scoped(taken)).pipe(Effect.provide([Audit.layerMemory, registry]))
      )
      assert.strictEqual(
        message,
        `cannot listen on 127.0.0.1 port ${at.port} for monitoring (the port is taken): take another monitor.address`
      )
    }))

  it("has nothing else, and takes nothing", () =>
    asking(async (get) => {
      for (const path of ["/", "/metrics/x", "/..%2f", "/debug"]) assert.strictEqual((await get(path)).status, 404)
      assert.strictEqual((await get("/x", "POST")).status, 404)
      for (const path of ["/metrics", "/healthz", "/readyz"]) {
        assert.deepStrictEqual(await get(path, "POST"), { status: 405, text: "only GET and HEAD\n" })
        assert.deepStrictEqual(await get(path, "HEAD"), { status: 200, text: "" })
      }
    }))

  it("answers one question on a connection: what nobody reads waits in memory", () =>
    asking(async (get, port) => {
      const socket = dial(port(), "127.0.0.1")
      socket.on("error", () => undefined)
      const closed = new Promise((done) => socket.on("close", done))
      // Many times what the buffers between the two hold of the answers; nothing of them is read.
      socket.write("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(10_000))
      await closed
      assert.strictEqual((await get("/healthz")).status, 200)
    }))

  it(
    "closes a connection on which nothing moves",
    () =>
      asking(async (_, port) => {
        const socket = dial(port(), "127.0.0.1")
        await once(socket, "connect")
        socket.resume()
        await once(socket, "close")
      }),
    20_000
  )

  for (const address of ["0.0.0.0:9464", "192.0.2.1:80", "127.0.0.1", "example.org:1", "[::]:9464"]) {
    it.effect(`does not listen on ${address}`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(Layer.build(monitor({ address }, Effect.undefined)))
        assert.include(error.message, `not '${address}'`)
      }).pipe(Effect.scoped)
    )
  }
})

/** A collector that keeps what it is sent, by path. */
const collector = Effect.acquireRelease(
  Effect.promise(async () => {
    const bodies = new Map<string, string>()
    const server = createServer((request, response) => {
      const parts: Array<string> = []
      request.on("data", (part) => parts.push(String(part)))
      request.on("end", () => {
        const path = request.url ?? ""
        bodies.set(path, (bodies.get(path) ?? "") + parts.join(""))
        response.end("{}")
      })
    })
    server.listen(0, "127.0.0.1")
    await once(server, "listening")
    const address = server.address()
    return {
      bodies,
      server,
      url: `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`
    }
  }),
  ({ server }) =>
    Effect.sync(() => {
      server.closeAllConnections()
      server.close()
    })
)

describe("OTLP", () => {
  const session = Effect.scoped(
    Effect.gen(function* () {
      const { upload } = yield* connect()
      yield* upload(FileName.make("a"), Fixture.source(Fixture.bytes(1, 1000)))
    })
  )

  it("gets spans of connection, login, command and commit, and the metrics", () =>
    Effect.gen(function* () {
      const { bodies, url } = yield* collector
      yield* Metrics.register
      yield* session.pipe(Effect.provide(Layer.provide(layer(), exporters({ otlp: url }))))
      const traces = bodies.get("/v1/traces") ?? ""
      for (const name of ["connection", "login", "upload", "commit"]) assert.include(traces, `"paradrop.${name}"`)
      assert.include(traces, "paradrop-server")
      assert.include(bodies.get("/v1/metrics") ?? "", "paradrop_commands_total")
    }).pipe(Effect.scoped, Effect.provide(registry), Effect.runPromise))

  it.effect("says what a collector has refused as an event of the log", () =>
    Effect.gen(function* () {
      const lines: Array<string> = []
      const refusing: typeof fetch = () => Promise.resolve(new Response("", { status: 500 }))
      const logging = Logging.layer({ terminal: false, colours: false, write: (text) => void lines.push(text) })
      yield* Effect.gen(function* () {
        while (lines.length === 0) {
          yield* TestClock.adjust("1 second")
          yield* Effect.yieldNow
        }
      }).pipe(
        Effect.provide(exporters({ otlp: "http://127.0.0.1:1" })),
        Effect.provide(logging),
        Effect.provideService(FetchHttpClient.Fetch, refusing),
        Effect.provideService(Logging.Level, { level: "debug" })
      )
      const { event, level } = JSON.parse(String(lines[0]))
      assert.deepStrictEqual({ event, level }, { event: "otlp-failed", level: "debug" })
    }).pipe(Effect.provide(registry))
  )

  it.effect("is off when no setting names a collector, and a URL is wanted", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Layer.build(exporters({ otlp: "collector" })))
      assert.include(error.message, "http://127.0.0.1:4318")
      assert.isTrue(yield* References.TracerEnabled)
      assert.isFalse(yield* Effect.provide(References.TracerEnabled, exporters({})))
    }).pipe(Effect.scoped)
  )
})
