// What is wrong with mutual TLS, here or there: for `handfast doctor` and whoever else wants to know.
export { examineServer, readPresentedChain } from "./examine-server.ts";
export type { ExamineServerOptions, ServerReport } from "./examine-server.ts";
export { examineFiles } from "./examine-files.ts";
export type { ExamineFilesOptions, FilesReport } from "./examine-files.ts";
export { greetClients } from "./greet-clients.ts";
export type { Treatment } from "./client-findings.ts";
export type { PresentedIdentity } from "./probe.ts";
export { ailments } from "./ailments.ts";
export type { AilmentCode } from "./ailments.ts";
export type { Finding } from "./finding.ts";
