/**
 * Every bound of the system, in one place, units last in the name.
 *
 * Each limit is a promise to whoever runs a server: no input, from anyone, makes a
 * session cost more than these figures allow.
 */

// -----------------------------------------------------------------------------
// Protocol constants: both ends must agree, docs/PROTOCOL.md states them.
// -----------------------------------------------------------------------------

/** Plaintext of one record (secure-channel record layer). 512 KiB: larger gains nothing, smaller costs CPU. */
export const recordPlaintextBytesMax = 512 * 1024

/** AES-256-GCM authentication tag (NIST SP 800-38D). */
export const tagBytes = 16

/** Record header: type u8, length u24. */
export const recordHeaderBytes = 4

/**
 * Records under one key in one direction before both ends derive the next one.
 * 2^17 records of at most 2^19 bytes are 2^32 AES blocks, below the TLS 1.3 figure (RFC 8446, section 5.5).
 */
export const recordsPerKeyMax = 2 ** 17

/** Frame header: kind u8, length u24, request id u32. */
export const frameHeaderBytes = 8

/** Frames of one record: ours have at most `togetherPartsMax`, and each costs whoever reads it, however short it is. */
export const recordFramesMax = 4096

/** One control message in CBOR. A listing page is the largest. */
export const messageBytesMax = 64 * 1024

/** Maps and arrays around one value of a message: more than any has, and what goes deeper would take stack and time. */
export const messageDepthMax = 8

/** Packed ranges or pieces in one message: they fit into it with room for the rest. */
export const packedBytesMax = 60 * 1024

/** What is hashed to know a source again when a transfer is gone on with: its first bytes, or all of a smaller one. */
export const headBytes = 256 * 1024

/** A request id fits u32; 0 belongs to the connection itself. */
export const requestIdMax = 0xffff_ffff

/** A whole file name, in UTF-8. */
export const nameBytesMax = 1024

/** One segment of a file name, in UTF-8: what common file systems hold. */
export const nameSegmentBytesMax = 255

/** Folders plus the file itself. */
export const nameDepthMax = 32

/** Both names of a rename as JSON, where each byte of a name may take two. */
export const renameIntentBytesMax = 8 * 1024

/** The largest file: every size stays an exact integer in JavaScript and in CBOR. */
export const fileBytesMax = Number.MAX_SAFE_INTEGER

/** User names: `[a-z0-9._-]`, and at least one character. */
export const userNameBytesMax = 64

/** A password as typed, in UTF-8, after NFC. */
export const passwordBytesMax = 1024

/** Free text that a peer may attach to a message: its product name, the detail of a refusal. */
export const peerTextCharactersMax = 2048

/** Login attempts on one connection. */
export const loginAttemptsMax = 3

/** Commands of a client that may wait behind the one under way. The client has no more unanswered in all. */
export const requestsInFlightMax = 1024

/** Content of all files of one bundle together, bytes: two whole frames. */
export const bundleBytesMax = 2 * (recordPlaintextBytesMax - frameHeaderBytes)

/** Files of one bundle. */
export const bundleFilesMax = 256

/** Files of the first bundle of many, four times as many in the next: so the other end has something to do at once. */
export const bundleFirstFilesMax = 32

/**
 * Bundles, and listings that are narrowed by names, among the commands that may wait: each may take a whole message,
 * or a quarter of one. Other commands take two names at most. The client has no more unanswered in all.
 */
export const bundlesInFlightMax = 16

// -----------------------------------------------------------------------------
// Tuning constants: one end's own business; `ServerConfig` and `ClientConfig` may change them.
// -----------------------------------------------------------------------------

/** From accept to Ready, whatever the peer does meanwhile. */
export const loginMillisecondsMax = 30_000

/** Without progress in either direction, a session ends. */
export const idleMillisecondsMax = 10 * 60_000

/** Without progress while bytes should move, a session ends. */
export const stallMillisecondsMax = 60_000

