/**
 * Ways to break the system, one small edit each, and the test files that must notice.
 */

/** One edit of one source. `find` must be there exactly once. */
export interface Mutant {
  readonly name: string
  /** what does not hold any more */
  readonly breaks: string
  /** below src/ */
  readonly file: string
  readonly find: string
  readonly replace: string
  /** below test/, without `.test.ts` */
  readonly tests: ReadonlyArray<string>
}

const mutant = (
  name: string,
  breaks: string,
  file: string,
  find: string,
  replace: string,
  ...tests: ReadonlyArray<string>
): Mutant => ({ name, breaks, file, find, replace, tests })

const disk = "domain/store/FileStoreDisk.ts"
const channel = "domain/channel/SecureChannel.ts"
const session = "domain/session/Session.ts"
const frame = "domain/wire/Frame.ts"
const names = "domain/file/FileName.ts"
const staged = "client/StagedFile.ts"
const client = "client/ClientSession.ts"

const store = "domain/store/FileStore"
const crash = "domain/store/FileStoreDisk.crash"
const clone = "domain/store/FileStoreDisk.clone"
const clientClone = "client/StagedFile.clone"
const changed = "domain/store/FileStoreDisk.names"
const spelt = "domain/store/FileStoreDisk.spellings"
const machine = "domain/session/Session"

