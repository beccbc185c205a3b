import type { KeyObject } from "node:crypto";
import { parseCertificate, parseRequest } from "@handfast/x509";
import type { CertificateRequest } from "@handfast/x509";
import { CaError } from "./errors.ts";
import { contentsOf, subjectOf } from "./issuance.ts";
import type { SubjectRequest } from "./issuance.ts";
import { checkBeforeRecord, sign, withChain } from "./issue.ts";
import type { IssuedCertificate } from "./issue.ts";
import type { KeyStore } from "./keys.ts";
import type { AlternativeNames } from "./names.ts";
import { ownKey } from "./own-key.ts";
import { publicKeyHash, recordOf } from "./record.ts";
import type { CertificateRecord, RecordReads } from "./store/store.ts";
import { encodeToken, leewayMs, newTokenId, verifyToken } from "./token.ts";
import type { TokenClaims } from "./token.ts";
import type { Workshop } from "./workshop.ts";

/** What a one-time token shall allow. */
export interface TokenRequest {
  /** The authority's address, as whoever enrols dials it. */
  readonly audience: string;
  /** `peer` if not given. */
  readonly profile?: string;
  readonly subject: SubjectRequest;
  readonly names: AlternativeNames;
  /** Of the certificate; the profile's if not given. */
  readonly validitySeconds?: number;
  /** Of the token; 300 if not given, at most 86,400. */
  readonly tokenSeconds?: number;
  /** The only key that may be enrolled; any if not given. */
  readonly publicKey?: KeyObject | Uint8Array;
  readonly requester: string;
}

/** Who enrols, and with what. */
export interface EnrolRequest {
  readonly token: string;
  /** The address at which the token was shown. */
  readonly audience: string;
  /** PKCS #10, DER or PEM; it proves that who enrols holds the key. */
  readonly request: Uint8Array | string;
}

/**
 * Makes a token that lets its bearer enrol one certificate of these contents, once. What the
 * authority would refuse to issue, it makes no token for.
 */
export async function createToken(
  workshop: Workshop,
  { request, keys }: { request: TokenRequest; keys: KeyStore },
): Promise<string> {
  const { audience, profile = "peer", subject, names, validitySeconds, publicKey } = request;
  const { tokenSeconds = 300 } = request;
  if (!Number.isSafeInteger(tokenSeconds) || tokenSeconds < 1 || tokenSeconds > 86_400) {
    throw new CaError(
      "VALIDITY_REFUSED",
      `validity of a token must be from 1 to 86400 s, not ${tokenSeconds}`,
    );
  }
  const now = workshop.clock();
  const { issuer } = await workshop.issuers.active(now);
  const validity = validitySeconds === undefined ? {} : { validitySeconds };
  contentsOf(
    { profile, subject: subjectOf(subject), names, ...validity },
    { ...workshop, now, issuer: issuer.certificate },
  );
  const roots = await workshop.issuers.published("root");
  // The oldest: until it is retired, all that the authority serves with leads to it (S50).
  const [oldest] = roots;
  const root = oldest?.certificate.fingerprint;
  if (root === undefined) throw new CaError("ISSUER_UNAVAILABLE", "there is no root to trust");
  const claims: TokenClaims = {
    audience,
    root,
    id: newTokenId(),
    notBefore: now,
    notAfter: new Date(now.getTime() + tokenSeconds * 1_000),
    profile,
    subject,
    names,
    ...validity,
    ...(publicKey === undefined ? {} : { publicKey: publicKeyHash(publicKey) }),
  };
  return encodeToken(claims, await tokenKey(keys));
}

/**
 * Issues what a token allows to whoever bears it and holds the key of the request. The token is
 * spent in the transaction that records the certificate, after all else was checked: a request that
 * is refused does not spend it, and the same key again gets the same certificate (S52).
 */
export async function enrol(
  workshop: Workshop,
  { request, keys }: { request: EnrolRequest; keys: KeyStore },
): Promise<IssuedCertificate> {
  const { store, issuers } = workshop;
  const now = workshop.clock();
  const roots = await issuers.published("root");
  const claims = verifyToken(request.token, {
    tokenKey: await tokenKey(keys),
    audience: request.audience,
    roots: roots.map(({ certificate }) => certificate.fingerprint),
    now,
  });
  const csr = parseRequest(request.request);
  const publicKey = csr.publicKeyInfo.der;
  checkRequest(csr, claims);
  const known = await spentOn(store, { claims, publicKey });
  if (known !== undefined) return answer(known);

  const { profile, subject, names, validitySeconds } = claims;
  const validity = validitySeconds === undefined ? {} : { validitySeconds };
  const contents = { profile, subject: subjectOf(subject), names, ...validity };
  const signed = await sign(workshop, { contents, publicKey, now });
  const record = recordOf(signed.certificate, {
    issuer: signed.by.name,
    profile,
    requester: `token:${claims.id}`,
    issuedAt: now,
  });
  const other = await store.transaction(async (records) => {
    const meanwhile = await spentOn(records, { claims, publicKey });
    if (meanwhile !== undefined) return meanwhile;
    await checkBeforeRecord(records, { record, signed });
    await records.addCertificate(record);
    await records.spendToken({
      id: claims.id,
      spentAt: now,
      certificate: record.fingerprint,
      keepUntil: new Date(claims.notAfter.getTime() + 2 * leewayMs),
    });
    return undefined;
  });
  if (other !== undefined) return answer(other);
  return withChain(workshop, { certificate: signed.certificate, issuer: signed.by.name });

  function answer({ der, issuer }: CertificateRecord): Promise<IssuedCertificate> {
    return withChain(workshop, { certificate: parseCertificate(der), issuer });
  }
}

/** What was enrolled with a token before, if it was for the same key. */
async function spentOn(
  records: RecordReads,
  { claims, publicKey }: { claims: TokenClaims; publicKey: Uint8Array },
): Promise<CertificateRecord | undefined> {
  const spent = await records.spentToken(claims.id);
  if (spent === undefined) return undefined;
  const certificate = await records.certificate(spent.certificate);
  if (certificate?.publicKey === publicKeyHash(publicKey) && certificate.revocation === undefined) {
    return certificate;
  }
  throw new CaError(
    "TOKEN_SPENT",
    `the token ${claims.id} was spent at ${spent.spentAt.toISOString()} on certificate ${certificate?.serialNumber ?? spent.certificate}`,
  );
}

/** The token decides what is issued; a request that asks for more is a mistake or worse. */
function checkRequest(
  { subjectAltNames, publicKeyInfo }: CertificateRequest,
  claims: TokenClaims,
): void {
  if (claims.publicKey !== undefined && claims.publicKey !== publicKeyHash(publicKeyInfo.der)) {
    throw new CaError("TOKEN_REFUSED", "the token is for another key");
  }
  for (const kind of ["dns", "ip", "uri", "email"] as const) {
    const extra = subjectAltNames[kind].find((name) => !claims.names[kind].includes(name));
    if (extra === undefined) continue;
    throw new CaError(
      "TOKEN_REFUSED",
      `the token does not allow the ${kind} name ${JSON.stringify(extra)} of the request`,
    );
  }
}

function tokenKey(keys: KeyStore): Promise<KeyObject> {
  return ownKey(keys, tokenKeyName);
}

const tokenKeyName = "token-1";
