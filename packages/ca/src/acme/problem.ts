/**
 * What the ACME server answers instead of what was asked for (RFC 8555 6.7). Its detail reaches the
 * client, so it says what the client sent, and never what the server found elsewhere.
 */
export class AcmeProblem extends Error {
  override readonly name = "AcmeProblem";
  readonly type: AcmeProblemType;
  readonly status: number;
  /** Further members of the problem document. */
  readonly members: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, string>>;

  constructor(type: AcmeProblemType, detail: string, options: AcmeProblemOptions = {}) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause });
    this.type = type;
    this.status = options.status ?? statuses[type];
    this.members = options.members ?? {};
    this.headers = options.headers ?? {};
  }
}

interface AcmeProblemOptions {
  /** HTTP status, where the usual one of the type does not fit. */
  readonly status?: number;
  readonly members?: Readonly<Record<string, unknown>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly cause?: unknown;
}

/** The error types of RFC 8555 6.7 and RFC 9773 7.4. */
export type AcmeProblemType = keyof typeof statuses;

/** A problem as it is kept in a challenge or an order. */
export interface ProblemDocument {
  readonly type: string;
  readonly detail: string;
  readonly status?: number;
}

/** The problem document (RFC 9457) of a type and a detail. */
export function problemDocument(
  type: AcmeProblemType,
  { detail, status = statuses[type] }: { readonly detail: string; readonly status?: number },
): ProblemDocument {
  return { type: `urn:ietf:params:acme:error:${type}`, detail, status };
}

const statuses = {
  accountDoesNotExist: 400,
  alreadyReplaced: 409,
  alreadyRevoked: 400,
  badCSR: 400,
  badNonce: 400,
  badPublicKey: 400,
  badRevocationReason: 400,
  badSignatureAlgorithm: 400,
  connection: 400,
  dns: 400,
  externalAccountRequired: 403,
  incorrectResponse: 403,
  invalidContact: 400,
  malformed: 400,
  orderNotReady: 403,
  rateLimited: 429,
  rejectedIdentifier: 400,
  serverInternal: 500,
  tls: 400,
  unauthorized: 403,
  unsupportedContact: 400,
  unsupportedIdentifier: 400,
} as const;
