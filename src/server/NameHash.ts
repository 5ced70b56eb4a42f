/**
 * User names as they may be shown: in the clear when an account has them, else as a keyed hash.
 *
 * People type passwords where a user name is asked for. What no account is called is therefore written nowhere, only
 * told apart: HMAC-SHA-256 (RFC 2104) under a key of this server's own, cut to 64 bits.
 */
import { hmac } from "@noble/hashes/hmac.js"
import { sha256 } from "@noble/hashes/sha2.js"
import { bytesToHex } from "@noble/hashes/utils.js"
import { Effect, Redacted } from "effect"
import { fromUtf8 } from "../domain/Bytes.ts"
import type { ServerSetup } from "../domain/channel/Opaque.ts"
import { nameHashBytes } from "../domain/limits.ts"
import { Accounts, type AccountsFailed } from "../domain/session/Accounts.ts"
import { publicUser } from "./PublicAccount.ts"

/** Behind it come the hex digits of a hash. No user name has a colon: the two cannot be confused. */
export const unknownPrefix = "unknown:"

/** Names to hashes. Equal for equal names under one setup, unrelated under another. */
export const make = (setup: ServerSetup): ((user: string) => string) => {
  // The setup is the secret that each state folder has; the label keeps this use of it apart from others.
  const key = hmac(sha256, Redacted.value(setup), fromUtf8("paradrop name hash"))
  return (user) => `${unknownPrefix}${bytesToHex(hmac(sha256, key, fromUtf8(user)).subarray(0, nameHashBytes))}`
}

/**
 * How each name may be shown now: look once, show many. The public account has a name while it exists, and a disabled
 * account keeps its own. The work is the same for every name, so that its time tells nothing.
 */
export const shown: Effect.Effect<(user: string) => string, AccountsFailed, Accounts> = Effect.gen(function* () {
  const accounts = yield* Accounts
  const hash = make(yield* accounts.setup)
  const names = new Set<string>((yield* accounts.list).map(({ user }) => user))
  if ((yield* accounts.grants)(publicUser) !== undefined) names.add(publicUser)
  return (user) => {
    const hashed = hash(user)
    return names.has(user) ? user : hashed
  }
})

/** The same where nobody can say which accounts there are: each name as its hash. */
export const hidden: Effect.Effect<(user: string) => string, AccountsFailed, Accounts> = Accounts.use(({ setup }) =>
  Effect.map(setup, make)
)
