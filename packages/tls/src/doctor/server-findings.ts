import { isIP } from "node:net";

import { verifyChain } from "@handfast/x509";
import type { Certificate } from "@handfast/x509";

import type { Refusal } from "../refusal.ts";
import type { Trust } from "../trust.ts";
import type { Verdict } from "../verify-peer.ts";
import type { AilmentCode } from "./ailments.ts";
import { finding } from "./finding.ts";
import type { Finding } from "./finding.ts";
import { sharesOrganization } from "./kinship.ts";
import type { Probe } from "./probe.ts";

/** For the words in braces of the table. */
export type Words = Readonly<Record<string, string | number>>;

/** Why there is no connection. */
export function unreachableFinding(
  { code, reason }: Probe & { stage: "unreachable" },
  words: Words,
): Finding {
  const ailment: AilmentCode =
    code.startsWith("EAI_") || code === "ENOTFOUND"
      ? "HOST_UNKNOWN"
      : code === "ECONNREFUSED"
        ? "CONNECTION_REFUSED"
        : "CONNECTION_TIMED_OUT";
  return finding(ailment, { words, detail: reason });
}

/** Why the handshake without a certificate of ours failed. */
export function brokenFindings(
  broken: Probe & { stage: "broken" },
  words: Words,
): readonly Finding[] {
  const { refusal, serverHello, certificateRequest } = broken;
  const detail = refusal.message;
  const because = (code: AilmentCode, certainty: Finding["certainty"] = "certain"): Finding =>
    finding(code, { words, detail, certainty });
  // In TLS 1.2 a server that misses a certificate ends the handshake: that is told with the client's side.
  if (serverHello && certificateRequest !== undefined) return [];
  switch (refusal.code) {
    case "NOT_TLS":
      return [finding("PLAINTEXT_SERVER", { words, detail: greeted(broken.greeting) })];
    case "HANDSHAKE_TIMEOUT":
      return [because("SERVER_SILENT")];
    case "PROTOCOL_VERSION_UNSUPPORTED":
    case "INAPPROPRIATE_FALLBACK":
      return [because("TLS_VERSION")];
    case "CIPHER_SUITE_MISMATCH":
      return [because("NO_SHARED_CIPHER")];
    case "KEY_EXCHANGE_FAILURE":
      // One alert for all of it.
      return [because("NO_SHARED_GROUP", "likely"), because("NO_SHARED_CIPHER", "likely")];
    case "CERTIFICATE_HOSTNAME_MISMATCH":
      return [because("SNI_REFUSED")];
    case "NO_APPLICATION_PROTOCOL":
      return [because("ALPN_NO_H2")];
    case "PEER_CONNECTION_CLOSED":
      return [because("CLOSED_AT_ONCE")];
    case "NO_CLIENT_CERTIFICATE":
      return [];
    case "CERTIFICATE_MALFORMED":
    case "CERTIFICATE_VERIFICATION_FAILED":
    case "SIGNATURE_VERIFICATION_FAILED":
      return [because("SERVER_REFUSED")];
    default:
      return refusal.by === "us" && /certificate|signature/i.test(refusal.message)
        ? [because("SERVER_REFUSED")]
        : [because("CLOSED_AT_ONCE", "likely")];
  }
}

/** What the verdict on the server rests on, to tell causes apart that one code covers. */
export interface ServerGrounds {
  readonly words: Words;
  readonly now: Date;
  readonly trust: Trust;
  readonly sent: readonly Certificate[];
  /** Intermediates of our own, which the server may have forgotten to send. */
  readonly candidates: readonly Certificate[];
  readonly ownLeaf: Certificate | undefined;
}

