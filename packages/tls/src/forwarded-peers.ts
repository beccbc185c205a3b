import { hash } from "node:crypto";

import { parseCertificatesPem } from "@handfast/x509";
import type { Certificate } from "@handfast/x509";

import type { AdmissionRule } from "./admission.ts";
import { reasonOf } from "./errors.ts";
import type { Grounds, Presented } from "./grounds.ts";
import type { ForwardedPeer, PeerCertificate, VerifiedPeer } from "./peer.ts";
import { createRecent } from "./recent.ts";
import { refusal } from "./refusal.ts";
import type { Refusal } from "./refusal.ts";
import { isVerifiedPeer, judgeForwarded, mintForwarded } from "./verify-peer.ts";

/** From whom forwarded certificates are taken, and whose. */
export interface ForwardedPeersOptions {
  /**
   * The identities of the proxies, spelled as `peer.identity` is (`spiffe://…`, `dns:…`): a list of names, not a
   * trust domain, since each of them can speak for everybody.
   */
  readonly proxies: readonly string[];
  /** Which callers behind a proxy are admitted; by default as the runtime admits its own peers. */
  readonly admit?: AdmissionRule;
}

/** Who makes a request, as far as the connection and a certificate handed on with the request tell. */
export type Caller =
  /** The connection's own peer: it is no proxy, and handed nothing on. */
  | { readonly kind: "direct" }
  /** Somebody behind a proxy, whose certificate has been verified. */
  | { readonly kind: "forwarded"; readonly forwarded: ForwardedPeer }
  /** The proxy handed nothing on. Nobody is known: the proxy's own identity is never the caller's. */
  | { readonly kind: "unknown" }
  /** The certificate does not count, and the request must not either. */
  | { readonly kind: "refused"; readonly refusal: Refusal };

/**
 * Tells who calls through a proxy that ends the callers' TLS and hands on their certificates, as nginx does with
 * `$ssl_client_escaped_cert` (S63). The certificate is judged for each request by the same verifier as a peer's,
 * on what is trusted and revoked now; what was judged already on the same grounds is not judged again.
 */
export interface ForwardedPeers {
  /**
   * Synchronous: ask for each request, and again for an open one when `onChange` calls back.
   *
   * @param handedOn the values of the header, each a percent-encoded PEM leaf, and after it, where the proxy has
   * them, its intermediates. Those of the proxy's own path and of our own chain are known anyway.
   * @param via the connection's peer; undefined in plaintext and where no certificate is asked for.
   */
  callerOf(handedOn: readonly string[], via: VerifiedPeer | undefined): Caller;
  /** Calls back when callers may have to be judged again. Returns a function that stops it. */
  onChange(changed: () => void): () => void;
}

export interface ForwardedPeersContext {
  grounds(): Grounds;
  /** Counts the changes of what verdicts rest on. */
  generation(): number;
  /** Intermediates that callers may have in common with us. */
  candidates(): readonly Certificate[];
  onChange(changed: () => void): () => void;
}

/** @throws TypeError if there is no proxy to take certificates from. */
export function createForwardedPeers(
  { proxies }: ForwardedPeersOptions,
  context: ForwardedPeersContext,
): ForwardedPeers {
  const trusted = new Set(proxies);
  if (trusted.size === 0 || trusted.has("")) {
    throw new TypeError(
      "forwardedPeers needs the identities of the proxies: expected at least one",
    );
  }
  const judged = createRecent<Judged>(MAX_JUDGED);

  function judge(text: string, via: VerifiedPeer): Judged {
    const key = hash("sha256", `${via.fingerprint} ${text}`, "hex");
    const generation = context.generation();
    const grounds = context.grounds();
    const known = judged.get(key);
    if (known !== undefined && holds(known, generation, grounds.now)) return known;
    const outcome = { ...judgeText(text, via, grounds), generation, at: grounds.now.getTime() };
    judged.put(key, outcome);
    return outcome;
  }

  function judgeText(text: string, via: VerifiedPeer, grounds: Grounds): Outcome {
    const presented = read(text, [...via.chain.slice(1), ...context.candidates()]);
    return "code" in presented
      ? { ok: false, refusal: presented }
      : judgeForwarded(presented, via, grounds);
  }

  return {
    callerOf(handedOn, via) {
      const isProxy = via?.identity !== undefined && trusted.has(via.identity);
      const [text] = handedOn;
      if (text === undefined) return { kind: isProxy ? "unknown" : "direct" };
      if (via === undefined || !isProxy || !isVerifiedPeer(via))
        return refused("NOT_ADMITTED", via);
      if (handedOn.length > 1) return refused("CERTIFICATE_MALFORMED", via);
      const outcome = judge(text, via);
      return outcome.ok
        ? { kind: "forwarded", forwarded: mintForwarded(outcome.peer, via) }
        : { kind: "refused", refusal: outcome.refusal };
    },
    onChange: (changed) => context.onChange(changed),
  };
}

type Outcome = ReturnType<typeof judgeForwarded>;
type Judged = Outcome & { readonly generation: number; readonly at: number };

/** Whether a verdict stands: of these grounds, and, for the clock, within the path's time or just now. */
function holds(judged: Judged, generation: number, now: Date): boolean {
  if (judged.generation !== generation) return false;
  if (!judged.ok) return Math.abs(now.getTime() - judged.at) < REFUSED_AGAIN_MS;
  return judged.peer.chain.every(({ notBefore, notAfter }) => notBefore <= now && now <= notAfter);
}

function refused(
  code: "NOT_ADMITTED" | "CERTIFICATE_MALFORMED",
  via: PeerCertificate | undefined,
): Caller {
  const who = via?.identity ?? "a peer without an identity";
  const message =
    code === "NOT_ADMITTED"
      ? `${who} handed on a certificate, and is none of the proxies`
      : `${who} handed on more than one certificate header: expected exactly one`;
  return { kind: "refused", refusal: refusal(code, { message }) };
}

/** Reads what a proxy handed on. */
function read(text: string, candidates: readonly Certificate[]): Presented | Refusal {
  if (text.length > MAX_TEXT_LENGTH) {
    return malformed(`it has ${text.length} characters, expected at most ${MAX_TEXT_LENGTH}`);
  }
  let certificates: Certificate[];
  try {
    const pem = decodeURIComponent(text);
    // Headers that something on the way has joined into one must not pass as one.
    if (!BLOCKS_ALONE.test(pem)) return malformed("expected percent-encoded PEM and nothing else");
    certificates = parseCertificatesPem(pem);
  } catch (thrown) {
    return malformed(reasonOf(thrown));
  }
  const [leaf, ...others] = certificates;
  if (leaf === undefined || certificates.length > MAX_CERTIFICATES) {
    const count = certificates.length;
    return malformed(`it holds ${count} certificates, expected 1 to ${MAX_CERTIFICATES}`);
  }
  return { leaf, candidates: [...others, ...candidates] };
}

function malformed(reason: string): Refusal {
  return refusal("CERTIFICATE_MALFORMED", {
    message: `the certificate that was handed on is malformed: ${reason}`,
  });
}

const BLOCKS_ALONE = /^(?:-----BEGIN CERTIFICATE-----[^-,]*-----END CERTIFICATE-----\s*)+$/;
/** About 6 kB each. */
const MAX_JUDGED = 1000;
/** A refusal may rest on the clock: it is not believed for longer. */
const REFUSED_AGAIN_MS = 1000;
/** As on a connection (S19); with everything escaped, three times as long. */
const MAX_CERTIFICATES = 10;
const MAX_TEXT_LENGTH = 3 * 64 * 1024;
