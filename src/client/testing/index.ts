/**
 * What tests of the client's ports need: their contract suites, to hold layers of your own to them.
 */
export * as historyContract from "./historyContract.ts"
export * as localFilesContract from "./localFilesContract.ts"
export * as localWatchContract from "./localWatchContract.ts"
export * as profilesContract from "./profilesContract.ts"
