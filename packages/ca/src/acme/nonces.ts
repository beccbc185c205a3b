import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { Store } from "../store/store.ts";
import { AcmeProblem } from "./problem.ts";

/** The anti-replay nonces of RFC 8555 6.5. */
export interface Nonces {
  /** A new one. It takes no memory, however many are asked for. */
  create(): string;
  /** Whether it is one of ours and in time, spent or not. @throws AcmeProblem badNonce */
  check(nonce: string | undefined): void;
  /** Uses it up, across all instances on the store. @throws AcmeProblem badNonce */
  spend(nonce: string | undefined): Promise<void>;
}

/**
 * Nonces that carry their time and a MAC: all instances with one key know each other's, and only
 * those that were spent are kept, in the store, until they are too old to be shown again.
 */
export function createNonces({
  key,
  store,
  clock,
}: {
  readonly key: Uint8Array;
  readonly store: Store;
  readonly clock: () => Date;
}): Nonces {
  return {
    create(): string {
      const content = Buffer.alloc(contentBytes);
      content.writeUIntBE(clock().getTime(), 0, timeBytes);
      randomBytes(contentBytes - timeBytes).copy(content, timeBytes);
      return Buffer.concat([content, mac(content)]).toString("base64url");
    },
    check(nonce): void {
      issuedAt(nonce);
    },
    async spend(nonce): Promise<void> {
      const keepUntil = new Date(issuedAt(nonce) + maxAgeMs + 1);
      const record = { kind: "nonce", id: String(nonce), owner: undefined, body: "{}" };
      const spent = await store.transaction(async (records) => {
        if ((await records.acmeRecord(record.kind, record.id)) !== undefined) return true;
        await records.addAcmeRecord({ ...record, createdAt: clock(), keepUntil });
        return false;
      });
      if (spent) throw new AcmeProblem("badNonce", "the nonce was used before");
    },
  };

  function issuedAt(nonce: string | undefined): number {
    if (nonce === undefined) throw new AcmeProblem("badNonce", "the JWS has no nonce");
    const bytes = Buffer.from(nonce, "base64url");
    const content = bytes.subarray(0, contentBytes);
    if (
      bytes.length !== contentBytes + macBytes ||
      bytes.toString("base64url") !== nonce ||
      !timingSafeEqual(bytes.subarray(contentBytes), mac(content))
    ) {
      throw new AcmeProblem("badNonce", "the nonce is not one of this server");
    }
    const time = content.readUIntBE(0, timeBytes);
    if (Math.abs(clock().getTime() - time) <= maxAgeMs) return time;
    throw new AcmeProblem("badNonce", "the nonce is too old");
  }

  function mac(content: Uint8Array): Buffer {
    return createHmac("sha256", key).update(content).digest().subarray(0, macBytes);
  }
}

const timeBytes = 6;
const contentBytes = 16;
const macBytes = 16;
const maxAgeMs = 15 * 60_000;
