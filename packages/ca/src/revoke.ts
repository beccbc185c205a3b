import type { Fingerprint } from "@handfast/x509";
import { CaError } from "./errors.ts";
import type { CertificateRecord, Records, RevocationReason } from "./store/store.ts";
import type { Workshop } from "./workshop.ts";

/** What is to be revoked, why, and by whom. */
export interface RevokeRequest {
  readonly certificate: Fingerprint;
  readonly reason: RevocationReason;
  readonly requester: string;
  /** Leaves what was renewed from it alive, and does not block further renewals. Default false. */
  readonly onlyThis?: boolean;
}

/**
 * Revokes a certificate, with it all living ones that were renewed from it, and blocks the renewal
 * of what its identity holds until it is enrolled anew (security.md S48). Gives those that were not
 * revoked before; revoking again adds what is missing.
 */
export async function revoke(
  { store, clock }: Pick<Workshop, "store" | "clock">,
  request: RevokeRequest,
): Promise<readonly CertificateRecord[]> {
  const { certificate: cause, reason, requester, onlyThis = false } = request;
  const now = clock();
  return store.transaction(async (records) => {
    const named = await revocable(records, cause);
    const line = onlyThis ? [named] : [named, ...(await descendants(records, { named, now }))];
    const revocation = { revokedAt: now, reason, cause, requester };
    const living = line.filter((record) => record.revocation === undefined);
    for (const { fingerprint } of living) await records.addRevocation(fingerprint, revocation);
    if (!onlyThis && named.identity !== undefined) await records.blockRenewals(named.identity);
    return living.map((record) => ({ ...record, revocation }));
  });
}

async function revocable(records: Records, fingerprint: Fingerprint): Promise<CertificateRecord> {
  const record = await records.certificate(fingerprint);
  if (record === undefined) {
    throw new CaError("CERTIFICATE_NOT_FOUND", `${fingerprint} is not in the inventory`);
  }
  if (record.profile !== "root") return record;
  throw new CaError(
    "REVOCATION_REFUSED",
    `certificate ${record.serialNumber} is a root, which no list can revoke`,
  );
}

/** What was renewed from it and has not expired, across any that have. */
async function descendants(
  records: Records,
  { named, now }: { named: CertificateRecord; now: Date },
): Promise<CertificateRecord[]> {
  const found: CertificateRecord[] = [];
  const open = [named.fingerprint];
  for (let parent = open.pop(); parent !== undefined; parent = open.pop()) {
    for (const child of await records.certificates({ parent, limit: 10_000 })) {
      found.push(child);
      open.push(child.fingerprint);
    }
  }
  return found.filter(({ notAfter }) => notAfter >= now);
}
