import type { Anchors } from "./anchors.ts";
import type { Certificate } from "./certificate.ts";
import { bytesEqual } from "./der.ts";
import { nameKey } from "./name-match.ts";
import { signatureAlgorithmProblem, verifySignature } from "./signature.ts";
import type { SignatureMemo } from "./signature-memo.ts";

/** Where to look for paths, and how far. */
interface PathSearch {
  readonly leaf: Certificate;
  readonly candidates: readonly Certificate[];
  readonly anchors: readonly Certificate[] | Anchors;
  /** CAs between leaf and anchor, the self-issued not counted. */
  readonly maxDepth: number;
  readonly now: number;
  readonly signatures: SignatureMemo | undefined;
}

/** What a search did not find, for the refusal. */
interface SearchTrace {
  /** The certificate furthest from the leaf for which no issuer was found. */
  deepest: readonly Certificate[];
  /** A certificate whose signature algorithm, or whose issuer's key, is not accepted. */
  unacceptable: { certificate: Certificate; problem: string } | undefined;
  /** Whether the bounds of S45 ended the search. */
  exhausted: boolean;
}

/** A search for the paths of one leaf; what one walk has verified, the next need not. */
export interface PathWalker {
  readonly trace: SearchTrace;
  /**
   * Visits paths from leaf to anchor whose names chain and whose signatures hold, until `visit`
   * accepts one. `mayExtend` keeps a certificate from being considered above a path.
   */
  walk(
    visit: (path: readonly Certificate[]) => boolean,
    mayExtend?: (issuer: Certificate, path: readonly Certificate[]) => boolean,
  ): boolean;
}

/**
 * Prepares a search for paths (RFC 4158): candidates are an unordered bag, anchors come first, then
 * what the authority key identifier points to; a dead end is left for the next candidate. The work is
 * bounded (S45): 100 signatures, 32 candidates a step, 10,000 steps a walk.
 */
export function createPathWalker(search: PathSearch): PathWalker {
  const issuersOf = createIssuerLookup(search);
  const trace: SearchTrace = { deepest: [search.leaf], unacceptable: undefined, exhausted: false };
  const isSigned = createSignatureCheck(search.signatures, trace);
  return {
    trace,
    walk(visit, mayExtend) {
      let steps = MAX_STEPS;
      const extend = (path: readonly Certificate[], depth: number, selfIssued: number): boolean => {
        const last = path.at(-1) as Certificate;
        for (const { certificate: issuer, isAnchor } of issuersOf(last)) {
          if (trace.exhausted) return false;
          if (steps-- <= 0) {
            trace.exhausted = true;
            return false;
          }
          const depthWith = depth + (issuer.selfIssued ? 0 : 1);
          const selfIssuedWith = selfIssued + (issuer.selfIssued ? 1 : 0);
          const tooDeep = depthWith > search.maxDepth || selfIssuedWith > MAX_SELF_ISSUED;
          if (!isAnchor && (tooDeep || isRepeated(issuer, path))) continue;
          if (mayExtend && !mayExtend(issuer, path)) continue;
          if (!isSigned(last, issuer)) continue;
          const longer = [...path, issuer];
          if (isAnchor ? visit(longer) : extend(longer, depthWith, selfIssuedWith)) return true;
          if (!isAnchor && longer.length > trace.deepest.length) trace.deepest = longer;
        }
        return false;
      };
      const start = [search.leaf];
      if (isAnchorItself(search) && visit(start)) return true;
      return extend(start, 0, 0);
    },
  };
}

interface PossibleIssuer {
  readonly certificate: Certificate;
  readonly isAnchor: boolean;
}

/** A leaf that is itself an anchor needs no issuer. */
function isAnchorItself({ leaf, anchors }: PathSearch): boolean {
  const named = "named" in anchors ? anchors.named(leaf.subject) : anchors;
  return named.some((anchor) => bytesEqual(anchor.der, leaf.der));
}

