/**
 * The client as a library: `Client.connect` over any socket gives a session; `Commands` are the four commands as the
 * executable runs them, over any local files and any reporter.
 */
export * as Client from "./Client.ts"
export * as ClientError from "./ClientError.ts"
export * as ClientSession from "./ClientSession.ts"
export * as Commands from "./Commands.ts"
export * as LineEditor from "./LineEditor.ts"
export * as LocalFiles from "./LocalFiles.ts"
export * as LocalFilesMemory from "./LocalFilesMemory.ts"
export * as LocalWatch from "./LocalWatch.ts"
export * as Profiles from "./Profiles.ts"
export * as Progress from "./Progress.ts"
export * as Reporter from "./Reporter.ts"
export * as ReporterJson from "./ReporterJson.ts"
export * as ReporterText from "./ReporterText.ts"
export * as Screen from "./Screen.ts"
export * as Sessions from "./Sessions.ts"
export * as Shell from "./Shell.ts"
export * as ShellLine from "./ShellLine.ts"
export * as StagedFile from "./StagedFile.ts"
export * as Watching from "./Watching.ts"
