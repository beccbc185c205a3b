/**
 * Why a handshake failed: two closed sets and the table between them. `HandshakeResult` is what gRFC A118
 * counts; a `RefusalCode` is finer, and carries a sentence, a hint and a gRPC status.
 */
export const handshakeResults = [
  "SUCCESS",
  "CERTIFICATE_VERIFICATION_FAILED",
  "CERTIFICATE_REVOKED",
  "CERTIFICATE_EXPIRED",
  "CERTIFICATE_NOT_YET_VALID",
  "CERTIFICATE_AUTHORITY_INVALID",
  "CERTIFICATE_HOSTNAME_MISMATCH",
  "CERTIFICATE_MALFORMED",
  "CIPHER_SUITE_MISMATCH",
  "PROTOCOL_VERSION_UNSUPPORTED",
  "INAPPROPRIATE_FALLBACK",
  "NO_APPLICATION_PROTOCOL",
  "SIGNATURE_VERIFICATION_FAILED",
  "DECRYPTION_FAILED",
  "KEY_EXCHANGE_FAILURE",
  "UNEXPECTED_MESSAGE",
  "HANDSHAKE_TIMEOUT",
  "PEER_CONNECTION_CLOSED",
  "UNKNOWN_FAILURE",
] as const;

/** A value of `grpc.tls.handshake.result` (gRFC A118). */
export type HandshakeResult = (typeof handshakeResults)[number];

/**
 * Every reason for which a handshake is refused. `sentence` is what a refused peer may read: fixed text, none
 * of its bytes. `status` is the gRPC status a refused caller gets: 16 UNAUTHENTICATED, or 14 UNAVAILABLE where
 * trying again may help.
 */
