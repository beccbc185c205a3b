import type { Anchors } from "./anchors.ts";
import type { Certificate } from "./certificate.ts";
import { checkRevocation } from "./check-revocation.ts";
import type { Crl } from "./crl.ts";
import { refuse, shortened, type ChainRefused, type ChainVerdict } from "./chain-verdict.ts";
import { createPathWalker, type PathWalker } from "./find-path.ts";
import type { IssuingRules } from "./issuing-rules.ts";
import {
  judgePath,
  mayExtend,
  type ChainPurpose,
  type Finding,
  type PathRules,
} from "./judge-path.ts";
import { createNameConstraintChecks } from "./name-constraints.ts";
import type { SignatureMemo } from "./signature-memo.ts";
import type { SpiffeId } from "./spiffe-id.ts";

/** How a chain is judged. */
export interface VerifyChainOptions {
  /** Where a path may end; they need not be self-signed. A long list is best prepared once. */
  readonly anchors: readonly Certificate[] | Anchors;
  readonly now: Date;
  /**
   * `server`, `client`: the leaf's usages allow it, and so do those of every CA that has any.
   * `ocspSigning`: the leaf names that usage itself. `any`: usages are not looked at.
   */
  readonly purpose: ChainPurpose;
  /** A DNS name or an IP literal that the leaf must carry as a SAN; the CN is never looked at. */
  readonly name?: string;
  /** The SPIFFE id that must be the leaf's only URI SAN. */
  readonly spiffeId?: SpiffeId;
  /** CAs between leaf and anchor, the self-issued not counted; 8 by default. */
  readonly maxDepth?: number;
  /** Remembers signatures that were verified before; share one between calls. */
  readonly signatures?: SignatureMemo;
  /**
   * Revocation lists. Every certificate of the path but the anchor is looked up, and a CA is revoked
   * if its key is, under whatever issuer (S8): give the CAs you know as candidates too.
   */
  readonly crls?: readonly Crl[];
  /** What to do where the lists do not tell; `refuse` by default. Without `crls` nothing is looked up. */
  readonly undetermined?: "refuse" | "admit";
  /** Certificate policies of which one must hold along the path, as dotted OIDs (RFC 5280 6.1.1 c, e). */
  readonly policies?: readonly string[];
  /** Rules on issuing beyond what makes a path hold; none by default. */
  readonly issuingRules?: IssuingRules;
}

/**
 * Whether a path from the leaf to an anchor holds (RFC 5280 section 6), and if not, why.
 *
 * Candidates are an unordered bag: every path they allow is tried until one holds. Signatures with
 * SHA-1, MD5 or RSA keys under 2,048 bits, unknown critical extensions, and CAs that may not issue
 * what they issued are refused. Reasons come in the order of S10; where several paths fail, the one
 * that came furthest gives the reason. The anchor counts as the CA certificate it is: its validity,
 * constraints and usages are obeyed (RFC 5937), its signature is not looked at.
 *
 * The work is bounded (S45): 100 signature checks, 32 candidates a step, 250,000 name comparisons.
 */
export function verifyChain(
  chain: { readonly leaf: Certificate; readonly candidates: readonly Certificate[] },
  options: VerifyChainOptions,
): ChainVerdict {
  const rules = rulesFrom(options, chain.candidates);
  const walker = createPathWalker({
    ...chain,
    anchors: options.anchors,
    maxDepth: options.maxDepth ?? DEFAULT_DEPTH,
    now: rules.now,
    signatures: options.signatures,
  });
  let holding: readonly Certificate[] | undefined;
  let furthest: Finding | undefined;
  const visit = (path: readonly Certificate[]): boolean => {
    const finding = judgePath(path, rules);
    if (!finding) holding = path;
    else if (!furthest || finding.rank > furthest.rank) furthest = finding;
    // No other path helps a leaf that is itself at fault, once one path has come that far.
    return (
      !finding || (finding.rank >= VALIDITY_RANK && finding.refused.certificate === chain.leaf)
    );
  };
  // First only what can hold; if that fails, whatever is signed, to learn how far a path comes.
  const settled = walker.walk(visit, (issuer, path) => mayExtend(issuer, path, rules));
  if (!settled) walker.walk(visit);
  if (holding) return { ok: true, path: holding };
  return furthest?.refused ?? untrusted(walker);
}

function untrusted({ trace }: PathWalker): ChainRefused {
  const { deepest, unacceptable, exhausted } = trace;
  const last = deepest.at(-1) as Certificate;
  if (exhausted)
    return refuse(
      "CERTIFICATE_VERIFICATION_FAILED",
      last,
      "needs more checks to find a path than are made",
    );
  if (unacceptable) {
    return refuse(
      "SIGNATURE_VERIFICATION_FAILED",
      unacceptable.certificate,
      `is not accepted: ${unacceptable.problem}`,
    );
  }
  return refuse(
    "CERTIFICATE_AUTHORITY_INVALID",
    last,
    last.selfIssued
      ? "is not among the trusted authorities"
      : `was not issued by a trusted authority: ${shortened(last.issuer.text) || "its issuer"} is unknown, or its key did not sign it`,
  );
}

function rulesFrom(options: VerifyChainOptions, candidates: readonly Certificate[]): PathRules {
  const now = options.now.getTime();
  if (Number.isNaN(now)) throw new TypeError("now must be a valid date");
  if (!purposes.has(options.purpose)) {
    throw new TypeError(
      `purpose must be server, client, ocspSigning or any, got ${options.purpose}`,
    );
  }
  const { maxDepth = DEFAULT_DEPTH } = options;
  if (!Number.isInteger(maxDepth) || maxDepth < 0) {
    throw new TypeError(`maxDepth must be a whole number from 0, got ${maxDepth}`);
  }
  return {
    now,
    purpose: options.purpose,
    name: options.name,
    spiffeId: options.spiffeId,
    policies: {
      explicit: options.policies !== undefined,
      ...(options.policies && { acceptable: options.policies }),
    },
    issuingRules: options.issuingRules,
    nameConstraints: createNameConstraintChecks(MAX_COMPARISONS),
    revocation: options.crls && ((path) => revocationRefusal(path, options, candidates)),
  };
}

function revocationRefusal(
  path: readonly Certificate[],
  { crls = [], now, undetermined, anchors }: VerifyChainOptions,
  candidates: readonly Certificate[],
): ChainRefused | undefined {
  const trusted = "named" in anchors ? anchors.certificates : anchors;
  const found = checkRevocation(path, {
    crls,
    now,
    twins: [...candidates, ...trusted],
    anchors: trusted,
  });
  if (found.status === "revoked") {
    const { revokedAt, reason } = found.entry;
    const why = reason === undefined ? "" : ` (${reason})`;
    const problem = `was revoked at ${revokedAt.toISOString().replace(".000Z", "Z")}${why}`;
    return refuse("CERTIFICATE_REVOKED", found.certificate, problem);
  }
  if (found.status === "unrevoked" || undetermined === "admit") return undefined;
  return refuse(
    "CERTIFICATE_VERIFICATION_FAILED",
    found.certificate,
    `may be revoked: ${found.reason}`,
  );
}

const DEFAULT_DEPTH = 8;
const MAX_COMPARISONS = 250_000;
const VALIDITY_RANK = 2;
const purposes: ReadonlySet<string> = new Set<ChainPurpose>([
  "server",
  "client",
  "ocspSigning",
  "any",
]);
