import { timestampDate } from "@bufbuild/protobuf/wkt";
import { principalOf } from "@handfast/grpc";
import type { ServerPolicy } from "@handfast/grpc";
import type { VerifiedPeer } from "@handfast/tls";
import {
  inspect,
  parseCertificate,
  parseCertificatesPem,
  parseFingerprint,
  parseSerialNumber,
  X509Error,
} from "@handfast/x509";
import type { Certificate, Fingerprint } from "@handfast/x509";
import { CaError } from "../errors.ts";
import type { Authority as AuthorityService, FindRequest } from "../gen/handfast/ca/v1/ca_pb.ts";
import type { CertificateQuery, CertificateRecord } from "../store/store.ts";
import { peerOfCall, requesterOf } from "./caller.ts";
import type { Caller, Methods } from "./caller.ts";
import type { MethodContext } from "./method-context.ts";
import { reasonFromWire, recordToWire, statusFromWire } from "../wire.ts";

/** The methods whose answer depends on whose certificates they are about (security.md S54). */
export type Inventory = Pick<Methods<typeof AuthorityService>, "revoke" | "find" | "inspect">;

/**
 * The inventory as callers may see and change it: one's own certificates, or all if the admin policy
 * lets the caller. Without a policy nobody is an admin. A certificate of somebody else and one that
 * is not there are the same to a caller who may not see it.
 */
export function inventoryMethods(
  { authority, crls, clock }: MethodContext,
  admins: ServerPolicy | undefined,
): Inventory {
  return {
    async revoke({ fingerprint: text, reason, onlyThis }, caller) {
      const peer = peerOfCall(caller);
      const fingerprint = parsed(() => parseFingerprint(text));
      const why = reasonFromWire(reason);
      if (why === undefined) throw invalid(`reason must be one of the enum, not ${reason}`);
      const [record] = await authority.find({ fingerprint });
      if (!isAdmin(caller) && !isOwn(record, peer)) throw notPermitted();
      if (record?.profile === "issuing") {
        throw new CaError(
          "REVOCATION_REFUSED",
          "an issuing CA is revoked by the root, whose key is not here",
          { hint: "use `handfast revoke` where the root's key is" },
        );
      }
      const requester = requesterOf(peer);
      const revoked = await authority.revoke({
        certificate: fingerprint,
        reason: why,
        requester,
        onlyThis,
      });
      // The list ends the connections of whoever is on it: this caller, perhaps, who awaits an answer.
      if (revoked.some((one) => one.fingerprint === peer.fingerprint)) {
        setImmediate(() => void crls.publish().catch(() => undefined)); // told, and tried again
      } else {
        await crls.publish();
      }
      return { revoked: revoked.map((one) => recordToWire(one, clock())) };
    },
    async find(request, caller) {
      const peer = peerOfCall(caller);
      const query = queryOf(request);
      const limit = request.pageSize === 0 ? 100 : request.pageSize;
      if (limit < 1 || limit > 1_000) throw invalid(`page_size must be up to 1000, not ${limit}`);
      const visible = isAdmin(caller) ? query : { ...query, identity: ownIdentity(query, peer) };
      const records = await authority.find({ ...visible, limit: limit + 1 });
      const page = records.slice(0, limit);
      const nextPageToken = records.length > limit ? (page.at(-1)?.fingerprint ?? "") : "";
      return { certificates: page.map((one) => recordToWire(one, clock())), nextPageToken };
    },
    async inspect({ certificate: bytes }, caller) {
      const peer = peerOfCall(caller);
      if (bytes.length === 0 || bytes.length > maxCertificateBytes) {
        throw invalid(
          `certificate must be of 1 to ${maxCertificateBytes} bytes, not ${bytes.length}`,
        );
      }
      const certificate = parseOne(bytes);
      const { fingerprint } = certificate;
      const [record] = await authority.find({ fingerprint });
      const visible = record !== undefined && (isOwn(record, peer) || isAdmin(caller));
      return {
        fingerprint,
        descriptionJson: JSON.stringify(inspect(certificate)),
        ...(visible ? { inventory: recordToWire(record, clock()) } : {}),
      };
    },
  };

  function isAdmin(caller: Caller): boolean {
    if (admins === undefined || caller.peer === undefined) return false;
    const policy = "onChange" in admins ? admins.current : admins;
    return policy.decide({
      principal: principalOf(caller.peer),
      path: caller.method,
      headers: headersOf(caller),
    }).allowed;
  }
}

