import type { Refusal } from "./refusal.ts";

/** What can go wrong in this package: code → what it means, what to do, its gRPC status, may the peer see it. */
export const tlsErrors = {
  REFUSED: {
    message: "the handshake ended in a refusal; `error.refusal` says which and by whom",
    hint: "read `error.refusal.code` and its hint",
    status: 14,
    public: false,
  },
  IDENTITY_INVALID: {
    message: "the certificate chain or the private key cannot be used as an identity",
    hint: "give a PEM file with the leaf first and its intermediates after it, and the key of that leaf",
    status: 9,
    public: false,
  },
  TRUST_INVALID: {
    message: "the trust bundle cannot be used",
    hint: "give a PEM file with CA certificates and nothing else; `handfast inspect FILE` shows what is in it",
    status: 9,
    public: false,
  },
  REVOCATION_INVALID: {
    message: "the revocation source cannot be used",
    hint: "give CRLs of the CAs in the trust bundle, DER or PEM",
    status: 9,
    public: false,
  },
  ENVIRONMENT_INVALID: {
    message: "a setting of the environment is missing, empty or not understood",
    hint: "set the named variable, or unset it to take the default",
    status: 9,
    public: false,
  },
  ENVIRONMENT_UNSAFE: {
    message: "a setting of Node or OpenSSL weakens every TLS connection of the process",
    hint: "remove it, or pass `dangerouslyAllowUnsafeEnvironment: true`",
    status: 9,
    public: false,
  },
  LISTEN_FAILED: {
    message: "the address cannot be listened on",
    hint: "choose a free port and an address of this machine",
    status: 14,
    public: false,
  },
  DIAL_FAILED: {
    message: "no connection could be made before TLS began",
    hint: "check host and port, and that the server runs",
    status: 14,
    public: false,
  },
  CLOSED: {
    message: "this mutual TLS runtime was closed",
    hint: "create a new one with createMutualTls",
    status: 14,
    public: false,
  },
} as const;

export type TlsErrorCode = keyof typeof tlsErrors;

/** The one error class of this package; `code` is a key of {@link tlsErrors}. */
export class TlsError extends Error {
  override readonly name = "TlsError";
  readonly code: TlsErrorCode;
  /** What to do next. */
  readonly hint: string;
  /** Why the handshake was refused; set exactly when `code` is REFUSED. */
  readonly refusal: Refusal | undefined;

  constructor(
    code: TlsErrorCode,
    message: string,
    options: { cause?: unknown; hint?: string; refusal?: Refusal } = {},
  ) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.hint = options.hint ?? tlsErrors[code].hint;
    this.refusal = options.refusal;
  }
}

/** The error a dialer throws for a refusal. */
export function refusalError(refusal: Refusal, options: { cause?: unknown } = {}): TlsError {
  return new TlsError("REFUSED", `${refusal.code}: ${refusal.message}`, {
    ...options,
    hint: refusal.hint,
    refusal,
  });
}

/** The text of whatever was thrown. */
export function reasonOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
