import { createSignatureMemo } from "@handfast/x509";
import type { Certificate } from "@handfast/x509";
import { CaError } from "./errors.ts";
import { issue } from "./issue.ts";
import type { IssuedCertificate, IssueRequest } from "./issue.ts";
import { createIssuers } from "./issuers.ts";
import type { KeyStore } from "./keys.ts";
import { defaultProfiles } from "./profiles.ts";
import type { LeafProfile } from "./profiles.ts";
import { publishCrls } from "./publish-crl.ts";
import type { PublishCrlRequest, PublishedCrl } from "./publish-crl.ts";
import { renew } from "./renew.ts";
import type { RenewRequest } from "./renew.ts";
import { revoke } from "./revoke.ts";
import type { RevokeRequest } from "./revoke.ts";
import type { CertificateQuery, CertificateRecord, Store } from "./store/store.ts";
import type { Workshop } from "./workshop.ts";

/** What an authority is made of. */
export interface AuthorityOptions {
  /** Closed with the authority. */
  readonly store: Store;
  readonly keys: KeyStore;
  /** What may be issued, by name; `defaultProfiles()` if not given. */
  readonly profiles?: Readonly<Record<string, LeafProfile>>;
  /** The time now; the machine's clock if not given. */
  readonly clock?: () => Date;
}

/** An authority: issues, renews and revokes certificates, and keeps a record of each. */
export interface Authority {
  readonly trustDomain: string;
  readonly profiles: Readonly<Record<string, LeafProfile>>;
  /**
   * Issues one certificate. It is on disk in the inventory before this resolves, and peers that
   * trust `roots()` accept it for what its profile is for.
   *
   * @throws CaError PROFILE_UNKNOWN, NAME_REFUSED, VALIDITY_REFUSED, KEY_REFUSED,
   * ISSUER_UNAVAILABLE, CERTIFICATE_UNUSABLE, the key store's and the store's; X509Error
   * ISSUE_REFUSED, NAME_INVALID
   */
  issue(request: IssueRequest): Promise<IssuedCertificate>;
  /**
   * Issues the next certificate of a line. The caller has made sure that who asks holds the key of
   * the present one.
   *
   * @throws CaError CERTIFICATE_NOT_FOUND, RENEWAL_REFUSED, RENEWAL_REPEATED, and those of `issue`
   */
  renew(request: RenewRequest): Promise<IssuedCertificate>;
  /**
   * Revokes a certificate and what was renewed from it; gives those that were not revoked before.
   * Lists signed from then on name them.
   *
   * @throws CaError CERTIFICATE_NOT_FOUND, REVOCATION_REFUSED, the store's
   */
  revoke(request: RevokeRequest): Promise<readonly CertificateRecord[]>;
  /** Signs the revocation lists of a role anew. @throws CaError of the key store and the store */
  publishCrls(request: PublishCrlRequest): Promise<readonly PublishedCrl[]>;
  /** The inventory, newest first. @throws CaError of the store */
  find(query?: Omit<CertificateQuery, "now">): Promise<readonly CertificateRecord[]>;
  /** What peers trust: the certificates of the roots that are not retired. */
  roots(): Promise<readonly Certificate[]>;
  close(): Promise<void>;
}

/**
 * Opens the authority that a store holds.
 *
 * @throws CaError AUTHORITY_NOT_FOUND
 */
export async function createAuthority(options: AuthorityOptions): Promise<Authority> {
  const { store, keys, profiles = defaultProfiles(), clock = () => new Date() } = options;
  const authority = await store.authority();
  if (authority === undefined) {
    throw new CaError("AUTHORITY_NOT_FOUND", "the store holds no authority yet");
  }
  const { trustDomain } = authority;
  const workshop: Workshop = {
    store,
    issuers: createIssuers({ store, keys }),
    profiles,
    trustDomain,
    signatures: createSignatureMemo(1_000),
    clock,
  };
  return {
    trustDomain,
    profiles,
    issue: (request) => issue(workshop, request),
    renew: (request) => renew(workshop, request),
    revoke: (request) => revoke(workshop, request),
    publishCrls: (request) => publishCrls(workshop, request),
    find: (query = {}) => store.certificates({ ...query, now: clock() }),
    async roots(): Promise<readonly Certificate[]> {
      const roots = await workshop.issuers.published("root");
      return roots.map(({ certificate }) => certificate);
    },
    close: () => store.close(),
  };
}
