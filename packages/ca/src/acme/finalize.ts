import { parseCertificate, parseRequest, X509Error } from "@handfast/x509";
import type { CertificateRequest } from "@handfast/x509";
import { CaError } from "../errors.ts";
import { publicKeyHash } from "../record.ts";
import type { CertificateRecord, RecordReads } from "../store/store.ts";
import { thumbprintOfKey } from "./account-key.ts";
import type { AccountRequest, AcmeAnswer, AcmeContext } from "./context.ts";
import { canonicalDnsName } from "./identifier.ts";
import type { Identifier } from "./identifier.ts";
import { canonicalAddress } from "./ip-address.ts";
import { decoded, payloadObject } from "./jws.ts";
import { answerOrder, changeOrder, ownOrder, requirePermitted } from "./orders.ts";
import { AcmeProblem } from "./problem.ts";
import { readRecord } from "./records.ts";
import type { Order, Stored } from "./records.ts";

/**
 * Finalizes an order (RFC 8555 7.4): issues its certificate, for exactly its names. What does not
 * fit is refused and leaves the order ready for another request.
 */
export async function finalizeOrder(
  context: AcmeContext,
  request: AccountRequest,
  [id = ""]: readonly string[],
): Promise<AcmeAnswer> {
  const { account } = request;
  const order = await ownOrder(context, { id, account: account.id });
  if (order.body.status !== "ready") {
    throw new AcmeProblem("orderNotReady", `the order is ${order.body.status}, not ready`);
  }
  const csr = readCsr(payloadObject(request.payload)["csr"]);
  requireSameNames(csr, order.body.identifiers);
  await requirePermitted(context, { account, identifiers: order.body.identifiers });
  await refuseAccountKey(context.store, csr);
  await begin(context, { id, csr });
  try {
    const { certificate } = await context.authority.issue({
      profile: context.profile,
      publicKey: csr.publicKeyInfo.der,
      subject: {},
      names: namesOf(order.body.identifiers),
      requester: requesterOf(account.id),
      ...validityOf(order.body, context.clock()),
    });
    const { fingerprint } = certificate;
    const done = await changeOrder(context, id, (body) => finished(body, fingerprint));
    context.onEvent({ type: "certificate-issued", account: account.id, certificate: fingerprint });
    return answerOrder(context, { order: done, status: 200 });
  } catch (error) {
    await changeOrder(context, id, (body) =>
      body.status === "processing" ? { ...body, status: "ready", finalizing: undefined } : body,
    );
    throw problemOf(error);
  }
}

/** Reads an order (RFC 8555 7.1.3); one whose finalizing was cut off is brought to its end. */
export async function readOrder(
  context: AcmeContext,
  request: AccountRequest,
  [id = ""]: readonly string[],
): Promise<AcmeAnswer> {
  const { account } = request;
  let order = await ownOrder(context, { id, account: account.id });
  const since = order.body.finalizing?.since ?? Infinity;
  if (order.body.status === "processing" && context.clock().getTime() - since > cutOffMs) {
    const issued = await certificateOf(context, order);
    order = await changeOrder(context, id, (body) => {
      if (body.status !== "processing") return body;
      if (issued === undefined) return { ...body, status: "ready", finalizing: undefined };
      return finished(body, issued.fingerprint);
    });
  }
  return answerOrder(context, { order, status: 200 });
}

/** Who asked, as the inventory has it. */
export function requesterOf(account: string): string {
  return `acme:${account}`;
}

function readCsr(csr: unknown): CertificateRequest {
  if (typeof csr !== "string") throw new AcmeProblem("malformed", "finalize wants a csr");
  try {
    return parseRequest(decoded(csr, "csr"));
  } catch (error) {
    if (!(error instanceof X509Error)) throw error;
    throw new AcmeProblem("badCSR", error.message, { cause: error });
  }
}