/** Who has no identity owns nothing (security.md S14). */
function isOwn(record: CertificateRecord | undefined, { identity }: VerifiedPeer): boolean {
  return identity !== undefined && record?.identity === identity;
}

function ownIdentity({ identity }: CertificateQuery, peer: VerifiedPeer): string {
  if (peer.identity === undefined || (identity ?? peer.identity) !== peer.identity) {
    throw notPermitted();
  }
  return peer.identity;
}

function queryOf(request: FindRequest): Omit<CertificateQuery, "now"> {
  const { name, text, identity, profile, expiresBefore } = request;
  for (const [field, value] of Object.entries({ name, text, identity, profile })) {
    if (value.length > maxTextLength) throw invalid(`${field} is over ${maxTextLength} characters`);
  }
  const fingerprint = optional(request.fingerprint, parseFingerprint);
  const serialNumber = optional(request.serialNumber, parseSerialNumber);
  const before = optional(request.pageToken, parseFingerprint);
  const status = statusFromWire(request.status);
  return {
    ...(name !== "" && { name }),
    ...(text !== "" && { text }),
    ...(identity !== "" && { identity }),
    ...(profile !== "" && { profile }),
    ...(fingerprint && { fingerprint }),
    ...(serialNumber && { serialNumber }),
    ...(before && { before }),
    ...(status && { status }),
    ...(expiresBefore && { expiresBefore: timestampDate(expiresBefore) }),
  };
}

function optional<Value>(text: string, parse: (text: string) => Value): Value | undefined {
  return text === "" ? undefined : parsed(() => parse(text));
}

function parsed<Value>(parse: () => Value): Value {
  try {
    return parse();
  } catch (error) {
    if (error instanceof X509Error) throw invalid(error.message);
    throw error;
  }
}

/** Bytes, and never an address (security.md S54). */
function parseOne(bytes: Uint8Array): Certificate {
  if (bytes[0] === derSequence) return parseCertificate(bytes);
  const [certificate, another] = parseCertificatesPem(bytes);
  if (certificate === undefined || another !== undefined) {
    throw invalid("certificate must be one certificate, DER or PEM");
  }
  return certificate;
}

/** What a rule may ask about; bytes are left out. */
function headersOf({ requestHeaders }: Caller): Record<string, string> {
  const headers = Object.create(null) as Record<string, string>;
  for (const name of requestHeaders.names()) {
    if (!name.endsWith("-bin")) headers[name] = requestHeaders.get(name) ?? "";
  }
  return headers;
}

function invalid(message: string): CaError {
  return new CaError("REQUEST_INVALID", message);
}

/** The same text whether or not there is such a certificate. */
function notPermitted(): CaError {
  return new CaError("NOT_PERMITTED", "the caller owns no such certificate, and is no admin");
}

/** Refuses callers whose certificate this authority has not recorded, or has revoked. */
export async function requireRecorded(
  authority: { find(query: { fingerprint: Fingerprint }): Promise<readonly CertificateRecord[]> },
  caller: Caller,
): Promise<void> {
  const { fingerprint, serialNumber } = peerOfCall(caller);
  const [record] = await authority.find({ fingerprint });
  if (record !== undefined && record.revocation === undefined) return;
  const problem = record === undefined ? "is not recorded by this authority" : "was revoked";
  throw new CaError("REQUEST_UNAUTHENTICATED", `certificate ${serialNumber} ${problem}`);
}

const maxTextLength = 512;
const maxCertificateBytes = 64 * 1_024;
const derSequence = 0x30;
