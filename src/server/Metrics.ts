/**
 * What the server measures: a closed list, each with labels of closed vocabularies, so that nobody from outside decides
 * how many series there are. In Effect's own registry, from which `/metrics` and OTLP read.
 *
 * `docs/OPERATIONS.md` lists them; a test compares the two.
 */
import { Effect, Metric } from "effect"
import { RefusalReason } from "../domain/wire/Refusal.ts"
import { commandNames } from "./CommandWatch.ts"
import { endReasonNames } from "./EndReason.ts"

type Labels = Readonly<Record<string, ReadonlyArray<string>>>
type Values<L extends Labels> = { readonly [Name in keyof L]: L[Name][number] }

/** What a metric is. */
export interface Definition {
  readonly name: string
  readonly type: "counter" | "gauge" | "histogram"
  readonly labels: ReadonlyArray<string>
  readonly meaning: string
}

const definitions: Array<Definition> = []
const series: Array<Effect.Effect<unknown>> = []

/** All combinations of the labels' values. */
const combinations = (labels: Labels): ReadonlyArray<Readonly<Record<string, string>>> =>
  Object.entries(labels).reduce<ReadonlyArray<Readonly<Record<string, string>>>>(
    (all, [name, values]) => all.flatMap((one) => values.map((value) => ({ ...one, [name]: value }))),
    [{}]
  )

const keyOf = (values: Readonly<Record<string, string>>): string =>
  Object.keys(values)
    .toSorted()
    .map((name) => values[name])
    .join(" ")

/** One metric: a series for each combination, all of them there from the start. */
const family = <L extends Labels>(
  definition: Omit<Definition, "labels">,
  labels: L,
  make: (
    name: string,
    options: { readonly description: string; readonly attributes: Metric.Metric.Attributes }
  ) => Metric.Counter<number> | Metric.Gauge<number> | Metric.Histogram<number>
) => {
  const { meaning, name } = definition
  definitions.push({ ...definition, labels: Object.keys(labels) })
  const keys = Object.keys(labels)
  const all = new Map(
    combinations(labels).map((attributes) => [keyOf(attributes), make(name, { description: meaning, attributes })])
  )
  for (const one of all.values()) series.push(Metric.value<number, unknown>(one))
  return (values: Values<L>, change: (metric: Metric.Metric<number, unknown>) => Effect.Effect<void>) => {
    // Those of bytes are told of every record.
    const one = all.get(keys.length === 0 ? "" : keyOf(values))
    return one === undefined ? Effect.void : change(one)
  }
}

const counter = <const L extends Labels>(name: string, labels: L, meaning: string) => {
  const at = family({ name, type: "counter", meaning }, labels, (name, options) =>
    Metric.counter(name, { ...options, incremental: true })
  )
  return (values: Values<L>, by = 1): Effect.Effect<void> => at(values, (metric) => Metric.update(metric, by))
}

const gauge = <const L extends Labels>(name: string, labels: L, meaning: string) => {
  const at = family({ name, type: "gauge", meaning }, labels, (name, options) => Metric.gauge(name, options))
  return {
    change: (values: Values<L>, by: number): Effect.Effect<void> =>
      by === 0 ? Effect.void : at(values, (metric) => Metric.modify(metric, by)),
    set: (values: Values<L>, to: number): Effect.Effect<void> => at(values, (metric) => Metric.update(metric, to))
  }
}

const histogram = (name: string, boundaries: ReadonlyArray<number>, meaning: string) => {
  const at = family({ name, type: "histogram", meaning }, {}, (name, options) =>
    Metric.histogram(name, { ...options, boundaries })
  )
  return (value: number): Effect.Effect<void> => at({}, (metric) => Metric.update(metric, value))
}

/** Counts connections, at their end. */
export const connectionEnded = counter(
  "paradrop_connections_total",
  { outcome: endReasonNames },
  "connections that have ended, by why"
)

/** Counts logins, at their end. */
export const loginEnded = counter(
  "paradrop_logins_total",
  { outcome: ["done", "failed", "limited"] },
  "logins, by what came of them: the guard refused those that are limited"
)

/** Counts bans, when they begin. */
export const banBegun = counter(
  "paradrop_bans_total",
  { of: ["user-at-address", "address", "user"] },
  "bans of the guard that have begun, by whom they keep from logging in"
)

/** Bytes of plaintext. */
export const bytesReceived = counter("paradrop_received_bytes_total", {}, "bytes received after login")

/** Bytes of plaintext. */
export const bytesSent = counter("paradrop_sent_bytes_total", {}, "bytes sent after login")

/** Counts commands, at their end. */
export const commandEnded = counter(
  "paradrop_commands_total",
  { command: commandNames, outcome: ["done", "refused", "interrupted"] },
  "commands that have ended, by what came of them"
)

/** Counts refusals. */
export const commandRefused = counter(
  "paradrop_refusals_total",
  { reason: RefusalReason.literals },
  "commands that were refused, by why"
)

/** Connections that there are now. */
export const sessions = gauge(
  "paradrop_sessions",
  { state: ["before-login", "logged-in"] },
  "connections now, before and after login"
)

/** Commands that there are now. */
export const commandsOpen = gauge("paradrop_commands_open", {}, "commands that have begun or wait for their turn")

/** Declared bytes, not those that have come. */
export const stagingBytes = gauge("paradrop_staging_bytes", {}, "bytes that the uploads under way will have")

/** Observes one commit, in seconds. */
export const commitSeconds = histogram(
  "paradrop_commit_seconds",
  [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
  "time to commit a file, or several small ones together, fsync included"
)

/** Records that are not on disk yet. */
export const auditWaiting = gauge("paradrop_audit_waiting", {}, "records that wait to be written to the audit log")

/** 0 or 1. */
export const auditFailing = gauge("paradrop_audit_failing", {}, "1 while the audit log cannot be written, otherwise 0")

/** Counts records that are in no file. */
export const auditLost = counter("paradrop_audit_lost_total", {}, "records that the audit log has lost while it failed")

/** Every metric that there is. */
export const allMetrics: ReadonlyArray<Definition> = definitions

/** Makes every series exist, at zero: a rate needs a start. */
export const register: Effect.Effect<void> = Effect.suspend(() =>
  Effect.forEach(series, (one) => one, { discard: true })
)
