/**
 * Ways to break the system, one small edit each, and the test files that must notice.
 */

/** One edit of one source. `find` must be there exactly once. */
export interface Mutant {
  readonly name: string
  /** below src/ */
  readonly file: string
  readonly find: string
  readonly replace: string
  /** below test/, without `.test.ts` */
  readonly tests: ReadonlyArray<string>
}

const mutant = (
  name: string,
  file: string,
  find: string,
  replace: string,
  ...tests: ReadonlyArray<string>
): Mutant => ({ name, file, find, replace, tests })

const disk = "domain/store/FileStoreDisk.ts"
const channel = "domain/channel/SecureChannel.ts"
const session = "domain/session/Session.ts"
const frame = "domain/wire/Frame.ts"
const names = "domain/file/FileName.ts"
const staged = "client/StagedFile.ts"
const client = "client/ClientSession.ts"

const store = "domain/store/FileStore"
const crash = "domain/store/FileStoreDisk.crash"
const machine = "domain/session/Session"

export const mutants: ReadonlyArray<Mutant> = [
  // The store
  mutant(
    "file-fsync-skipped",
    disk,
    "if (context.durable) yield* Effect.mapError(staged.file.sync, full(name))",
    "",
    crash
  ),
  mutant(
    "folder-fsync-skipped",
    disk,
    "if (context.durable) yield* Effect.mapError(context.disk.syncFolder(folderOf(name)), full(name))",
    "",
    crash
  ),
  mutant(
    "new-folder-fsync-skipped",
    disk,
    "yield* Effect.mapError(context.disk.syncFolder(folder.slice(0, -1)), full(name))",
    "",
    crash
  ),
  mutant(
    "durability-swapped",
    disk,
    `durable: options.durability !== "os"`,
    `durable: options.durability === "os"`,
    crash
  ),
  mutant("digest-unchecked", disk, "return digest === expected.digest\n", "return digest.length > 0\n", store),
  mutant("declared-size-not-enforced", disk, "if (length > size - received) {", "if (length < 0) {", store),
  mutant(
    "copy-from-wrong-offset",
    disk,
    "(window, { offset, length },",
    "(window, { offset: offset + 1, length },",
    store
  ),
  mutant(
    "change-while-reading-unnoticed",
    disk,
    "sameContent(seen.stat, after) ?",
    "before ?",
    store,
    `${store}Disk.real`
  ),
  mutant(
    "conflict-unnoticed",
    disk,
    "if (Option.isNone(live) || versionOf(live.value) !== version)",
    "if (Option.isNone(live))",
    store
  ),
  mutant(
    "lock-not-taken",
    "domain/store/KeyedLock.ts",
    "lock.semaphore.withPermits(1)(effect)",
    "effect",
    store,
    crash
  ),
  // Names and texts
  mutant("listing-leaks-staging", names, `if (fold(segment) === stagingFolder) return "reserved"`, "", store),
  mutant(
    "case-collision-dropped",
    names,
    `text.normalize("NFD").toLowerCase().toUpperCase().toLowerCase().normalize("NFC")`,
    `text.normalize("NFC")`,
    "domain/file/FileName",
    store
  ),
  mutant("format-characters-shown", "domain/file/Printable.ts", "\\p{Cc}\\p{Cf}", "\\p{Cc}", "domain/file/Printable"),
  // The wire
  mutant(
    "oversized-record-accepted",
    frame,
    `if (total > recordPlaintextBytesMax) return refused("too-long")`,
    "",
    "domain/wire/Frame"
  ),
  mutant("empty-content-accepted", frame, `if (length === 0) return refused("empty-content")`, "", "domain/wire/Frame"),
  mutant(
    "long-message-accepted",
    frame,
    `if (length > messageBytesMax) return refused("message-too-long")`,
    "",
    "domain/wire/Frame"
  ),
  // The channel
  mutant(
    "end-with-content-accepted",
    channel,
    `if (Bytes.lengthOf(plaintext) > 0) return yield* channelFailed("record-refused")`,
    "",
    "domain/channel/SecureChannel"
  ),
  mutant(
    "handshake-of-any-length",
    channel,
    " || !role.lengths.has(header.length - tagBytes)",
    "",
    "domain/channel/Handshake",
    "domain/channel/SecureChannel",
    "server/hostile"
  ),
  mutant(
    "nonce-used-twice",
    "domain/channel/Record.ts",
    "nonceOf(key.iv, sequence++)",
    "nonceOf(key.iv, sequence++ >> 1)",
    "domain/channel/SecureChannel"
  ),
  mutant(
    "key-used-again-after-rekey",
    "domain/channel/Record.ts",
    "secret = nextSecret(secret)",
    "",
    "domain/channel/SecureChannel"
  ),
  // The session
  mutant("message-before-ready", session, ` || input.message._tag !== "Hello") break`, `) break`, machine),
  mutant("guesses-without-end", session, "return attemptsLeft === 0", "return attemptsLeft < 0", machine),
  mutant("request-id-used-twice", session, "id > state.lastId &&", "id >= state.lastId &&", machine),
  mutant(
    "rights-ignored",
    session,
    "if (lacking !== undefined) return deny",
    "if (lacking === undefined) void deny\n  else if (queue.length < 0) return deny",
    machine,
    "server/rights"
  ),
  mutant("guard-asleep", "server/LoginGuard.ts", "if (wait > 0)", "if (wait < 0)", "server/LoginGuard"),
  // Deltas
  mutant(
    "chunks-depend-on-reads",
    "domain/transfer/Chunker.ts",
    "const origin = from - state.length",
    "const origin = from",
    "domain/transfer/Chunker"
  ),
  // The client
  mutant(
    "client-digest-unchecked",
    staged,
    "if (hasher.digest() !== expected.digest)",
    "if (hasher.digest().length === 0)",
    "client/LocalFiles"
  ),
  mutant(
    "client-replaces-before-verifying",
    staged,
    "yield* spoils(verify(expected))\n",
    "yield* place\n      yield* spoils(verify(expected))\n",
    "client/LocalFiles"
  ),
  mutant(
    "client-fsync-skipped",
    staged,
    "Effect.andThen(file.setModified(modified), file.sync)",
    "file.setModified(modified)",
    "client/LocalFiles"
  ),
  mutant("client-takes-too-much", client, "if (received > length)", "if (received < 0)", "client/hostile"),
  mutant(
    "client-ignores-the-count",
    client,
    "return message.count === count ?",
    "return count >= 0 ?",
    "client/hostile"
  ),
  mutant("client-believes-another-digest", client, " || last.digest !== sent.digest", "", "client/hostile")
]
