import { parseCertificate, parseSerialNumber } from "@handfast/x509";
import type { Certificate } from "@handfast/x509";
import type { CertificateRecord, RecordReads } from "../store/store.ts";
import type { AcmeAnswer, AcmeContext } from "./context.ts";
import type { Identifier } from "./identifier.ts";
import { canonicalAddress } from "./ip-address.ts";
import { AcmeProblem } from "./problem.ts";

/** renewalInfo (RFC 9773 4): when a certificate should be renewed. Anybody may ask. */
export async function renewalInfo(
  { store, profile, clock }: Pick<AcmeContext, "store" | "profile" | "clock">,
  [id = ""]: readonly string[],
): Promise<AcmeAnswer> {
  const record = await certificateOfId({ store, profile }, id);
  if (record === undefined) {
    throw new AcmeProblem("malformed", "there is no certificate of that ARI identifier", {
      status: 404,
    });
  }
  const window = suggestedWindow(record, clock());
  const life = record.notAfter.getTime() - record.notBefore.getTime();
  const retryAfterSeconds = Math.min(6 * 3_600, Math.max(60, Math.floor(life / 24_000)));
  return {
    status: 200,
    headers: { "Retry-After": String(retryAfterSeconds) },
    body: {
      suggestedWindow: {
        start: window.start.toISOString(),
        end: window.end.toISOString(),
      },
    },
  };
}

/** The ARI identifier of a certificate (RFC 9773 4.1); undefined if it names no authority key. */
export function ariIdentifierOf({
  authorityKeyIdentifier: keyIdentifier,
  serialNumber,
}: Pick<Certificate, "authorityKeyIdentifier" | "serialNumber">): string | undefined {
  if (keyIdentifier === undefined) return undefined;
  const hex = serialNumber.length % 2 === 0 ? serialNumber : `0${serialNumber}`;
  const serial = Buffer.from(/^[89a-f]/i.test(hex) ? `00${hex}` : hex, "hex");
  return `${Buffer.from(keyIdentifier).toString("base64url")}.${serial.toString("base64url")}`;
}

/**
 * What a new order says that it replaces (RFC 9773 5): a certificate of the same account, with one
 * of the order's names at least.
 *
 * @throws AcmeProblem malformed, unauthorized
 */
export async function checkReplaces(
  { store, profile }: Pick<AcmeContext, "store" | "profile">,
  {
    payload,
    account,
    identifiers,
  }: {
    payload: Readonly<Record<string, unknown>>;
    account: string;
    identifiers: readonly Identifier[];
  },
): Promise<string | undefined> {
  const { replaces } = payload;
  if (replaces === undefined) return undefined;
  const id = typeof replaces === "string" ? replaces : "";
  const record = await certificateOfId({ store, profile }, id);
  if (record === undefined || record.requester !== `acme:${account}`) {
    throw new AcmeProblem("malformed", "replaces must be the ARI identifier of the account's own");
  }
  const { dns, ip } = parseCertificate(record.der).subjectAltNames;
  const names = new Set([...dns, ...ip.map(canonicalAddress)]);
  if (identifiers.some(({ value }) => names.has(value))) return id;
  throw new AcmeProblem("malformed", "replaces must name a certificate with a name of the order");
}

/**
 * From two thirds of the life to three quarters of it; at once for what was revoked, so that clients
 * hear of it before their peers do.
 */
function suggestedWindow(
  { notBefore, notAfter, revocation }: CertificateRecord,
  now: Date,
): { start: Date; end: Date } {
  if (revocation !== undefined) {
    const end = Math.min(revocation.revokedAt.getTime(), now.getTime());
    return { start: new Date(end - 1_000), end: new Date(end) };
  }
  const from = notBefore.getTime();
  const life = notAfter.getTime() - from;
  return { start: new Date(from + (life * 2) / 3), end: new Date(from + (life * 3) / 4) };
}

async function certificateOfId(
  { store, profile }: { store: RecordReads; profile: string },
  id: string,
): Promise<CertificateRecord | undefined> {
  const [, serial] = /^[A-Za-z0-9_-]{1,100}\.([A-Za-z0-9_-]{1,40})$/.exec(id) ?? [];
  if (serial === undefined) return undefined;
  const hex = Buffer.from(serial, "base64url")
    .toString("hex")
    .replace(/^(?:00)+(?=..)/, "");
  let serialNumber;
  try {
    serialNumber = parseSerialNumber(hex);
  } catch {
    return undefined;
  }
  const found = await store.certificates({ serialNumber, profile, limit: 10 });
  return found.find(
    ({ der, requester }) =>
      requester.startsWith("acme:") && ariIdentifierOf(parseCertificate(der)) === id,
  );
}