/** Sessions at once, logged in or not. */
export const sessionsMax = 512

/** Connections at once that have not logged in. */
export const sessionsBeforeLoginMax = 128

/** The same, from one address (an IPv6 /64 counts as one). */
export const sessionsBeforeLoginPerAddressMax = 16

/** The same, from loopback: everyone on this machine shares that address. */
export const sessionsBeforeLoginFromLoopbackMax = 128

/** Connections at once from one address, logged in or not (an IPv6 /64 counts as one). */
export const sessionsPerAddressMax = 256

/** Sessions at once of one account. */
export const sessionsPerAccountMax = 128

/** A transfer that is slower on average is ended: it holds a seat, a descriptor and staged space. */
export const transferBytesPerSecondMin = 1024

/**
 * A peer that says that it lives while it compares or copies a file of its own may do so for as long as to read the
 * file takes at this rate, and `idleMillisecondsMax` besides: after that its silence counts.
 */
export const ownWorkBytesPerSecondMin = 1024 * 1024

/** A transfer that was quick enough may pause for so long. */
export const transferPauseMillisecondsMax = 60_000

/** Frames that wait between the socket and the session: read-ahead, and the memory bound of a slow disk. */
export const inboxFramesMax = 4

/** Content is read and sent in blocks of this size: one record with its frame header. */
export const contentBlockBytes = recordPlaintextBytesMax - frameHeaderBytes

/** The smallest pieces into which content is cut on a slow way, and the first ones, bytes. */
export const pieceBytesMin = 32 * 1024

/** A piece is what takes about so long, between half and twice of it: a bar that moves about each second. */
export const pieceMilliseconds = 500

/** What a system may take before the first of it leaves, bytes, on a slow way: Linux up to 4 MiB. */
export const systemBytesMax = 8 * 1024 * 1024

/** Answers about what has arrived that a client waits for at once: the system's buffers in small pieces. */
export const arrivalsAskedMax = 64

/** Questions about what has arrived, per second, on a way that is quick: a bar that moves some times each second. */
export const arrivalsAskedPerSecond = 4

/** Blocks of a source that are read ahead while earlier ones are sealed and sent. */
export const readAheadBlocksMax = 2

/**
 * While work of its own takes long each end says that it is alive, this often; and who receives a record for longer
 * than this says that parts of it come.
 */
export const keepAliveMilliseconds = 5_000

/** So long an end waits while its peer says that it lives and nothing else comes: to read a large file takes hours. */
export const signsOfLifeMillisecondsMax = 24 * 60 * 60_000

/** The goodbye at the end of a session: after that the connection is cut. */
export const goodbyeMillisecondsMax = 2_000

/** Dialling, from the first packet to the accepted connection. */
export const dialMillisecondsMax = 15_000

/** Entries of a folder that a download looks through for what earlier ones have left: 4 us each. */
export const sweptEntriesMax = 10_000

/** A server looks so often whether its folder is still where it was opened, milliseconds. */
export const rootLookMilliseconds = 10_000

/** A client that could not log in because the accounts cannot be read is told to try again after this, milliseconds. */
export const unavailableRetryMilliseconds = 5_000

/** Staged leftovers older than this are swept: a server's when it starts or keeps another, a client's by a download. */
export const stagedLeftoverMillisecondsMax = 7 * 24 * 60 * 60_000

/** Names and folders that the store remembers to find collisions without reading a folder again. */
export const nameIndexEntriesMax = 500_000

/** Folders whose own name the store remembers to be durable; forgetting one costs an fsync. */
export const durableFoldersMax = 10_000

/** Files of a listing that are looked at at once. */
export const listingStatsAtOnceMax = 8

/** Accounts of one server. */
export const accountsMax = 10_000

/** A running server looks so often whether the accounts of open sessions were changed. */
export const accountsLookMilliseconds = 1_000

