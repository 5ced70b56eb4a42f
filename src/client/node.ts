/**
 * The client's layers for Node: the person's own files, terminal and lines.
 */
export * as LineEditorNode from "./LineEditorNode.ts"
export * as LocalFilesNode from "./LocalFilesNode.ts"
export * as LocalWatchNode from "./LocalWatchNode.ts"
export * as ProfilesNode from "./ProfilesNode.ts"
export * as ScreenNode from "./ScreenNode.ts"