/** Why the server was refused; empty if it was not. */
export function serverFindings(verdict: Verdict, grounds: ServerGrounds): readonly Finding[] {
  if (verdict.ok) return [];
  const { refusal } = verdict;
  const { words } = grounds;
  const [leaf] = grounds.sent;
  const told = (code: AilmentCode, detail: string = refusal.message): Finding =>
    finding(code, { words, detail });
  switch (refusal.code) {
    case "CERTIFICATE_AUTHORITY_INVALID":
    case "SIGNATURE_VERIFICATION_FAILED":
      return [told(untrustedBecause(grounds, refusal))];
    case "CERTIFICATE_EXPIRED":
    case "CERTIFICATE_NOT_YET_VALID":
      return validityFindings(refusal, grounds);
    case "CERTIFICATE_WRONG_PURPOSE":
      return [told("SERVER_WRONG_PURPOSE")];
    case "CERTIFICATE_HOSTNAME_MISMATCH": {
      if (leaf === undefined) return [told("SERVER_NAME_MISMATCH")];
      const { dns, ip } = leaf.subjectAltNames;
      if (!refusal.message.startsWith("certificate ")) return [told("SERVER_IDENTITY_MISMATCH")];
      if (dns.length + ip.length === 0)
        return [told("SERVER_NO_SAN", `it is for ${leaf.subject.text}`)];
      const { name = "" } = words;
      const kind = isIP(String(name)) === 0 ? "" : ", and an address needs an IP name of its own";
      const names = [...dns, ...ip].slice(0, MAX_NAMES).join(", ");
      return [told("SERVER_NAME_MISMATCH", `dialled ${name}, it is for ${names}${kind}`)];
    }
    case "CERTIFICATE_REVOKED":
      return [told("SERVER_REVOKED")];
    case "NOT_ADMITTED":
      return [told("SERVER_IDENTITY_MISMATCH")];
    default:
      return [told("SERVER_REFUSED")];
  }
}

function untrustedBecause(
  { sent, candidates, trust, now }: ServerGrounds,
  { code }: Refusal,
): AilmentCode {
  const [leaf, ...others] = sent;
  if (leaf === undefined) return "SERVER_CA_UNKNOWN";
  if (code === "SIGNATURE_VERIFICATION_FAILED") return "SERVER_REFUSED";
  if (leaf.selfIssued) return "SERVER_SELF_SIGNED";
  const completed = verifyChain(
    { leaf, candidates: [...others, ...candidates] },
    { anchors: trust.certificates, now, purpose: "any" },
  );
  const alone = others.length === 0 && sharesOrganization(leaf.issuer, trust.certificates);
  return completed.ok || alone ? "SERVER_CHAIN_INCOMPLETE" : "SERVER_CA_UNKNOWN";
}

/** Where the CA, or our own certificate, is out of its time in the same way, it is the clock. */
function validityFindings(
  refusal: Refusal,
  { trust, now, words, ownLeaf }: ServerGrounds,
): readonly Finding[] {
  const expired = refusal.code === "CERTIFICATE_EXPIRED";
  const outOfTime = (certificate: Certificate): boolean =>
    expired ? now > certificate.notAfter : now < certificate.notBefore;
  const code = expired ? "SERVER_EXPIRED" : "SERVER_NOT_YET_VALID";
  const detail = `${refusal.message}; it is ${now.toISOString().slice(0, 19)}Z here`;
  const others = [...trust.certificates, ...(ownLeaf === undefined ? [] : [ownLeaf])];
  if (!others.some(outOfTime)) return [finding(code, { words, detail })];
  const clock = `certificates of both sides are ${expired ? "past their end" : "not valid yet"}: it is ${now.toISOString().slice(0, 19)}Z here`;
  return [
    finding("CLOCK_WRONG", { words, detail: clock, certainty: "likely" }),
    finding(code, { words, detail, certainty: "likely" }),
  ];
}

function greeted(greeting: Uint8Array): string {
  const text = Buffer.from(greeting).toString("latin1");
  if (text.startsWith("HTTP/")) return "it answered in plain HTTP";
  // A SETTINGS frame on stream 0 comes first (RFC 9113, 3.4).
  if (greeting.length >= 9 && greeting[3] === 4 && greeting[0] === 0) {
    return "it answered in HTTP/2 without TLS, as a gRPC server with insecure credentials does";
  }
  return `it answered ${JSON.stringify(text.slice(0, 32))}`;
}

const MAX_NAMES = 8;