/** The largest quota of an account, in files. */
export const quotaFilesMax = 1_000_000_000

/** What an account's root holds is counted again at the latest after so long. */
export const quotaRecountMillisecondsMax = 60 * 60 * 1000

/** It is counted at most so often to see whether a refusal can be avoided. */
export const quotaRecountMillisecondsMin = 60 * 1000

/** The accounts file: refused before it is read when larger. */
export const accountsFileBytesMax = 16 * 1024 * 1024

/** Login attempts that may come at once for one user from one address, and how long one takes to grow back. */
export const attemptsPerUserAndAddressMax = 10

/** One of `attemptsPerUserAndAddressMax` grows back in this time. */
export const attemptPerUserAndAddressMilliseconds = 30_000

/** The same from one address, whatever the user. */
export const attemptsPerAddressMax = 20

/** One of `attemptsPerAddressMax` grows back in this time. */
export const attemptPerAddressMilliseconds = 5_000

/** The same for one user, whatever the address. */
export const attemptsPerUserMax = 100

/** One of `attemptsPerUserMax` grows back in this time. */
export const attemptPerUserMilliseconds = 60_000

/** Loopback is shared by all of a machine's people and programs: it may try this many times as often. */
export const loopbackAttemptsFactor = 100

/** Users and addresses that the login guard remembers; beyond it those unused for longest are forgotten first. */
export const guardBucketsMax = 20_000

/** Users at addresses they logged in from, whom tries for them from elsewhere do not keep out; the latest stay. */
export const guardKnownMax = 4_096

/** A name that no account has is shown as so many bytes of its keyed hash. */
export const nameHashBytes = 8

/** Addresses that logged in before and are spared when seats grow scarce. */
export const trustedAddressesMax = 4_096

/**
 * Connections that the kernel holds until the server takes them: one that finds no room waits a second and more. Linux
 * gives no more than `net.core.somaxconn`, which is 4096 unless it was changed.
 */
export const listenBacklogMax = 4_096

/** Ends of connections that never said enough are logged and counted together, so much later. */
export const endsToldMilliseconds = 20

/** What follows the first 16 bytes of a proxy's header: two addresses take 36, the rest is skipped. */
export const proxyHeaderBytesMax = 4_096

/** Where seats are short, a login that is being tried is let end for so long. */
export const attemptMillisecondsMax = 5_000

/** A server that stops lets transfers end for so long. */
export const drainMillisecondsMax = 10_000

/** An upload of at most this size is sent without waiting for the server's go-ahead: no round trip for small files. */
export const eagerContentBytesMax = 1024 * 1024

/**
 * A client that waits longer for the answer to its login starts what will stretch the password. Longer than a server on
 * the same machine takes, shorter than most networks.
 */
export const stretchAheadMilliseconds = 20

/** Local changes that were said to a watching client and that it has not heard yet. */
export const localChangesMax = 1_000

/** After a local change a watching client waits until nothing has changed for so long: editors save in steps. */
export const watchQuietMilliseconds = 300

/** A file that never stops changing is sent nevertheless, so long after the first change. */
export const watchQuietMillisecondsMax = 5_000

/** What failed, a file that was in the middle of a save for one, is tried once more after so long. */
export const watchAgainMilliseconds = 2_000

/** A watching client looks at everything that often, for changes that the system did not tell. */
export const watchRescanMilliseconds = 5 * 60_000

/** The same where the system cannot tell changes at all. */
export const watchBlindMilliseconds = 10_000

/** The first pause before a watching client dials again after a loss; each further one is twice as long. */
export const watchRetryMilliseconds = 1_000

/** The longest such pause. */
export const watchRetryMillisecondsMax = 60_000

/** A live listing asks the server again after so long, and not before ten times what the last listing took. */
export const fetchWatchMilliseconds = 2_000

/** How much longer than a listing took the pause behind it is: who watches takes a tenth of a server's time. */
export const fetchWatchPauseFactor = 10

