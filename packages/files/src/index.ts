// The public names of @handfast/files, grouped by reader.

// Reading
export { readBounded, readBoundedSync } from "./read-bounded.ts";
export type { ReadBoundedOptions } from "./read-bounded.ts";
export { readDirectoryBounded } from "./read-directory.ts";
export type { DirectoryContent, ReadDirectoryOptions } from "./read-directory.ts";

// Watching
export { watchFile } from "./watch-file.ts";
export type { WatchFileOptions } from "./watch-file.ts";
export { watchDirectoryChanges } from "./watch-directory.ts";
export type { DirectoryChanges, WatchDirectoryChangesOptions } from "./watch-directory.ts";
export type { CheckResult, FileWatch, WatchOptions } from "./watch-loop.ts";

// Writing
export { createDirectory, writeFileAtomic } from "./write-atomic.ts";
export type {
  CreateDirectoryOptions,
  DirectoryTrust,
  WriteFileAtomicOptions,
} from "./write-atomic.ts";
export { walkToDirectory } from "./trusted-directory.ts";
export { lockFile } from "./lock-file.ts";
export type { FileLock } from "./lock-file.ts";

// Names from outside
export { parsePathSegment } from "./path-segment.ts";

// What can go wrong
export { FilesError, filesErrors } from "./errors.ts";
export type { FilesErrorCode } from "./errors.ts";
