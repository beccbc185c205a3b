/** The one error class of this package; `code` is a key of {@link caErrors}. */
export class CaError extends Error {
  override readonly name = "CaError";
  readonly code: CaErrorCode;
  /** What to do next, for the person who reads the message. */
  readonly hint: string;

  constructor(
    code: CaErrorCode,
    message: string,
    options: { cause?: unknown; hint?: string } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint ?? caErrors[code].hint;
  }
}

/** A stable name for one way in which an authority can fail or refuse. */
export type CaErrorCode = keyof typeof caErrors;

/**
 * Every error code of this package: what it means, what to do next, the gRPC status number it maps
 * to, and whether a peer may be told.
 */
export const caErrors = {
  ACME_REFUSED: {
    message: "The ACME authority refused what was asked for, or found the challenge not met.",
    hint: "read what it says; see that what answers the challenge is reached from the authority",
    status: 9,
    public: false,
  },
  ACME_UNREACHABLE: {
    message: "The ACME authority cannot be reached, or is not who it should be, or takes too long.",
    hint: "check the directory URL and the roots that its certificate is verified by",
    status: 14,
    public: false,
  },
  AGENT_MISCONFIGURED: {
    message: "The agent lacks what it needs to get a certificate.",
    hint: "compare its configuration with `handfast help agent`",
    status: 9,
    public: false,
  },
  ANSWER_INVALID: {
    message: "The authority's answer is not what was asked for.",
    hint: "check that the address is the authority's, and that both sides run the same release",
    status: 15,
    public: false,
  },
  AUTHORITY_EXISTS: {
    message: "There is an authority here already, and it is not overwritten.",
    hint: "use the one that is there, or choose another home for a new one",
    status: 6,
    public: false,
  },
  AUTHORITY_NOT_FOUND: {
    message: "There is no authority here.",
    hint: "create one with `handfast init`, or name its home with HANDFAST_HOME",
    status: 5,
    public: false,
  },
  BUNDLE_INVALID: {
    message: "A trust bundle cannot be used, so the last good one stays.",
    hint: "compare it with what its trust domain publishes",
    status: 3,
    public: false,
  },
  CERTIFICATE_NOT_FOUND: {
    message: "The inventory has no such certificate.",
    hint: "see what there is with `handfast list`",
    status: 5,
    public: true,
  },
  CERTIFICATE_UNUSABLE: {
    message: "What was asked for would not be accepted by any peer, so it was not issued.",
    hint: "compare the names with what the issuing CA may name: `handfast inspect` shows it",
    status: 9,
    public: true,
  },
  CREDENTIAL_INVALID: {
    message: "A certificate and its key cannot be used together, or not at all.",
    hint: "look at the certificate with `handfast inspect`, or enrol anew",
    status: 9,
    public: false,
  },
  CREDENTIAL_EXISTS: {
    message: "A certificate or key file of that name is there already, and it is not overwritten.",
    hint: "choose another name or folder, or replace it on purpose with --force",
    status: 6,
    public: false,
  },
  CRL_UNPUBLISHED: {
    message: "A revocation is recorded, and the list that tells of it could not be published yet.",
    hint: "revoke again, which is harmless; if it stays so, look at the authority's log",
    status: 14,
    public: true,
  },
  EXTERNAL_ACCOUNT_NOT_FOUND: {
    message: "The authority has no external account key of that id.",
    hint: "see what there is with `handfast ca eab list`",
    status: 5,
    public: false,
  },
  HOOK_FAILED: {
    message: "A service could not be told that its certificate has changed.",
    hint: "run the hook by hand, as the user of the agent and without its environment",
    status: 9,
    public: false,
  },
  ISSUER_UNAVAILABLE: {
    message: "The authority has no issuing certificate that is valid now.",
    hint: "compare the machine's clock with the validity of the issuing certificate",
    status: 9,
    public: true,
  },
  KEY_CLEAR: {
    message: "The authority's private key is not encrypted.",
    hint: "make an authority with `handfast init --encrypt`; --allow-clear-key serves all the same",
    status: 9,
    public: false,
  },
  KEY_EXISTS: {
    message: "A private key of that name is there already, and it is not overwritten.",
    hint: "move the key away first if it is really no longer needed",
    status: 6,
    public: false,
  },
  KEY_LOCKED: {
    message: "The authority's private key is encrypted and no passphrase was given.",
    hint: "give the passphrase with --passphrase-file or HANDFAST_PASSPHRASE_FILE",
    status: 9,
    public: false,
  },
  KEY_MISMATCH: {
    message: "A private key does not belong to the certificate it is kept for.",
    hint: "restore the key file from a backup made together with the inventory",
    status: 15,
    public: false,
  },
  KEY_NOT_FOUND: {
    message: "The private key that this operation signs with is not there.",
    hint: "bring the key back to its place (a root key may have been taken offline)",
    status: 9,
    public: false,
  },
  KEY_REFUSED: {
    message: "The public key may not be certified for this requester.",
    hint: "make a new key pair and ask again",
    status: 9,
    public: true,
  },
  KEY_UNREADABLE: {
    message: "A private key file cannot be read or does not hold one private key.",
    hint: "check who owns the file and what is in it",
    status: 15,
    public: false,
  },
  LISTEN_FAILED: {
    message: "An address of the service cannot be listened on.",
    hint: "choose a free port and an address of this machine",
    status: 14,
    public: false,
  },
  NAME_REFUSED: {
    message: "A name cannot be put into a certificate of this profile.",
    hint: "use letters, digits, dots, hyphens and underscores",
    status: 3,
    public: true,
  },
  NOT_PERMITTED: {
    message: "The caller may not do this: the certificate is not its own, and no policy lets it.",
    hint: "ask the authority's operator for a rule in the admin policy",
    status: 7,
    public: true,
  },
  OVERLOADED: {
    message: "The authority has more requests than it can take now.",
    hint: "try again in a moment",
    status: 14,
    public: true,
  },
  PASSPHRASE_REFUSED: {
    message: "A passphrase is empty, too long or cannot be read.",
    hint: "put the passphrase alone on the first line of a file that only you can read",
    status: 3,
    public: false,
  },
  PASSPHRASE_WRONG: {
    message: "The passphrase does not open the authority's private key.",
    hint: "give the passphrase that the authority was created with",
    status: 16,
    public: false,
  },
  PROFILE_UNKNOWN: {
    message: "The authority has no profile of that name.",
    hint: "the profiles are peer, server, client, svid, acme and ocspSigner",
    status: 3,
    public: true,
  },
  RENEWAL_REFUSED: {
    message: "The certificate may not be renewed: it expired, was revoked, or its line is blocked.",
    hint: "enrol anew: a new certificate of that identity can be renewed again",
    status: 7,
    public: true,
  },
  RENEWAL_REPEATED: {
    message: "The certificate was renewed before with another key: one of the two may be stolen.",
    hint: "if you do not know both keys, revoke the certificate: that ends both lines",
    status: 7,
    public: true,
  },
  REVOCATION_REFUSED: {
    message: "The certificate cannot be revoked.",
    hint: "a root is taken out of the bundles that trust it instead",
    status: 9,
    public: true,
  },
  REQUEST_INVALID: {
    message: "A field of the request is missing, too long or not of its form.",
    hint: "compare the request with proto/handfast/ca/v1/ca.proto",
    status: 3,
    public: true,
  },
  REQUEST_UNAUTHENTICATED: {
    message: "The caller's certificate is not recorded here, or was revoked.",
    hint: "enrol anew with a token of this authority",
    status: 16,
    public: true,
  },
  ROTATION_REFUSED: {
    message: "The authority's keys cannot take this step of their rotation now.",
    hint: "the steps are prepare, activate, retire: see where it stands with `handfast ca rotate status`",
    status: 9,
    public: false,
  },
  STORE_BUSY: {
    message: "The store was held by another process for too long.",
    hint: "try again; if it stays so, find the process that holds the store",
    status: 14,
    public: true,
  },
  STORE_CONFLICT: {
    message: "A record is there already that may be there only once.",
    hint: "try again; if it repeats, two authorities share one key",
    status: 10,
    public: false,
  },
  STORE_FAILED: {
    message: "The store could not be read or written.",
    hint: "check the disk, the owner of the store's folder and the backup",
    status: 14,
    public: false,
  },
  STORE_NEWER: {
    message: "The store was written by a newer release.",
    hint: "use that release, or a backup from before it",
    status: 9,
    public: false,
  },
  STORE_UNKNOWN: {
    message: "The file is not the store of an authority.",
    hint: "check the path, and restore authority.db from a backup if it is right",
    status: 9,
    public: false,
  },
  TOO_MANY_REQUESTS: {
    message: "Too many requests of this caller or source.",
    hint: "try again after the time that the answer names",
    status: 8,
    public: true,
  },
  TOKEN_REFUSED: {
    message: "The one-time token is not valid here, not now, or not for this request.",
    hint: "ask the authority's operator for a new token for exactly these names",
    status: 16,
    public: true,
  },
  TOKEN_SPENT: {
    message: "The one-time token was used before, for another key.",
    hint: "if you did not enrol with it yourself, revoke the certificate that was",
    status: 7,
    public: false,
  },
  VALIDITY_REFUSED: {
    message: "The validity asked for is longer than the profile or the issuer allows.",
    hint: "ask for fewer days",
    status: 3,
    public: true,
  },
} as const;
