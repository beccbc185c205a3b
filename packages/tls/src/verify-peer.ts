import { hash } from "node:crypto";
import type { X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";

import { parseCertificateBeside } from "@handfast/x509";

import type { AdmissionRule } from "./admission.ts";
import { reasonOf } from "./errors.ts";
import type { Grounds, Presented } from "./grounds.ts";
import { judgeCertificate } from "./judge-certificate.ts";
import { objectionTo, opensslVerdict } from "./openssl-verdict.ts";
import type { OpensslVerdict } from "./openssl-verdict.ts";
import type { ConnectionFacts, ForwardedPeer, PeerCertificate, VerifiedPeer } from "./peer.ts";
import { refusal } from "./refusal.ts";
import type { Refusal } from "./refusal.ts";
import type { Trust } from "./trust.ts";

/**
 * The one place where Node's own verdict is taken over: Node asks for the certificate and lets OpenSSL build
 * and check the chain, but a connection that OpenSSL objects to still reaches {@link judgeConnection}, which
 * refuses it with a reason. With Node's own rejection both sides would see a reset and no more.
 * Whoever makes a TLS socket with these options must give it to {@link judgeConnection} and to nothing else;
 * `fetchPinnedRoot` alone does not, for it believes nothing but a hash.
 */
export const verdictIsOurs = { requestCert: true, rejectUnauthorized: false } as const;

export type Verdict =
  | { readonly ok: true; readonly peer: VerifiedPeer; readonly presented: Presented }
  | { readonly ok: false; readonly refusal: Refusal; readonly presented: Presented | undefined };

/** Whether the value is a peer that the verifier vouched for, and not merely an object of that shape. */
export function isVerifiedPeer(value: unknown): value is VerifiedPeer {
  return typeof value === "object" && value !== null && minted.has(value);
}

/** Whether the value is one that the verifier made of a certificate handed on by a proxy. */
export function isForwardedPeer(value: unknown): value is ForwardedPeer {
  return typeof value === "object" && value !== null && forwarded.has(value);
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
  facts: ConnectionFacts | VerifiedPeer,
  grounds: Grounds,
): Verdict {
  // A live session's peer stays what it is as long as its path does.
  const known = isVerifiedPeer(facts) ? facts : undefined;
  const judged = judgeCertificate(presented, grounds, known);
  if (!judged.ok) return { ...judged, presented };
  const { tlsVersion, cipher, resumed } = facts;
  const peer =
    known !== undefined && judged.description === known
      ? known
      : mint({ ...judged.description, tlsVersion, cipher, resumed });
  const refused = notAdmitted(peer, grounds);
  if (refused === undefined) return { ok: true, peer, presented };
  if (peer !== known) minted.delete(peer);
  return { ok: false, refusal: refused, presented };
}

/**
 * Judges a certificate that a proxy hands on as if its holder had come himself, over the proxy's connection: the
 * rule is asked about him as about a peer. What remains is no {@link VerifiedPeer} (S63).
 */
export function judgeForwarded(
  presented: Presented,
  { tlsVersion, cipher, resumed }: VerifiedPeer,
  grounds: Grounds,
):
  | { readonly ok: true; readonly peer: PeerCertificate }
  | { readonly ok: false; readonly refusal: Refusal } {
  const judged = judgeCertificate(presented, grounds);
  if (!judged.ok) return judged;
  const asked = mint({ ...judged.description, tlsVersion, cipher, resumed });
  const refused = notAdmitted(asked, grounds);
  minted.delete(asked);
  if (refused !== undefined) return { ok: false, refusal: refused };
  return { ok: true, peer: Object.freeze(judged.description) };
}

/** Puts the other brand on: for certificates that {@link judgeForwarded} has just let pass. */
export function mintForwarded(peer: PeerCertificate, via: VerifiedPeer): ForwardedPeer {
  const made = Object.freeze({ peer, via }) as ForwardedPeer;
  forwarded.add(made);
  return made;
}

function notAdmitted(peer: VerifiedPeer, { rule, onEvent }: Grounds): Refusal | undefined {
  if (rule.side === "client" || admits(rule.admit, peer, onEvent)) return undefined;
  const who = peer.identity ?? (peer.subject || "a peer without a single name");
  return refusal("NOT_ADMITTED", {
    message: `${who} is not admitted: expected ${rule.admit.description}`,
  });
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

function mint(description: PeerCertificate & ConnectionFacts): VerifiedPeer {
  // The one place where the brand is put on.
  const peer = Object.freeze(description) as VerifiedPeer;
  minted.add(peer);
  return peer;
}

const minted = new WeakSet<object>();
const forwarded = new WeakSet<object>();

const MAX_CHAIN_CERTIFICATES = 10;
const MAX_CHAIN_BYTES = 64 * 1024;
