import type { Certificate } from "./certificate.ts";
import { refuse, shortened, type ChainRefused } from "./chain-verdict.ts";
import { isKnownExtension, type KeyUsage } from "./extensions.ts";
import { issuingProblem, type IssuingRules } from "./issuing-rules.ts";
import type { NameConstraintChecks } from "./name-constraints.ts";
import { policyProblem, type PolicyInputs } from "./policy-graph.ts";
import { carriesName } from "./reference-name.ts";
import type { SpiffeId } from "./spiffe-id.ts";

/** What the leaf is wanted for. */
export type ChainPurpose = "server" | "client" | "ocspSigning" | "any";

/** What a path whose signatures hold is judged by. */
export interface PathRules {
  readonly now: number;
  readonly purpose: ChainPurpose;
  readonly name: string | undefined;
  readonly spiffeId: SpiffeId | undefined;
  readonly policies: PolicyInputs;
  readonly issuingRules: IssuingRules | undefined;
  readonly nameConstraints: NameConstraintChecks;
  /** Looks a path up that holds otherwise. */
  readonly revocation: ((path: readonly Certificate[]) => ChainRefused | undefined) | undefined;
}

/** A refusal, and how far along the order of S10 the path came before it. */
export interface Finding {
  readonly refused: ChainRefused;
  readonly rank: number;
}

/**
 * Judges a path from leaf to anchor whose signatures hold and whose names chain: authority first, then
 * what the CAs forbid, then validity, purpose, name and revocation
 * (S10). Undefined if nothing is found. The
 * anchor is judged as the CA certificate it is: validity, constraints and usages count (RFC 5937).
 */
export function judgePath(path: readonly Certificate[], rules: PathRules): Finding | undefined {
  const steps = [
    () => authorityRefusal(path),
    () => constraintRefusal(path, rules),
    () => firstOf(path, (certificate) => validityRefusal(certificate, rules.now)),
    () => purposeRefusal(path, rules.purpose),
    () => nameRefusal(path[0] as Certificate, rules),
    () => rules.revocation?.(path),
  ];
  for (const [rank, step] of steps.entries()) {
    const refused = step();
    if (refused) return { refused, rank };
  }
  return undefined;
}

/** Whether an issuer may come next above a path, as far as that can be told without its own issuer. */
export function mayExtend(
  issuer: Certificate,
  path: readonly Certificate[],
  rules: PathRules,
): boolean {
  return (
    caRefusal(issuer, caCount(path)) === undefined &&
    validityRefusal(issuer, rules.now) === undefined &&
    unknownExtensionRefusal(issuer) === undefined &&
    caPurposeRefusal(issuer, rules.purpose) === undefined &&
    nameConstraintRefusal(issuer, path, rules.nameConstraints) === undefined
  );
}

/** How many certificates of a path above the leaf count for path lengths: the self-issued do not. */
function caCount(path: readonly Certificate[]): number {
  let count = 0;
  for (let i = 1; i < path.length; i++) if (!(path[i] as Certificate).selfIssued) count++;
  return count;
}

function firstOf(
  path: readonly Certificate[],
  judge: (certificate: Certificate, depth: number) => ChainRefused | undefined,
): ChainRefused | undefined {
  for (const [depth, certificate] of path.entries()) {
    const refused = judge(certificate, depth);
    if (refused) return refused;
  }
  return undefined;
}

function authorityRefusal(path: readonly Certificate[]): ChainRefused | undefined {
  return firstOf(path, (certificate, depth) =>
    depth === 0 ? undefined : caRefusal(certificate, caCount(path.slice(0, depth))),
  );
}

/** RFC 5280 6.1.4 k to n. `below` counts the CAs between this one and the leaf. */
function caRefusal(issuer: Certificate, below: number): ChainRefused | undefined {
  const { basicConstraints, keyUsage } = issuer;
  if (basicConstraints?.ca !== true) return refuse(UNTRUSTED, issuer, "is not a CA");
  if (keyUsage && !keyUsage.includes("keyCertSign")) {
    return refuse(UNTRUSTED, issuer, "may not sign certificates");
  }
  const { pathLength } = basicConstraints;
  return pathLength !== undefined && below > pathLength
    ? refuse(UNTRUSTED, issuer, `allows ${pathLength} CAs below it, has ${below}`)
    : undefined;
}

function constraintRefusal(
  path: readonly Certificate[],
  rules: PathRules,
): ChainRefused | undefined {
  const { issuingRules, nameConstraints } = rules;
  const refused =
    firstOf(path, unknownExtensionRefusal) ??
    firstOf(path, weakKeyRefusal) ??
    firstOf(path, (issuer, depth) =>
      depth === 0
        ? undefined
        : nameConstraintRefusal(issuer, path.slice(0, depth), nameConstraints),
    );
  if (refused) return refused;
  if (issuingRules !== undefined) {
    const broken = firstOf(path, (certificate, depth) => {
      const above = depth === path.length - 1 ? "anchor" : "intermediate";
      const problem = issuingProblem(certificate, depth === 0 ? "leaf" : above, issuingRules);
      return problem === undefined
        ? undefined
        : refuse("CERTIFICATE_MALFORMED", certificate, problem);
    });
    if (broken) return broken;
  }
  const problem = policyProblem(path, rules.policies);
  return problem === undefined ? undefined : refuse(FAILED, path[0] as Certificate, problem);
}

