/**
 * The version of the package, as the client tells it to people and to servers.
 */
import { createRequire } from "node:module"
import { Schema } from "effect"

export const { version } = Schema.decodeUnknownSync(Schema.Struct({ version: Schema.String }))(
  createRequire(import.meta.url)("../../package.json")
)
