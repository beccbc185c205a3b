import { constants } from "node:crypto";
import { versions } from "node:process";
import type { SecureContextOptions, SecureVersion } from "node:tls";

import type { Identity } from "./identity.ts";
import type { Trust } from "./trust.ts";

/** The choices about the protocol itself. */
export interface ProtocolOptions {
  /** The oldest version of TLS: "TLSv1.3" by default; "TLSv1.2" allows ECDHE suites with AEAD too. */
  readonly minVersion?: "TLSv1.3" | "TLSv1.2";
  /**
   * "prefer" (default): X25519MLKEM768 where both sides have it. "require": nothing else is offered, so that
   * a server too can vouch for the group. Needs OpenSSL 3.5 (Node 24.7 or newer).
   */
  readonly postQuantum?: "prefer" | "require";
  /**
   * Whether TLS sessions are resumed, in both directions; off by default. A mutual handshake without tickets
   * costs less, and connections between services live long. A resumed session is judged like any other.
   */
  readonly resumption?: boolean;
}

/**
 * Everything Node is told about TLS, each time, whole: nothing is left to a default, which the environment
 * could change (S25), and `setSecureContext` silently forgets what it is not told again.
 *
 * @throws TypeError if `postQuantum: "require"` is asked of an OpenSSL that has no X25519MLKEM768.
 */
export function secureContextOptions(
  identity: Pick<Identity, "certificateChainPem" | "privateKeyPem"> | undefined,
  trust: Pick<Trust, "pem">,
  protocol: ProtocolOptions,
): SecureContextOptions {
  const minVersion: SecureVersion = protocol.minVersion ?? "TLSv1.3";
  return {
    ...(identity === undefined
      ? {}
      : { cert: identity.certificateChainPem, key: identity.privateKeyPem }),
    ca: [...trust.pem],
    minVersion,
    maxVersion: "TLSv1.3",
    ciphers: minVersion === "TLSv1.3" ? TLS13_SUITES : `${TLS13_SUITES}:${TLS12_SUITES}`,
    honorCipherOrder: true,
    ecdhCurve: groups(protocol),
    sigalgs: hasPostQuantum ? `${SIGNATURE_SCHEMES}:${POST_QUANTUM_SCHEMES}` : SIGNATURE_SCHEMES,
    secureOptions:
      constants.SSL_OP_NO_RENEGOTIATION |
      constants.SSL_OP_NO_COMPRESSION |
      (protocol.resumption === true ? 0 : constants.SSL_OP_NO_TICKET),
  };
}

function groups({ postQuantum }: ProtocolOptions): string {
  if (postQuantum === "require") {
    if (!hasPostQuantum) {
      throw new TypeError(
        `postQuantum: "require" needs OpenSSL 3.5 or newer, this Node ${versions.node} has ${versions.openssl}`,
      );
    }
    return "X25519MLKEM768";
  }
  // OpenSSL's tuples: a colon list would offer X25519MLKEM768 only to peers that guess it first.
  return hasPostQuantum ? `X25519MLKEM768 / ${CLASSIC_GROUPS}` : CLASSIC_GROUPS;
}

/** OpenSSL 3.5 brought ML-KEM and ML-DSA. */
const hasPostQuantum = atLeast(versions.openssl, 3, 5);

function atLeast(version: string, major: number, minor: number): boolean {
  const [ours = 0, ourMinor = 0] = version.split(".").map(Number);
  return ours > major || (ours === major && ourMinor >= minor);
}

const CLASSIC_GROUPS = "X25519:P-256:P-384";
const TLS13_SUITES = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
const TLS12_SUITES = [
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
].join(":");
// The PKCS#1 schemes are for signatures inside certificates (RFC 8446, 4.2.3), and for TLS 1.2.
const SIGNATURE_SCHEMES = [
  "ecdsa_secp256r1_sha256",
  "ecdsa_secp384r1_sha384",
  "ed25519",
  "rsa_pss_rsae_sha256",
  "rsa_pss_rsae_sha384",
  "rsa_pss_rsae_sha512",
  "rsa_pss_pss_sha256",
  "rsa_pss_pss_sha384",
  "rsa_pss_pss_sha512",
  "rsa_pkcs1_sha256",
  "rsa_pkcs1_sha384",
  "rsa_pkcs1_sha512",
].join(":");
const POST_QUANTUM_SCHEMES = "mldsa44:mldsa65:mldsa87";
