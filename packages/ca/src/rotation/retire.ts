import { CaError } from "../errors.ts";
import { publishCrl } from "../publish-crl.ts";
import type { PublishedCrl } from "../publish-crl.ts";
import type {
  CertificateRecord,
  IssuerRecord,
  RecordReads,
  Records,
  RevocationRecord,
} from "../store/store.ts";
import type { Workshop } from "../workshop.ts";
import { newest, stageOf } from "./stage.ts";

/** When the old keys lose their trust. */
export interface RetireRotationRequest {
  /**
   * Retires them though certificates of theirs are alive and were not renewed; nobody will accept
   * those from then on.
   */
  readonly endLiving?: boolean;
  /** Goes on where the key of the old root is lost, without its last list. */
  readonly withoutOldRootKey?: boolean;
  readonly requester: string;
}

/** What was retired. */
export interface RetiredRotation {
  readonly retired: readonly IssuerRecord[];
  /** The cross-certificates and the certificates of the old issuing key. */
  readonly revoked: readonly CertificateRecord[];
  /** The lists that say so; none if the key of the old root is lost. */
  readonly crls: readonly PublishedCrl[];
}

/**
 * Takes the old keys out of the bundle and revokes every certificate that led from them to keys in
 * use (security.md S50). From then on nothing that the old root ever signed is accepted by peers
 * that have the new bundle.
 */
export async function retireRotation(
  workshop: Workshop,
  request: RetireRotationRequest,
): Promise<RetiredRotation> {
  const { store, issuers } = workshop;
  const { endLiving = false, withoutOldRootKey = false, requester } = request;
  const now = workshop.clock();
  const before = stageOf(await store.issuers());
  await refuseLiving(store, before.retiring);
  const roots = await issuers.published("root");
  const signers = roots.filter(({ name }) => vouching(before).some((one) => one.name === name));
  for (const signer of signers) {
    await signer.open().catch((error: unknown) => {
      const isLost = error instanceof CaError && error.code === "KEY_NOT_FOUND";
      if (!isLost || !withoutOldRootKey) throw error;
    });
  }

  const { retired, revoked } = await store.transaction(async (records) => {
    const { retiring } = stageOf(await records.issuers());
    await refuseLiving(records, retiring);
    const ended = await endCertificates(records, retiring);
    for (const { name } of retiring) await records.setIssuerState(name, "retired");
    await records.raiseBundleSequence(now.getTime());
    return { retired: retiring, revoked: ended };
  });
  const crls: PublishedCrl[] = [];
  for (const issuer of withoutOldRootKey ? [] : signers) {
    crls.push(await publishCrl(workshop, { role: "root", issuer }));
  }
  return { retired, revoked, crls };

  async function refuseLiving(
    records: RecordReads,
    retiring: readonly IssuerRecord[],
  ): Promise<void> {
    if (retiring.length === 0) throw refused("none are retiring", "activate the new ones first");
    for (const { name, role } of retiring) {
      if (role !== "issuing" || endLiving) continue;
      const waiting = await unrenewed(records, name);
      if (waiting === undefined) continue;
      const { serialNumber, notAfter, identity, subject } = waiting;
      throw refused(
        `certificate ${serialNumber} of ${identity ?? subject}, issued by ${name}, is alive until ${notAfter.toISOString()} and was not renewed yet`,
        "let it be renewed or revoke it first, or end what is left with --end-living",
      );
    }
  }

  /** A certificate of an issuing key that somebody may still depend on. */
  async function unrenewed(
    records: RecordReads,
    issuer: string,
  ): Promise<CertificateRecord | undefined> {
    for (let last: CertificateRecord | undefined; ;) {
      const before = last === undefined ? {} : { before: last.fingerprint };
      const living = await records.certificates({ issuer, status: "valid", now, ...before });
      for (const record of living) {
        const [child] = await records.certificates({ parent: record.fingerprint, limit: 1 });
        if (child === undefined) return record;
      }
      last = living.at(-1);
      if (last === undefined) return undefined;
    }
  }

  /** Whatever certifies an issuing key by a key that retires, and what certified a retiring one. */
  async function endCertificates(
    records: Records,
    retiring: readonly IssuerRecord[],
  ): Promise<CertificateRecord[]> {
    const found: CertificateRecord[] = [];
    for (const { name } of retiring.filter(({ role }) => role === "root")) {
      found.push(
        ...(await records.certificates({ issuer: name, profile: "issuing", limit: 1_000 })),
      );
    }
    for (const { certificate } of retiring.filter(({ role }) => role === "issuing")) {
      const record = await records.certificate(certificate);
      if (record !== undefined) found.push(record);
    }
    const living = new Map(
      found
        .filter(({ revocation, notAfter }) => revocation === undefined && notAfter >= now)
        .map((record) => [record.fingerprint, record]),
    );
    const ended: CertificateRecord[] = [];
    for (const record of living.values()) {
      // Not a reason that condemns the key: that of the issuing key in use lives on (S8).
      const revocation: RevocationRecord = {
        revokedAt: now,
        reason: "superseded",
        cause: record.fingerprint,
        requester,
      };
      await records.addRevocation(record.fingerprint, revocation);
      ended.push({ ...record, revocation });
    }
    return ended;
  }
}

/** Whose lists name what is revoked: the roots that certified the retiring keys. */
function vouching({ retiring, active }: ReturnType<typeof stageOf>): readonly IssuerRecord[] {
  const roots = retiring.filter(({ role }) => role === "root");
  return roots.length > 0 ? roots : [newest(active, "root")];
}

function refused(problem: string, hint: string): CaError {
  return new CaError("ROTATION_REFUSED", `keys cannot be retired: ${problem}`, { hint });
}