export const refusals = {
  NO_CLIENT_CERTIFICATE: {
    result: "CERTIFICATE_VERIFICATION_FAILED",
    sentence: "no client certificate was presented",
    hint: "give the client a certificate and key of a CA this server trusts",
    status: 16,
  },
  CERTIFICATE_MALFORMED: {
    result: "CERTIFICATE_MALFORMED",
    sentence: "the certificate breaks the rules of RFC 5280",
    hint: "issue the certificate anew; `handfast inspect FILE` says what is wrong with it",
    status: 16,
  },
  CERTIFICATE_AUTHORITY_INVALID: {
    result: "CERTIFICATE_AUTHORITY_INVALID",
    sentence: "the certificate was not issued by a CA that is trusted here",
    hint: "use a certificate of the CA in the other side's bundle, or add this CA to that bundle, and send the intermediates",
    status: 16,
  },
  SIGNATURE_VERIFICATION_FAILED: {
    result: "SIGNATURE_VERIFICATION_FAILED",
    sentence: "a signature in the certificate chain does not verify",
    hint: "the chain was damaged or forged: issue the certificate anew",
    status: 16,
  },
  CERTIFICATE_EXPIRED: {
    result: "CERTIFICATE_EXPIRED",
    sentence: "the certificate has expired",
    hint: "renew the certificate, and check the clocks of both machines",
    status: 16,
  },
  CERTIFICATE_NOT_YET_VALID: {
    result: "CERTIFICATE_NOT_YET_VALID",
    sentence: "the certificate is not valid yet",
    hint: "check the clocks of both machines",
    status: 16,
  },
  CERTIFICATE_WRONG_PURPOSE: {
    result: "CERTIFICATE_VERIFICATION_FAILED",
    sentence: "the certificate is not for this purpose (extended key usage)",
    hint: "a server needs a certificate with serverAuth, a client one with clientAuth; `handfast issue` gives both",
    status: 16,
  },
  CERTIFICATE_HOSTNAME_MISMATCH: {
    result: "CERTIFICATE_HOSTNAME_MISMATCH",
    sentence: "the certificate does not carry the name that was dialled",
    hint: "dial a name in the certificate's subject alternative names, or issue it with that name (--san)",
    status: 16,
  },
  SPIFFE_ID_INVALID: {
    result: "CERTIFICATE_VERIFICATION_FAILED",
    sentence: "the certificate's SPIFFE id is not valid, or the certificate is no X509-SVID",
    hint: "issue the certificate with exactly one URI SAN, a valid SPIFFE id",
    status: 16,
  },
  CERTIFICATE_REVOKED: {
    result: "CERTIFICATE_REVOKED",
    sentence: "the certificate has been revoked",
    hint: "enrol again: a revoked certificate stays revoked",
    status: 16,
  },
  CERTIFICATE_VERIFICATION_FAILED: {
    result: "CERTIFICATE_VERIFICATION_FAILED",
    sentence: "the certificate could not be verified",
    hint: "`handfast verify FILE` says why",
    status: 16,
  },
  NOT_ADMITTED: {
    result: "CERTIFICATE_VERIFICATION_FAILED",
    sentence: "the certificate is valid, and its identity is not admitted here",
    hint: "add the identity to the other side's admission rule",
    status: 16,
  },
  NOT_TLS: {
    result: "UNEXPECTED_MESSAGE",
    sentence: "the peer does not speak TLS",
    hint: "both sides must use TLS: check TLS_ENABLED and the port",
    status: 14,
  },
  LIMIT_EXCEEDED: {
    result: "UNKNOWN_FAILURE",
    sentence: "too many connections or handshakes",
    hint: "try again later, with back-off",
    status: 14,
  },
  CIPHER_SUITE_MISMATCH: {
    result: "CIPHER_SUITE_MISMATCH",
    sentence: "the two sides share no cipher suite",
    hint: "allow TLS 1.3, or an ECDHE suite with AES-GCM or ChaCha20 on both sides",
    status: 14,
  },
  PROTOCOL_VERSION_UNSUPPORTED: {
    result: "PROTOCOL_VERSION_UNSUPPORTED",
    sentence: "the two sides share no version of TLS",
    hint: "use TLS 1.3 on both sides, or allow 1.2 with `minVersion`",
    status: 14,
  },
  INAPPROPRIATE_FALLBACK: {
    result: "INAPPROPRIATE_FALLBACK",
    sentence: "the peer fell back to an older version of TLS than both sides speak",
    hint: "something between the two breaks newer handshakes: look for a proxy",
    status: 14,
  },
  NO_APPLICATION_PROTOCOL: {
    result: "NO_APPLICATION_PROTOCOL",
    sentence: "the two sides share no application protocol (ALPN)",
    hint: "gRPC needs h2 on both sides",
    status: 14,
  },
  DECRYPTION_FAILED: {
    result: "DECRYPTION_FAILED",
    sentence: "a TLS record could not be decrypted",
    hint: "the bytes were damaged on the way: look for a proxy that is not transparent",
    status: 14,
  },
  KEY_EXCHANGE_FAILURE: {
    result: "KEY_EXCHANGE_FAILURE",
    sentence: "the two sides share no key exchange group or signature scheme",
    hint: "allow X25519MLKEM768, X25519, P-256 or P-384 on both sides",
    status: 14,
  },
  UNEXPECTED_MESSAGE: {
    result: "UNEXPECTED_MESSAGE",
    sentence: "the peer sent a TLS message out of turn",
    hint: "the peer's TLS library is at fault, or something between the two rewrites bytes",
    status: 14,
  },
  HANDSHAKE_TIMEOUT: {
    result: "HANDSHAKE_TIMEOUT",
    sentence: "the handshake took too long",
    hint: "check the network and the load of both machines",
    status: 14,
  },
  PEER_CONNECTION_CLOSED: {
    result: "PEER_CONNECTION_CLOSED",
    sentence: "the peer closed the connection during the handshake",
    hint: "read the other side's log: it usually refused this side's certificate",
    status: 14,
  },
  UNKNOWN_FAILURE: {
    result: "UNKNOWN_FAILURE",
    sentence: "the handshake failed",
    hint: "`handfast doctor HOST:PORT` tries each part of it",
    status: 14,
  },
} as const;

export type RefusalCode = keyof typeof refusals;

/** A handshake that did not end in a verified peer. */
export interface Refusal {
  readonly code: RefusalCode;
  /** Who refused: this side, or the other one (by an alert or by closing). */
  readonly by: "us" | "peer";
  /** For this side's log: what was expected and what arrived. May name the peer's certificate. */
  readonly message: string;
  /** For the peer: the fixed sentence, plus times of the peer's own certificate where they matter. */
  readonly publicMessage: string;
  readonly hint: string;
  readonly result: HandshakeResult;
  readonly status: 14 | 16;
}

/** A refusal with the table's sentence, hint, result and status. */
export function refusal(
  code: RefusalCode,
  details: { by?: "us" | "peer"; message?: string; publicMessage?: string } = {},
): Refusal {
  const entry = refusals[code];
  return {
    code,
    by: details.by ?? "us",
    message: details.message ?? entry.sentence,
    publicMessage: details.publicMessage ?? entry.sentence,
    hint: entry.hint,
    result: entry.result,
    status: entry.status,
  };
}

/** The refusal a peer told us of by its code; undefined if it is none of ours. */
export function peerRefusal(code: string, message?: string): Refusal | undefined {
  if (!Object.hasOwn(refusals, code)) return undefined;
  return refusal(code as RefusalCode, {
    by: "peer",
    ...(message === undefined ? {} : { message }),
  });
}
