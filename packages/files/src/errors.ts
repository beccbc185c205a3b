/** What can go wrong in this package: code → what it means, what to do, its gRPC status, may the peer see it. */
export const filesErrors = {
  FILE_NOT_FOUND: {
    message: "there is no file at the path",
    hint: "check the path, and that the file system it is on is mounted",
    status: 5,
    public: false,
  },
  FILE_NOT_REGULAR: {
    message: "the path names something other than a regular file",
    hint: "give the path of a file, not of a directory, a pipe or a device",
    status: 9,
    public: false,
  },
  FILE_TOO_LARGE: {
    message: "the file, or the number of files, is over the limit of whoever reads it",
    hint: "check that it is the file you meant; the limit is in the message",
    status: 9,
    public: false,
  },
  FILE_UNREADABLE: {
    message: "the operating system refused to read the file or the directory",
    hint: "give this process's user the right to read it",
    status: 9,
    public: false,
  },
  FILE_EXISTS: {
    message: "there is a file at the path already, and overwriting it was not asked for",
    hint: "choose another path, or ask for the file to be overwritten",
    status: 6,
    public: false,
  },
  FILE_NAME_INVALID: {
    message: "the name cannot be one segment of a path",
    hint: "use 1 to 200 bytes, no slash, backslash or control character, and no dot or dash in front",
    status: 3,
    public: false,
  },
  FILE_WRITE_FAILED: {
    message: "the file or directory could not be written; nothing was left behind",
    hint: "check the free space, and this process's right to write to the directory",
    status: 13,
    public: false,
  },
  FILE_LOCKED: {
    message: "another writer holds the lock of the file",
    hint: "stop the other process, or give this one a file of its own",
    status: 9,
    public: false,
  },
  DIRECTORY_UNTRUSTED: {
    message: "somebody other than root and this process's user can change what the path leads to",
    hint: "use a directory that only root or this user can write, at every level",
    status: 9,
    public: false,
  },
  WATCH_CONSUMER_FAILED: {
    message: "the function that was to take in a changed file threw",
    hint: "this is a defect of the program that watches; its error is the cause",
    status: 13,
    public: false,
  },
} as const;

/** A stable name for one way in which reading, watching or writing files can fail. */
export type FilesErrorCode = keyof typeof filesErrors;

/** The one error class of this package; `code` is a key of {@link filesErrors}. */
export class FilesError extends Error {
  override readonly name = "FilesError";
  readonly code: FilesErrorCode;
  /** What to do next. */
  readonly hint: string;

  constructor(code: FilesErrorCode, message: string, options?: { cause?: unknown; hint?: string }) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options?.hint ?? filesErrors[code].hint;
  }
}

/** The `errno` name (`ENOENT`, …) of a thrown system error, or the text of whatever else was thrown. */
export function systemCodeOf(thrown: unknown): string {
  if (thrown instanceof Error && "code" in thrown && typeof thrown.code === "string") {
    return thrown.code;
  }
  return thrown instanceof Error ? thrown.message : String(thrown);
}
