/**
 * The monitoring endpoint and the OTLP exporters on Node. Loaded when a setting asks for one: HTTP costs memory.
 */
import { createServer } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Effect, Layer, References } from "effect"
import { FetchHttpClient, HttpServer } from "effect/http"
import type { NetAddress } from "effect/net"
import { OtlpMetrics, OtlpSerialization, OtlpTracer } from "effect/observability"
import { monitorConnectionsMax, monitorHeadersMillisecondsMax } from "../domain/limits.ts"
import { systemCodeOf, systemWords } from "../domain/SystemCode.ts"
import type { LogEvent } from "./LogEvent.ts"
import * as Monitor from "./Monitor.ts"
import type { NotReady } from "./Readiness.ts"
import { ObservabilityFailed } from "./ObservabilityFailed.ts"

const bounded = () => {
  const server = createServer({
    headersTimeout: monitorHeadersMillisecondsMax,
    requestTimeout: monitorHeadersMillisecondsMax
  })
  server.maxConnections = monitorConnectionsMax
  // Answers that nobody reads wait in memory: one for each connection, which ends with the next question.
  server.maxRequestsPerSocket = 1
  server.on("dropRequest", (_, socket) => socket.destroy())
  // Who reads nothing does not keep its place.
  server.timeout = monitorHeadersMillisecondsMax
  return server
}

/** Listens and answers until the scope closes; `listening` is told where. */
export const endpoint = (
  at: { readonly host: string; readonly port: number },
  phase: Effect.Effect<NotReady | undefined>,
  listening: (address: NetAddress.SocketAddress) => Effect.Effect<void>
): Layer.Layer<never, ObservabilityFailed> =>
  Layer.merge(
    Monitor.layer(phase),
    Layer.effectDiscard(HttpServer.HttpServer.use(({ address }) => listening(address)))
  ).pipe(
    Layer.provide(NodeHttpServer.layerServer(bounded, { ...at, gracefulShutdownTimeout: 0 })),
    Layer.catch(({ cause }) => {
      const code = systemCodeOf(cause)
      const why = code === "EADDRINUSE" ? "the port is taken" : systemWords(code)
      const detail = `cannot listen on ${at.host} port ${at.port} for monitoring (${why}): take another monitor.address`
      return Layer.effectDiscard(Effect.fail(new ObservabilityFailed({ detail })))
    })
  )

const resource = { serviceName: "paradrop-server" }

/**
 * Sends traces and metrics to an OTLP collector, as JSON over HTTP; what it does not take is dropped.
 *
 * @param baseUrl where its `/v1/traces` and `/v1/metrics` are
 */
export const otlp = (baseUrl: string): Layer.Layer<never> => {
  const base = baseUrl.replace(/\/$/, "")
  return Layer.merge(
    OtlpTracer.layer({ url: `${base}/v1/traces`, resource }),
    OtlpMetrics.layer({ url: `${base}/v1/metrics`, resource })
  ).pipe(
    Layer.provide([
      OtlpSerialization.layerJson,
      FetchHttpClient.layer,
      // What the exporters log is theirs: it is a line of ours by its event.
      Layer.succeed(References.CurrentLogAnnotations, { event: "otlp-failed" satisfies LogEvent })
    ])
  )
}
