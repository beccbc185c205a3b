import { createSignatureMemo } from "@handfast/x509";
import type { Certificate } from "@handfast/x509";
import {
  createExternalAccount,
  listExternalAccounts,
  withdrawExternalAccount,
} from "./acme/external-accounts.ts";
import type {
  ExternalAccountInfo,
  ExternalAccountKey,
  ExternalAccountRequest,
  WithdrawExternalAccountRequest,
} from "./acme/external-accounts.ts";
import { audited, issuedFields, namingFields, revokedFields } from "./audit.ts";
import type { AuditTrail } from "./audit.ts";
import { crlNumbers, trustBundle } from "./bundle.ts";
import type { CrlPlace, TrustBundle } from "./bundle.ts";
import { createToken, enrol } from "./enrol.ts";
import type { EnrolRequest, TokenRequest } from "./enrol.ts";
import { CaError } from "./errors.ts";
import { issue } from "./issue.ts";
import type { IssuedCertificate, IssueRequest } from "./issue.ts";
import { createIssuers } from "./issuers.ts";
import type { KeyStore } from "./keys.ts";
import { defaultProfiles } from "./profiles.ts";
import type { LeafProfile } from "./profiles.ts";
import { prune } from "./prune.ts";
import type { PruneRule } from "./prune.ts";
import { ocspStatement } from "./ocsp.ts";
import type { OcspStatement, OcspStatementRequest } from "./ocsp.ts";
import { publishCrls } from "./publish-crl.ts";
import type { PublishCrlRequest, PublishedCrl } from "./publish-crl.ts";
import { renew } from "./renew.ts";
import type { RenewRequest } from "./renew.ts";
import { parseRevocationUrl } from "./revocation-places.ts";
import { revoke } from "./revoke.ts";
import type { RevokeRequest } from "./revoke.ts";
import { activateRotation } from "./rotation/activate.ts";
import type { ActivateRotationRequest } from "./rotation/activate.ts";
import { prepareRotation } from "./rotation/prepare.ts";
import type { PreparedRotation, PrepareRotationRequest } from "./rotation/prepare.ts";
import { retireRotation } from "./rotation/retire.ts";
import type { RetiredRotation, RetireRotationRequest } from "./rotation/retire.ts";
import type {
  CertificateQuery,
  CertificateRecord,
  CrlRecord,
  IssuerRecord,
  Store,
} from "./store/store.ts";
import type { Workshop } from "./workshop.ts";

/** What an authority is made of. */
export interface AuthorityOptions {
  /** Closed with the authority. */
  readonly store: Store;
  readonly keys: KeyStore;
  /** What may be issued, by name; `defaultProfiles()` if not given. */
  readonly profiles?: Readonly<Record<string, LeafProfile>>;
  /**
   * Where revocation is published, as `http://ca.bank.example:8480`: certificates then name the list and
   * the OCSP responder below it. They name none if not given.
   */
  readonly revocationUrl?: string;
  /** The time now; the machine's clock if not given. */
  readonly clock?: () => Date;
  /** Told of each certificate, each revocation and each refusal; what it does not take fails. */
  readonly audit?: AuditTrail;
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
  /**
   * Makes a one-time token that lets its bearer enrol one certificate. It is a secret.
   *
   * @throws CaError VALIDITY_REFUSED, and what `issue` would throw for these contents
   */
  createToken(request: TokenRequest): Promise<string>;
  /**
   * Issues what a token allows, for the key of the request, once.
   *
   * @throws CaError TOKEN_REFUSED, TOKEN_SPENT, and those of `issue`; X509Error REQUEST_MALFORMED,
   * REQUEST_SIGNATURE_INVALID
   */
  enrol(request: EnrolRequest): Promise<IssuedCertificate>;
  /**
   * Makes an external account key (EAB), with which one ACME account can be made for these names.
   * Its MAC key is a secret, and is nowhere else.
   *
   * @throws CaError NAME_REFUSED, VALIDITY_REFUSED, those of the key store and the store
   */
  createExternalAccount(request: ExternalAccountRequest): Promise<ExternalAccountKey>;
  /** The external account keys, newest first. @throws CaError of the store */
  externalAccounts(): Promise<readonly ExternalAccountInfo[]>;
  /**
   * Withdraws an external account key: the account that was made with it gets nothing more. What it
   * has stays valid.
   *
   * @throws CaError EXTERNAL_ACCOUNT_NOT_FOUND, the store's
   */
  withdrawExternalAccount(request: WithdrawExternalAccountRequest): Promise<ExternalAccountInfo>;
  /** Signs the revocation lists of a role anew. @throws CaError of the key store and the store */
  publishCrls(request: PublishCrlRequest): Promise<readonly PublishedCrl[]>;
  /**
   * Signs what the store says about one certificate; undefined where it has no word on it.
   *
   * @throws CaError of the key store and the store
   */
  ocspStatement(request: OcspStatementRequest): Promise<OcspStatement | undefined>;
  /** Which revocation list is the newest of each key. @throws CaError of the store */
  crlNumbers(): Promise<readonly CrlPlace[]>;
  /** The newest list of a key (`issuing-1`, …). @throws CaError of the store */
  latestCrl(issuer: string): Promise<CrlRecord | undefined>;
  /** The inventory, newest first. @throws CaError of the store */
  find(query?: Omit<CertificateQuery, "now">): Promise<readonly CertificateRecord[]>;
  /** What peers trust: the certificates of the roots that are not retired, oldest first. */
  roots(): Promise<readonly Certificate[]>;
  /** The same with the sequence that clients compare. @throws CaError of the store */
  bundle(): Promise<TrustBundle>;
  /** The authority's own keys and where they stand. @throws CaError of the store */
  issuers(): Promise<readonly IssuerRecord[]>;
  /**
   * Makes the next generation of keys, trusted from now on and not in use. Sign lists of both roles
   * and spread the bundle before the next step.
   *
   * @throws CaError ROTATION_REFUSED, KEY_NOT_FOUND (it needs the root's key), and the others of the
   * key store and the store
   */
  prepareRotation(request: PrepareRotationRequest): Promise<PreparedRotation>;
  /** Takes them into use; gives the keys in use. @throws CaError ROTATION_REFUSED, … */
  activateRotation(request: ActivateRotationRequest): Promise<readonly IssuerRecord[]>;
  /** Ends the trust in the old ones. @throws CaError ROTATION_REFUSED, KEY_NOT_FOUND, … */
  retireRotation(request: RetireRotationRequest): Promise<RetiredRotation>;
  /**
   * Forgets what ended long ago: certificates, with their revocations, whose end is further back
   * than the rule says. Gives how many. @throws CaError of the store
   */
  prune(rule?: PruneRule): Promise<number>;
  close(): Promise<void>;
}

