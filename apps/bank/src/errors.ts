/**
 * What the bank refuses or fails with. The class of every error that leaves this package, but for
 * wrong use of its API, which is a TypeError.
 */
export class BankError extends Error {
  readonly code: BankErrorCode;
  /** What to do next. */
  readonly hint: string;
  /** What is wrong with which field of a request; empty unless the code is INVALID_REQUEST. */
  readonly violations: readonly FieldViolation[];

  constructor(code: BankErrorCode, message: string, options: BankErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "BankError";
    this.code = code;
    this.hint = options.hint ?? bankErrors[code].hint;
    this.violations = options.violations ?? [];
  }

  /** The number of the gRPC status that the code maps to. */
  get status(): number {
    return bankErrors[this.code].status;
  }
}

/** What a {@link BankError} may be made with. */
interface BankErrorOptions {
  readonly cause?: unknown;
  readonly hint?: string;
  readonly violations?: readonly FieldViolation[];
}

/** One fault of one field of a request. */
export interface FieldViolation {
  /** The path of the field as in the proto file: "amount.minor_units". */
  readonly field: string;
  readonly description: string;
}

/** The reason of an error, also ErrorInfo.reason on the wire. */
export type BankErrorCode = keyof typeof bankErrors;

/**
 * Every code: what it means (all that a peer is told, if it may be told), what to do, and the number of
 * its gRPC status.
 */
export const bankErrors = {
  ACCOUNT_NOT_FOUND: {
    message: "Account not found",
    hint: "create the account first, or check the id",
    status: 5,
    public: true,
  },
  ACCOUNT_EXISTS: {
    message: "Account exists already",
    hint: "use the account, or choose another id",
    status: 6,
    public: true,
  },
  INSUFFICIENT_FUNDS: {
    message: "Insufficient funds",
    hint: "deposit first; try again with a new request_id",
    status: 9,
    public: true,
  },
  CURRENCY_MISMATCH: {
    message: "The account is kept in another currency",
    hint: "use the currency of the account",
    status: 9,
    public: true,
  },
  BALANCE_OUT_OF_RANGE: {
    message: "A balance or a total would leave the range of int64",
    hint: "use a smaller amount",
    status: 11,
    public: true,
  },
  INVALID_REQUEST: {
    message: "Invalid request",
    hint: "mend the fields named in the details",
    status: 3,
    public: true,
  },
  REQUEST_ID_REUSED: {
    message: "The request_id was used before, for a request of other content",
    hint: "make a new UUID for each new thing to be done",
    status: 3,
    public: true,
  },
  NO_IDENTITY: {
    message: "The certificate gives no single identity, so it can own nothing",
    hint: "issue a certificate with exactly one URI SAN, best a SPIFFE id",
    status: 7,
    public: true,
  },
  SEQUENCE_OUT_OF_RANGE: {
    message: "The account has fewer entries than after_sequence says",
    hint: "use a sequence number that was received, or 0",
    status: 11,
    public: true,
  },
  CONTENTION: {
    message: "Other work on the same data was in the way for too long",
    hint: "try again with the same request_id",
    status: 10,
    public: true,
  },
  OVERLOADED: {
    message: "More requests are waiting than the bank will hold",
    hint: "try again after the delay in the details, with the same request_id",
    status: 8,
    public: true,
  },
  TOO_MANY_WATCHES: {
    message: "The caller has as many WatchBalance streams as one identity may have",
    hint: "end one before the next",
    status: 8,
    public: true,
  },
  STORE_UNAVAILABLE: {
    message: "The store did not answer, or the bank is stopping",
    hint: "try again with the same request_id",
    status: 14,
    public: true,
  },
  STORE_FULL: {
    message: "The store is full; nothing was changed",
    hint: "make room, then try again with the same request_id",
    status: 14,
    public: true,
  },
  LEDGER_BROKEN: {
    message: "An invariant of the ledger does not hold; the bank takes no more writes",
    hint: "stop the bank, keep a copy of the database, find the cause",
    status: 15,
    public: true,
  },
  STORE_IN_USE: {
    message: "Another process writes to this database",
    hint: "stop the other bank, or use another database",
    status: 14,
    public: false,
  },
  STORE_MODE_MISMATCH: {
    message: "The database was made for the other mode (mTLS or plaintext)",
    hint: "accounts of one mode must not be opened in the other: use another database",
    status: 9,
    public: false,
  },
  STORE_TOO_NEW: {
    message: "The database was written by a newer version of the bank",
    hint: "run that version or a newer one",
    status: 9,
    public: false,
  },
  STORE_CHANGED: {
    message: "A migration recorded in the database is not the one this version knows",
    hint: "run the version that made the database",
    status: 9,
    public: false,
  },
  STORE_UNREADABLE: {
    message: "The database cannot be opened",
    hint: "check that the path is right, its folder exists and this user may write there",
    status: 14,
    public: false,
  },
  CONFIG_INVALID: {
    message: "A setting from the environment or the command line is missing or wrong",
    hint: "see the README of the bank for the settings",
    status: 9,
    public: false,
  },
} as const;
