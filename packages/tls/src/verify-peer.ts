import { hash } from "node:crypto";
import type { X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";

import { parseCertificateBeside, parseSpiffeId, spiffeIdOf, verifyChain } from "@handfast/x509";
import type { Certificate, ChainVerdict, SignatureMemo, SpiffeId } from "@handfast/x509";

import type { AdmissionRule, Expectation } from "./admission.ts";
import { reasonOf } from "./errors.ts";
import type { TlsEvent } from "./events.ts";
import type { CertificateCache } from "./certificate-cache.ts";
import { objectionTo, opensslVerdict } from "./openssl-verdict.ts";
import type { OpensslVerdict } from "./openssl-verdict.ts";
import { describePeer } from "./peer.ts";
import type { ConnectionFacts, PeerDescription, VerifiedPeer } from "./peer.ts";
import type { Recent } from "./recent.ts";
import { refusal, refusals } from "./refusal.ts";
import type { Refusal, RefusalCode } from "./refusal.ts";
import type { Revocation } from "./revocation.ts";
import type { Trust } from "./trust.ts";

/**
 * The one place where Node's own verdict is taken over: Node asks for the certificate and lets OpenSSL build
 * and check the chain, but a connection that OpenSSL objects to still reaches {@link judgeConnection}, which
 * refuses it with a reason. With Node's own rejection both sides would see a reset and no more.
 * Whoever makes a TLS socket with these options must give it to {@link judgeConnection} and to nothing else.
 */
export const verdictIsOurs = { requestCert: true, rejectUnauthorized: false } as const;

/** What a verdict rests on: one consistent state of trust, revocation and rules. */
export interface Grounds {
  readonly trust: Trust;
  readonly revocation: Revocation;
  /** What an undetermined revocation status means. */
  readonly undetermined: "refuse" | "admit";
  /** Whom this side expects: any admitted client, or one server. */
  readonly rule:
    | { readonly side: "server"; readonly admit: AdmissionRule }
    | { readonly side: "client"; readonly expect: Expectation };
  /** Remembers which signatures have been verified. */
  readonly signatures: SignatureMemo;
  readonly certificates: CertificateCache;
  /**
   * What recent peers presented, by the leaf's fingerprint: who comes again is not read again, and a resumed
   * session brings the leaf only. It holds nothing of peers that were refused.
   */
  readonly recentPeers: Recent<Presented>;
  readonly now: Date;
  readonly onEvent: (event: TlsEvent) => void;
}

export type Verdict =
  | { readonly ok: true; readonly peer: VerifiedPeer; readonly presented: Presented }
  | { readonly ok: false; readonly refusal: Refusal; readonly presented: Presented | undefined };

/** What a peer sent: its certificate, and an unordered bag of others that may lead to an anchor. */
export interface Presented {
  readonly leaf: Certificate;
  readonly candidates: readonly Certificate[];
}

/** Whether the value is a peer that the verifier vouched for, and not merely an object of that shape. */
export function isVerifiedPeer(value: unknown): value is VerifiedPeer {
  return typeof value === "object" && value !== null && minted.has(value);
}

/** What is to be known of a handshake beside the socket it was done on. */
export interface HandshakeFacts {
  readonly handshakeTrust: Trust;
  readonly resumedFrom?: Presented | undefined;
  readonly openssl?: OpensslVerdict | undefined;
}

/**
 * Judges a TLS connection whose handshake is over, full or resumed, in either direction. Synchronous, and the
 * only way to a {@link VerifiedPeer}. Reasons are found in the order of S10: malformed, untrusted, validity,
 * purpose, name, revoked, not admitted.
 *
 * `handshakeTrust` is what OpenSSL was given when the handshake began. It may have changed since: the verdict
 * rests on what is trusted now. `resumedFrom` is what the server presented when the session began that a client
 * resumes: Node tells a client nothing of it (26.10), and the resumption proves that it is the same server.
 * `openssl` is by default what Node has told the socket.
 */
export function judgeConnection(
  socket: TLSSocket,
  grounds: Grounds,
  { handshakeTrust, resumedFrom, openssl = opensslVerdict(socket) }: HandshakeFacts,
): Verdict {
  const read =
    resumedFrom !== undefined && socket.isSessionReused()
      ? resumedFrom
      : readPresented(socket, grounds);
  if ("code" in read) return { ok: false, refusal: read, presented: undefined };
  const facts = factsOf(socket);
  const presented = facts.resumed ? rememberedBy(read, grounds) : read;
  const verdict = judgePresented(presented, facts, grounds);
  if (!verdict.ok) return verdict;
  grounds.recentPeers.put(presented.leaf.fingerprint, presented);
  const objection = objectionTo(verdict.peer, openssl, {
    now: grounds.now,
    outdated: handshakeTrust !== grounds.trust,
  });
  return objection === undefined ? verdict : { ok: false, refusal: objection, presented };
}

/**
 * Judges what a peer has presented: at the handshake, and again for a live session when the grounds change.
 * Proof of possession is not part of it: that is TLS's, and stays proved while the connection lives.
 */
export function judgePresented(
  presented: Presented,
  facts: ConnectionFacts,
  grounds: Grounds,
): Verdict {
  const { leaf } = presented;
  const { rule, now } = grounds;
  const refused = (code: RefusalCode, message: string, about: Certificate = leaf): Verdict => ({
    ok: false,
    refusal: refusal(code, { message, publicMessage: publicMessage(code, leaf, about) }),
    presented,
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
  const description = describePeer(path, facts);
  if (rule.side === "client") {
    const unexpected = unexpectedServer(description, rule.expect);
    if (unexpected !== undefined) return refused("CERTIFICATE_HOSTNAME_MISMATCH", unexpected);
  } else if (isNameless(description)) {
    return refused(
      "CERTIFICATE_MALFORMED",
      "the certificate names nobody: no URI, no DNS name, an empty subject",
    );
  }

  const revocation = grounds.revocation.judge(path, now);
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

  const peer = mint(description);
  if (rule.side === "server" && !admits(rule.admit, peer, grounds.onEvent)) {
    minted.delete(peer);
    const who = description.identity ?? (description.subject || "a peer without a single name");
    return refused("NOT_ADMITTED", `${who} is not admitted: expected ${rule.admit.description}`);
  }
  return { ok: true, peer, presented };
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
function unexpectedServer(peer: PeerDescription, expect: Expectation): string | undefined {
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

function arrived(peer: PeerDescription): string {
  return `arrived ${peer.identity ?? "a certificate without a single identity"}`;
}

/** S27: such a peer's principal would be "", the one of peers without a certificate. */
function isNameless(peer: PeerDescription): boolean {
  return peer.uriSans.length === 0 && peer.dnsSans.length === 0 && peer.subject === "";
}

/** Only the value `true` admits; anything that is no boolean is a fault of the rule, and refuses (S11). */
function admits(rule: AdmissionRule, peer: VerifiedPeer, onEvent: Grounds["onEvent"]): boolean {
  try {
    const answer: unknown = rule.admits(peer);
    if (typeof answer === "boolean") return answer;
    // A promise that nobody awaits must not end the process when it rejects.
    if (answer instanceof Promise) answer.catch(() => {});
    const kind = answer instanceof Promise ? "a promise" : typeof answer;
    onEvent({
      type: "admission-fault",
      rule: rule.description,
      reason: `expected true or false, got ${kind}`,
    });
  } catch (thrown) {
    onEvent({
      type: "admission-fault",
      rule: rule.description,
      reason: `the rule threw: ${reasonOf(thrown)}`,
    });
  }
  return false;
}

function readPresented(
  socket: TLSSocket,
  { certificates, recentPeers }: Grounds,
): Presented | Refusal {
  const chain: X509Certificate[] = [];
  let bytes = 0;
  let next: X509Certificate | undefined = socket.getPeerX509Certificate();
  while (next !== undefined) {
    bytes += next.raw.length;
    if (chain.push(next) > MAX_CHAIN_CERTIFICATES || bytes > MAX_CHAIN_BYTES) {
      return refusal("CERTIFICATE_MALFORMED", {
        message: `the chain is too long: expected at most ${MAX_CHAIN_CERTIFICATES} certificates and ${MAX_CHAIN_BYTES} bytes`,
      });
    }
    next = next.issuerCertificate;
  }
  const [leaf, ...others] = chain;
  if (leaf === undefined) return refusal("NO_CLIENT_CERTIFICATE");
  const known = recentPeers.get(hash("sha256", leaf.raw, "hex"));
  try {
    return {
      leaf: known?.leaf ?? parseCertificateBeside(leaf),
      candidates: others.map((other) => certificates.read(other)),
    };
  } catch (thrown) {
    return refusal("CERTIFICATE_MALFORMED", {
      message: `the certificate is malformed: ${reasonOf(thrown)}`,
    });
  }
}

function rememberedBy(presented: Presented, { recentPeers }: Grounds): Presented {
  if (presented.candidates.length > 0) return presented;
  return recentPeers.get(presented.leaf.fingerprint) ?? presented;
}

function factsOf(socket: TLSSocket): ConnectionFacts {
  return {
    tlsVersion: socket.getProtocol() ?? "unknown",
    cipher: socket.getCipher().standardName,
    resumed: socket.isSessionReused(),
  };
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

function mint(description: PeerDescription): VerifiedPeer {
  // The one place where the brand is put on.
  const peer = Object.freeze(description) as VerifiedPeer;
  minted.add(peer);
  return peer;
}

const minted = new WeakSet<object>();

const MAX_CHAIN_CERTIFICATES = 10;
const MAX_CHAIN_BYTES = 64 * 1024;