export const mutants: ReadonlyArray<Mutant> = [
  // The store
  mutant(
    "file-fsync-skipped",
    "a commit does not fsync the file",
    "domain/store/DiskStaging.ts",
    "if (context.durable) yield* Effect.mapError(staged.file().sync, full(name))",
    "",
    crash
  ),
  mutant(
    "clone-trusted-blindly",
    "what was read of the older file counts for its clone though it has changed meanwhile",
    "domain/store/DiskStaging.ts",
    "!(yield* Effect.isSuccess(clone.from.unchanged))",
    "false",
    clone
  ),
  mutant(
    "clone-takes-promised-room",
    "an update writes into its clone what is promised to another staging",
    "domain/store/DiskStaging.ts",
    "kept && !isPlain ? Effect.void : reservation.more(isPlain ? size : length)",
    "isPlain ? reservation.more(size) : Effect.void",
    clone
  ),
  mutant(
    "clone-fills-disk",
    "an update for which there is no room leaves on the disk what it has written",
    "domain/store/DiskStaging.ts",
    "return Effect.tapError(room, () => staged.discard)",
    "return room",
    clone
  ),
  mutant(
    "take-over-reserves-twice",
    "who takes over a staging needs the room that the older one holds once more",
    "domain/store/DiskStaging.ts",
    "return Effect.andThen(kept, held)",
    "return kept",
    "domain/store/FileStoreDisk.resume"
  ),
  mutant(
    "clone-and-earlier-reads",
    "what was read before a clone was made counts for it",
    "domain/store/DiskStaging.ts",
    "nearby = undefined",
    "",
    clone
  ),
  mutant(
    "clone-kept-whole",
    "an update that is cut leaves the clone as long as it is",
    "domain/store/DiskClone.ts",
    ", file.truncate(done))",
    ", Effect.void)",
    clone
  ),
  mutant(
    "clone-write-counted",
    "what could not be written into a clone counts as received",
    "domain/store/DiskStaging.ts",
    "void (received = before)",
    "undefined",
    clone
  ),
  mutant(
    "clone-without-room",
    "a clone has the length of its content before it has its mark",
    "domain/store/DiskClone.ts",
    "yield* file.truncate(end + cloneMarkBytes)",
    "",
    clone
  ),
  mutant(
    "clone-rename-believed",
    "a clone whose rename failed, and has happened, is not what is gone on with",
    "domain/store/DiskClone.ts",
    "own.device === there.device && own.inode === there.inode ? Effect.void",
    "false ? Effect.void",
    clone
  ),
  mutant(
    "client-clone-trusted-blindly",
    "what a client has read of the older copy counts for its clone though that has changed meanwhile",
    staged,
    "!(yield* Effect.isSuccess(state.clone.from.unchanged))",
    "false",
    clientClone
  ),
  mutant(
    "client-clone-resumable-at-once",
    "a client's clone has the name that is gone on with before it says how far it is",
    staged,
    "const path = temporaryName(name, undefined, yield* random)\n  const create",
    "const path = temporaryName(name, request, yield* random)\n  const create",
    clientClone
  ),
  mutant(
    "client-clone-kept-whole",
    "a download that is cut leaves the clone as long as it is",
    staged,
    "DiskClone.cut(context, state.clone.file, state.written)",
    "Effect.void",
    clientClone
  ),
  mutant(
    "folder-fsync-skipped",
    "a commit does not fsync the folder of the name",
    "domain/store/DiskPlacing.ts",
    "if (context.durable) yield* Effect.mapError(context.disk.syncFolder(folderOf(name)), failed)",
    "",
    crash
  ),
  mutant(
    "new-folder-fsync-skipped",
    "a commit does not fsync the folders that it has made",
    "domain/store/DiskPlacing.ts",
    "yield* Effect.mapError(context.disk.syncFolder(folder.slice(0, -1)), full(name))",
    "",
    crash
  ),
  mutant(
    "durability-swapped",
    "`full` means no fsync, and `os` means fsync",
    disk,
    `durable = options.durability !== "os"`,
    `durable = options.durability === "os"`,
    crash
  ),
  mutant(
    "digest-unchecked",
    "a commit takes content of any digest",
    "domain/store/DiskStaging.ts",
    "return digest === expected.digest\n",
    "return digest.length > 0\n",
    store
  ),
  mutant(
    "declared-size-not-enforced",
    "more may be written than was declared",
    "domain/store/DiskStaging.ts",
    "length > size - received",
    "length < 0",
    store
  ),
  mutant(
    "copy-from-wrong-offset",
    "small copies come from a byte further on",
    "domain/store/DiskStaging.ts",
    "(nearby.window, { offset, length },",
    "(nearby.window, { offset: offset + 1, length },",
    store
  ),
  mutant(
    "large-copy-from-wrong-offset",
    "large copies come from a byte further on",
    "domain/store/DiskStaging.ts",
    "ReadWindow.fill(from, offset + done, target)",
    "ReadWindow.fill(from, offset + done + 1, target)",
    store
  ),
  mutant(
    "change-while-reading-unnoticed",
    "a file that changes while it is read is vouched for",
    "domain/store/DiskLookup.ts",
    "sameContent(seen.stat, after) ?",
    "before ?",
    store,
    `${store}Disk.real`
  ),
  mutant(
    "conflict-unnoticed",
    "a commit replaces another version than the one it was made for",
    "domain/store/DiskPlacing.ts",
    "if (Option.isNone(live) || versionOf(live.value) !== version)",
    "if (Option.isNone(live))",
    store
  ),
  mutant(
    "lock-not-taken",
    "locks by name let everybody in",
    "domain/store/KeyedLock.ts",
    "semaphore.withPermits(1)(effect)",
    "effect",
    store,
    crash
  ),
  mutant(
    "rename-before-digest-check",
    "the name is replaced before the digest is checked",
    "domain/store/DiskStaging.ts",
    "const digest = yield* verify(expected)",
    "yield* Effect.ignore(context.disk.rename(staged.path, segments(name)))\nconst digest = yield* verify(expected)",
    store,
    crash
  ),
  mutant(
    "fresh-folder-shared",
    "a file that is staged in a folder which another one replaces is lost",
    "client/LocalTreeDisk.ts",
    "return isOurs(folders.get(key)) ? lockFolder(key)",
    'return key === "" ? lockFolder(key)',
    "client/LocalFiles"
  ),
  mutant(
    "fresh-folder-unlike",
    "a new folder loses the permissions that it was made with",
    "domain/store/FreshFolderNode.ts",
    "return a.mode === b.mode && ",
    "return ",
    "domain/store/FreshFolderNode"
  ),
  mutant(
    "fresh-folder-born-elsewhere",
    "a new folder loses what folders there inherit",
    "domain/store/FreshFolderNode.ts",
    "[`${parent}/${name}`, `${parent}/${first.temporary}`,",
    "[`${parent}/${name}`, `${beside}/${first.temporary}`,",
    "domain/store/FreshFolderNode"
  ),
  mutant(
    "pings-for-ever",
    "a client that reads nothing and pings keeps its session, and what it holds, for ever",
    "server/Conversation.ts",
    "it.pongsOwed > 0 && milliseconds > pingedStallsMax",
    "it.pongsOwed < 0 && milliseconds > pingedStallsMax",
    "server/hostile"
  ),
  mutant(
    "fresh-folder-read-again",
    "each folder that came with its files is read again for the next ones",
    "domain/store/DiskBundles.ts",
    "yield* inFolder(context, above)(context.names.addedAll(above, []))",
    "yield* Effect.void",
    "domain/store/FreshFolderNode"
  ),
  mutant(
    "bundle-fsync-skipped",
    "the files of a bundle get their names before they are durable",
    "domain/store/DiskBundles.ts",
    "folder, files, durable, likeReplaced: false, fresh }",
    "folder, files, durable: false && durable, likeReplaced: false, fresh }",
    crash
  ),
  mutant(
    "bundle-digest-unchecked",
    "of a bundle one right file lets those of wrong digests in",
    "domain/store/DiskBundles.ts",
    "return received === file.digest",
    "return received === received",
    store,
    "server/Bundles"
  ),
  mutant(
    "bundle-collision-unnoticed",
    "of a bundle nobody looks whether a name differs from another in case only",
    "domain/store/DiskBundles.ts",
    "const there = { entries: found.entriesOf(key), folder: found.folder }",
    "const there = { entries: found.entriesOf(part), folder: found.folder }",
    store,
    "server/Bundles"
  ),
  mutant(
    "bundle-not-counted",
    "bundles count against no quota",
    "domain/store/Meter.ts",
    "if (!counted) return",
    "if (!counted || counted) return",
    "domain/store/Meter"
  ),
  mutant(
    "bundle-off-record",
    "what came in a bundle is not on record",
    "server/Bundles.ts",
    'watch.file(id, index, { ...seen, outcome: "done", after: file.digest })',
    "",
    "server/Bundles"
  ),
  mutant(
    "bundle-without-bound",
    "a bundle may announce any amount of content",
    "domain/file/PackedFiles.ts",
    'return total > bundleBytesMax ? refused("too-much-content") : Result.succeed(files)\n}\n\n/** At least one name',
    "return Result.succeed(files)\n}\n\n/** At least one name",
    "domain/file/PackedFiles"
  ),
  mutant(
    "bundle-file-sent-twice",
    "a server may send a file of a bundle again",
    "domain/file/PackedFiles.ts",
    "if (index < next || index >= count)",
    "if (index >= count)",
    "domain/file/PackedFiles"
  ),
  mutant(
    "removes-after-a-partial-look",
    "--delete removes although not all of the local folder could be read",
    "client/Trees.ts",
    "const removing = options.remove && here.whole",
    "const removing = options.remove",
    "client/Trees"
  ),
  mutant(
    "removes-after-a-failed-download",
    "download --delete removes although the listing or a file failed",
    "client/Trees.ts",
    "const removing = options.remove && failed === 0",
    "const removing = options.remove",
    "client/Trees"
  ),
  mutant(
    "removal-fsync-skipped",
    "a removal does not fsync its folder",
    "domain/store/DiskRenaming.ts",
    "if (context.durable) yield* Effect.mapError(context.disk.syncFolder(folder), failed)",
    "",
    changed
  ),
  mutant(
    "rename-fsync-skipped",
    "a rename by rename(2) does not fsync the folder that it takes the name from",
    "domain/store/DiskRenaming.ts",
    "if (context.durable) yield* Effect.mapError(context.disk.syncFolder(left), failed)",
    "",
    changed
  ),
  mutant(
    "rename-left-half-done",
    "a start does not finish the rename that a power cut has broken off",
    disk,
    "  yield* finishRenames(context)",
    "",
    changed
  ),
  mutant(
    "rename-finished-blindly",
    "a start takes the old name of a rename away whatever stands under the new one",
    "domain/store/DiskRenaming.ts",
    "fileId(old.value) !== fileId(current.value)",
    "fileId(old.value) === undefined",
    changed
  ),
  mutant(
    "rename-intent-not-durable",
    "what a rename is about to do is not fsynced before it begins",
    "domain/store/DiskRenaming.ts",
    "RenameIntent.begin(disk, yield* newStagedName, durable, { from, to })",
    "RenameIntent.begin(disk, yield* newStagedName, false, { from, to })",
    changed
  ),
  mutant(
    "rename-clobbers",
    "a rename replaces a file unasked",
    "domain/store/DiskRenaming.ts",
    "!half && !replace)",
    "!half && replace === undefined)",
    store
  ),
  mutant(
    "file-missed-while-it-is-spelt-anew",
    "who does not find a file looks again without waiting for the rename that has passed him by",
    "domain/store/DiskLookup.ts",
    "yield* context.lockName(key(name))(look(context, name, at)) : first",
    "yield* look(context, name, at) : first",
    spelt
  ),
  mutant(
    "listing-without-what-is-spelt-anew",
    "a listing leaves out what was renamed to another spelling since the folder was read",
    "domain/store/DiskListing.ts",
    "context.speltAnew.begun === ended",
    "context.speltAnew.begun >= ended",
    spelt
  ),
  mutant(
    "staged-file-left",
    "a staging that is given up leaves its file",
    "domain/store/DiskStaging.ts",
    "const discard = end(Effect.ignore(context.disk.remove(path)))",
    "const discard = end(Effect.void)",
    store,
    crash
  ),
  mutant(
    "refused-content-kept",
    "content of a wrong digest is kept for the next try",
    "domain/store/DiskStaging.ts",
    "if (digest !== expected.digest) yield* staged.discard",
    "",
    "domain/store/FileStoreDisk.resume",
    "server/resume"
  ),
  mutant(
    "free-space-not-returned",
    "a staging that ends keeps its reservation of free space",
    "domain/store/DiskStaging.ts",
    "release: Effect.sync(() => take(left))",
    "release: Effect.void",
    store,
    "domain/store/FileStoreDisk.resume"
  ),
  mutant(
    "resume-written-from-zero",
    "what is sent after a resume is written over the beginning",
    "domain/store/DiskStaging.ts",
    "let received = resumed\n",
    "let received = 0\n",
    "domain/store/FileStoreDisk.resume"
  ),
  mutant(
    "resumed-part-not-hashed",
    "the digest of a resumed file leaves out what was there",
    "domain/store/DiskStaging.ts",
    "let hashed = 0\n",
    "let hashed = resumed\n",
    "domain/store/FileStoreDisk.resume"
  ),
  mutant(
    "both-write-one-staging",
    "a newer session writes beside the older one into the same staged file",
    "domain/store/DiskStaging.ts",
    "yield* context.resumable.get(resume)?.takeOver ?? Effect.void",
    "yield* Effect.void",
    "domain/store/FileStoreDisk.resume",
    "server/resume"
  ),
  mutant(
    "links-followed",
    "a symbolic link is opened",
    "domain/store/DiskNode.ts",
    "const noFollow = constants.O_NOFOLLOW ?? 0",
    "const noFollow = 0",
    "domain/store/Disk",
    "domain/store/FileStoreDisk.real"
  ),
  mutant(
    "quota-not-returned",
    "an upload that is given up keeps its part of the quota",
    "domain/store/Meter.ts",
    "() => Effect.sync(giveBack)",
    "() => Effect.void",
    "domain/store/Meter"
  ),
  mutant(
    "quota-off-by-one",
    "a folder may hold one byte or file more than its quota",
    "domain/store/Meter.ts",
    "used + more[limit] <= allowed)",
    "used + more[limit] <= allowed + 1)",
    "domain/store/Meter"
  ),
  mutant(
    "reservation-kept",
    "what a commit took is not given back when the folder was first counted after the staging began",
    "domain/store/Meter.ts",
    "  yield* Effect.addFinalizer(() => Effect.sync(giveBack))\n",
    "  if (around(meter, name).length > 0) yield* Effect.addFinalizer(() => Effect.sync(giveBack))\n",
    "domain/store/Meter"
  ),
  mutant(
    "root-is-a-prefix",
    "a name that only begins like the root is inside it",
    "domain/store/Confined.ts",
    "name.startsWith(`${root}/`) ? parsed(name.slice(root.length + 1))",
    "name.startsWith(root) ? parsed(name.slice(root.length + 1))",
    "domain/store/Confined"
  ),
  // Names and texts
  mutant(
    "listing-leaks-staging",
    "the staging folder is a name like any other",
    names,
    `if (fold(segment.replace(ignorable, "")) === stagingFolder) return "reserved"`,
    "",
    store
  ),
  mutant(
    "case-collision-dropped",
    "names that differ in case only stand side by side",
    names,
    `text.normalize("NFD").toLowerCase().toUpperCase().toLowerCase().normalize("NFC")`,
    `text.normalize("NFC")`,
    "domain/file/FileName",
    store
  ),
  mutant(
    "format-characters-shown",
    "invisible format characters reach terminals",
    "domain/file/Printable.ts",
    "\\p{Cc}\\p{Cf}",
    "\\p{Cc}",
    "domain/file/Printable"
  ),
  mutant(
    "ignorable-characters-shown",
    "characters that are shown as nothing reach terminals",
    "domain/file/Printable.ts",
    "\\p{Default_Ignorable_Code_Point}",
    "",
    "domain/file/Printable"
  ),
  // The wire
  mutant(
    "oversized-record-accepted",
    "a record may be longer than a frame",
    frame,
    `if (total > recordPlaintextBytesMax) return refused("too-long")`,
    "",
    "domain/wire/Frame"
  ),
  mutant(
    "empty-content-accepted",
    "content frames may be empty",
    frame,
    `if (length === 0) return refused("empty-content")`,
    "",
    "domain/wire/Frame"
  ),
  mutant(
    "long-message-accepted",
    "messages have no greatest length",
    frame,
    `if (length > messageBytesMax) return refused("message-too-long")`,
    "",
    "domain/wire/Frame"
  ),
  mutant(
    "frames-without-end",
    "a record may have any number of frames",
    frame,
    `if (frames.length === recordFramesMax) return refused("too-many")`,
    "",
    "domain/wire/Frame"
  ),
  // The channel
  mutant(
    "end-with-content-accepted",
    "the END record may hold content",
    channel,
    `if (Bytes.lengthOf(plaintext) > 0) return Effect.fail(channelFailed("record-refused"))`,
    "",
    "domain/channel/SecureChannel"
  ),
  mutant(
    "handshake-of-any-length",
    "before the login any length is read",
    channel,
    " || !role.lengths.has(header.length - tagBytes)",
    "",
    "domain/channel/Handshake",
    "domain/channel/SecureChannel",
    "server/hostile"
  ),
  mutant(
    "nonce-used-twice",
    "two records share a nonce",
    "domain/channel/Record.ts",
    "nonceOf(iv, direction.sequence++)",
    "nonceOf(iv, direction.sequence++ >> 1)",
    "domain/channel/SecureChannel"
  ),
  mutant(
    "key-used-again-after-rekey",
    "a rekey gives the same key again",
    "domain/channel/Record.ts",
    "direction.secret = nextSecret(direction.secret)",
    "",
    "domain/channel/SecureChannel"
  ),
  // The session
  mutant(
    "message-before-ready",
    "a command before the Hello is taken for it",
    session,
    ` || input.message._tag !== "Hello") break`,
    `) break`,
    machine
  ),
  mutant(
    "guesses-without-end",
    "a connection may guess without end",
    session,
    "return attemptsLeft === 0",
    "return attemptsLeft < 0",
    machine
  ),
  mutant(
    "request-id-used-twice",
    "a request id may be used again",
    session,
    "id > state.lastId &&",
    "id >= state.lastId &&",
    machine
  ),
  mutant(
    "rights-ignored",
    "no command needs a right",
    session,
    "if (lacking !== undefined) return deny",
    "if (lacking === undefined) void deny\n  else if (queue.length < 0) return deny",
    machine,
    "server/rights"
  ),
  mutant(
    "guard-asleep",
    "logins are never slowed down",
    "server/LoginGuard.ts",
    "if (wait > 0)",
    "if (wait < 0)",
    "server/LoginGuard"
  ),
  mutant(
    "resume-from-wrong-offset",
    "an upload is told to go on one byte too far",
    session,
    `{ _tag: "Proceed", from: resumed }`,
    `{ _tag: "Proceed", from: resumed + 1 }`,
    machine,
    "server/resume"
  ),
  mutant(
    "cancel-of-upload-ignored",
    "the Cancel of an upload does nothing",
    session,
    `case "Gathering":\n      return abandon(state, { reason: "cancelled" }, undefined, drop)`,
    `case "Gathering":\n      return stay(state)`,
    machine
  ),
  mutant(
    "drop-forgotten",
    "the Cancel of an upload whose source has changed keeps what was staged",
    session,
    "...(drop && { drop }) }",
    "}",
    machine
  ),
  mutant(
    "revocation-ignored",
    "a session between two commands goes on when its account is disabled",
    session,
    `      return stay({ ...state, rights: input.rights })\n    case "Revoked":\n      return closed("revoked")\n`,
    `      return stay({ ...state, rights: input.rights })\n    case "Revoked":\n      return stay(state)\n`,
    machine,
    "server/grants"
  ),
  mutant(
    "queue-without-end",
    "a client may queue commands without end",
    session,
    "  queue.length < requestsInFlightMax &&\n",
    "",
    machine
  ),
  mutant(
    "too-much-content-accepted",
    "more content than was declared is taken until the commit",
    session,
    `if (received > transfer.declared) return abandon(state, { reason: "size-mismatch" }, input.id)`,
    "",
    machine
  ),
  mutant(
    "right-skipped-for-one-command",
    "describing a file needs no right",
    "domain/session/Grant.ts",
    `case "Describe":\n    case "Download":\n`,
    `case "Describe":\n      return []\n    case "Download":\n`,
    machine,
    "server/rights"
  ),
  mutant(
    "write-replaces",
    "who may only write new files may replace others",
    "domain/session/Grant.ts",
    `if (!held.includes("replace")) return "absent"`,
    "",
    machine,
    "server/rights",
    "server/grants"
  ),
  mutant(
    "stall-unnoticed",
    "a peer that is silent keeps its session",
    "domain/session/Watchdog.ts",
    "if (!missed && waited >= allowed) return",
    "if (!missed && waited < 0) return",
    "domain/session/Watchdog"
  ),
  mutant(
    "slow-record-in-silence",
    "a client hears nothing while a record of its takes long to arrive",
    "server/KeepAlive.ts",
    "watchdog.partly() ? alive : Effect.void",
    "watchdog.partly() ? Effect.void : Effect.void",
    "server/Flow"
  ),
  // The server
  mutant(
    "cancel-of-download-ignored",
    "the Cancel of a download does nothing",
    "server/Transfers.ts",
    "Effect.sync(() => void (stopped = id))",
    "Effect.void",
    "server/resume"
  ),
  mutant(
    "download-resumes-anything",
    "a download goes on behind the beginning of another file",
    "server/Transfers.ts",
    "partial !== undefined && head === partial.head",
    "partial !== undefined",
    "client/Download",
    "client/hostile",
    "server/resume"
  ),
  mutant(
    "download-from-wrong-offset",
    "a resumed download leaves out a byte",
    "server/Transfers.ts",
    "head === partial.head ? partial.from : 0",
    "head === partial.head ? partial.from + 1 : 0",
    "client/Download"
  ),
  mutant(
    "assembly-out-of-order",
    "content overtakes the copies before it",
    "server/Assembly.ts",
    "content: (parts) => add(heldBytes(parts) + assemblyPartBytes, staging.write(parts)),",
    "content: (parts) => staging.write(parts),",
    "server/Assembly"
  ),
  mutant(
    "assembly-not-waited-for",
    "a commit does not wait for the copies under way",
    "server/Assembly.ts",
    "yield* unlessFailed(Deferred.await(reached))",
    "",
    "server/Assembly"
  ),
  mutant(
    "wrong-password-accepted",
    "a login goes on when its proof is wrong",
    "server/Login.ts",
    "Effect.catch(opaque.verifyLogin(pending.state, user, ke3), () => Effect.undefined)",
    "Effect.catch(opaque.verifyLogin(pending.state, user, ke3), () => Effect.succeed(pending.state))",
    "server/Login",
    "server/hostile"
  ),
  mutant(
    "disabled-account-logs-in",
    "an account that was disabled during its login gets in",
    "server/Login.ts",
    "return sessionKey === undefined || grant === undefined ? undefined : { sessionKey, grant }",
    "return sessionKey === undefined ? undefined : { sessionKey, grant: grant ?? { rights: [] } }",
    "server/Login",
    "server/grants"
  ),
  mutant(
    "password-change-unproved",
    "a password is changed without a proof of the present one",
    "server/PasswordChange.ts",
    "yield* opaque.verifyLogin(proved.state, user, ke3)",
    "",
    "server/passwords",
    "client/passwd"
  ),
  mutant(
    "guard-counts-known-users-only",
    "guessing at names that no account has is not slowed down",
    "server/Login.ts",
    `if (verdict._tag === "Limited") {`,
    `if (verdict._tag === "Limited" && (yield* accounts.find(user)) !== undefined) {`,
    "server/Login",
    "server/LoginGuard"
  ),
  mutant(
    "success-gives-too-much-back",
    "a success fills the guard's buckets",
    "server/LoginGuard.ts",
    "change(buckets, rule, now, 1)\n",
    "buckets.delete(rule.key)\n",
    "server/LoginGuard"
  ),
  mutant(
    "login-without-deadline",
    "a connection may wait for its login without end",
    "server/Connection.ts",
    "(authenticated() ? undefined : cutWith(new LoginTimedOut()))",
    "undefined",
    "server/hostile",
    "server/tour"
  ),
  mutant(
    "seat-not-given-back",
    "a connection that ends keeps its seat",
    "server/Seats.ts",
    "    leave(one)\n    if (one.user !== undefined)",
    "    if (one.user !== undefined)",
    "server/Seats"
  ),
  mutant(
    "silent-ones-keep-their-seats",
    "a newcomer is refused while strangers who say nothing hold all seats",
    "server/Seats.ts",
    "      if (victim === undefined) return",
    "      return",
    "server/Seats",
    "server/strangers"
  ),
  mutant(
    "stranger-keeps-the-seat",
    "a connection that ends before its hello is whole keeps its seat",
    "server/Doorman.ts",
    "      one.seat.giveBack()\n",
    "",
    "server/Doorman"
  ),
  mutant(
    "refused-in-silence",
    "a connection that finds no seat is in no line of the log",
    "server/Doorman.ts",
    "    told.end({ peer, outcome, milliseconds: 0 })\n",
    "",
    "server/Doorman"
  ),
  mutant(
    "drain-deadline-ignored",
    "a server that stops waits for a transfer without end",
    "server/Server.ts",
    "Effect.raceFirst(FiberSet.awaitEmpty(connections), over)",
    "FiberSet.awaitEmpty(connections)",
    "server/drain",
    "server/tour",
    "server/hostile"
  ),
  mutant(
    "bandwidth-never-refills",
    "the bandwidth is used up once and for all",
    "server/Bandwidth.ts",
    "rate, now, bytes)",
    "rate, 0, bytes)",
    "server/Flow",
    "server/tour",
    "domain/channel/TokenBucket"
  ),
  mutant(
    "account-shares-no-bandwidth",
    "each session of an account has the whole rate of the account",
    "server/Bandwidth.ts",
    "const known = accounts.get(user) ?? {",
    "const known = {",
    "server/Flow",
    "server/tour"
  ),
  mutant(
    "throttled-reads-where-it-read",
    "what waits for a throttled reader lies where the next bytes are read to",
    "domain/channel/ThrottledSocket.ts",
    "Bytes.fromChunk(chunk).slice())",
    "Bytes.fromChunk(chunk))",
    "domain/channel/ThrottledSocket"
  ),
  mutant(
    "throttled-memory-given-away",
    "what a throttled socket still holds is memory that its writer has back",
    "domain/channel/ThrottledSocket.ts",
    "bytes.slice(at, at + pieceBytes)",
    "bytes.subarray(at, at + pieceBytes)",
    "domain/channel/ThrottledSocket"
  ),
  mutant(
    "rate-of-profile-ignored",
    "a profile's rate holds for nothing",
    "client/ClientConfig.ts",
    "flags.downRate, profile?.downRate)",
    "flags.downRate, undefined)",
    "client/main"
  ),
  mutant(
    "temporary-name-removed",
    "--delete removes at the server what is called here as a download's own",
    "client/TreeSelection.ts",
    "        kept.add(within(root, one.name))\n        return undefined",
    "        return undefined",
    "client/Trees"
  ),
  mutant(
    "folder-durable-by-luck",
    "a new folder whose name could not be made durable at first is taken for durable",
    "client/LocalTreeDisk.ts",
    "if (unsynced.has(key) &&",
    "if (isNew &&",
    "client/LocalFiles"
  ),
  mutant(
    "burst-without-bound",
    "a flow that was silent for long may send all that at once",
    "domain/channel/TokenBucket.ts",
    "Math.max(paidAt, now - burstMilliseconds)",
    "(paidAt === Number.NEGATIVE_INFINITY ? now - burstMilliseconds : paidAt)",
    "domain/channel/TokenBucket"
  ),
  mutant(
    "audit-record-dropped",
    "of what waits for the audit log one record too many is taken",
    "server/AuditFile.ts",
    "waiting.splice(0, count)",
    "waiting.splice(0, count + 1)",
    "server/Audit"
  ),
  mutant(
    "audit-fsync-skipped",
    "the audit log is not fsynced",
    "server/AuditFile.ts",
    "yield* target.file.sync\n      target.end",
    "target.end",
    "server/Audit"
  ),
  mutant(
    "audit-failure-ignored",
    "commands run while the audit log cannot be written",
    "server/SessionWatch.ts",
    `writing ? undefined : { _tag: "Refused"`,
    `writing || output._tag !== "Admit" ? undefined : { _tag: "Refused"`,
    "server/SessionWatch"
  ),
  mutant(
    "record-cut-short",
    "what was done is not on record when its session ends while the log has no room",
    "server/SessionWatch.ts",
    "  if (outputs.some(changesGauges)) yield* gauges(seen)\n}, Effect.uninterruptible)",
    "  if (outputs.some(changesGauges)) yield* gauges(seen)\n})",
    "server/SessionWatch"
  ),
  mutant(
    "interrupted-command-off-record",
    "a command that its session ends is not on record",
    "server/SessionWatch.ts",
    "  yield* ended(seen, last)\n",
    "",
    "server/SessionWatch",
    "server/tour"
  ),
  mutant(
    "client-name-unescaped",
    "what a client calls itself reaches the status as it came",
    "server/Conversation.ts",
    "story.client = printable(client)",
    "story.client = client",
    "server/ServerStatus",
    "server/hostile",
    "server/LogEvent"
  ),
  mutant(
    "public-account-beside-others",
    "the public account stands beside real ones",
    "server/PublicAccount.ts",
    "return found ?? (length === 0 && user",
    "return found ?? (length >= 0 && user",
    "server/PublicAccount"
  ),
  // Deltas
  mutant(
    "chunks-depend-on-reads",
    "where content is cut depends on how it was read",
    "domain/transfer/Chunker.ts",
    "const origin = from - state.length",
    "const origin = from",
    "domain/transfer/Chunker"
  ),
  mutant(
    "signature-of-another-version",
    "a kept signature is trusted for a changed file of the same size",
    "domain/transfer/Signatures.ts",
    "const keep = yield* SignatureKeep\n",
    `const kept = yield* SignatureKeep\nconst id = (version: string) => version.split(":").slice(0, 3).join(":")\n` +
      "const keep = SignatureKeep.of({ get: (v) => kept.get(id(v)), put: (v, made) => kept.put(id(v), made) })\n",
    "domain/transfer/SignatureKeep"
  ),
  mutant(
    "young-version-kept",
    "a signature is kept for a version that may change without a trace",
    "domain/transfer/Signatures.ts",
    "if (grown && isKept(file)) yield*",
    "if (isKept(file)) yield*",
    "domain/transfer/SignatureKeep"
  ),
  mutant(
    "changed-while-signed",
    "a signature is kept for a file that changed while it was read",
    "domain/transfer/Signatures.ts",
    "yield* file.unchanged\n",
    "",
    "domain/transfer/SignatureKeep"
  ),
  mutant(
    "kept-version-unread",
    "a kept file of another version is believed",
    "domain/transfer/SignatureKeepFiles.ts",
    "return decode(digest, version, yield* fs.readFile(file))",
    `const bytes = yield* fs.readFile(file)\nreturn decode(digest, version, bytes) ?? decode(digest, "other", bytes)`,
    "domain/transfer/SignatureKeep"
  ),
  mutant(
    "lost-place-overlooked",
    "a walk goes on as if all were in its place, however many chunks in a row differ",
    "domain/transfer/PassedGroups.ts",
    "else if ((misses += 1) > expectedMissesMax) return true",
    "else misses += 1",
    "domain/transfer/Delta.bounds"
  ),
  mutant(
    "answer-awaited",
    "a walk stands still until the chunks of a group that differs are known",
    "domain/transfer/PassedGroups.ts",
    'if (next._tag === "Differs" && !wait && !known.answered(next.group)) return undefined',
    "",
    "domain/transfer/Delta.bounds"
  ),
  mutant(
    "moved-group-unlooked",
    "a group that has moved is told by four bytes of its first chunk alone",
    "domain/transfer/Match.ts",
    "if ((yield* reader.digestOf(piece.offset, target.length)) !== target.digest) continue",
    "",
    "domain/transfer/Delta"
  ),
  mutant(
    "heads-unread",
    "content that has moved is found by asking for all chunks",
    "domain/transfer/Match.ts",
    "if (known.complete()) return false",
    "if (groupsTried >= 0) return false",
    "domain/transfer/Delta"
  ),
  mutant(
    "equal-by-tags-alone",
    "a file is taken for equal when all of its chunks have the tags of the other's",
    "domain/transfer/Delta.ts",
    " && inPlace && whole === coarse.digest",
    " && inPlace",
    "domain/transfer/Delta"
  ),
  mutant(
    "signature-key-fixed",
    "all signatures have one key",
    "domain/transfer/Signatures.ts",
    "yield* randomBytes(signatureKeyBytes)",
    "(yield* randomBytes(signatureKeyBytes)).fill(0)",
    "domain/transfer/SignatureKeep"
  ),
  mutant(
    "confused-for-ever",
    "a para of confused chunks is tried by the signature again and again",
    client,
    "again(bySignature && from > 0, left - 1)",
    "again(bySignature, left - 1)",
    "client/delta"
  ),
  mutant(
    "changed-while-sent",
    "a file that changed while it was sent is vouched for",
    "domain/transfer/Outgoing.ts",
    "yield* source.unchanged\n",
    "",
    "domain/transfer/Outgoing"
  ),
  // The client
  mutant(
    "client-digest-unchecked",
    "a download of another digest is kept",
    staged,
    "if (hasher.digest() !== expected.digest)",
    "if (hasher.digest().length === 0)",
    "client/LocalFiles"
  ),
  mutant(
    "client-replaces-before-verifying",
    "a download is at its name before its digest is checked",
    staged,
    "yield* spoils(verify(expected))\n",
    "yield* place\n      yield* spoils(verify(expected))\n",
    "client/LocalFiles"
  ),
  mutant(
    "client-fsync-skipped",
    "a download is not fsynced before it is renamed",
    staged,
    `      if ((yield* Durability) === "full") yield* Effect.mapError(file.sync, failed)\n`,
    "",
    "client/LocalFiles"
  ),
  mutant(
    "client-takes-too-much",
    "a server may send more than it announced",
    "client/Answers.ts",
    "if (received > length)",
    "if (received < 0)",
    "client/hostile"
  ),
  mutant(
    "client-ignores-the-count",
    "a listing may lack entries",
    "client/Listings.ts",
    "if (message.count === count) return undefined",
    "if (count >= 0) return undefined",
    "client/hostile"
  ),
  mutant(
    "client-hears-twice-what-is-lacking",
    "a server tells without end what a listing lacks",
    "client/Listings.ts",
    "const sound = lacks === nothing &&",
    "const sound =",
    "client/hostile"
  ),
  mutant(
    "closed-folder-unsaid",
    "a folder that the store may not look into is missing without a word",
    "domain/store/DiskListing.ts",
    "    : onUnlisted(name)",
    "    : Effect.void",
    "domain/store/FileStoreDisk.names"
  ),
  mutant(
    "half-done-commit-trusted",
    "of a commit that failed after it had happened the folder's index knows nothing, and is taken for whole",
    "domain/store/DiskPlacing.ts",
    "yield* Effect.onError(arrive(exists), () => context.names.forgotten(folder))",
    "yield* arrive(exists)",
    changed
  ),
  mutant(
    "closed-folder-by-its-whole-name",
    "an account hears where its folder is in the store",
    "domain/store/Confined.ts",
    "return own === undefined || onUnlisted === undefined ? Effect.void : onUnlisted(own)",
    "return own === undefined || onUnlisted === undefined ? Effect.void : onUnlisted(name)",
    "domain/store/FileStoreDisk.names"
  ),
  mutant(
    "client-believes-another-digest",
    "an upload is done whatever the server says it got",
    client,
    " || last.digest !== sent.digest",
    "",
    "client/hostile"
  )
]