/** The names of the request, its common name too, must be those of the order (RFC 8555 7.4). */
function requireSameNames(
  { subject, subjectAltNames }: CertificateRequest,
  identifiers: readonly Identifier[],
): void {
  const { dns, ip, all } = subjectAltNames;
  const common = subject.attributes.filter(({ type }) => type === "CN").map(({ value }) => value);
  const asked = new Set([
    ...dns.map((name) => `dns:${name.toLowerCase()}`),
    ...ip.map((address) => `ip:${canonicalAddress(address)}`),
    ...common.map((name) => {
      const address = canonicalAddress(name);
      return address === undefined ? `dns:${canonicalDnsName(name)}` : `ip:${address}`;
    }),
  ]);
  const ordered = new Set(identifiers.map(({ type, value }) => `${type}:${value}`));
  if (dns.length + ip.length === all.length && asked.symmetricDifference(ordered).size === 0)
    return;
  throw new AcmeProblem("badCSR", "the names of the request are not exactly those of the order");
}

/** The key of a certificate is no account's key (security.md S51). */
async function refuseAccountKey(records: RecordReads, csr: CertificateRequest): Promise<void> {
  const thumbprint = thumbprintOfKey(csr.publicKeyInfo.der);
  if (thumbprint === undefined) return;
  if ((await readRecord(records, "account-key", thumbprint)) === undefined) return;
  throw new AcmeProblem("badCSR", "the key of the request is the key of an account");
}

/** From here on nobody else finalizes the order. */
async function begin(
  context: AcmeContext,
  { id, csr }: { id: string; csr: CertificateRequest },
): Promise<void> {
  const publicKey = publicKeyHash(csr.publicKeyInfo.der);
  await changeOrder(context, id, (body) => {
    if (body.status !== "ready") {
      throw new AcmeProblem("orderNotReady", `the order is ${body.status}, not ready`);
    }
    const since = context.clock().getTime();
    return { ...body, status: "processing", finalizing: { publicKey, since } };
  });
}

function finished(order: Order, certificate: Order["certificate"]): Order {
  return { ...order, status: "valid", certificate, finalizing: undefined };
}

/** The certificate that was issued for an order before the process ended. */
async function certificateOf(
  { store, profile }: AcmeContext,
  { owner = "", body }: Stored<"order">,
): Promise<CertificateRecord | undefined> {
  const { finalizing, identifiers } = body;
  if (finalizing === undefined) return undefined;
  const { publicKey, since } = finalizing;
  const found = await store.certificates({ publicKey, profile, limit: 100 });
  return found.find(
    ({ requester, issuedAt, der }) =>
      requester === requesterOf(owner) &&
      issuedAt.getTime() >= since &&
      coversExactly(der, identifiers),
  );
}

function coversExactly(der: Uint8Array, identifiers: readonly Identifier[]): boolean {
  const { dns, ip } = parseCertificate(der).subjectAltNames;
  const names = namesOf(identifiers);
  const same = (one: readonly string[], other: readonly (string | undefined)[]) =>
    new Set(one).symmetricDifference(new Set(other)).size === 0;
  return same(names.dns, dns) && same(names.ip, ip.map(canonicalAddress));
}

function namesOf(identifiers: readonly Identifier[]): {
  dns: string[];
  ip: string[];
  uri: [];
  email: [];
} {
  const of = (wanted: Identifier["type"]) =>
    identifiers.filter(({ type }) => type === wanted).map(({ value }) => value);
  return { dns: of("dns"), ip: of("ip"), uri: [], email: [] };
}

function validityOf({ notAfter }: Order, now: Date): { validitySeconds?: number } {
  if (notAfter === undefined) return {};
  return { validitySeconds: Math.max(1, Math.floor((notAfter - now.getTime()) / 1_000)) };
}

/** What the authority refuses, in ACME's words. */
function problemOf(error: unknown): unknown {
  if (error instanceof X509Error) {
    const type = error.code === "ALGORITHM_UNSUPPORTED" ? "badPublicKey" : "badCSR";
    return new AcmeProblem(type, error.message, { cause: error });
  }
  if (!(error instanceof CaError)) return error;
  switch (error.code) {
    case "KEY_REFUSED":
      return new AcmeProblem("badPublicKey", "the key may not be certified: make a new one", {
        cause: error,
      });
    case "NAME_REFUSED":
    case "CERTIFICATE_UNUSABLE":
      return new AcmeProblem("rejectedIdentifier", error.message, { cause: error });
    case "VALIDITY_REFUSED":
      return new AcmeProblem("malformed", error.message, { cause: error });
    default:
      return error;
  }
}

/** Longer than any issuance takes. */
const cutOffMs = 30_000;
