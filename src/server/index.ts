/**
 * The server as a library: `Server.layer` over any `SocketServer`, any store and any accounts.
 */
export * as Audit from "./Audit.ts"
export * as AuditFile from "./AuditFile.ts"
export * as Bandwidth from "./Bandwidth.ts"
export * as Connection from "./Connection.ts"
export * as LoginGuard from "./LoginGuard.ts"
export * as LogEvent from "./LogEvent.ts"
export * as Metrics from "./Metrics.ts"
export * as NameHash from "./NameHash.ts"
export * as Peer from "./Peer.ts"
export * as PublicAccount from "./PublicAccount.ts"
export * as Seats from "./Seats.ts"
export * as Server from "./Server.ts"
export * as ServerLimits from "./ServerLimits.ts"
export * as ServerStatus from "./ServerStatus.ts"
export * as StateFolder from "./StateFolder.ts"
