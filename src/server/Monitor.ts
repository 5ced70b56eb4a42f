/**
 * What a monitoring system asks for over HTTP: `/metrics`, `/healthz` and `/readyz`, and nothing else.
 */
import { Effect, Layer } from "effect"
import { HttpRouter, type HttpServer, HttpServerResponse } from "effect/http"
import { PrometheusMetrics } from "effect/observability"
import { Audit } from "./Audit.ts"
import * as Readiness from "./Readiness.ts"

/**
 * Answers until the scope closes: healthy as long as the process answers, ready as `phase` and the audit log say.
 *
 * @param phase what the server itself is about, undefined while it serves
 */
export const layer = (
  phase: Effect.Effect<Readiness.NotReady | undefined>
): Layer.Layer<never, never, HttpServer.HttpServer> => {
  const notReady = Effect.flatMap(Effect.serviceOption(Audit), (audit) => Readiness.notReady(audit, phase))
  const routes = Layer.mergeAll(
    onlyRead,
    PrometheusMetrics.layerHttp(),
    HttpRouter.add("GET", "/healthz", HttpServerResponse.text("ok\n")),
    HttpRouter.add(
      "GET",
      "/readyz",
      Effect.map(notReady, (reason) =>
        reason === undefined
          ? HttpServerResponse.text("ok\n")
          : HttpServerResponse.text(`${reason}\n`, { status: unavailable })
      )
    )
  )
  return HttpRouter.serve(routes, { disableLogger: true, disableListenLog: true })
}

const unavailable = 503
const methodNotAllowed = 405

/** What is there and only read says so: 404 would send people looking for the path. */
const onlyRead = HttpRouter.addAll(
  ["metrics", "healthz", "readyz"].flatMap((path) =>
    (["POST", "PUT", "PATCH", "DELETE", "OPTIONS"] as const).map((method) =>
      HttpRouter.route(
        method,
        `/${path}`,
        HttpServerResponse.text("only GET and HEAD\n", { status: methodNotAllowed, headers: { allow: "GET, HEAD" } })
      )
    )
  )
)
