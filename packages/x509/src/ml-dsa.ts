import {
  contextPrimitive,
  DerReader,
  malformed,
  octetString,
  sequence,
  type DerValue,
} from "./der.ts";
import { OID } from "./oid.ts";

/** The private key of RFC 9881 section 6: a seed, an expanded key, or both. */
export type MlDsaPrivateKey =
  | { readonly form: "seed"; readonly seed: Uint8Array }
  | { readonly form: "expanded"; readonly expanded: Uint8Array }
  | { readonly form: "both"; readonly seed: Uint8Array; readonly expanded: Uint8Array };

/** Whether an algorithm is one of the ML-DSA parameter sets. */
export function isMlDsa(algorithm: string): boolean {
  return expandedLengths.has(algorithm);
}

/**
 * Reads the content of an ML-DSA private key: the lengths must be those of the parameter set.
 * Whether the halves of the `both` form agree is for OpenSSL to find out when the key is imported.
 * @throws X509Error DER_MALFORMED
 */
export function readMlDsaPrivateKey(content: Uint8Array, algorithm: string): MlDsaPrivateKey {
  const reader = new DerReader(content);
  const key = readChoice(reader);
  reader.finish(WHAT);
  const expected = expandedLengths.get(algorithm);
  if (key.form !== "expanded" && key.seed.length !== SEED_LENGTH) {
    throw malformed(WHAT, `has a seed of ${key.seed.length} octets, expected ${SEED_LENGTH}`);
  }
  if (key.form !== "seed" && key.expanded.length !== expected) {
    throw malformed(WHAT, `has ${key.expanded.length} octets, expected ${expected}`);
  }
  return key;
}

/** The content of an ML-DSA private key. */
export function encodeMlDsaPrivateKey(key: MlDsaPrivateKey): DerValue {
  switch (key.form) {
    case "seed":
      return contextPrimitive(0, key.seed);
    case "expanded":
      return octetString(key.expanded);
    case "both":
      return sequence([octetString(key.seed), octetString(key.expanded)]);
  }
}

function readChoice(reader: DerReader): MlDsaPrivateKey {
  switch (reader.peek()) {
    case 0x80:
      return { form: "seed", seed: reader.octetString(WHAT, 0x80) };
    case 0x04:
      return { form: "expanded", expanded: reader.octetString(WHAT) };
    default: {
      const both = reader.sequence(WHAT);
      const seed = both.octetString(WHAT);
      const expanded = both.octetString(WHAT);
      both.finish(WHAT);
      return { form: "both", seed, expanded };
    }
  }
}

const WHAT = "ML-DSA private key";
const SEED_LENGTH = 32;
const expandedLengths: ReadonlyMap<string, number> = new Map([
  [OID.mlDsa44, 2560],
  [OID.mlDsa65, 4032],
  [OID.mlDsa87, 4896],
]);
