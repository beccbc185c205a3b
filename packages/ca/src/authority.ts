import {
  certificatesToPem,
  createIssuer,
  createSignatureMemo,
  issueCertificate,
  parseCertificate,
} from "@handfast/x509";
import type { Certificate, Fingerprint, Issuer } from "@handfast/x509";
import { CaError } from "./errors.ts";
import { contentsOf, defaultProfile } from "./issuance.ts";
import type { IssueRequest } from "./issuance.ts";
import type { KeyStore } from "./keys.ts";
import { defaultProfiles } from "./profiles.ts";
import type { LeafProfile } from "./profiles.ts";
import { recordOf } from "./record.ts";
import { refuseUnusable } from "./self-check.ts";
import type {
  CertificateQuery,
  CertificateRecord,
  IssuerRecord,
  NewCertificateRecord,
  Records,
  Store,
} from "./store/store.ts";

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

/** An authority: issues certificates, and keeps a record of each. */
export interface Authority {
  readonly trustDomain: string;
  readonly profiles: Readonly<Record<string, LeafProfile>>;
  /**
   * Issues one certificate. It is on disk in the inventory before this resolves, and peers that
   * trust `roots()` accept it for what its profile is for.
   *
   * @throws CaError PROFILE_UNKNOWN, NAME_REFUSED, VALIDITY_REFUSED, KEY_REFUSED,
   * ISSUER_UNAVAILABLE, CERTIFICATE_UNUSABLE, the key store's and the store's; X509Error ISSUE_REFUSED, NAME_INVALID
   */
  issue(request: IssueRequest): Promise<IssuedCertificate>;
  /** The inventory, newest first. @throws CaError of the store */
  find(query?: Omit<CertificateQuery, "now">): Promise<readonly CertificateRecord[]>;
  /** What peers trust: the certificates of the roots that are not retired. */
  roots(): Promise<readonly Certificate[]>;
  close(): Promise<void>;
}

/** A certificate and what a peer needs to verify it. */
export interface IssuedCertificate {
  readonly certificate: Certificate;
  /** The certificate and those above it, without the root. */
  readonly chain: readonly Certificate[];
  readonly chainPem: string;
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
  const signers = new Map<string, Promise<Signer>>();
  const certificates = new Map<Fingerprint, Certificate>();
  const signatures = createSignatureMemo(1_000);

  return {
    trustDomain,
    profiles,
    async issue(request): Promise<IssuedCertificate> {
      const now = clock();
      const { name, issuer } = await activeSigner(now);
      const contents = contentsOf(request, {
        profiles,
        trustDomain,
        now,
        issuer: issuer.certificate,
      });
      const certificate = issueCertificate({ ...contents, issuer });
      refuseUnusable(certificate, {
        issuer: issuer.certificate,
        anchors: await roots(),
        now,
        signatures,
      });
      const { profile = defaultProfile, requester } = request;
      await record(recordOf(certificate, { issuer: name, profile, requester, issuedAt: now }));
      const chain = [certificate, issuer.certificate];
      return { certificate, chain, chainPem: certificatesToPem(chain) };
    },
    find(query = {}): Promise<readonly CertificateRecord[]> {
      return store.certificates({ ...query, now: clock() });
    },
    roots,
    close: () => store.close(),
  };

  async function roots(): Promise<readonly Certificate[]> {
    const issuers = await store.issuers();
    const published = issuers.filter(({ role, state }) => role === "root" && state !== "retired");
    return Promise.all(published.map(certificateOf));
  }

  /** The newest issuing key that is in use and whose certificate is valid now. */
  async function activeSigner(now: Date): Promise<Signer> {
    const issuers = await store.issuers();
    for (const issuer of issuers.toReversed()) {
      if (issuer.role !== "issuing" || issuer.state !== "active") continue;
      const certificate = await certificateOf(issuer);
      if (certificate.notBefore > now || certificate.notAfter <= now) continue;
      const signer = signers.get(issuer.name) ?? openSigner(issuer, certificate);
      signers.set(issuer.name, signer);
      return await signer.catch((error: unknown) => {
        signers.delete(issuer.name);
        throw error;
      });
    }
    throw new CaError(
      "ISSUER_UNAVAILABLE",
      `no issuing certificate of ${trustDomain} is active and valid at ${now.toISOString()}`,
    );
  }

  async function openSigner({ name }: IssuerRecord, certificate: Certificate): Promise<Signer> {
    const key = await keys.load(name);
    try {
      return { name, issuer: createIssuer(certificate, key) };
    } catch (error) {
      throw new CaError("KEY_MISMATCH", `private key ${name}: ${(error as Error).message}`, {
        cause: error,
      });
    }
  }

  async function certificateOf(issuer: IssuerRecord): Promise<Certificate> {
    const known = certificates.get(issuer.certificate);
    if (known !== undefined) return known;
    const record = await store.certificate(issuer.certificate);
    if (record === undefined) {
      throw new CaError("STORE_FAILED", `the certificate of ${issuer.name} is not recorded`);
    }
    const certificate = parseCertificate(record.der);
    certificates.set(issuer.certificate, certificate);
    return certificate;
  }

  /** What is not recorded is not handed out: the last checks and the record are one transaction. */
  function record(certificate: NewCertificateRecord): Promise<void> {
    return store.transaction(async (records) => {
      await checkPublicKey(records, certificate);
      await records.addCertificate(certificate);
    });
  }
}

interface Signer {
  readonly name: string;
  readonly issuer: Issuer;
}

/** A key speaks for one identity, and for none once it was revoked as compromised (S54). */
async function checkPublicKey(records: Records, entry: NewCertificateRecord): Promise<void> {
  for (const other of await records.certificates({ publicKey: entry.publicKey, limit: 10_000 })) {
    if (other.revocation?.reason === "keyCompromise") {
      throw new CaError(
        "KEY_REFUSED",
        `the public key was revoked as compromised with serial number ${other.serialNumber}`,
      );
    }
    if (whom(other) !== whom(entry)) {
      throw new CaError(
        "KEY_REFUSED",
        `the public key is certified for another identity already, with serial number ${other.serialNumber}`,
      );
    }
  }
}

/** Where nobody is named, all that is named must be the same. */
function whom({ identity, subject, names }: NewCertificateRecord): string {
  if (identity !== undefined) return identity;
  return JSON.stringify([subject, names.map(({ kind, value }) => `${kind}:${value}`).toSorted()]);
}
