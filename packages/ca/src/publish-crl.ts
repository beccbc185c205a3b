import { encodePem, issueCrl } from "@handfast/x509";
import type { CrlRecord, IssuerRole } from "./store/store.ts";
import type { PublishedIssuer } from "./issuers.ts";
import type { Workshop } from "./workshop.ts";

/** Which lists are to be signed, and for how long. */
export interface PublishCrlRequest {
  /** Whose: that of the issuing keys, or of the roots (whose keys it then needs). */
  readonly role: IssuerRole;
  /** From now to the next update; 30 days for issuing keys and 365 days for roots if not given. */
  readonly validitySeconds?: number;
}

/** A revocation list, as it was recorded. */
export interface PublishedCrl extends CrlRecord {
  readonly entries: number;
  readonly pem: string;
}

/**
 * Signs a list for each key of a role and records it. The number and the entries are taken in one
 * transaction: of two lists the one of the greater number knows at least as much (S55). A
 * certificate that expired stays on the first list signed after its end.
 */
export async function publishCrls(
  workshop: Workshop,
  request: PublishCrlRequest,
): Promise<readonly PublishedCrl[]> {
  const issuers = await workshop.issuers.published(request.role);
  return Promise.all(issuers.map((issuer) => publishCrl(workshop, { ...request, issuer })));
}

/** Signs and records the list of one key. */
export async function publishCrl(
  { store, clock }: Workshop,
  { issuer, role, validitySeconds }: PublishCrlRequest & { issuer: PublishedIssuer },
): Promise<PublishedCrl> {
  const { issuer: signer } = await issuer.open();
  const now = clock();
  const thisUpdate = new Date(Math.floor(now.getTime() / 1_000) * 1_000);
  const seconds = validitySeconds ?? usualDays[role] * 86_400;
  const { number, entries } = await store.transaction(async (records) => {
    const last = await records.latestCrl(issuer.name);
    return {
      number: await records.nextCrlNumber(issuer.name, now.getTime()),
      entries: await records.revoked(issuer.name, {
        endingFrom: last?.thisUpdate ?? new Date(0),
      }),
    };
  });
  const nextUpdate = new Date(thisUpdate.getTime() + seconds * 1_000);
  const der = issueCrl({ issuer: signer, entries, number, thisUpdate, nextUpdate });
  const record: CrlRecord = { issuer: issuer.name, number, der, thisUpdate, nextUpdate };
  await store.transaction((records) => records.addCrl(record));
  return { ...record, entries: entries.length, pem: encodePem("X509 CRL", der) };
}

const usualDays: Readonly<Record<IssuerRole, number>> = { issuing: 30, root: 365 };
