import { hkdfSync, randomBytes } from "node:crypto";
import type { KeyStore } from "../keys.ts";
import { ownKey } from "../own-key.ts";

/** What the ACME server knows and nobody else: all of it comes from one key in the key store. */
export interface AcmeSecrets {
  readonly nonceKey: Uint8Array;
  /** The MAC key of an external account; the store holds none of them. */
  readonly macKeyOf: (externalAccount: string) => Uint8Array;
}

/** Opens the secrets; the key is made when it is first needed. @throws CaError of the key store */
export async function openAcmeSecrets(keys: KeyStore): Promise<AcmeSecrets> {
  const key = await ownKey(keys, keyName);
  const secret = Buffer.from(String(key.export({ format: "jwk" }).d), "base64url");
  const derive = (purpose: string) =>
    new Uint8Array(hkdfSync("sha256", secret, new Uint8Array(), `handfast acme ${purpose}`, 32));
  return {
    nonceKey: derive("nonces"),
    macKeyOf: (externalAccount) => derive(`external account ${externalAccount}`),
  };
}

/** A new external account key. Both halves may be arguments of commands: neither begins with a hyphen. */
export function newExternalKey({ macKeyOf }: Pick<AcmeSecrets, "macKeyOf">): {
  keyId: string;
  macKey: string;
} {
  for (;;) {
    const keyId = randomBytes(12).toString("hex");
    const macKey = Buffer.from(macKeyOf(keyId)).toString("base64url");
    if (!macKey.startsWith("-")) return { keyId, macKey };
  }
}

const keyName = "acme-1";
