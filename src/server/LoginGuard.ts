/**
 * Slows down guessing: token buckets for a user at an address, an address, and a user, equal for names that exist and
 * names that do not. Every begun login takes a token of each; a login that succeeds gives them back. No lockout:
 * who has logged in from an address takes no tokens of the user there, which strangers elsewhere can use up.
 */
import { Context, Effect, Layer } from "effect"
import * as limits from "../domain/limits.ts"
import * as Monotonic from "../domain/Monotonic.ts"
import * as Metrics from "./Metrics.ts"
import type { Peer } from "./Peer.ts"

/** Whether a login may be tried, and otherwise when to come back, in milliseconds. */
export type Verdict =
  { readonly _tag: "Allowed" } | { readonly _tag: "Limited"; readonly retryAfterMilliseconds: number }

/** What a limit counts: the attempts for a user from an address, from an address, or for a user. */
export interface Subject {
  /** as it was typed, which may be a password: shown through `NameHash` alone */
  readonly user?: string
  /** as `Peer.key` */
  readonly address?: string
  /** whether the attempts came from this machine */
  readonly loopback: boolean
}

/** A subject for which no login may be tried now. */
export interface Ban extends Subject {
  readonly retryAfterMilliseconds: number
}

/** Port: decides whether a login may be tried. Equal for names that exist and names that do not; memory is bounded. */
export class LoginGuard extends Context.Service<
  LoginGuard,
  {
    /** Counts one attempt. */
    readonly attempt: (user: string, peer: Peer) => Effect.Effect<Verdict>
    /** Gives back what the attempt of a login that succeeded had counted, and knows the user at that address. */
    readonly succeeded: (user: string, peer: Peer) => Effect.Effect<void>
    /** Gives back what an attempt had counted that nobody could answer: it proved nothing. */
    readonly unanswered: (user: string, peer: Peer) => Effect.Effect<void>
    /** Who may not try now, the longest first: at most `guardBucketsMax`. */
    readonly list: Effect.Effect<ReadonlyArray<Ban>>
    /** Forgets what was counted for those, and says how many of them might not try. */
    readonly lift: (which: (subject: Subject) => boolean) => Effect.Effect<number>
  }
>()("paradrop/server/LoginGuard") {
  static readonly layer: Layer.Layer<LoginGuard> = Layer.sync(LoginGuard, () => {
    const buckets = new Map<string, Bucket>()
    const known = new Set<string>()
    const rulesOf = (user: string, peer: Peer) => {
      const rules = rulesFor(user, peer)
      return known.has(pairOf(user, peer)) ? rules.filter((rule) => rule.of !== "user") : rules
    }
    // By the peer itself, which each connection has of its own: another login may make it known meanwhile.
    const taken = new WeakMap<Peer, { readonly user: string; readonly rules: ReadonlyArray<Rule> }>()
    const unanswered = (user: string, peer: Peer) =>
      Effect.map(Monotonic.now, (now) => {
        const last = taken.get(peer)
        taken.delete(peer)
        for (const rule of last?.user === user ? last.rules : rulesOf(user, peer)) change(buckets, rule, now, 1)
      })
    return LoginGuard.of({
      attempt: (user, peer) =>
        Effect.flatMap(Monotonic.now, (now) => {
          const wanted = rulesOf(user, peer)
          const wait = Math.max(...wanted.map((rule) => waitOf(rule, buckets.get(rule.key), now)))
          if (wait > 0) return Effect.succeed<Verdict>({ _tag: "Limited", retryAfterMilliseconds: Math.ceil(wait) })
          for (const rule of wanted) change(buckets, rule, now, -1)
          taken.set(peer, { user, rules: wanted })
          const banned = wanted.filter((rule) => waitOf(rule, buckets.get(rule.key), now) > 0)
          return Effect.as(
            Effect.forEach(banned, (rule) => Metrics.banBegun({ of: rule.of }), { discard: true }),
            { _tag: "Allowed" }
          )
        }),
      unanswered,
      succeeded: (user, peer) =>
        Effect.andThen(
          unanswered(user, peer),
          Effect.sync(() => remember(known, pairOf(user, peer)))
        ),
      list: Effect.map(Monotonic.now, (now) =>
        Array.from(buckets.values(), (bucket) => ({
          ...bucket.rule.subject,
          retryAfterMilliseconds: banOf(bucket, now)
        }))
          .filter(({ retryAfterMilliseconds }) => retryAfterMilliseconds > 0)
          .toSorted((a, b) => b.retryAfterMilliseconds - a.retryAfterMilliseconds)
      ),
      lift: (which) =>
        Effect.map(Monotonic.now, (now) => {
          let lifted = 0
          for (const [key, bucket] of buckets) {
            if (!which(bucket.rule.subject)) continue
            if (banOf(bucket, now) > 0) lifted += 1
            buckets.delete(key)
          }
          return lifted
        })
    })
  })
}

