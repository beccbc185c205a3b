import { generateKeyPairSync, sign } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { openAuditChain } from "../../src/index.ts";
import type { AuditChainOptions, AuditHead, AuditSigner } from "../../src/index.ts";
import { chainMagic, decodeRecord, encodeRecord, firstHash } from "../../src/audit-record.ts";
import type { AuditRecord } from "../../src/audit-record.ts";
import { canonicalJson } from "../../src/canonical-json.ts";

/** A signer with a key of its own, in memory. */
export function testSigner(): AuditSigner {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  return { publicKey, sign: (message) => sign(null, message, privateKey) };
}

/** Writes a chain of `count` records and closes it; returns the heads that were emitted. */
export async function writeChain(
  path: string,
  options: AuditChainOptions & { count: number; start?: number },
): Promise<AuditHead[]> {
  const heads: AuditHead[] = [];
  const chain = await openAuditChain(path, { ...options, onHead: (head) => heads.push(head) });
  const { count, start = 0 } = options;
  for (let index = start; index < start + count; index++) {
    await chain.append("decision", { index, who: `spiffe://example.org/${index}` });
  }
  await chain.close();
  return heads;
}

/** A record and the bytes it takes in its file. */
export interface Piece {
  readonly record: AuditRecord;
  readonly bytes: Uint8Array;
  readonly offset: number;
}

/** Takes a file apart; `lenient` stops at an incomplete record. */
export function piecesOf(path: string, options: { lenient?: boolean } = {}): Piece[] {
  const whole = readFileSync(path);
  const pieces: Piece[] = [];
  let before = firstHash;
  for (let offset = chainMagic.length; offset < whole.length;) {
    const decoded = decodeRecord(whole.subarray(offset), { seq: pieces.length, before });
    if (decoded.type === "incomplete" && options.lenient === true) return pieces;
    if (decoded.type !== "record") throw new Error(`record ${pieces.length} is ${decoded.type}`);
    const { record, bytes } = decoded;
    pieces.push({ record, bytes: whole.subarray(offset, offset + bytes), offset });
    before = decoded.hash;
    offset += bytes;
  }
  return pieces;
}

/** Writes records as a forger would who can compute hashes but not sign. */
export function forge(path: string, records: readonly AuditRecord[]): void {
  const parts: Uint8Array[] = [chainMagic];
  let before = firstHash;
  for (const [seq, record] of records.entries()) {
    const fields = canonicalJson(record.fields);
    const encoded = encodeRecord({ ...record, seq, fields }, before);
    parts.push(encoded.bytes);
    before = encoded.hash;
  }
  writeFileSync(path, Buffer.concat(parts));
}

/** The last head, which has to be there. */
export function lastOf(heads: readonly AuditHead[]): AuditHead {
  const head = heads.at(-1);
  if (head === undefined) throw new Error("no head was emitted");
  return head;
}