/**
 * Opens the authority that a store holds.
 *
 * @throws CaError AUTHORITY_NOT_FOUND
 */
export async function createAuthority(options: AuthorityOptions): Promise<Authority> {
  const { store, keys, audit } = options;
  const { profiles = defaultProfiles(), clock = () => new Date() } = options;
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
    revocationUrl: parseRevocationUrl(options.revocationUrl),
  };
  return {
    trustDomain,
    profiles,
    issue(request): Promise<IssuedCertificate> {
      const act = { action: "issue", requester: request.requester } as const;
      return audited(audit, { act, fieldsOf: issuedFields }, () => issue(workshop, request));
    },
    renew(request): Promise<IssuedCertificate> {
      const act = { action: "renew", requester: request.requester } as const;
      return audited(audit, { act, fieldsOf: issuedFields }, () => renew(workshop, request));
    },
    revoke(request): Promise<readonly CertificateRecord[]> {
      const act = { action: "revoke", requester: request.requester } as const;
      return audited(audit, { act, fieldsOf: revokedFields }, () => revoke(workshop, request));
    },
    createToken(request): Promise<string> {
      const act = { action: "create-token", requester: request.requester } as const;
      const fieldsOf = () => [{ audience: request.audience, names: { ...request.names } }];
      return audited(audit, { act, fieldsOf }, () => createToken(workshop, { request, keys }));
    },
    enrol(request): Promise<IssuedCertificate> {
      const act = { action: "enrol", requester: "token" } as const;
      return audited(audit, { act, fieldsOf: issuedFields }, () =>
        enrol(workshop, { request, keys }),
      );
    },
    createExternalAccount(request): Promise<ExternalAccountKey> {
      const act = { action: "create-external-account", requester: request.requester } as const;
      const fieldsOf = ({ keyId, names }: ExternalAccountKey) => [{ keyId, names: [...names] }];
      return audited(audit, { act, fieldsOf }, () =>
        createExternalAccount({ store, clock, keys }, request),
      );
    },
    externalAccounts: () => listExternalAccounts({ store, clock }),
    withdrawExternalAccount({ keyId, requester }): Promise<ExternalAccountInfo> {
      const act = { action: "withdraw-external-account", requester } as const;
      const fieldsOf = () => [{ keyId }];
      return audited(audit, { act, fieldsOf }, () =>
        withdrawExternalAccount({ store, clock }, keyId),
      );
    },
    publishCrls: (request) => publishCrls(workshop, request),
    ocspStatement: (request) => ocspStatement(workshop, request),
    crlNumbers: () => crlNumbers(workshop),
    latestCrl: (issuer) => store.latestCrl(issuer),
    find: (query = {}) => store.certificates({ ...query, now: clock() }),
    async roots(): Promise<readonly Certificate[]> {
      const roots = await workshop.issuers.published("root");
      return roots.map(({ certificate }) => certificate);
    },
    bundle: () => trustBundle(workshop),
    issuers: () => store.issuers(),
    prepareRotation(request): Promise<PreparedRotation> {
      const act = { action: "prepare-rotation", requester: request.requester } as const;
      const fieldsOf = ({ root, issuing, cross }: PreparedRotation) =>
        [root, issuing, cross].flatMap((made) => (made ? [namingFields(made)] : []));
      return audited(audit, { act, fieldsOf }, () => prepareRotation(workshop, { request, keys }));
    },
    activateRotation(request): Promise<readonly IssuerRecord[]> {
      const act = { action: "activate-rotation", requester: request.requester } as const;
      const fieldsOf = (active: readonly IssuerRecord[]) => active.map(({ name }) => ({ name }));
      return audited(audit, { act, fieldsOf }, () => activateRotation(workshop, request));
    },
    retireRotation(request): Promise<RetiredRotation> {
      const act = { action: "retire-rotation", requester: request.requester } as const;
      const fieldsOf = ({ retired, revoked }: RetiredRotation) => [
        ...retired.map(({ name }) => ({ name })),
        ...revokedFields(revoked),
      ];
      return audited(audit, { act, fieldsOf }, () => retireRotation(workshop, request));
    },
    prune: (rule) => prune(workshop, rule),
    close: () => store.close(),
  };
}
