import { checkRevocation, verifyChain } from "@handfast/x509";
import type { Certificate, ChainReason, Crl } from "@handfast/x509";

import type { RefusalCode } from "../refusal.ts";
import type { Trust } from "../trust.ts";
import type { AilmentCode } from "./ailments.ts";
import { sharesOrganization } from "./kinship.ts";
import { finding } from "./finding.ts";
import type { Finding } from "./finding.ts";
import type { Probe } from "./probe.ts";
import type { Words } from "./server-findings.ts";

/** What a server did with a caller. */
export interface Treatment {
  readonly outcome: "served" | "refused" | "closed" | "unknown";
  /** In its own words where it had any. Foreign text: escape it. */
  readonly text: string;
}

/** What a server did with a caller, and what that says about client certificates. */
export interface Reading {
  readonly treatment: Treatment;
  readonly policy: "required" | "optional" | "not asked for" | "unknown";
  /** The reason, where one was given. */
  readonly code: RefusalCode | undefined;
}

/** Reads a connection: was the caller served, and was a certificate wanted of one who had none? */
export function strangersTreatment(probe: Probe): Reading {
  const asked = probe.stage !== "unreachable" && probe.certificateRequest !== undefined;
  const policyIfServed = asked ? "optional" : "not asked for";
  if (probe.stage === "unreachable") return unread("unreachable");
  if (probe.stage === "broken") {
    const { code, message } = probe.refusal;
    const policy = asked || code === "NO_CLIENT_CERTIFICATE" ? "required" : "unknown";
    return { treatment: { outcome: "refused", text: message }, policy, code };
  }
  const { answer } = probe;
  if (answer === undefined) return unread("the server was not verified, and not asked anything");
  switch (answer.kind) {
    case "refused": {
      const { code, message } = answer.refusal;
      const plain = code === "UNKNOWN_FAILURE" || message.startsWith(`${code}: `);
      const text = plain ? message : `${code}: ${message}`;
      return { treatment: { outcome: "refused", text }, policy: "required", code };
    }
    case "http": {
      const text = `HTTP ${answer.status} ${answer.text}`.trim();
      const wanted =
        [400, 401, 403, 421, 495, 496].includes(answer.status) && /certificate/i.test(answer.text);
      if (wanted) {
        const missing = /no required ssl certificate/i.test(answer.text);
        return {
          treatment: { outcome: "refused", text },
          policy: "required",
          code: missing ? "NO_CLIENT_CERTIFICATE" : undefined,
        };
      }
      const turnedAway = answer.status === 401 || answer.status === 403;
      return {
        treatment: { outcome: turnedAway ? "refused" : "served", text },
        policy: policyIfServed,
        code: undefined,
      };
    }
    case "grpc": {
      const text = `gRPC status ${answer.status} ${answer.text}`.trim();
      const unauthenticated = answer.status === 16;
      return {
        treatment: { outcome: unauthenticated || answer.status === 7 ? "refused" : "served", text },
        policy: unauthenticated ? "required" : policyIfServed,
        code: undefined,
      };
    }
    case "closed":
      return {
        treatment: { outcome: "closed", text: "the connection was closed without a word" },
        policy: asked ? "required" : "unknown",
        code: undefined,
      };
    case "silent":
      return {
        treatment: { outcome: "served", text: "the connection stays open" },
        policy: policyIfServed,
        code: undefined,
      };
  }
}

/** What the client's side is judged by. */
export interface ClientGrounds {
  readonly first: Probe;
  /** With our certificate; undefined if it was not sent. */
  readonly second: Probe | undefined;
  readonly identity: { readonly chain: readonly Certificate[] } | undefined;
  readonly trust: Trust;
  readonly crls: readonly Crl[];
  readonly now: Date;
  readonly without: Reading;
  readonly words: Words;
}

/** What is wrong with the client's certificate, or with how the server asks for one. */
export function judgeClientSide(grounds: ClientGrounds): readonly Finding[] {
  const { second, identity, without, words } = grounds;
  const { policy, treatment } = without;
  const findings: Finding[] = [];
  if (policy === "not asked for" && treatment.outcome === "served") {
    findings.push(finding("CERTIFICATE_NOT_ASKED_FOR", { words, detail: treatment.text }));
  }
  if (policy === "optional" && treatment.outcome === "served") {
    const detail = treatment.text;
    findings.push(finding("CERTIFICATE_OPTIONAL", { words, detail, severity: "warning" }));
  }
  if (policy === "required" && identity === undefined) {
    findings.push(finding("CLIENT_CERTIFICATE_MISSING", { words, detail: treatment.text }));
  }
  if (second !== undefined) findings.push(...refusedWith(second, grounds));
  return findings;
}

