/**
 * What `paradrop-server status` and `paradrop-server bans` do. Data goes to standard output, words to standard error.
 */
import { Console, Effect, Schema } from "effect"
import { asciiJson } from "../domain/file/Printable.ts"
import { Bans, Control, type ControlFailed, Status, type Which } from "./Control.ts"
import * as Peer from "./Peer.ts"
import { WrongUsage } from "./ServerConfig.ts"
import * as StatusText from "./StatusText.ts"

/** Prints what the server does now. */
export const status = (json: boolean): Effect.Effect<void, ControlFailed, Control> =>
  Control.use(({ status }) =>
    Effect.flatMap(status, (now) =>
      Console.log(json ? asciiJson(Schema.encodeSync(Status)(now)) : StatusText.status(now))
    )
  )

/** Prints who is kept from trying to log in. */
export const bansList = (json: boolean): Effect.Effect<void, ControlFailed, Control> =>
  Control.use(({ bans }) =>
    Effect.flatMap(bans, (now) => {
      if (json) return Console.log(asciiJson(Schema.encodeSync(Bans)(now)))
      return now.bans.length === 0 ? Console.error("nobody is banned") : Console.log(StatusText.bans(now))
    })
  )

/** Lets those try again who are meant; `all` is said by itself, so that nobody lifts every ban by an oversight. */
export const bansLift = (
  which: Which & { readonly all: boolean }
): Effect.Effect<void, ControlFailed | WrongUsage, Control> =>
  Effect.gen(function* () {
    const { all, ...meant } = which
    if (all === (meant.user !== undefined || meant.address !== undefined)) {
      return yield* new WrongUsage({ detail: "say whose bans: --user NAME, --address ADDRESS, both, or --all" })
    }
    // A variable of a script that was not set.
    if (meant.user === "") return yield* new WrongUsage({ detail: "--user takes a name, and '' is none" })
    // Of one that is mistyped nobody would be found, and that would look as if nobody were banned.
    if (meant.address !== undefined && !Peer.isPlace(meant.address)) {
      return yield* new WrongUsage({ detail: `'${meant.address}' is no address: give one as 'bans list' shows it` })
    }
    const count = yield* Control.use(({ lift }) => lift(meant))
    const hint = count === 0 && !all ? ": 'bans list' shows who is banned, and from where" : ""
    yield* Console.error(`${count === 1 ? "1 ban" : `${count} bans`} lifted${hint}`)
    return undefined
  })