interface Bucket {
  readonly rule: Rule
  readonly tokens: number
  /** when `tokens` was true, milliseconds of the clock that never goes back */
  readonly at: number
}

interface Rule {
  readonly of: "user-at-address" | "address" | "user"
  readonly key: string
  readonly subject: Subject
  readonly tokensMax: number
  /** milliseconds until one token has grown back */
  readonly tokenMilliseconds: number
}

// A user name has no space: the keys cannot be confused.
const pairOf = (user: string, peer: Peer): string => `both ${user} ${peer.key}`

const remember = (known: Set<string>, pair: string): void => {
  // Adding anew keeps the set in the order of last use.
  known.delete(pair)
  known.add(pair)
  for (const oldest of known) {
    if (known.size <= limits.guardKnownMax) break
    known.delete(oldest)
  }
}

const rulesFor = (user: string, peer: Peer): ReadonlyArray<Rule> => {
  const factor = peer.loopback ? limits.loopbackAttemptsFactor : 1
  const { key: address, loopback } = peer
  const rule = (
    of: Rule["of"],
    key: string,
    subject: Omit<Subject, "loopback">,
    tokensMax: number,
    milliseconds: number
  ): Rule => ({
    of,
    key,
    subject: { ...subject, loopback },
    tokensMax: tokensMax * factor,
    tokenMilliseconds: milliseconds / factor
  })
  return [
    rule(
      "user-at-address",
      pairOf(user, peer),
      { user, address },
      limits.attemptsPerUserAndAddressMax,
      limits.attemptPerUserAndAddressMilliseconds
    ),
    rule(
      "address",
      `address ${address}`,
      { address },
      limits.attemptsPerAddressMax,
      limits.attemptPerAddressMilliseconds
    ),
    // Loopback has its own bucket for a user: nobody from outside can use up what the machine's own people need.
    rule("user", `user ${user} ${loopback}`, { user }, limits.attemptsPerUserMax, limits.attemptPerUserMilliseconds)
  ]
}

const tokensOf = (rule: Rule, bucket: Bucket | undefined, now: number): number =>
  bucket === undefined
    ? rule.tokensMax
    : Math.min(rule.tokensMax, bucket.tokens + Math.max(0, now - bucket.at) / rule.tokenMilliseconds)

const waitOf = (rule: Rule, bucket: Bucket | undefined, now: number): number =>
  Math.max(0, (1 - tokensOf(rule, bucket, now)) * rule.tokenMilliseconds)

const banOf = (bucket: Bucket, now: number): number => Math.ceil(waitOf(bucket.rule, bucket, now))

const change = (buckets: Map<string, Bucket>, rule: Rule, now: number, by: 1 | -1): void => {
  const tokens = Math.min(rule.tokensMax, tokensOf(rule, buckets.get(rule.key), now) + by)
  // Re-inserting keeps the map in the order of last use.
  buckets.delete(rule.key)
  if (tokens < rule.tokensMax) buckets.set(rule.key, { rule, tokens, at: now })
  for (const oldest of buckets.keys()) {
    if (buckets.size <= limits.guardBucketsMax) break
    buckets.delete(oldest)
  }
}
