import { parseSpiffeId, spiffeIdOf, verifyChain } from "@handfast/x509";
import type { Certificate, ChainVerdict, SpiffeId } from "@handfast/x509";

import type { Expectation } from "./admission.ts";
import type { Grounds, Presented } from "./grounds.ts";
import { describeCertificate } from "./peer.ts";
import type { PeerCertificate } from "./peer.ts";
import { refusal, refusals } from "./refusal.ts";
import type { Refusal, RefusalCode } from "./refusal.ts";
import { verdictOnPath } from "./revocation.ts";
import type { Trust } from "./trust.ts";

/**
 * Judges what was presented, up to but without admission: the path to an anchor, validity, purpose, SPIFFE rules,
 * name, revocation, in the order of S10. Proof of possession of the key is not part of it.
 *
 * @param known what a path was described as before; it is the description if the path is the same.
 */
export function judgeCertificate(
  presented: Presented,
  grounds: Grounds,
  known?: PeerCertificate,
): { readonly ok: true; readonly description: PeerCertificate } | NotVerified {
  const { leaf } = presented;
  const { rule, now } = grounds;
  const refused = (code: RefusalCode, message: string, about: Certificate = leaf): NotVerified => ({
    ok: false,
    refusal: refusal(code, { message, publicMessage: publicMessage(code, leaf, about) }),
  });

  const found = findPath(presented, grounds);
  if (!found.ok) return refused(found.reason, found.message, found.certificate);
  const { path } = found;

  if (leaf.basicConstraints?.ca === true) {
    return refused(
      "CERTIFICATE_WRONG_PURPOSE",
      `${nameOf(leaf)} is a CA certificate: expected a leaf`,
    );
  }
  const mistake = spiffeMistake(leaf, path, grounds.trust);
  if (mistake !== undefined) return refused(mistake.code, mistake.message);
  const description =
    known !== undefined && samePath(known.chain, path) ? known : describeCertificate(path);
  if (rule.side === "client") {
    const unexpected = unexpectedServer(description, rule.expect);
    if (unexpected !== undefined) return refused("CERTIFICATE_HOSTNAME_MISMATCH", unexpected);
  } else if (isNameless(description)) {
    return refused(
      "CERTIFICATE_MALFORMED",
      "the certificate names nobody: no URI, no DNS name, an empty subject",
    );
  }

  const revocation = verdictOnPath(path, grounds.revocation.judge(path, now));
  if (revocation.status === "revoked") {
    const { certificate } = revocation;
    return refused("CERTIFICATE_REVOKED", `${nameOf(certificate)} has been revoked`, certificate);
  }
  if (revocation.status === "undetermined" && grounds.undetermined === "refuse") {
    return refused(
      "CERTIFICATE_VERIFICATION_FAILED",
      `whether ${nameOf(revocation.certificate)} is revoked cannot be told: ${revocation.reason}`,
      revocation.certificate,
    );
  }
  return { ok: true, description };
}

function samePath(a: readonly Certificate[], b: readonly Certificate[]): boolean {
  return a.length === b.length && a.every((certificate, index) => certificate === b[index]);
}

interface NotVerified {
  readonly ok: false;
  readonly refusal: Refusal;
}

/**
 * The path to an anchor. A certificate with a SPIFFE id is judged under the bundle of its own trust domain
 * where there is one; the other anchors only serve to tell "not trusted" from "not for this domain" (S15).
 */
function findPath(presented: Presented, { trust, rule, signatures, now }: Grounds): ChainVerdict {
  const options = {
    now,
    purpose: rule.side === "server" ? "client" : "server",
    signatures,
    ...(rule.side === "client" && rule.expect.kind === "serverName"
      ? { name: rule.expect.name }
      : {}),
  } as const;
  const own = spiffeIdOf(presented.leaf)?.trustDomain;
  const anchors = own === undefined ? [] : trust.of(own);
  if (anchors.length > 0) {
    const verdict = verifyChain(presented, { ...options, anchors });
    const untrusted =
      !verdict.ok &&
      (verdict.reason === "CERTIFICATE_AUTHORITY_INVALID" ||
        verdict.reason === "SIGNATURE_VERIFICATION_FAILED");
    if (!untrusted) return verdict;
  }
  return verifyChain(presented, { ...options, anchors: trust.certificates });
}

/** Why the SPIFFE ids in a leaf are not to be believed; undefined if they are, or there are none. */
function spiffeMistake(
  leaf: Certificate,
  path: readonly Certificate[],
  trust: Trust,
): { code: RefusalCode; message: string } | undefined {
  const anchor = path.at(-1);
  for (const uri of leaf.subjectAltNames.uri) {
    if (!/^spiffe:/i.test(uri)) continue;
    const id = parsed(uri);
    // Only a CA may stand for a whole trust domain (X509-SVID, section 2).
    if (id === undefined || id.path === "")
      return { code: "SPIFFE_ID_INVALID", message: `the SPIFFE id ${uri} is not valid` };
    if (anchor === undefined || !trust.speaksFor(anchor, id.trustDomain)) {
      return {
        code: "NOT_ADMITTED",
        message: `the SPIFFE id ${uri} is not believed: ${anchor === undefined ? "its CA" : nameOf(anchor)} does not speak for trust domain ${id.trustDomain}`,
      };
    }
    if (signsOthers(leaf)) {
      return {
        code: "SPIFFE_ID_INVALID",
        message: `the certificate of ${uri} may sign others: no X509-SVID`,
      };
    }
  }
  return undefined;
}

function signsOthers(leaf: Certificate): boolean {
  return leaf.keyUsage?.some((usage) => usage === "keyCertSign" || usage === "cRLSign") ?? false;
}

function parsed(uri: string): SpiffeId | undefined {
  try {
    return parseSpiffeId(uri);
  } catch {
    return undefined;
  }
}

/** Why a dialled server is not the expected one. Names are checked on the path itself, with verifyChain. */
function unexpectedServer(peer: PeerCertificate, expect: Expectation): string | undefined {
  switch (expect.kind) {
    case "serverName":
      return undefined;
    case "spiffeId":
      return peer.spiffeId?.uri === expect.id
        ? undefined
        : `expected ${expect.id}, ${arrived(peer)}`;
    case "memberOf":
      return peer.spiffeId?.trustDomain === expect.trustDomain
        ? undefined
        : `expected a member of trust domain ${expect.trustDomain}, ${arrived(peer)}`;
  }
}

function arrived(peer: PeerCertificate): string {
  return `arrived ${peer.identity ?? "a certificate without a single identity"}`;
}

/** S27: such a peer's principal would be "", the one of peers without a certificate. */
function isNameless(peer: PeerCertificate): boolean {
  return peer.uriSans.length === 0 && peer.dnsSans.length === 0 && peer.subject === "";
}

/** The fixed sentence, and the peer's own dates where they are the reason. */
function publicMessage(code: RefusalCode, leaf: Certificate, about: Certificate): string {
  const { sentence } = refusals[code];
  if (about !== leaf) return sentence;
  if (code === "CERTIFICATE_EXPIRED")
    return `${sentence}: it was valid until ${timeText(leaf.notAfter)}`;
  if (code === "CERTIFICATE_NOT_YET_VALID")
    return `${sentence}: it is valid from ${timeText(leaf.notBefore)}`;
  return sentence;
}

function timeText(time: Date): string {
  return time.toISOString().replace(".000Z", "Z");
}

function nameOf(certificate: Certificate): string {
  return (
    certificate.subject.text || `the certificate with serial number ${certificate.serialNumber}`
  );
}
