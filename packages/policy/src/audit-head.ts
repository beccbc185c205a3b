import { createHash, verify } from "node:crypto";
import type { KeyObject } from "node:crypto";
import type { AuditRecord } from "./audit-record.ts";
import { canonicalJson } from "./canonical-json.ts";
import { PolicyError } from "./errors.ts";
import { readDocument, readNonEmptyString, readObject, requireMember } from "./read-json.ts";

/**
 * A signed checkpoint of an audit chain. Kept outside the file it is what shows that the end of the
 * file was cut off, or that an old copy took its place.
 */
export interface AuditHead {
  /** The random id of the file, lower-case hex. */
  readonly chain: string;
  /** The number of the last record it vouches for. */
  readonly seq: number;
  /** The hash of that record, lower-case hex. */
  readonly hash: string;
  /** When it was signed, RFC 3339. */
  readonly time: string;
  /** The SHA-256 of the public key (SubjectPublicKeyInfo), lower-case hex. */
  readonly key: string;
  /** Ed25519 over the other fields, base64url. */
  readonly signature: string;
}

/** Signs heads; the private key need not be in this process. */
export interface AuditSigner {
  /** An Ed25519 public key. */
  readonly publicKey: KeyObject;
  sign(message: Uint8Array): Uint8Array | Promise<Uint8Array>;
}

/** Signs what a head says. */
export async function signHead(
  what: Pick<AuditHead, "chain" | "seq" | "hash" | "time">,
  signer: AuditSigner,
): Promise<AuditHead> {
  const unsigned = { ...what, key: keyHash(signer.publicKey) };
  const signature = await signer.sign(headMessage(unsigned));
  return { ...unsigned, signature: Buffer.from(signature).toString("base64url") };
}

/** Whether a head was signed by the key. */
export function headVerifies(head: AuditHead, publicKey: KeyObject): boolean {
  if (head.key !== keyHash(publicKey)) return false;
  try {
    return verify(null, headMessage(head), publicKey, Buffer.from(head.signature, "base64url"));
  } catch {
    return false;
  }
}

/** What is wrong with a record that signs those before it; undefined if nothing is. */
export function signatureProblem(
  signature: { readonly record: AuditRecord; readonly before: Uint8Array },
  publicKey: KeyObject,
): string | undefined {
  const { record, before } = signature;
  const { chain, seq, hash, time, key, signature: value } = record.fields;
  const texts = [chain, hash, time, key, value];
  if (!texts.every((text) => typeof text === "string") || typeof seq !== "number") {
    return "it is not a signature as a log writes it";
  }
  const head = { chain, seq, hash, time, key, signature: value } as AuditHead;
  if (head.key !== keyHash(publicKey)) return "it was signed with another key";
  if (!headVerifies(head, publicKey)) return "its signature does not verify";
  // The hash stands for the whole file up to here, its chain id and numbers included.
  const isOfHere = hash === Buffer.from(before).toString("hex");
  return isOfHere ? undefined : "it signs other records than those before it";
}

/** The SHA-256 by which a head names its key. */
function keyHash(publicKey: KeyObject): string {
  const der = publicKey.export({ type: "spki", format: "der" });
  return createHash("sha256").update(der).digest("hex");
}

/**
 * Reads a head from its JSON, as it was emitted.
 *
 * @throws {PolicyError} AUDIT_HEAD_INVALID
 */
export function parseAuditHead(source: string | Uint8Array): AuditHead {
  const node = readDocument(source, "AUDIT_HEAD_INVALID");
  const members = readObject(node, ["chain", "seq", "hash", "time", "key", "signature"]);
  const text = (name: string): string => readNonEmptyString(requireMember(node, members, name));
  const seq = requireMember(node, members, "seq").value;
  if (!Number.isSafeInteger(seq)) {
    throw new PolicyError("AUDIT_HEAD_INVALID", "seq: expected an integer", { place: "seq" });
  }
  return {
    chain: text("chain"),
    seq: Number(seq),
    hash: text("hash"),
    time: text("time"),
    key: text("key"),
    signature: text("signature"),
  };
}

function headMessage({ chain, seq, hash, time, key }: Omit<AuditHead, "signature">): Uint8Array {
  return Buffer.from(`handfast-audit-head-v1\n${canonicalJson({ chain, seq, hash, time, key })}`);
}
