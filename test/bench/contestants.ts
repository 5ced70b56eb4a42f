/** All contestants; ours is first. */
import type { Contestant } from "./Contestant.ts"
import { cp, nc, tlsPipe } from "./contestants/bounds.ts"
import { curl } from "./contestants/nginx.ts"
import { rsync, sftp } from "./contestants/openssh.ts"
import { paradrop, paradropDefault, paradropSessions } from "./contestants/paradrop.ts"

/** Those that need no other program. */
export const ours: ReadonlyArray<Contestant> = [paradrop, paradropDefault, paradropSessions]

export const peers: ReadonlyArray<Contestant> = [sftp, rsync, curl, tlsPipe, nc, cp]
