import { createIssuer, generateKeyPair, issueCertificate, parseTrustDomain } from "@handfast/x509";
import type { Certificate, KeyAlgorithm, NameConstraintsInput } from "@handfast/x509";
import { caContents, issuerName } from "./ca-contents.ts";
import { CaError } from "./errors.ts";
import type { KeyStore } from "./keys.ts";
import { recordOf } from "./record.ts";
import type { NewCertificateRecord, Store } from "./store/store.ts";

/** What a new authority is to be. */
export interface EstablishOptions {
  readonly store: Store;
  readonly keys: KeyStore;
  /** Carried by both CA certificates as the URI name `spiffe://TRUST-DOMAIN` (security.md S15). */
  readonly trustDomain: string;
  /** Of both CA keys; ECDSA P-256 if not given. */
  readonly keyAlgorithm?: KeyAlgorithm;
  /**
   * What its certificates may name: DNS domains with all below them, IP ranges (`10.0.0.0/8`) and
   * e-mail domains. DNS names and addresses are free if neither is given, else bound to what is;
   * e-mail addresses need to be given. URIs are bound to the trust domain in any case, but never
   * the path: the issuing CA can name every path of its trust domain (S46).
   */
  readonly permitted?: {
    readonly dns?: readonly string[];
    readonly ip?: readonly string[];
    readonly email?: readonly string[];
  };
  /** Who asks, for the record. */
  readonly requester: string;
  readonly clock?: () => Date;
}

/** The two certificates of a new authority. */
export interface EstablishedAuthority {
  readonly root: Certificate;
  readonly issuing: Certificate;
}

/**
 * Makes an authority in an empty store: a root (10 years, one CA below it) and an issuing CA (5
 * years, none below it), their keys saved before the store names them.
 *
 * @throws CaError AUTHORITY_EXISTS, KEY_EXISTS, the store's; X509Error SPIFFE_ID_INVALID,
 * NAME_INVALID, ALGORITHM_UNSUPPORTED
 */
export async function establishAuthority(options: EstablishOptions): Promise<EstablishedAuthority> {
  const { store, keys, requester, clock = () => new Date() } = options;
  const trustDomain = parseTrustDomain(options.trustDomain);
  await refuseSecond(store);

  const now = clock();
  const rootKeys = generateKeyPair(options.keyAlgorithm);
  const issuingKeys = generateKeyPair(options.keyAlgorithm);
  const root = issueCertificate({
    profile: "root",
    ...caContents(trustDomain, { role: "root", generation: 1, now }),
    publicKey: rootKeys.publicKey,
    issuer: "self",
    privateKey: rootKeys.privateKey,
  });
  const issuing = issueCertificate({
    profile: "issuing",
    ...caContents(trustDomain, { role: "issuing", generation: 1, now }),
    nameConstraints: constraintsOf(trustDomain, options.permitted ?? {}),
    publicKey: issuingKeys.publicKey,
    issuer: createIssuer(root, rootKeys.privateKey),
  });

  await keys.save(rootName, rootKeys.privateKey);
  await keys.save(issuingName, issuingKeys.privateKey);
  const known = { issuer: rootName, requester, issuedAt: now };
  await record(store, {
    trustDomain,
    now,
    root: recordOf(root, { ...known, profile: "root" }),
    issuing: recordOf(issuing, { ...known, profile: "issuing" }),
  });
  return { root, issuing };
}

async function refuseSecond(store: Pick<Store, "authority">): Promise<void> {
  const authority = await store.authority();
  if (authority === undefined) return;
  throw new CaError(
    "AUTHORITY_EXISTS",
    `the store holds the authority of ${authority.trustDomain} already`,
  );
}

async function record(
  store: Store,
  made: {
    trustDomain: string;
    now: Date;
    root: NewCertificateRecord;
    issuing: NewCertificateRecord;
  },
): Promise<void> {
  const { trustDomain, now, root, issuing } = made;
  await store.transaction(async (records) => {
    await refuseSecond(records);
    await records.addAuthority({
      trustDomain,
      createdAt: now,
      bundleSequence: now.getTime(),
    });
    await records.addCertificate(root);
    await records.addCertificate(issuing);
    const common = { generation: 1, state: "active", createdAt: now } as const;
    await records.addIssuer({
      ...common,
      name: rootName,
      role: "root",
      certificate: root.fingerprint,
    });
    await records.addIssuer({
      ...common,
      name: issuingName,
      role: "issuing",
      certificate: issuing.fingerprint,
    });
  });
}

function constraintsOf(
  trustDomain: string,
  { dns = [], ip = [], email = [] }: NonNullable<EstablishOptions["permitted"]>,
): NameConstraintsInput {
  const bound = dns.length > 0 || ip.length > 0;
  const [v6, v4] = [
    ip.some((range) => range.includes(":")),
    ip.some((range) => !range.includes(":")),
  ];
  return {
    permitted: {
      uri: [trustDomain],
      dns: bound && dns.length === 0 ? [nothing] : dns,
      ip,
      email: email.length === 0 ? [nothing] : email,
    },
    excluded: {
      ip: [...(bound && !v4 ? ["0.0.0.0/0"] : []), ...(bound && !v6 ? ["::/0"] : [])],
    },
  };
}

/**
 * A domain that cannot exist (RFC 6761): to permit it alone is to permit none. The empty name would
 * exclude all as well, but Java cannot read it.
 */
const nothing = "invalid";

const rootName = issuerName("root", 1);
const issuingName = issuerName("issuing", 1);
