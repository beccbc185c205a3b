/** What can go wrong in this package: code → what it means, what to do, its gRPC status, may the peer see it. */
export const policyErrors = {
  POLICY_INVALID: {
    message: "the policy document cannot be used; the message begins with the place in it",
    hint: "mend the named place; `handfast policy check FILE` checks a policy before it is in force",
    status: 3,
    public: false,
  },
  POLICY_UNREADABLE: {
    message: "the policy file could not be read",
    hint: "check the path, the rights of this process's user, and that the file is under 4 MiB",
    status: 9,
    public: false,
  },
  REQUEST_INVALID: {
    message: "a request to be decided (principal, path, headers) is not of the expected shape",
    hint: 'give {"principal": {"authenticated": true, "uriSans": [...], "dnsSans": [...], "subject": "..."}, "path": "/package.Service/Method", "headers": {...}}',
    status: 3,
    public: false,
  },
  CASES_INVALID: {
    message:
      "the file of policy test cases cannot be used; the message begins with the place in it",
    hint: 'give a list of {"principal", "path", "headers"?, "expect": "allow" | "deny", "rule"?}',
    status: 3,
    public: false,
  },
  AUDIT_QUEUE_FULL: {
    message: "the audit log cannot keep up, and calls it cannot record are refused",
    hint: "try again later; the server's disk or its audit queue limits it",
    status: 14,
    public: true,
  },
  AUDIT_FAILED: {
    message: "the audit log could not be written; calls that have to be recorded are refused",
    hint: "free or repair the disk and start the server again, which repairs the end of the log",
    status: 14,
    public: false,
  },
  AUDIT_CLOSED: {
    message: "the audit log was closed",
    hint: "record before the server shuts down, or open the log again",
    status: 14,
    public: false,
  },
  AUDIT_CHAIN_BROKEN: {
    message: "a complete record of the audit log is not what was written",
    hint: "`handfast audit verify FILE` names the record; keep the file, and start with another path",
    status: 15,
    public: false,
  },
  AUDIT_CHAIN_LOCKED: {
    message: "another process writes this audit log",
    hint: "give each process a log of its own",
    status: 9,
    public: false,
  },
  AUDIT_KEY_INVALID: {
    message: "the file is not the Ed25519 key of an audit log, or others may read it",
    hint: "give the key file its owner alone may read (mode 0600), or a path where none is yet",
    status: 9,
    public: false,
  },
  AUDIT_HEAD_INVALID: {
    message: "the checkpoint of an audit log cannot be used",
    hint: "give a head as the server emitted it: one JSON object with chain, seq, hash, time, key, signature",
    status: 3,
    public: false,
  },
  AUDIT_UNREADABLE: {
    message: "the audit log could not be read",
    hint: "check the path, and the rights of this process's user",
    status: 9,
    public: false,
  },
} as const;

/** A stable name for one way in which policies and their audit can fail. */
export type PolicyErrorCode = keyof typeof policyErrors;

/** The one error class of this package; `code` is a key of {@link policyErrors}. */
export class PolicyError extends Error {
  override readonly name = "PolicyError";
  readonly code: PolicyErrorCode;
  /** What to do next. */
  readonly hint: string;
  /** Where in a document, such as `allow_rules[1].request.headers[0].key`; "" for the whole of it. */
  readonly place: string;

  constructor(
    code: PolicyErrorCode,
    message: string,
    options?: { cause?: unknown; hint?: string; place?: string },
  ) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options?.hint ?? policyErrors[code].hint;
    this.place = options?.place ?? "";
  }
}