/** The same name and key again would be a circle. */
function isRepeated(issuer: Certificate, path: readonly Certificate[]): boolean {
  return path.some(
    (seen) =>
      bytesEqual(seen.subjectPublicKeyInfo, issuer.subjectPublicKeyInfo) &&
      nameKey(seen.subject) === nameKey(issuer.subject),
  );
}

function createIssuerLookup(
  search: PathSearch,
): (certificate: Certificate) => readonly PossibleIssuer[] {
  const found = new Map<Certificate, readonly PossibleIssuer[]>();
  let candidatesByName: Map<string, Certificate[]> | undefined;
  return (certificate) => {
    const known = found.get(certificate);
    if (known) return known;
    const key = nameKey(certificate.issuer);
    const { anchors } = search;
    const named =
      "named" in anchors
        ? anchors.named(certificate.issuer)
        : anchors.filter((anchor) => nameKey(anchor.subject) === key);
    candidatesByName ??= Map.groupBy(search.candidates, ({ subject }) => nameKey(subject));
    const issuers = [
      ...preferred(named, certificate, search.now).map((issuer) => possible(issuer, true)),
      ...preferred(candidatesByName.get(key) ?? [], certificate, search.now)
        .filter((candidate) => !named.some((anchor) => bytesEqual(anchor.der, candidate.der)))
        .map((issuer) => possible(issuer, false)),
    ].slice(0, MAX_CANDIDATES);
    found.set(certificate, issuers);
    return issuers;
  };
}

function possible(certificate: Certificate, isAnchor: boolean): PossibleIssuer {
  return { certificate, isAnchor };
}

/** Each issuer once, the likeliest first. */
function preferred(
  issuers: readonly Certificate[],
  child: Certificate,
  now: number,
): readonly Certificate[] {
  if (issuers.length < 2) return issuers;
  const once = new Map(issuers.map((issuer) => [issuer.fingerprint as string, issuer]));
  return [...once.values()]
    .map((issuer) => ({ issuer, doubt: doubtOf(issuer, child, now) }))
    .sort((a, b) => a.doubt - b.doubt)
    .map(({ issuer }) => issuer);
}

/** Key identifiers are hints (RFC 5280 4.2.1.1): they order the candidates and exclude none. */
function doubtOf(issuer: Certificate, child: Certificate, now: number): number {
  const { authorityKeyIdentifier: wanted } = child;
  const { subjectKeyIdentifier: has } = issuer;
  const key = wanted && has ? (bytesEqual(wanted, has) ? 0 : 2) : 1;
  const inTime = issuer.notBefore.getTime() <= now && now < issuer.notAfter.getTime() + 1000;
  return key + (inTime ? 0 : 4) + (issuer.basicConstraints?.ca === true ? 0 : 8);
}

function createSignatureCheck(
  memo: SignatureMemo | undefined,
  trace: SearchTrace,
): (certificate: Certificate, issuer: Certificate) => boolean {
  let left = MAX_SIGNATURES;
  const checked = new Map<Certificate, Map<Certificate, boolean>>();
  const check = (certificate: Certificate, issuer: Certificate): boolean => {
    if (memo?.has(certificate, issuer)) return true;
    const problem = signatureAlgorithmProblem(certificate, issuer.publicKeyInfo);
    if (problem !== undefined) {
      trace.unacceptable ??= { certificate, problem };
      return false;
    }
    if (left-- <= 0) {
      trace.exhausted = true;
      return false;
    }
    const good = verifySignature(certificate, issuer.publicKeyInfo);
    if (good) memo?.add(certificate, issuer);
    return good;
  };
  return (certificate, issuer) => {
    let answers = checked.get(certificate);
    if (!answers) checked.set(certificate, (answers = new Map()));
    let answer = answers.get(issuer);
    if (answer === undefined) answers.set(issuer, (answer = check(certificate, issuer)));
    return answer;
  };
}

const MAX_SIGNATURES = 100;
const MAX_CANDIDATES = 32;
const MAX_STEPS = 10_000;
const MAX_SELF_ISSUED = 8;
