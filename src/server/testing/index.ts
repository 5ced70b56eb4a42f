/**
 * What tests of the server's ports need: their contract suites, to hold layers of your own to them.
 */
export * as auditContract from "./auditContract.ts"
export * as controlContract from "./controlContract.ts"