function unknownExtensionRefusal(certificate: Certificate): ChainRefused | undefined {
  for (const { oid, critical } of certificate.extensions) {
    if (critical && !isKnownExtension(oid)) {
      return refuse(FAILED, certificate, `has the unknown critical extension ${oid}`);
    }
  }
  return undefined;
}

/** A weak key of a CA is refused with what it signed; this is the leaf's own. */
function weakKeyRefusal(certificate: Certificate): ChainRefused | undefined {
  const { modulusBits } = certificate.publicKeyInfo;
  return modulusBits !== undefined && modulusBits < MIN_RSA_BITS
    ? refuse(FAILED, certificate, `has an RSA key of ${modulusBits} bits, which is too weak`)
    : undefined;
}

/** RFC 5280 6.1.3 b, c: self-issued certificates are exempt, but for the leaf. */
function nameConstraintRefusal(
  issuer: Certificate,
  below: readonly Certificate[],
  checks: NameConstraintChecks,
): ChainRefused | undefined {
  const { nameConstraints } = issuer;
  if (nameConstraints === undefined) return undefined;
  return firstOf(below, (certificate, depth) => {
    if (depth > 0 && certificate.selfIssued) return undefined;
    const problem = checks.problem(nameConstraints, certificate);
    return problem === undefined
      ? undefined
      : refuse(
          FAILED,
          certificate,
          `${problem} by the name constraints of ${shortened(issuer.subject.text)}`,
        );
  });
}

/** Both ends are inside, to the second; anything after notAfter's second has expired (RFC 5280 4.1.2.5). */
function validityRefusal(certificate: Certificate, now: number): ChainRefused | undefined {
  const { notBefore, notAfter } = certificate;
  if (now >= notAfter.getTime() + 1000) {
    return refuse("CERTIFICATE_EXPIRED", certificate, `expired at ${rfc3339(notAfter)}`);
  }
  return now < notBefore.getTime()
    ? refuse("CERTIFICATE_NOT_YET_VALID", certificate, `is valid from ${rfc3339(notBefore)}`)
    : undefined;
}

function purposeRefusal(
  path: readonly Certificate[],
  purpose: ChainPurpose,
): ChainRefused | undefined {
  if (purpose === "any") return undefined;
  const [leaf, ...issuers] = path as [Certificate, ...Certificate[]];
  const { extendedKeyUsage, keyUsage } = leaf;
  const needed = usages[purpose];
  // RFC 6960 4.2.2.2: a responder's certificate must name the usage itself.
  const fits =
    purpose === "ocspSigning"
      ? extendedKeyUsage?.includes(needed) === true
      : allows(extendedKeyUsage, needed);
  if (!fits) return refuse(WRONG_PURPOSE, leaf, `is not for ${needed}`);
  if (keyUsage && !keyUsage.some((usage) => keyUsagesFor[purpose].includes(usage))) {
    return refuse(WRONG_PURPOSE, leaf, `has no key usage for ${needed}: ${keyUsage.join(", ")}`);
  }
  return firstOf(issuers, (issuer) => caPurposeRefusal(issuer, purpose));
}

/**
 * A CA whose extended key usages leave the purpose out cannot lend it (as OpenSSL, Go and browsers
 * read it; RFC 5280 is silent). Responders are exempt: CAs are never marked for OCSP signing.
 */
function caPurposeRefusal(issuer: Certificate, purpose: ChainPurpose): ChainRefused | undefined {
  if (purpose === "any" || purpose === "ocspSigning") return undefined;
  return allows(issuer.extendedKeyUsage, usages[purpose])
    ? undefined
    : refuse(WRONG_PURPOSE, issuer, `is a CA for other purposes than ${usages[purpose]}`);
}

function allows(extendedKeyUsage: readonly string[] | undefined, needed: string): boolean {
  return (
    extendedKeyUsage === undefined ||
    extendedKeyUsage.includes(needed) ||
    extendedKeyUsage.includes("any")
  );
}

function nameRefusal(leaf: Certificate, { name, spiffeId }: PathRules): ChainRefused | undefined {
  const { subjectAltNames } = leaf;
  if (name !== undefined && !carriesName(subjectAltNames, name)) {
    return refuse("CERTIFICATE_HOSTNAME_MISMATCH", leaf, "does not carry the expected name");
  }
  const { uri } = subjectAltNames;
  return spiffeId !== undefined && (uri.length !== 1 || uri[0] !== spiffeId.uri)
    ? refuse("SPIFFE_ID_INVALID", leaf, `does not carry the expected SPIFFE id ${spiffeId.uri}`)
    : undefined;
}

function rfc3339(date: Date): string {
  return date.toISOString().replace(".000Z", "Z");
}

const MIN_RSA_BITS = 2048;
const UNTRUSTED = "CERTIFICATE_AUTHORITY_INVALID";
const FAILED = "CERTIFICATE_VERIFICATION_FAILED";
const WRONG_PURPOSE = "CERTIFICATE_WRONG_PURPOSE";
/** RFC 5280 4.2.1.12: the key usages that are consistent with each extended one. */
const keyUsagesFor: Readonly<Record<Exclude<ChainPurpose, "any">, readonly KeyUsage[]>> = {
  server: ["digitalSignature", "keyEncipherment", "keyAgreement"],
  client: ["digitalSignature", "keyAgreement"],
  ocspSigning: ["digitalSignature", "nonRepudiation"],
};
const usages = { server: "serverAuth", client: "clientAuth", ocspSigning: "ocspSigning" } as const;
