import type { KeyObject } from "node:crypto";
import { createPublicKey } from "node:crypto";
import { createIssuer, generateKeyPair, issueCertificate } from "@handfast/x509";
import type { Certificate, KeyAlgorithm } from "@handfast/x509";
import { caContents, issuerName } from "../ca-contents.ts";
import { CaError } from "../errors.ts";
import type { KeyStore } from "../keys.ts";
import { recordOf } from "../record.ts";
import type { IssuerRecord, NewCertificateRecord, RecordReads } from "../store/store.ts";
import type { Workshop } from "../workshop.ts";
import { constraintsOf, keyAlgorithmOf } from "./inherit.ts";
import { namesOf, newest, stageOf } from "./stage.ts";

/** Which keys are to be followed by new ones. */
export interface PrepareRotationRequest {
  /**
   * `root`: a new root and with it a new issuing key. `issuing`: a new issuing key under the root
   * that is in use; what peers trust does not change.
   */
  readonly what: "root" | "issuing";
  /** Of the new keys; that of the present ones if not given. */
  readonly keyAlgorithm?: KeyAlgorithm;
  /** How long the old root vouches for the new issuing key; 180 days if not given. */
  readonly overlapSeconds?: number;
  readonly requester: string;
}

/** The certificates of a generation that is prepared. */
export interface PreparedRotation {
  readonly generation: number;
  /** Undefined if the root stays. */
  readonly root: Certificate | undefined;
  readonly issuing: Certificate;
  /** The new issuing key, certified by the old root; undefined if the root stays. */
  readonly cross: Certificate | undefined;
}

/**
 * Makes the next generation of keys and publishes them, not yet in use (security.md S50): the new
 * issuing key is certified by both roots; the new root certifies nothing of the old one. Needs the
 * key of the root that is in use.
 */
export async function prepareRotation(
  workshop: Workshop,
  { request, keys }: { request: PrepareRotationRequest; keys: KeyStore },
): Promise<PreparedRotation> {
  const { store, issuers, trustDomain } = workshop;
  const { what, requester, overlapSeconds = usualOverlapSeconds } = request;
  if (!Number.isSafeInteger(overlapSeconds) || overlapSeconds < 1) {
    throw new TypeError(`overlapSeconds must be 1 or more whole seconds, not ${overlapSeconds}`);
  }
  const now = workshop.clock();
  const { active, generation } = await preparable(store);
  const oldRoot = await openRoot(workshop, newest(active, "root"));
  const oldIssuing = await issuers.certificateOf(newest(active, "issuing").name);

  const rootKey = what === "root" ? await nextKey("root", oldRoot.certificate) : undefined;
  const issuingKey = await nextKey("issuing", oldIssuing);
  const root = rootKey && selfSigned(rootKey);
  const issuing = certify(rootKey && root ? createIssuer(root, rootKey) : oldRoot);
  const cross = root && certify(oldRoot, overlapEnd());

  const rootName = issuerName("root", generation);
  const issuingName = issuerName("issuing", generation);
  const oldRootName = newest(active, "root").name;
  await store.transaction(async (records) => {
    const current = await preparable(records);
    if (current.generation !== generation) throw refused("another rotation came first");
    const record = (certificate: Certificate, issuer: string, profile: string) =>
      records.addCertificate(known(certificate, { issuer, profile }));
    const issuer = { generation, state: "prepared", createdAt: now } as const;
    if (root !== undefined) {
      await record(root, rootName, "root");
      const { fingerprint: certificate } = root;
      await records.addIssuer({ ...issuer, name: rootName, role: "root", certificate });
    }
    await record(issuing, root === undefined ? oldRootName : rootName, "issuing");
    if (cross !== undefined) await record(cross, oldRootName, "issuing");
    const { fingerprint: certificate } = issuing;
    await records.addIssuer({ ...issuer, name: issuingName, role: "issuing", certificate });
    await records.raiseBundleSequence(now.getTime());
  });
  return { generation, root, issuing, cross };

  /** One that an attempt left behind, which was never recorded, is as good as new. */
  async function nextKey(role: "root" | "issuing", like: Certificate): Promise<KeyObject> {
    const name = issuerName(role, generation);
    const { privateKey } = generateKeyPair(request.keyAlgorithm ?? keyAlgorithmOf(like));
    try {
      await keys.save(name, privateKey);
      return privateKey;
    } catch (error) {
      if (!(error instanceof CaError) || error.code !== "KEY_EXISTS") throw error;
      return keys.load(name);
    }
  }

  function selfSigned(privateKey: KeyObject): Certificate {
    return issueCertificate({
      profile: "root",
      ...caContents(trustDomain, { role: "root", generation, now }),
      publicKey: createPublicKey(privateKey),
      issuer: "self",
      privateKey,
    });
  }

  function certify(issuer: ReturnType<typeof createIssuer>, end?: Date): Certificate {
    const contents = caContents(trustDomain, { role: "issuing", generation, now });
    const ends = [contents.notAfter, issuer.certificate.notAfter, ...(end ? [end] : [])];
    return issueCertificate({
      profile: "issuing",
      ...contents,
      ...constraintsOf(oldIssuing),
      notAfter: new Date(Math.min(...ends.map((date) => date.getTime()))),
      publicKey: createPublicKey(issuingKey),
      issuer,
    });
  }

  function overlapEnd(): Date {
    return new Date((Math.floor(now.getTime() / 1_000) + overlapSeconds) * 1_000);
  }

  function known(
    certificate: Certificate,
    { issuer, profile }: { issuer: string; profile: string },
  ): NewCertificateRecord {
    return recordOf(certificate, { issuer, profile, requester, issuedAt: now });
  }
}

/** One rotation at a time, so that there are never more than two generations. */
async function preparable(
  records: RecordReads,
): Promise<{ active: readonly IssuerRecord[]; generation: number }> {
  const issuers = await records.issuers();
  const { prepared, active, retiring } = stageOf(issuers);
  if (prepared.length > 0) throw refused(`${namesOf(prepared)} are prepared already`);
  if (retiring.length > 0) throw refused(`${namesOf(retiring)} are not retired yet`);
  return { active, generation: 1 + Math.max(...issuers.map(({ generation }) => generation)) };
}

async function openRoot(
  { issuers }: Workshop,
  { name }: IssuerRecord,
): Promise<ReturnType<typeof createIssuer>> {
  const roots = await issuers.published("root");
  const root = roots.find((one) => one.name === name);
  if (root === undefined) throw new CaError("ISSUER_UNAVAILABLE", `root ${name} is not published`);
  return (await root.open()).issuer;
}

function refused(problem: string): CaError {
  return new CaError("ROTATION_REFUSED", `a rotation cannot be prepared: ${problem}`);
}

const usualOverlapSeconds = 180 * 86_400;
