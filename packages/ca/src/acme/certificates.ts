import { hash } from "node:crypto";
import { certificatesToPem, parseCertificate, parseFingerprint } from "@handfast/x509";
import type { Certificate } from "@handfast/x509";
import { CaError } from "../errors.ts";
import { publicKeyHash, statusOf } from "../record.ts";
import type { CertificateRecord, RevocationReason } from "../store/store.ts";
import { publicKeyOf } from "./account-key.ts";
import type { AccountRequest, AcmeAnswer, AcmeContext, KeyRequest } from "./context.ts";
import { requesterOf } from "./finalize.ts";
import { canonicalAddress } from "./ip-address.ts";
import { decoded, payloadObject } from "./jws.ts";
import { ownOrder } from "./orders.ts";
import { AcmeProblem } from "./problem.ts";
import { listRecords } from "./records.ts";
import type { Stored } from "./records.ts";

/** Downloads the certificate of an order with those above it, without the root (RFC 8555 7.4.2). */
export async function downloadCertificate(
  context: AcmeContext,
  request: AccountRequest,
  [id = ""]: readonly string[],
): Promise<AcmeAnswer> {
  const order = await ownOrder(context, { id, account: request.account.id });
  const { certificate } = order.body;
  const record = certificate && (await context.store.certificate(certificate));
  if (record === undefined) {
    throw new AcmeProblem("malformed", "the order has no certificate", { status: 404 });
  }
  const chain = [parseCertificate(record.der), await issuerOf(context, record)];
  return {
    status: 200,
    contentType: "application/pem-certificate-chain",
    body: certificatesToPem(chain),
  };
}

/**
 * revokeCert (RFC 8555 7.6): by the account that asked for the certificate, by one that has shown
 * control of all its names, or by the key of the certificate. Only what ACME issued is revoked here.
 */
export async function revokeCertificate(
  context: AcmeContext,
  request: AccountRequest | KeyRequest,
): Promise<AcmeAnswer> {
  const { certificate, reason } = payloadObject(request.payload);
  if (typeof certificate !== "string") {
    throw new AcmeProblem("malformed", "revokeCert wants a certificate");
  }
  const why = readReason(reason);
  const record = await recordedAs(context, decoded(certificate, "certificate"));
  if (record === undefined || !(await mayRevoke(context, { request, record }))) {
    throw new AcmeProblem("unauthorized", "whoever asks may not revoke this certificate");
  }
  if (record.revocation !== undefined) {
    throw new AcmeProblem("alreadyRevoked", "the certificate was revoked before");
  }
  if ("jwk" in request) await request.spendNonce();
  const requester = "jwk" in request ? "acme:certificate-key" : requesterOf(request.account.id);
  await context.authority.revoke({ certificate: record.fingerprint, reason: why, requester });
  context.onEvent({ type: "certificate-revoked", certificate: record.fingerprint });
  return { status: 200 };
}

/** The certificate of the issuer of a recorded one. */
async function issuerOf(
  { store }: AcmeContext,
  { issuer }: CertificateRecord,
): Promise<Certificate> {
  const named = (await store.issuers()).find(({ name }) => name === issuer);
  const record = named && (await store.certificate(named.certificate));
  if (record !== undefined) return parseCertificate(record.der);
  throw new CaError("STORE_FAILED", `the certificate of ${issuer} is not recorded`);
}

/** Its record, if these very bytes were issued by ACME. */
async function recordedAs(
  { store, profile }: AcmeContext,
  der: Uint8Array,
): Promise<CertificateRecord | undefined> {
  const record = await store.certificate(parseFingerprint(hash("sha256", der, "hex")));
  const ours = record?.profile === profile && record.requester.startsWith(requesterOf(""));
  return ours ? record : undefined;
}

async function mayRevoke(
  context: AcmeContext,
  { request, record }: { request: AccountRequest | KeyRequest; record: CertificateRecord },
): Promise<boolean> {
  if ("jwk" in request) return publicKeyHash(publicKeyOf(request.jwk)) === record.publicKey;
  if (record.requester === requesterOf(request.account.id)) return true;
  if (statusOf(record, context.clock()) === "expired") return false;
  return holdsAll(context, { account: request.account, record });
}

/** Whether the account's valid authorizations cover all names of the certificate. */
async function holdsAll(
  { store, clock }: AcmeContext,
  { account, record }: { account: Stored<"account">; record: CertificateRecord },
): Promise<boolean> {
  const orders = await listRecords(store, "order", { owner: account.id, limit: 1_000 });
  const now = clock().getTime();
  const held = new Set(
    orders
      .filter(({ body }) => body.expires >= now)
      .flatMap(({ body }) => body.authorizations)
      .filter(({ status }) => status === "valid")
      .map(({ identifier, wildcard }) => `${wildcard ? "*." : ""}${identifier.value}`),
  );
  const { dns, ip } = parseCertificate(record.der).subjectAltNames;
  return [...dns, ...ip.map(canonicalAddress)].every(
    (name) => name !== undefined && held.has(name),
  );
}

function readReason(reason: unknown = 0): RevocationReason {
  const known = typeof reason === "number" ? reasons.get(reason) : undefined;
  if (known !== undefined) return known;
  throw new AcmeProblem(
    "badRevocationReason",
    `reason must be one of ${[...reasons.keys()].join(", ")}`,
  );
}

/** RFC 5280 5.3.1, those that the holder of a certificate can give. */
const reasons: ReadonlyMap<number, RevocationReason> = new Map([
  [0, "unspecified"],
  [1, "keyCompromise"],
  [3, "affiliationChanged"],
  [4, "superseded"],
  [5, "cessationOfOperation"],
  [9, "privilegeWithdrawn"],
]);
