import type { KeyObject } from "node:crypto";
import { generateKeyPair } from "@handfast/x509";
import { CaError } from "./errors.ts";
import type { KeyStore } from "./keys.ts";

/**
 * An Ed25519 key that the authority needs for itself and certifies for nobody. It is made when it is
 * first needed; of two that make it at once, one is kept.
 *
 * @throws CaError of the key store
 */
export async function ownKey(keys: KeyStore, name: string): Promise<KeyObject> {
  try {
    return await keys.load(name);
  } catch (error) {
    if (!(error instanceof CaError) || error.code !== "KEY_NOT_FOUND") throw error;
  }
  const { privateKey } = generateKeyPair("ed25519");
  try {
    await keys.save(name, privateKey);
    return privateKey;
  } catch (error) {
    if (!(error instanceof CaError) || error.code !== "KEY_EXISTS") throw error;
    return keys.load(name);
  }
}
