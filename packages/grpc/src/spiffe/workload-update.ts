import type { IdentityMaterial, TrustMaterial } from "@handfast/tls";
import type { X509SVID, X509SVIDResponse } from "../gen/spiffe/workloadapi_pb.ts";

/** One answer of the Workload API, as the sources of a runtime yield it. */
export interface WorkloadUpdate {
  readonly spiffeId: string;
  readonly identity: IdentityMaterial;
  readonly trust: readonly TrustMaterial[];
}

/** An answer that cannot be used: it is dropped whole, and what was there before stays. */
export class UnusableUpdate extends Error {
  override readonly name = "UnusableUpdate";
}

/**
 * Reads an answer: of several identities the one with the hint, else the first. The bundle of our own trust
 * domain is the one that came with the identity; a federated entry of that name is ignored (S15). A federated
 * domain without certificates is not trusted.
 *
 * @throws UnusableUpdate
 */
export function readUpdate(response: X509SVIDResponse, hint: string | undefined): WorkloadUpdate {
  const svid = chooseSvid(response.svids, hint);
  const trustDomain = trustDomainPattern.exec(svid.spiffeId)?.[1];
  if (trustDomain === undefined) {
    throw new UnusableUpdate(
      `spiffe_id is ${JSON.stringify(svid.spiffeId)}: expected spiffe://TRUST-DOMAIN/PATH`,
    );
  }
  for (const field of ["x509Svid", "x509SvidKey", "bundle"] as const) {
    if (svid[field].length === 0) {
      throw new UnusableUpdate(`the identity ${svid.spiffeId} has an empty ${field}`);
    }
  }
  const federated = Object.entries(response.federatedBundles)
    .map(([name, bundle]) => ({ bundle, trustDomain: name.replace(schemePattern, "") }))
    .filter((entry) => entry.bundle.length > 0 && entry.trustDomain !== trustDomain);
  return {
    spiffeId: svid.spiffeId,
    identity: { certificateChain: svid.x509Svid, privateKey: svid.x509SvidKey },
    trust: [{ bundle: svid.bundle, trustDomain }, ...federated],
  };
}

/** A hint that two identities share means the first of them. */
function chooseSvid(svids: readonly X509SVID[], hint: string | undefined): X509SVID {
  const chosen = hint === undefined ? svids[0] : svids.find((svid) => svid.hint === hint);
  if (chosen !== undefined) return chosen;
  throw new UnusableUpdate(
    hint === undefined || svids.length === 0
      ? "the answer holds no identity"
      : `no identity has the hint ${JSON.stringify(hint)}: found ${svids.map((svid) => JSON.stringify(svid.hint)).join(", ")}`,
  );
}

const trustDomainPattern = /^spiffe:\/\/([a-z0-9._-]{1,255})\/./;
const schemePattern = /^spiffe:\/\//;
