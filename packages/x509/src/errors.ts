/** A stable name for one way in which reading, making or checking X.509 data can fail. */
export type X509ErrorCode = keyof typeof x509Errors;

/**
 * The one error class of this package.
 *
 * `code` is stable and meant for programs; `message` says what was expected and what arrived;
 * `hint` says what to do next. No message ever contains key bytes.
 */
export class X509Error extends Error {
  override readonly name = "X509Error";
  readonly code: X509ErrorCode;
  readonly hint: string;

  constructor(code: X509ErrorCode, message: string, options?: { cause?: unknown; hint?: string }) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options?.hint ?? x509Errors[code].hint;
  }
}

/** Runs a parser and gives its encoding errors the code of the thing being parsed. */
export function malformedAs<T>(code: X509ErrorCode, subject: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (error instanceof X509Error && innerCodes.has(error.code)) {
      throw new X509Error(code, `${subject}: ${error.message}`, { cause: error });
    }
    throw error;
  }
}

/**
 * Every error code of this package: what it means, what to do next, the gRPC status number it maps
 * to, and whether a peer may be told.
 */
export const x509Errors = {
  DER_MALFORMED: {
    message: "The bytes are not DER, or not the structure that was expected.",
    hint: "check that the file is complete and of the expected kind",
    status: 3,
    public: true,
  },
  PEM_MALFORMED: {
    message: "The text holds no PEM block, or a block that is broken.",
    hint: "check that the file is complete: each block needs its BEGIN and END line",
    status: 3,
    public: true,
  },
  BUNDLE_HAS_PRIVATE_KEY: {
    message: "A bundle of certificates holds a private key.",
    hint: "keep keys in files of their own; a bundle holds CERTIFICATE blocks only",
    status: 3,
    public: false,
  },
  BUNDLE_EMPTY: {
    message: "A bundle of certificates holds no certificate.",
    hint: "name a PEM file with at least one CERTIFICATE block",
    status: 3,
    public: false,
  },
  CERTIFICATE_MALFORMED: {
    message: "The certificate breaks the encoding or the rules of RFC 5280.",
    hint: "issue the certificate again with a tool that follows RFC 5280",
    status: 16,
    public: true,
  },
  REQUEST_MALFORMED: {
    message: "The certificate request breaks the encoding or the rules of PKCS #10.",
    hint: "make the request again",
    status: 3,
    public: true,
  },
  REQUEST_SIGNATURE_INVALID: {
    message: "The certificate request is not signed by the key it contains.",
    hint: "make the request again with the key it is meant for",
    status: 3,
    public: true,
  },
  CRL_MALFORMED: {
    message: "The revocation list breaks the encoding or the rules of RFC 5280.",
    hint: "fetch the list again; it must be a complete CRL in DER or PEM",
    status: 3,
    public: false,
  },
  OCSP_MALFORMED: {
    message: "The OCSP message breaks the encoding or the rules of RFC 6960.",
    hint: "ask again; the message must be a DER OCSPRequest or OCSPResponse",
    status: 3,
    public: true,
  },
  PRIVATE_KEY_MALFORMED: {
    message: "The private key cannot be read, or its parts contradict each other.",
    hint: "give a PKCS #8, SEC 1 or PKCS #1 key; if its parts disagree, the key is damaged",
    status: 3,
    public: false,
  },
  PUBLIC_KEY_MALFORMED: {
    message: "The public key cannot be read, or breaks a rule of its algorithm.",
    hint: "give a SubjectPublicKeyInfo with a named curve, or an RSA key of at most 8,192 bits",
    status: 3,
    public: true,
  },
  PASSPHRASE_REQUIRED: {
    message: "The private key is encrypted and no passphrase was given.",
    hint: "give the passphrase",
    status: 9,
    public: false,
  },
  PASSPHRASE_WRONG: {
    message: "The private key could not be decrypted with this passphrase.",
    hint: "check the passphrase",
    status: 9,
    public: false,
  },
  KEY_DERIVATION_REFUSED: {
    message: "The key derivation asks for more work or memory than is allowed.",
    hint: "encrypt the key again with at most 10,000,000 iterations and 256 MiB",
    status: 3,
    public: false,
  },
  ALGORITHM_UNSUPPORTED: {
    message: "The algorithm is unknown, too weak to be used, or not in this build of OpenSSL.",
    hint: "use ECDSA P-256 or P-384, Ed25519, RSA of 2,048 bits or more, or ML-DSA (Node 24.7 or newer)",
    status: 3,
    public: true,
  },
  KEY_MISMATCH: {
    message: "The private key does not belong to the certificate.",
    hint: "give the key that was made with this certificate",
    status: 9,
    public: false,
  },
  NAME_INVALID: {
    message: "A distinguished name or a subject alternative name is not valid.",
    hint: "write names as RFC 4514 text, DNS names in A-label form, IP addresses as literals",
    status: 3,
    public: true,
  },
  SPIFFE_ID_INVALID: {
    message: "The text is not a SPIFFE id or trust domain.",
    hint: "write spiffe://trust-domain/path: a lower-case domain, a path of letters, digits, '.', '-', '_'",
    status: 3,
    public: true,
  },
  SERIAL_NUMBER_INVALID: {
    message: "The text is not a certificate serial number.",
    hint: "write the serial number in hexadecimal, 1 to 20 octets, greater than zero",
    status: 3,
    public: true,
  },
  FINGERPRINT_INVALID: {
    message: "The text is not a SHA-256 fingerprint.",
    hint: "write 64 hexadecimal digits",
    status: 3,
    public: true,
  },
  ISSUE_REFUSED: {
    message: "What was asked for does not fit the certificate profile or the issuer.",
    hint: "change the request or choose another profile",
    status: 3,
    public: true,
  },
  PKCS12_MALFORMED: {
    message: "The PKCS #12 file cannot be read.",
    hint: "export the file again with PBES2 encryption and a SHA-256 integrity check",
    status: 3,
    public: false,
  },
} as const;

const innerCodes: ReadonlySet<string> = new Set<X509ErrorCode>([
  "DER_MALFORMED",
  "NAME_INVALID",
  "PUBLIC_KEY_MALFORMED",
]);
