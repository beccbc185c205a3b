import { createSigner } from "@handfast/x509";
import {
  bitString,
  context,
  contextPrimitive,
  encodeDer,
  integer,
  sequence,
  time,
  type DerValue,
} from "../src/der.ts";
import { keyIdentifierOf } from "../src/issue-certificate.ts";
import { OID } from "../src/oid.ts";
import { extensionOf, type Crafted } from "./craft.ts";

/** The parts of a list that a test may replace by what our own writer would never write. */
export interface CraftCrlOptions {
  /** `null` leaves it out: version 1. */
  readonly version?: DerValue | null;
  readonly innerAlgorithm?: DerValue;
  readonly thisUpdate?: DerValue;
  readonly nextUpdate?: DerValue | null;
  /** The encoded entries; none leaves the field out, unless `emptyList` is set. */
  readonly entries?: readonly DerValue[];
  readonly emptyList?: true;
  readonly number?: DerValue | null;
  readonly authorityKey?: DerValue | null;
  readonly more?: readonly DerValue[];
  readonly trailing?: Uint8Array;
}

/** A revocation list made of these parts, sound where none is given. */
export function craftCrl(by: Crafted, options: CraftCrlOptions = {}): Uint8Array {
  const signer = createSigner(by.keys.privateKey);
  const { entries = [], more = [] } = options;
  const number = options.number ?? extensionOf(OID.crlNumber, integer(1));
  const authorityKey = options.authorityKey ?? authorityKeyOf(by);
  const extensions = [
    ...(options.number === null ? [] : [number]),
    ...(options.authorityKey === null ? [] : [authorityKey]),
    ...more,
  ];
  const tbs = encodeDer(
    sequence([
      ...(options.version === null ? [] : [options.version ?? integer(1)]),
      options.innerAlgorithm ?? signer.signatureAlgorithm,
      by.certificate.subject.der,
      options.thisUpdate ?? time(new Date("2026-06-15T00:00:00Z")),
      ...(options.nextUpdate === null
        ? []
        : [options.nextUpdate ?? time(new Date("2026-06-16T00:00:00Z"))]),
      ...(entries.length > 0 || options.emptyList ? [sequence(entries)] : []),
      context(0, [sequence(extensions)]),
    ]),
  );
  const list = encodeDer(sequence([tbs, signer.signatureAlgorithm, bitString(signer.sign(tbs))]));
  return options.trailing ? Buffer.concat([list, options.trailing]) : list;
}

/** An entry with any extensions. */
export function craftEntry(
  serialNumber: DerValue,
  options: { readonly revokedAt?: DerValue; readonly extensions?: readonly DerValue[] } = {},
): DerValue {
  const { revokedAt = time(new Date("2026-06-14T00:00:00Z")), extensions = [] } = options;
  return sequence([
    serialNumber,
    revokedAt,
    ...(extensions.length > 0 ? [sequence(extensions)] : []),
  ]);
}

/** The authority key identifier of a CA's lists. */
export function authorityKeyOf(by: Crafted, critical = false): DerValue {
  const identifier = keyIdentifierOf(by.certificate.publicKeyInfo.bits);
  const value = sequence([contextPrimitive(0, identifier)]);
  return extensionOf(OID.authorityKeyIdentifier, value, critical);
}
