import { createIssuer, parseCertificate } from "@handfast/x509";
import type { Certificate, Fingerprint, Issuer } from "@handfast/x509";
import { CaError } from "./errors.ts";
import type { KeyStore } from "./keys.ts";
import { publicKeyHash } from "./record.ts";
import type { IssuerRecord, IssuerRole, Store } from "./store/store.ts";

/** The authority's own keys and certificates, as the store has them now. */
export interface Issuers {
  /**
   * The newest issuing key that is in use, whose certificate is valid and not revoked.
   *
   * @throws CaError ISSUER_UNAVAILABLE, and those of the key store
   */
  active(now: Date): Promise<NamedIssuer>;
  /** Every key of a role that is not retired, oldest first; each key is read when it is opened. */
  published(role: IssuerRole): Promise<readonly PublishedIssuer[]>;
  /** The certificate of an issuer record. */
  certificateOf(name: string): Promise<Certificate>;
  /**
   * The certificates of an issuing key that its leaves are shown with: its own first, then those by
   * which an older root vouches for it while both are trusted (S50).
   */
  certificatesOf(name: string, now: Date): Promise<readonly Certificate[]>;
}

/** A key that is ready to sign, and its name in the records. */
export interface NamedIssuer {
  readonly name: string;
  readonly issuer: Issuer;
}

/** An issuer whose key has not been read yet. */
export interface PublishedIssuer {
  readonly name: string;
  readonly certificate: Certificate;
  open(): Promise<NamedIssuer>;
}

/** Reads issuers from a store, and their keys, once each, from a key store. */
export function createIssuers({
  store,
  keys,
}: {
  readonly store: Store;
  readonly keys: KeyStore;
}): Issuers {
  const certificates = new Map<Fingerprint, Certificate>();
  const opened = new Map<string, Promise<NamedIssuer>>();

  return {
    async active(now): Promise<NamedIssuer> {
      for (const issuer of (await store.issuers()).toReversed()) {
        if (issuer.role !== "issuing" || issuer.state !== "active") continue;
        const certificate = await usable(issuer, now);
        if (certificate !== undefined) return open(issuer, certificate);
      }
      throw new CaError(
        "ISSUER_UNAVAILABLE",
        `no issuing certificate is active, unrevoked and valid at ${now.toISOString()}`,
      );
    },
    async published(role): Promise<readonly PublishedIssuer[]> {
      const issuers = await store.issuers();
      const wanted = issuers.filter((one) => one.role === role && one.state !== "retired");
      return Promise.all(
        wanted.map(async (issuer) => {
          const certificate = await certificateOf(issuer);
          return { name: issuer.name, certificate, open: () => open(issuer, certificate) };
        }),
      );
    },
    async certificateOf(name): Promise<Certificate> {
      const issuer = (await store.issuers()).find((one) => one.name === name);
      if (issuer === undefined) throw new CaError("STORE_FAILED", `issuer ${name} is not recorded`);
      return certificateOf(issuer);
    },
    async certificatesOf(name, now): Promise<readonly Certificate[]> {
      const issuers = await store.issuers();
      const issuer = issuers.find((one) => one.name === name);
      if (issuer === undefined) throw new CaError("STORE_FAILED", `issuer ${name} is not recorded`);
      const own = await certificateOf(issuer);
      const roots = issuers.filter(({ role, state }) => role === "root" && state !== "retired");
      if (roots.length < 2) return [own];
      const publicKey = publicKeyHash(own.subjectPublicKeyInfo);
      const all = await store.certificates({ publicKey, profile: "issuing", status: "valid", now });
      const crosses = all.filter(
        (one) =>
          one.fingerprint !== own.fingerprint && roots.some((root) => root.name === one.issuer),
      );
      return [own, ...crosses.map(({ der }) => parseCertificate(der))];
    },
  };

  async function usable(issuer: IssuerRecord, now: Date): Promise<Certificate | undefined> {
    const record = await store.certificate(issuer.certificate);
    const certificate = await certificateOf(issuer);
    const inTime = certificate.notBefore <= now && now < certificate.notAfter;
    return inTime && record?.revocation === undefined ? certificate : undefined;
  }

  async function certificateOf({ name, certificate }: IssuerRecord): Promise<Certificate> {
    const known = certificates.get(certificate);
    if (known !== undefined) return known;
    const record = await store.certificate(certificate);
    if (record === undefined) {
      throw new CaError("STORE_FAILED", `the certificate of ${name} is not recorded`);
    }
    const parsed = parseCertificate(record.der);
    certificates.set(certificate, parsed);
    return parsed;
  }

  /** A key that could not be read is asked for again the next time. */
  function open({ name }: IssuerRecord, certificate: Certificate): Promise<NamedIssuer> {
    const known = opened.get(name);
    if (known !== undefined) return known;
    const opening = load(name, certificate);
    opened.set(name, opening);
    opening.catch(() => opened.delete(name));
    return opening;
  }

  async function load(name: string, certificate: Certificate): Promise<NamedIssuer> {
    const key = (await keys.signer?.(name)) ?? (await keys.load(name));
    try {
      return { name, issuer: createIssuer(certificate, key) };
    } catch (error) {
      throw new CaError("KEY_MISMATCH", `private key ${name}: ${(error as Error).message}`, {
        cause: error,
      });
    }
  }
}
