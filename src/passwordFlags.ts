/**
 * What both executables take when a password is set.
 */
import { Flag } from "effect/cli"

export const passwordFlags = {
  generate: Flag.Boolean("generate").pipe(
    Flag.withoutNegation,
    Flag.withDescription("make a strong password and print it once"),
    Flag.withDefault(false)
  ),
  allowWeak: Flag.Boolean("allow-weak").pipe(
    Flag.withoutNegation,
    Flag.withDescription("take a short or common password too"),
    Flag.withDefault(false)
  )
}
