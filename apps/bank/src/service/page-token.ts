import { createHash } from "node:crypto";
import type { AccountName } from "../account-name.ts";

/** Whose page of which account: a token is good for these alone (S62). */
interface PageScope {
  readonly caller: string;
  readonly account: AccountName;
}

/**
 * A token for what follows an entry. It carries a position, no right: each call is authorised anew, and
 * a caller who forges one reads what he might read anyway.
 */
export function encodePageToken(scope: PageScope, afterSequence: bigint): string {
  const position = Buffer.alloc(8);
  position.writeBigInt64BE(afterSequence);
  return Buffer.concat([position, binding(scope, position)]).toString("base64url");
}

/** The position in a token, or undefined if the token was not made for this caller and account. */
export function parsePageToken(scope: PageScope, token: string): bigint | undefined {
  const bytes = Buffer.from(token, "base64url");
  const position = bytes.subarray(0, 8);
  if (position.length < 8 || bytes.toString("base64url") !== token) return undefined;
  return bytes.subarray(8).equals(binding(scope, position)) ? position.readBigInt64BE() : undefined;
}

function binding({ caller, account }: PageScope, position: Uint8Array): Uint8Array {
  const names = JSON.stringify([caller, account.owner, account.accountId]);
  return createHash("sha256").update(position).update(names).digest().subarray(0, 16);
}
