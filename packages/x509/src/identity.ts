import type { Certificate } from "./certificate.ts";
import { parseSpiffeId, type SpiffeId } from "./spiffe-id.ts";

/**
 * The SPIFFE id of a certificate with exactly one URI name in all, if that is a valid one; not
 * "exactly one valid one" (S14).
 */
export function spiffeIdOf(certificate: Certificate): SpiffeId | undefined {
  const { uri } = certificate.subjectAltNames;
  const [only] = uri;
  if (only === undefined || uri.length > 1) return undefined;
  try {
    return parseSpiffeId(only);
  } catch {
    return undefined;
  }
}

/**
 * The one string that says whom a certificate names (S14): its SPIFFE id; else `uri:`, `dns:` or
 * `dn:` and the value, if the first kind of name that is not empty has exactly one; else undefined.
 * Renewal does not change it.
 */
export function identityOf(certificate: Certificate): string | undefined {
  const spiffeId = spiffeIdOf(certificate);
  if (spiffeId !== undefined) return spiffeId.uri;
  const { uri, dns } = certificate.subjectAltNames;
  if (uri.length > 0) return uri.length === 1 ? `uri:${uri[0]}` : undefined;
  if (dns.length > 0) return dns.length === 1 ? `dns:${dns[0]}` : undefined;
  return certificate.subject.text === "" ? undefined : `dn:${certificate.subject.text}`;
}