/** Files of a server that one command puts together, a kilobyte and a half each: no listing fills a client's memory. */
export const listedFilesMax = 2_000_000

/** Files that a live listing remembers, to tell what has changed. */
export const fetchWatchEntriesMax = 200_000

/** A client's file of one profile: four short lines, bytes. */
export const profileBytesMax = 16 * 1024

/** What was being written to be a profile or its password is a crash's leftover when it is older than this. */
export const profileLeftoverMilliseconds = 60 * 60 * 1000

/** The key exchange, and one login attempt, as a client waits for them: longer than a server's patience. */
export const handshakeMillisecondsMax = 35_000

/** A server that closes at once may be full: a client tries so often again, after a time that doubles. */
export const connectRetriesMax = 3

/** How long a client waits before the first of those tries. */
export const connectRetryMilliseconds = 250

// -----------------------------------------------------------------------------
// Signatures and deltas
// -----------------------------------------------------------------------------

/** Groups of a signature: so few that they cross the wire in one message below 4 KiB. */
export const signatureGroupsMax = 96

/** The key under which the groups and chunks of one signature have their tags: AES-256. */
export const signatureKeyBytes = 32

/** Groups that one question may name. */
export const groupsAskedMax = 256

/** A file below this is sent whole: a signature would not pay. */
export const deltaBytesMin = 64 * 1024

/** A signature gives way to transfers for so long at most. */
export const signaturePostponedMillisecondsMax = 60_000

/** Files whose signatures are still to be made; beyond it the oldest are made when they are asked for. */
export const signaturesWaitingMax = 1024

/** Chunks of a signature: chunks grow beyond 64 KiB before there are more. Both ends use it to choose their size. */
export const chunksPerSignatureMax = 2 ** 14

/**
 * A larger file of a server's is not compared by its signature but goes whole, bytes: 32 TiB. Chunks grow no more, and
 * whoever says that a file has 8 PiB could have a client hold the tags of 67 million.
 */
export const comparedBytesMax = 2 ** 45

/** Average chunks are of 2^16 to 2^28 bytes, by the file's size. */
export const chunkAverageLog2Min = 16

/** The largest average: 2^28 bytes. */
export const chunkAverageLog2Max = 28

/** Telling the service manager something: after that the server goes on. */
export const notifyMillisecondsMax = 5_000

/** The file of a server's configuration. */
export const configFileBytesMax = 64 * 1024

/** A password, in characters as a person counts them. */
export const passwordCharactersMin = 8

/** An edit of the accounts waits so long for another one to end, and looks this often. */
export const stateLockWaitMillisecondsMax = 5_000

/** How often it looks. */
export const stateLockRetryMilliseconds = 25

/** A file that changed this recently may change again without a later time: it is read again instead of trusted. */
export const fileTimeGrainMilliseconds = 2_000

/** Chunks that may differ in a row before content is no longer expected in its place. */
export const expectedMissesMax = 4

/** Pieces that a search cuts without a hit before it asks for more chunks to compare with. */
export const searchPiecesMax = 8

/** Turns of the event loop, some microseconds each, that a walk waits for an answer before it goes on without. */
export const answerTurnsMax = 500

/** Groups in a row that are passed because they differ, while nothing tells whether anything is in its place. */
export const groupsPassedMax = 16

/** Bytes that a search cuts in vain before it asks for more chunks, where it knows how groups begin. */
export const movedSearchBytesMax = 64 * 1024 * 1024

/** A range that differs is looked at closer, in blocks, when its counterpart is no larger. */
export const hintBytesMax = 8 * 1024 * 1024

/** That counterpart is at most so many times as large as what differs: blocks cost bytes as well. */
export const hintRatioMax = 32

/** All ranges of one question about blocks together: what one message may make a server read, bytes. */
export const blocksAskedBytesMax = 64 * 1024 * 1024

