import { isOcspCertIdOf, issueOcspResponse } from "@handfast/x509";
import type { OcspCertId, OcspStatus } from "@handfast/x509";
import type { PublishedIssuer } from "./issuers.ts";
import type { Workshop } from "./workshop.ts";

/** What the authority says about one certificate, signed. */
export interface OcspStatement {
  /** An OCSP response (RFC 6960), DER. */
  readonly der: Uint8Array;
  readonly status: "good" | "revoked";
  /** The name of the key that issued the certificate, and signed this. */
  readonly issuer: string;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
}

/** About what a statement is asked. */
export interface OcspStatementRequest {
  readonly certId: OcspCertId;
  /** From now to the next update. */
  readonly validitySeconds: number;
}

/**
 * Says whether a certificate that an issuing key of ours has signed is revoked, as the store has it
 * now; undefined about certificates that it did not issue or has forgotten. The key signs itself, so
 * that a response is short and stays right through a rotation; a nonce never gets in, so that nobody
 * chooses what it signs (security.md S57).
 */
export async function ocspStatement(
  workshop: Workshop,
  { certId, validitySeconds }: OcspStatementRequest,
): Promise<OcspStatement | undefined> {
  const issuers = await workshop.issuers.published("issuing");
  const published = issuers.find(({ certificate }) => isOcspCertIdOf(certId, certificate));
  if (published === undefined) return undefined;
  const status = await statusIn(workshop, { certId, published });
  if (status === undefined) return undefined;
  const { name, issuer } = await published.open();
  const { certificate, signer } = issuer;
  const producedAt = new Date(Math.floor(workshop.clock().getTime() / 1_000) * 1_000);
  const nextUpdate = new Date(producedAt.getTime() + validitySeconds * 1_000);
  const der = issueOcspResponse({
    responder: { certificate, signer, issuer: certificate, identifyBy: "key" },
    certId,
    status,
    producedAt,
    thisUpdate: producedAt,
    nextUpdate,
  });
  return { der, status: status.is, issuer: name, thisUpdate: producedAt, nextUpdate };
}

async function statusIn(
  { store }: Workshop,
  { certId, published }: { certId: OcspCertId; published: PublishedIssuer },
): Promise<Exclude<OcspStatus, { readonly is: "unknown" }> | undefined> {
  const { serialNumber } = certId;
  const [record] = await store.certificates({ issuer: published.name, serialNumber, limit: 1 });
  if (record === undefined) return undefined;
  if (record.revocation === undefined) return { is: "good" };
  const { revokedAt, reason } = record.revocation;
  return { is: "revoked", revokedAt, reason };
}
