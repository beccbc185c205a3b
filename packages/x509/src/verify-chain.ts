import type { Certificate } from "./certificate.ts";
import { bytesEqual } from "./der.ts";
import { isKnownExtension } from "./extensions.ts";
import { formatIp, parseIp } from "./ip-address.ts";
import { signatureAlgorithmProblem, verifySignature } from "./signature.ts";
import type { SpiffeId } from "./spiffe-id.ts";

/** Why a chain was not accepted, in the order in which reasons are found (S10). */
export type ChainReason =
  | "CERTIFICATE_MALFORMED"
  | "CERTIFICATE_AUTHORITY_INVALID"
  | "SIGNATURE_VERIFICATION_FAILED"
  | "CERTIFICATE_EXPIRED"
  | "CERTIFICATE_NOT_YET_VALID"
  | "CERTIFICATE_WRONG_PURPOSE"
  | "CERTIFICATE_HOSTNAME_MISMATCH"
  | "SPIFFE_ID_INVALID"
  | "CERTIFICATE_REVOKED"
  | "CERTIFICATE_VERIFICATION_FAILED";

/** What the leaf is wanted for. */
export type ChainPurpose = "server" | "client" | "any";

/** How a chain is judged. */
export interface VerifyChainOptions {
  readonly anchors: readonly Certificate[];
  readonly now: Date;
  readonly purpose: ChainPurpose;
  /** A DNS name or an IP literal that the leaf must carry as a SAN. */
  readonly name?: string;
  readonly spiffeId?: SpiffeId;
  /** Certificates in a path, leaf and anchor included; 10 by default. */
  readonly maxDepth?: number;
  /** Remembers signatures that were verified before. */
  readonly signatures?: SignatureMemo;
}

/** The verdict: the path from leaf to anchor, or the first reason and the certificate it concerns. */
export type ChainVerdict =
  | { readonly ok: true; readonly path: readonly Certificate[] }
  | {
      readonly ok: false;
      readonly reason: ChainReason;
      readonly certificate: Certificate;
      readonly message: string;
    };

/** Remembers which certificate was verified under which key; bounded. */
export interface SignatureMemo {
  has(certificate: Certificate, issuer: Certificate): boolean;
  add(certificate: Certificate, issuer: Certificate): void;
}

/** A memory for verified signatures of at most `limit` pairs; the oldest is forgotten first. */
export function createSignatureMemo(limit = 10_000): SignatureMemo {
  const seen = new Set<string>();
  const keyOf = (certificate: Certificate, issuer: Certificate): string =>
    `${certificate.fingerprint}${issuer.fingerprint}`;
  return {
    has: (certificate, issuer) => seen.has(keyOf(certificate, issuer)),
    add: (certificate, issuer) => {
      const [oldest] = seen;
      if (seen.size >= limit && oldest !== undefined) seen.delete(oldest);
      seen.add(keyOf(certificate, issuer));
    },
  };
}

/** Whether a chain from the leaf to an anchor holds, and if not, why. */
export function verifyChain(
  chain: { readonly leaf: Certificate; readonly candidates: readonly Certificate[] },
  options: VerifyChainOptions,
): ChainVerdict {
  const path = buildPath(chain.leaf, chain.candidates, options);
  if (!Array.isArray(path)) return path;
  return (
    checkValidity(path, options) ??
    checkAuthorities(path) ??
    checkPurpose(path, options) ??
    checkName(chain.leaf, options) ?? { ok: true, path }
  );
}

function buildPath(
  leaf: Certificate,
  candidates: readonly Certificate[],
  options: VerifyChainOptions,
): Certificate[] | ChainVerdict {
  let budget = 100;
  let badSignature: Certificate | undefined;
  const maxDepth = options.maxDepth ?? 10;
  const extend = (path: readonly Certificate[]): Certificate[] | undefined => {
    const last = path.at(-1) as Certificate;
    if (options.anchors.some((anchor) => anchor.fingerprint === last.fingerprint)) return [...path];
    if (path.length >= maxDepth) return undefined;
    for (const [pool, anchored] of [
      [options.anchors, true],
      [candidates, false],
    ] as const) {
      for (const issuer of pool) {
        if (!bytesEqual(issuer.subject.der, last.issuer.der)) continue;
        if (path.some((seen) => seen.fingerprint === issuer.fingerprint) || budget-- <= 0) continue;
        if (!signedBy(last, issuer, options.signatures)) {
          badSignature ??= last;
          continue;
        }
        const found = anchored ? [...path, issuer] : extend([...path, issuer]);
        if (found) return found;
      }
    }
    return undefined;
  };
  const path = extend([leaf]);
  if (path) return path;
  return badSignature
    ? no("SIGNATURE_VERIFICATION_FAILED", badSignature, "is not signed by the issuer it names")
    : no("CERTIFICATE_AUTHORITY_INVALID", leaf, "does not lead to a trusted authority");
}