/** Blocks of the other file that are held to find content that has moved, for each transfer: a few megabytes. */
export const blocksKnownMax = 2 ** 15

/** All blocks of the other file are asked for when one byte in so many of its size was found nowhere near. */
export const lostShare = 8

/** All chunks of the server's file are asked for when more than one byte in so many of it would have to come. */
export const wantedShare = 16

/** The smallest pieces in which a block that differs is compared, bytes. */
export const seamPieceBytesMin = 256

/** A part that differs is compared in pieces from end to end when it is no longer, bytes. */
export const seamBytesMax = 32 * 1024

/** Of a longer one, or one whose neighbours have moved apart, so much at each end, bytes. */
export const seamEdgeBytes = 8 * 1024

/** Where all of an end was found, so much more behind it, bytes. */
export const seamFurtherBytes = 128 * 1024

/** Questions about blocks that are under way at once. */
export const questionsAheadMax = 4

/** Findings that wait between the walk and the closer look; one question is asked for all that wait. */
export const findingsWaitingMax = 256

/** Copies and content of a delta that leave in one record, and their content together, bytes: a quarter of a record. */
export const togetherPartsMax = 128

/** That content. More leaves by itself. */
export const togetherBytesMax = 128 * 1024

/** Content and ranges that wait for earlier copies within the server, bytes: so long questions need not wait. */
export const assemblyBytesMax = 8 * 1024 * 1024

/** A range, or a piece of content, that waits there takes so much of it besides its bytes: as much as what runs it. */
export const assemblyPartBytes = 512

/** What two digests take is given to both in slices of this size: the second finds it in the processor's cache. */
export const hashSliceBytes = 256 * 1024

/** A digest is given content in slices that begin at multiples of this: sixteen of the pieces that BLAKE3 hashes. */
export const digestSliceBytes = 16 * 1024

/** A copy is sent at the latest at this length, so that the receiver works while the walk goes on. */
export const copyRunBytesMax = 16 * 1024 * 1024

/** What the kernel's buffer gives to one read of a socket: half a record, more costs memory. */
export const socketReadBytes = 256 * 1024

/** What a client's socket reads into: a record, and as much again as may come while it is worked on. */
export const readRingBytes = 2 * 1024 * 1024

/** What a throttled socket lets pass at once, bytes: a part of a record, so that the other end sees that it comes. */
export const throttledPieceBytesMax = 64 * 1024

/** A slow throttled socket is given its bytes in so many pieces each second. */
export const throttledPiecesPerSecond = 20

/** Content leaves a client that keeps to a rate in so many records each second at least: its progress shows them. */
export const throttledRecordsPerSecond = 4

/** The lowest rate that a client keeps to, bytes each second: a link much slower is taken for one that has stalled. */
export const throttledBytesPerSecondMin = 4 * 1024

/** Who waits for a login, or for a share of the bandwidth, looks this often: a reload may have changed how long. */
export const reloadLookMilliseconds = 1_000

/** An open session looks this often, milliseconds, how long it may be idle or stalled: a reload may have changed it. */
export const idleLookMilliseconds = 10_000

/** Of a record that is not whole yet each part of so many bytes is progress; a link that is slower has stalled. */
export const receivedPartBytes = 64 * 1024

/**
 * Pieces in which what was received waits to be whole; more are put together. Each takes memory of its own: of a record
 * that came byte by byte they took more than 300 times as much as its bytes.
 */
export const receivedPiecesMax = 512

/**
 * Stall times that a session whose peer does nothing but ping while it is answered may go on without one of our records
 * getting out: what the slowest link that is not stalled needs for as many as the network may hold (8 MiB), and one.
 */
export const pingedStallsMax = (16 * recordPlaintextBytesMax) / receivedPartBytes + 1

/** Memory of received bytes is given back at once from this size on; less is not worth it. */
export const givenBackBytesMin = 16 * 1024

/** Content of a bundle that comes in smaller pieces is put together in blocks of this size, bytes. */
export const gatheredBlockBytes = 64 * 1024

