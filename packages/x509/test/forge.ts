import { sign } from "node:crypto";
import { generateKeyPair } from "@handfast/x509";
import {
  bitString,
  context,
  encodeDer,
  integer,
  octetStringOf,
  oid,
  primitive,
  sequence,
  setOf,
  TAG,
  TRUE,
  type DerValue,
} from "../src/der.ts";
import { exportPublicKey } from "../src/keys.ts";

/** The parts of a certificate that a test may replace by something our issuer would never write. */
export interface Forgery {
  readonly version?: DerValue | null;
  readonly serialNumber?: DerValue;
  readonly innerAlgorithm?: DerValue;
  readonly outerAlgorithm?: DerValue;
  readonly issuer?: DerValue;
  readonly validity?: DerValue;
  readonly subject?: DerValue;
  readonly publicKey?: DerValue;
  readonly extensions?: readonly DerValue[];
  readonly signature?: DerValue;
  /** After the last field of the signed part. */
  readonly more?: readonly DerValue[];
}

/** A certificate, self-signed with P-256, made of these parts; sound where none is given. */
export function forge(parts: Forgery = {}): Uint8Array {
  const extensions = parts.extensions ?? [];
  const tbs = encodeDer(
    sequence([
      ...(parts.version === null ? [] : [parts.version ?? context(0, [integer(2)])]),
      parts.serialNumber ?? integer(1),
      parts.innerAlgorithm ?? parts.outerAlgorithm ?? ECDSA_SHA256,
      parts.issuer ?? commonName("forger"),
      parts.validity ?? sequence([utcTime("260101000000Z"), utcTime("270101000000Z")]),
      parts.subject ?? commonName("forger"),
      parts.publicKey ?? exportPublicKey(keys.publicKey),
      ...(extensions.length > 0 ? [context(3, [sequence(extensions)])] : []),
      ...(parts.more ?? []),
    ]),
  );
  const signature = bitString(sign("sha256", tbs, keys.privateKey));
  return encodeDer(
    sequence([tbs, parts.outerAlgorithm ?? ECDSA_SHA256, parts.signature ?? signature]),
  );
}

/** An extension with any content. */
export function forgeExtension(dotted: string, value: DerValue, critical = false): DerValue {
  const content = octetStringOf(value);
  return sequence(critical ? [oid(dotted), TRUE, content] : [oid(dotted), content]);
}

export function utcTime(text: string): DerValue {
  return primitive(TAG.utcTime, Buffer.from(text));
}

export function commonName(text: string): DerValue {
  const attribute = sequence([oid("2.5.4.3"), primitive(TAG.utf8String, Buffer.from(text))]);
  return sequence([setOf([attribute])]);
}

const keys = generateKeyPair();
const ECDSA_SHA256 = sequence([oid("1.2.840.10045.4.3.2")]);
