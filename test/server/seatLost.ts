import { Effect } from "effect"
import type { Seat } from "../../src/server/Seats.ts"

/** Ends when a newcomer gets the seat. */
export const seatLost = ({ whenLost }: Seat): Effect.Effect<"made-room"> =>
  Effect.callback((resume) => whenLost(() => resume(Effect.succeed("made-room"))))