/** Signatures that are made at once; others wait. */
export const signatureBuildsMax = 2

/** A version of a file that is younger than this may change without a trace in its times: nothing is kept for it. */
export const versionGrainMilliseconds = 1_000

/** All signatures that one server keeps, in bytes. */
export const keptSignatureBytesMax = 256 * 1024 * 1024

/** Kept signatures that one look through their folder finds to go next. */
export const signaturesToGoMax = 4_096

/** The text that names one version of a file, in UTF-8. */
export const keptVersionBytesMax = 256

/** Staged content below this is not worth keeping for a resume, bytes. */
export const resumeBytesMin = 1024 * 1024

/** A client looks this often, in bytes received, whether another one has gone on with what it stages. */
export const takenOverCheckBytes = 16 * 1024 * 1024

/** All staged content that is kept for a resume; beyond it the oldest goes first, bytes. */
export const stagedLeftoverBytesMax = 64 * 1024 * 1024 * 1024

/** What is only looked at is read in blocks of this size, two at a time: one is looked at while the next is read. */
export const windowBytes = 2 * 1024 * 1024

/** The same where another processor has nothing to do: from this size on another thread reads. */
export const asideBytes = 4 * 1024 * 1024

/** A copy within the store goes in blocks of this size: one is written by another thread while the next is read. */
export const copiedBlockBytes = 2 * 1024 * 1024

/** A smaller file is copied where it could be cloned, bytes: writing it costs no more. */
export const clonedBytesMin = 4 * 1024 * 1024

/** A file is cloned when what is new at its beginning is no longer than this, bytes: that is copied into the clone. */
export const clonedHeadBytesMax = 16 * 1024 * 1024

/** How far a clone is written down this often, bytes: what has to be done again at most after a kill. */
export const cloneMarkedBytes = 32 * 1024 * 1024

/** Of a local folder so many entries are read, sorted or put together before others have their turn. */
export const folderPieceEntries = 1024

/** Of many files of one command that fail for one reason a person is told so many one by one, and how many more. */
export const failuresToldMax = 5

/** A client's progress line is drawn this often on a terminal, told a script this often, and logged this often. */
export const progressDrawMilliseconds = 100

/** How often a script is told of progress. */
export const progressEventMilliseconds = 250

/** How often progress is logged where there is no terminal. */
export const progressLineMilliseconds = 10_000

/** Small files of one batch that are fsynced at once: Node's pool has four threads, and one is left to the others. */
export const diskSyncsAtOnceMax = 3

/** Entries of a listing that a server puts together before it sends them, in as few messages as they fit into. */
export const listingPageEntriesMax = 512

/** Names by whose outermost parts a client may narrow a listing. */
export const listingNamesMax = 16

/** Names that a server tells of what a listing leaves out; of the others it tells the number. */
export const unlistedNamesMax = 32

/** Folders of which a server tells that they hold what no name can mean; of the others it tells how much they hold. */
export const unnamedFoldersMax = 32

/** Of each of them so many of what is in it. */
export const unnamedNamesMax = 8

/** Small files are looked at, read and put in place for so long before the event loop has its turn. */
export const blockingMillisecondsMax = 5

/** Calls of a disk of which many take longer for 256 KiB go to Node's thread pool: they would block the event loop. */
export const diskQuickMillisecondsMax = 1

/** What a disk is given that time for, bytes; less than that is given it too. */
export const diskQuickBytes = 256 * 1024

/** They go there after a single one that took so long. */
export const diskBlockingMillisecondsMax = 100

/** For so long; then it is seen whether the disk has become quicker. */
export const diskPooledMilliseconds = 5_000

/** Files that a client sorts before it lists them; a longer listing is shown as it comes. */
export const listingSortedEntriesMax = 50_000

/** Files of one command that a client has under way at once: so many answers fit into one round trip. */
export const filesAheadMax = 512

