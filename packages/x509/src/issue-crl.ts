import type { KeyObject } from "node:crypto";
import type { Certificate } from "./certificate.ts";
import { createCrlEntryList, type CrlEntryInput, type CrlEntryList } from "./crl-entry-list.ts";
import {
  bitString,
  constructed,
  context,
  encodeDer,
  integer,
  oid,
  sequence,
  TAG,
  time,
  type DerValue,
} from "./der.ts";
import { X509Error } from "./errors.ts";
import { authorityKeyIdentifierExtension, extension } from "./extensions.ts";
import type { Issuer } from "./issue-certificate.ts";
import { publicKeyMatches } from "./keys.ts";
import { OID } from "./oid.ts";
import { createSigner, type Signer } from "./signature.ts";

/** What goes into a revocation list. */
export interface IssueCrlOptions {
  /** The CA, prepared ({@link createIssuer}) or not. */
  readonly issuer:
    | Pick<Issuer, "certificate" | "signer">
    | { readonly certificate: Certificate; readonly privateKey: KeyObject };
  /** Who is revoked: a list that is kept and added to, or the entries themselves. */
  readonly entries: CrlEntryList | Iterable<CrlEntryInput>;
  /** CRLNumber; it must be greater than that of any list before (S55). */
  readonly number: number | bigint;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
}

/**
 * Issues a complete revocation list, version 2, with authority key identifier and CRLNumber (RFC 5280
 * section 5), and gives its DER; as PEM its label is `X509 CRL`. Entries that were encoded before are
 * not encoded again.
 * @throws X509Error ISSUE_REFUSED if the issuer may not sign lists or has no key identifier, or the
 *   times or the number do not make sense; KEY_MISMATCH; ALGORITHM_UNSUPPORTED
 */
export function issueCrl(options: IssueCrlOptions): Uint8Array {
  const { thisUpdate, nextUpdate } = options;
  const { certificate, signer } = signingSide(options.issuer);
  if (!(thisUpdate.getTime() < nextUpdate.getTime())) {
    throw refused("the next update must come after this one");
  }
  const entries = isList(options.entries) ? options.entries : createCrlEntryList(options.entries);
  const extensions: DerValue[] = [
    authorityKeyIdentifierExtension(keyIdentifierOf(certificate)),
    extension(CRL_NUMBER, false, integer(numberBytes(options.number))),
  ];
  const tbs = encodeDer(
    sequence([
      VERSION_2,
      signer.signatureAlgorithm,
      certificate.subject.der,
      time(thisUpdate),
      time(nextUpdate),
      ...(entries.size === 0 ? [] : [constructed(TAG.sequence, entries.encoded)]),
      context(0, [sequence(extensions)]),
    ]),
  );
  return encodeDer(sequence([tbs, signer.signatureAlgorithm, bitString(signer.sign(tbs))]));
}

function signingSide(issuer: IssueCrlOptions["issuer"]): Pick<Issuer, "certificate" | "signer"> {
  const { certificate } = issuer;
  if (certificate.keyUsage?.includes("cRLSign") === false) {
    throw refused(`${certificate.subject.text} may not sign revocation lists`);
  }
  if ("signer" in issuer) return issuer;
  return { certificate, signer: signerFor(certificate, issuer.privateKey) };
}

function signerFor(certificate: Certificate, privateKey: KeyObject): Signer {
  if (!publicKeyMatches(certificate, privateKey)) {
    throw new X509Error(
      "KEY_MISMATCH",
      `private key does not belong to ${certificate.subject.text}`,
    );
  }
  return createSigner(privateKey);
}

function keyIdentifierOf({ subjectKeyIdentifier, subject }: Certificate): Uint8Array {
  if (subjectKeyIdentifier) return subjectKeyIdentifier;
  throw refused(`${subject.text} has no subject key identifier to know its lists by`);
}

/** RFC 5280 5.2.3: at most 20 octets. */
function numberBytes(number: number | bigint): Uint8Array {
  if (typeof number === "number" && !Number.isSafeInteger(number)) {
    throw refused(`CRL number must be a whole number, got ${number}`);
  }
  const digits = BigInt(number).toString(16);
  if (number < 0 || digits.length > 39) throw refused("CRL number must be from 0 to 2^156");
  return Uint8Array.from(
    Buffer.from(digits.padStart(digits.length + (digits.length % 2), "0"), "hex"),
  );
}

function isList(entries: IssueCrlOptions["entries"]): entries is CrlEntryList {
  return "encoded" in entries;
}

function refused(message: string): X509Error {
  return new X509Error("ISSUE_REFUSED", message);
}

const VERSION_2: Uint8Array = Uint8Array.of(TAG.integer, 1, 1);
const CRL_NUMBER: Uint8Array = oid(OID.crlNumber);