function signedBy(
  certificate: Certificate,
  issuer: Certificate,
  memo: SignatureMemo | undefined,
): boolean {
  if (memo?.has(certificate, issuer)) return true;
  if (signatureAlgorithmProblem(certificate, issuer.publicKeyInfo) !== undefined) return false;
  const good = verifySignature(certificate, issuer.publicKeyInfo);
  if (good) memo?.add(certificate, issuer);
  return good;
}

function checkValidity(
  path: readonly Certificate[],
  { now }: VerifyChainOptions,
): ChainVerdict | undefined {
  for (const certificate of path) {
    const { notBefore, notAfter } = certificate;
    if (now.getTime() >= notAfter.getTime() + 1000) {
      return no("CERTIFICATE_EXPIRED", certificate, `expired at ${rfc3339(notAfter)}`);
    }
    if (now < notBefore) {
      return no("CERTIFICATE_NOT_YET_VALID", certificate, `is valid from ${rfc3339(notBefore)}`);
    }
  }
  return undefined;
}

function checkAuthorities(path: readonly Certificate[]): ChainVerdict | undefined {
  let below = 0;
  for (const [depth, certificate] of path.entries()) {
    const unknown = certificate.extensions.find((e) => e.critical && !isKnownExtension(e.oid));
    if (unknown) {
      return no(FAILED, certificate, `has the unknown critical extension ${unknown.oid}`);
    }
    if (depth === 0) continue;
    const { basicConstraints, keyUsage } = certificate;
    if (basicConstraints?.ca !== true) return no(FAILED, certificate, "is not a CA");
    if (keyUsage && !keyUsage.includes("keyCertSign")) {
      return no(FAILED, certificate, "may not sign certificates");
    }
    if (basicConstraints.pathLength !== undefined && below > basicConstraints.pathLength) {
      return no(
        FAILED,
        certificate,
        `allows ${basicConstraints.pathLength} CAs below it, has ${below}`,
      );
    }
    if (!certificate.selfIssued) below++;
  }
  return undefined;
}

function checkPurpose(
  path: readonly Certificate[],
  { purpose }: VerifyChainOptions,
): ChainVerdict | undefined {
  if (purpose === "any") return undefined;
  const needed = purpose === "server" ? "serverAuth" : "clientAuth";
  for (const [depth, { extendedKeyUsage, keyUsage }] of path.entries()) {
    const certificate = path[depth] as Certificate;
    if (
      extendedKeyUsage &&
      !extendedKeyUsage.includes(needed) &&
      !extendedKeyUsage.includes("any")
    ) {
      return no("CERTIFICATE_WRONG_PURPOSE", certificate, `is not for use as a ${purpose}`);
    }
    if (depth === 0 && keyUsage && !keyUsage.includes("digitalSignature")) {
      return no("CERTIFICATE_WRONG_PURPOSE", certificate, "may not sign a handshake");
    }
  }
  return undefined;
}

function checkName(
  leaf: Certificate,
  { name, spiffeId }: VerifyChainOptions,
): ChainVerdict | undefined {
  const { dns, ip, uri } = leaf.subjectAltNames;
  if (name !== undefined) {
    const address = parseIp(name);
    const found = address
      ? ip.includes(formatIp(address))
      : dns.some((pattern) => matchesDnsName(pattern, name.toLowerCase()));
    if (!found)
      return no("CERTIFICATE_HOSTNAME_MISMATCH", leaf, "does not carry the expected name");
  }
  if (spiffeId !== undefined && (uri.length !== 1 || uri[0] !== spiffeId.uri)) {
    return no("SPIFFE_ID_INVALID", leaf, "does not carry the expected SPIFFE id");
  }
  return undefined;
}

/** RFC 9525 6.3: the wildcard stands for exactly one whole left label. */
function matchesDnsName(pattern: string, name: string): boolean {
  if (!pattern.startsWith("*.")) return pattern === name;
  const dot = name.indexOf(".");
  return dot > 0 && name.slice(dot) === pattern.slice(1);
}

function no(reason: ChainReason, certificate: Certificate, problem: string): ChainVerdict {
  return { ok: false, reason, certificate, message: `certificate ${problem}` };
}

function rfc3339(date: Date): string {
  return date.toISOString().replace(".000Z", "Z");
}

const FAILED = "CERTIFICATE_VERIFICATION_FAILED";