/** Bundles of small files that a client has under way at once: what fills a link of 100 ms at 600 Mbit/s. */
export const bundlesAheadMax = 8

/** Larger files than this are not held in memory whole, and few of them are under way at once. */
export const smallFileBytesMax = 64 * 1024

/** That few: each holds a descriptor. */
export const largeFilesAheadMax = 8

/** Names of the server that completion looks at, and how long it may take. */
export const completionEntriesMax = 20_000

/** Offers of completion that are shown; of more the first, and how many others there are. */
export const completionShownMax = 100

/** How long completion may ask the server. */
export const completionMillisecondsMax = 2_000

/** Native digest states that are kept to be used again. */
export const hashersKeptMax = 64

// -----------------------------------------------------------------------------
// The audit log
// -----------------------------------------------------------------------------

/** A record of the audit log is on disk after this time, and a batch is written at once at this size, bytes. */
export const auditDelayMilliseconds = 250

/** That size. */
export const auditBatchBytesMax = 256 * 1024

/** Records that wait to be written; beyond it whoever makes one waits for room. */
export const auditWaitingMax = 4_096

/** One record as a line: the longest name, every byte of it escaped, and room for the rest. */
export const auditRecordBytesMax = 8 * 1024

/** A log that cannot be written is tried again after this time. */
export const auditRetryMilliseconds = 5_000

/** A file of the log, and how many are kept: 160 MiB in all. */
export const auditFileBytesMax = 16 * 1024 * 1024

/** That number of files. */
export const auditFilesMax = 10

/** Connections of monitoring systems at once, and how long a request may take to come. */
export const monitorConnectionsMax = 16

/** Such a connection sends its headers within this time, and is closed when nothing moves for so long. */
export const monitorHeadersMillisecondsMax = 5_000

/** Records that the layer in memory keeps. */
export const auditKeptInMemoryMax = 10_000

/** Errors behind an error that a client shows with --verbose. */
export const causesShownMax = 8

// -----------------------------------------------------------------------------
// What a running server is asked by its administrator
// -----------------------------------------------------------------------------

/** Connections of those who ask at once; one more is closed. */
export const controlConnectionsMax = 8

/** A question and its answer together, as either end waits for it. */
export const controlMillisecondsMax = 5_000

/** A question, in JSON. */
export const controlRequestBytesMax = 4_096

/** The name or address in a question, in characters. */
export const controlTextCharactersMax = 256

/** A list in an answer, in JSON: some 3000 sessions or 8000 bans. What has no room is counted. */
export const controlListBytesMax = 1024 * 1024

/** An answer: two lists, and room for the rest. */
export const controlAnswerBytesMax = 2 * controlListBytesMax + 4_096

/** The path of the socket: what every system can hold (sockaddr_un of macOS, without its end). */
export const controlPathBytesMax = 103

// -----------------------------------------------------------------------------
// The shell
// -----------------------------------------------------------------------------

/** A shell that goes on in the background looks this often, milliseconds, whether the terminal is its own again. */
export const foregroundLookMilliseconds = 200

/** Lines of earlier runs that a shell offers again. */
export const shellHistoryLinesMax = 1_000

/** One of them, bytes; a longer one is not kept. */
export const shellHistoryLineBytesMax = 4_096

/** Their file, bytes: one that has grown beyond it is cut to the newest lines when a shell begins. */
export const shellHistoryFileBytesMax = 256 * 1024

/** A connection that was lost in the middle of a transfer is tried for so often: at once, and after longer waits. */
export const reconnectTriesMax = 7

/** The first of these waits; each is twice the one before, half a minute in all. */
export const reconnectMilliseconds = 500

/** A transfer goes on after so many losses in a row. */
export const reconnectsMax = 10

/** A connection that held so long was a good one: losses are counted anew. One that is silent is given up before. */
export const settledMilliseconds = 2 * stallMillisecondsMax
