/**
 * The client's layers for Node: its connections, and the person's own files, terminal and lines.
 */
export * as DialNode from "./DialNode.ts"
export * as HistoryNode from "./HistoryNode.ts"
export * as LineEditorNode from "./LineEditorNode.ts"
export * as LocalFilesNode from "./LocalFilesNode.ts"
export * as LocalWatchNode from "./LocalWatchNode.ts"
export * as PipesNode from "./PipesNode.ts"
export * as ProfilesNode from "./ProfilesNode.ts"
export * as ScreenNode from "./ScreenNode.ts"
export * as WorkingFolderNode from "./WorkingFolderNode.ts"