/** Why we are refused with our certificate. */
function refusedWith(second: Probe, grounds: ClientGrounds): readonly Finding[] {
  const { words } = grounds;
  const { treatment, code } = strangersTreatment(second);
  const detail = treatment.text;
  if (
    second.stage === "connected" &&
    second.answer?.kind === "grpc" &&
    second.answer.status === 7
  ) {
    return [finding("CALL_DENIED", { words, detail, severity: "warning" })];
  }
  if (treatment.outcome === "served" || treatment.outcome === "unknown") return [];
  const named = code === undefined ? undefined : byRefusal[code];
  if (named === "CLIENT_CA_UNKNOWN") return caFindings(grounds, detail);
  if (named !== undefined) return [finding(named, { words, detail })];
  if (/unsupported certificate/.test(detail)) {
    return [finding("CLIENT_WRONG_PURPOSE", { words, detail })];
  }
  if (
    second.stage === "connected" &&
    second.answer?.kind === "http" &&
    !/certificate/i.test(detail)
  ) {
    return [finding("CLIENT_NOT_ADMITTED", { words, detail, certainty: "likely" })];
  }
  // No reason was given: what we see of our own side first.
  const fault = ownFault(grounds);
  const guesses = [
    ...(fault === undefined || fault.code === "CLIENT_CA_UNKNOWN"
      ? []
      : [finding(fault.code, { words, detail: fault.detail, certainty: "likely" })]),
    ...(foreignToServer(grounds) || fault?.code === "CLIENT_CA_UNKNOWN"
      ? caFindings(grounds, detail, "likely")
      : []),
  ];
  const certainty = guesses.length === 0 ? "likely" : "possible";
  return [...guesses, finding("CLIENT_REFUSED", { words, detail, certainty })];
}

/** What any server would hold against our certificate, judged by our own bundle and lists. */
function ownFault({
  identity,
  trust,
  crls,
  now,
}: ClientGrounds): { code: AilmentCode; detail: string } | undefined {
  const [leaf, ...candidates] = identity?.chain ?? [];
  if (leaf === undefined) return undefined;
  const verdict = verifyChain(
    { leaf, candidates },
    { anchors: trust.certificates, now, purpose: "client" },
  );
  if (!verdict.ok) {
    const code = byReason[verdict.reason];
    return code === undefined ? undefined : { code, detail: verdict.message };
  }
  if (crls.length === 0 || checkRevocation(verdict.path, { crls, now }).status !== "revoked") {
    return undefined;
  }
  return { code: "CLIENT_REVOKED", detail: `${leaf.subject.text} is on the revocation list` };
}

/** An unknown CA, or a known one that our chain does not lead to. */
function caFindings(
  grounds: ClientGrounds,
  said: string,
  certainty: Finding["certainty"] = "certain",
): readonly Finding[] {
  const { identity, trust, words } = grounds;
  const authorities = authoritiesOf(grounds);
  const last = identity?.chain.at(-1);
  const wanted = trust.certificates.filter(({ subject }) => authorities.has(key(subject.der)));
  const alone =
    last !== undefined && !last.selfIssued && identity?.chain.length === 1 && !isOf(last, wanted);
  const detail = `${said}; ours is of ${last?.issuer.text ?? "nobody"}`;
  if (!alone || !sharesOrganization(last.issuer, wanted)) {
    return [finding("CLIENT_CA_UNKNOWN", { words, detail, certainty })];
  }
  return [
    finding("CLIENT_CHAIN_INCOMPLETE", { words, detail, certainty: "likely" }),
    finding("CLIENT_CA_UNKNOWN", { words, detail, certainty: "possible" }),
  ];
}

function isOf({ issuer }: Certificate, authorities: readonly Certificate[]): boolean {
  return authorities.some(({ subject }) => key(subject.der) === key(issuer.der));
}

/** The server names the CAs it wants, and none of them is above our certificate. */
function foreignToServer(grounds: ClientGrounds): boolean {
  const authorities = authoritiesOf(grounds);
  if (authorities.size === 0) return false;
  const chain = grounds.identity?.chain ?? [];
  return !chain.some(({ issuer }) => authorities.has(key(issuer.der)));
}

function authoritiesOf({ first }: ClientGrounds): ReadonlySet<string> {
  const request = first.stage === "unreachable" ? undefined : first.certificateRequest;
  return new Set(request?.authorities.map(key));
}

function key(der: Uint8Array): string {
  return Buffer.from(der).toString("base64");
}

function unread(text: string): Reading {
  return { treatment: { outcome: "unknown", text }, policy: "unknown", code: undefined };
}

const byReason: Partial<Readonly<Record<ChainReason, AilmentCode>>> = {
  // The bundle that the server was verified with: the usual thing is that both sides have the same.
  CERTIFICATE_AUTHORITY_INVALID: "CLIENT_CA_UNKNOWN",
  CERTIFICATE_EXPIRED: "CLIENT_EXPIRED",
  CERTIFICATE_NOT_YET_VALID: "CLIENT_NOT_YET_VALID",
  CERTIFICATE_WRONG_PURPOSE: "CLIENT_WRONG_PURPOSE",
};

const byRefusal: Partial<Readonly<Record<RefusalCode, AilmentCode>>> = {
  NO_CLIENT_CERTIFICATE: "CLIENT_CERTIFICATE_MISSING",
  CERTIFICATE_AUTHORITY_INVALID: "CLIENT_CA_UNKNOWN",
  CERTIFICATE_EXPIRED: "CLIENT_EXPIRED",
  CERTIFICATE_NOT_YET_VALID: "CLIENT_NOT_YET_VALID",
  CERTIFICATE_WRONG_PURPOSE: "CLIENT_WRONG_PURPOSE",
  CERTIFICATE_REVOKED: "CLIENT_REVOKED",
  NOT_ADMITTED: "CLIENT_NOT_ADMITTED",
};
