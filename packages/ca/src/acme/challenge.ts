import { hash } from "node:crypto";
import type { Identifier } from "./identifier.ts";

/** How control of an identifier can be shown: RFC 8555 8.3 and 8.4, RFC 8737. */
export const challengeTypes = ["http-01", "tls-alpn-01", "dns-01"] as const;

export type ChallengeType = (typeof challengeTypes)[number];

/** What suits an identifier: wildcards are shown by DNS alone, and addresses not by DNS. */
export function challengeTypesFor(
  { type }: Identifier,
  { wildcard }: { readonly wildcard: boolean },
): readonly ChallengeType[] {
  if (wildcard) return ["dns-01"];
  return type === "ip" ? ["http-01", "tls-alpn-01"] : challengeTypes;
}

/** RFC 8555 8.1. */
export function keyAuthorizationOf(token: string, thumbprint: string): string {
  return `${token}.${thumbprint}`;
}

/** What the TXT record of dns-01 holds (RFC 8555 8.4). */
export function dnsRecordOf(keyAuthorization: string): string {
  return hash("sha256", keyAuthorization, "base64url");
}

/** What the certificate of tls-alpn-01 holds (RFC 8737 3). */
export function tlsDigestOf(keyAuthorization: string): Uint8Array {
  return hash("sha256", keyAuthorization, "buffer");
}
