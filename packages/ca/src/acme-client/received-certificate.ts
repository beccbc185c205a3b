import type { KeyObject } from "node:crypto";
import { certificatesToPem, parseCertificatesPem, publicKeyMatches } from "@handfast/x509";
import type { Certificate } from "@handfast/x509";
import type { Identifier } from "../acme/identifier.ts";
import { canonicalAddress } from "../acme/ip-address.ts";
import { CaError } from "../errors.ts";

/** A certificate of a foreign authority, and its key. */
export interface AcmeCertificate {
  readonly certificate: Certificate;
  /** The certificate and those above it, as the authority gave them. */
  readonly chain: readonly Certificate[];
  readonly chainPem: string;
  readonly privateKey: KeyObject;
}

/**
 * Reads what an authority issued: it must be for our key and our names and in time, for what is put
 * into a service's place had better be what it asked for.
 *
 * @throws CaError ANSWER_INVALID
 */
export function receivedCertificate(
  pem: string,
  {
    identifiers,
    privateKey,
    now,
  }: { identifiers: readonly Identifier[]; privateKey: KeyObject; now: Date },
): AcmeCertificate {
  const chain = chainOf(pem);
  const [certificate] = chain;
  if (certificate === undefined) throw invalid("is empty");
  if (!publicKeyMatches(certificate, privateKey)) throw invalid("is for another key");
  const { dns, ip } = certificate.subjectAltNames;
  const names = new Set([
    ...dns.map((name) => `dns:${name}`),
    ...ip.map((address) => `ip:${canonicalAddress(address)}`),
  ]);
  const missing = identifiers.find(({ type, value }) => !names.has(`${type}:${value}`));
  if (missing !== undefined) throw invalid(`does not name ${missing.value}`);
  if (certificate.notAfter <= now) {
    throw invalid(`ended at ${certificate.notAfter.toISOString()} already`);
  }
  return { certificate, chain, chainPem: certificatesToPem(chain), privateKey };
}

function chainOf(pem: string): readonly Certificate[] {
  try {
    return parseCertificatesPem(pem);
  } catch (error) {
    throw invalid(`cannot be read: ${(error as Error).message}`);
  }
}

function invalid(problem: string): CaError {
  return new CaError("ANSWER_INVALID", `the certificate of the ACME server ${problem}`);
}
