/**
 * What tests of the client's ports need: the contract suite of `LocalFiles`, to hold a layer of your own to it.
 */
export * as localFilesContract from "./localFilesContract.ts"
