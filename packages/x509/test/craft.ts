import {
  createName,
  createSigner,
  generateKeyPair,
  parseCertificate,
  parseName,
  type Certificate,
  type KeyAlgorithm,
  type KeyPair,
  type KeyUsage,
  type Name,
  type NameConstraintsInput,
  type SubjectAltNameInput,
} from "@handfast/x509";
import {
  bitString,
  context,
  contextPrimitive,
  encodeDer,
  integer,
  namedBits,
  octetString,
  oid,
  sequence,
  time,
  TRUE,
  type DerValue,
} from "../src/der.ts";
import { keyUsages } from "../src/extensions.ts";
import { encodeSubjectAltNames } from "../src/general-name.ts";
import { keyIdentifierOf } from "../src/issue-certificate.ts";
import { exportPublicKey } from "../src/keys.ts";
import { encodeNameConstraints } from "../src/name-constraints-extension.ts";
import { OID } from "../src/oid.ts";
import { parsePublicKeyInfo } from "../src/public-key.ts";
import { forgeExtension } from "./forge.ts";

/** A certificate of a made-up hierarchy, with its key. */
export interface Crafted {
  readonly certificate: Certificate;
  readonly keys: KeyPair;
}

/** What to craft; everything has a default: a self-signed CA, valid in 2026. */
export interface CraftOptions {
  /** RFC 4514 text, or a CN. */
  readonly subject?: string | Name;
  /** Who signs; itself if not given. */
  readonly by?: Crafted;
  /** The issuer's name as written, where it is not the signer's. */
  readonly issuer?: Name;
  readonly ca?: boolean;
  readonly pathLength?: number;
  readonly keys?: KeyPair;
  readonly algorithm?: KeyAlgorithm;
  readonly keyUsage?: readonly KeyUsage[] | null;
  readonly extendedKeyUsage?: readonly string[];
  readonly names?: SubjectAltNameInput;
  readonly nameConstraints?: NameConstraintsInput;
  readonly subjectKeyIdentifier?: Uint8Array | null;
  readonly authorityKeyIdentifier?: Uint8Array | null;
  readonly from?: string;
  readonly until?: string;
  readonly serialNumber?: number;
  /** More extensions, or others: {@link extensionOf} makes them. */
  readonly more?: readonly DerValue[];
}

/** The moment at which crafted certificates are judged. */
export const NOW: Date = new Date("2026-06-15T12:00:00Z");

/** A CA certificate with all that RFC 5280 asks of one, but for what the options take away. */
export function craftCa(options: CraftOptions = {}): Crafted {
  return craft({ ca: true, keyUsage: ["keyCertSign", "cRLSign"], ...options });
}

/** A leaf for `leaf.example`, for servers and clients. */
export function craftLeaf(by: Crafted, options: CraftOptions = {}): Crafted {
  return craft({
    ca: false,
    subject: "CN=leaf",
    keyUsage: ["digitalSignature"],
    extendedKeyUsage: [OID.serverAuth, OID.clientAuth],
    names: { dns: ["leaf.example"] },
    by,
    ...options,
  });
}

/** An extension by its dotted OID. */
export function extensionOf(dotted: string, value: DerValue, critical = false): DerValue {
  return forgeExtension(dotted, value, critical);
}

function craft(options: CraftOptions): Crafted {
  const subject = nameOf(options.subject ?? "CN=Root");
  const keys = options.keys ?? freshKeys(options.algorithm);
  const self: Pick<Crafted, "keys"> = { keys };
  const signing = options.by ?? self;
  const signer = createSigner(signing.keys.privateKey);
  const issuer = options.issuer ?? options.by?.certificate.subject ?? subject;
  const tbs = encodeDer(
    sequence([
      context(0, [integer(2)]),
      integer(options.serialNumber ?? nextSerial++),
      signer.signatureAlgorithm,
      issuer.der,
      sequence([
        time(new Date(options.from ?? "2026-01-01T00:00:00Z")),
        time(new Date(options.until ?? "2027-01-01T00:00:00Z")),
      ]),
      subject.der,
      exportPublicKey(keys.publicKey),
      context(3, [sequence(extensionsFor(options, keys, signing.keys))]),
    ]),
  );
  const signature = bitString(signer.sign(tbs));
  const certificate = parseCertificate(
    encodeDer(sequence([tbs, signer.signatureAlgorithm, signature])),
  );
  return { certificate, keys };
}

function extensionsFor(options: CraftOptions, own: KeyPair, signing: KeyPair): DerValue[] {
  const { ca = false, pathLength, keyUsage, extendedKeyUsage, names, nameConstraints } = options;
  const list: DerValue[] = [];
  const constraints = [
    ...(ca ? [TRUE] : []),
    ...(pathLength === undefined ? [] : [integer(pathLength)]),
  ];
  list.push(extensionOf(OID.basicConstraints, sequence(constraints), true));
  if (keyUsage) {
    const bits = keyUsage.map((usage) => keyUsages.indexOf(usage));
    list.push(extensionOf(OID.keyUsage, namedBits(bits), true));
  }
  if (extendedKeyUsage) {
    list.push(
      extensionOf(OID.extendedKeyUsage, sequence(extendedKeyUsage.map((usage) => oid(usage)))),
    );
  }
  const subjectKey = options.subjectKeyIdentifier ?? identifierOf(own);
  if (options.subjectKeyIdentifier !== null) {
    list.push(extensionOf(OID.subjectKeyIdentifier, octetString(subjectKey)));
  }
  const authorityKey = options.authorityKeyIdentifier ?? identifierOf(signing);
  if (options.authorityKeyIdentifier !== null) {
    list.push(
      extensionOf(OID.authorityKeyIdentifier, sequence([contextPrimitive(0, authorityKey)])),
    );
  }
  if (names) list.push(extensionOf(OID.subjectAltName, sequence(encodeSubjectAltNames(names))));
  if (nameConstraints) {
    list.push(extensionOf(OID.nameConstraints, encodeNameConstraints(nameConstraints), true));
  }
  return [...list, ...(options.more ?? [])];
}

function identifierOf({ publicKey }: KeyPair): Uint8Array {
  return keyIdentifierOf(parsePublicKeyInfo(exportPublicKey(publicKey)).bits);
}

function nameOf(subject: string | Name): Name {
  if (typeof subject !== "string") return subject;
  return subject === "" ? createName([]) : parseName(subject);
}

function freshKeys(algorithm: KeyAlgorithm = "ecdsa-p256"): KeyPair {
  return generateKeyPair(algorithm);
}

let nextSerial = 1;
