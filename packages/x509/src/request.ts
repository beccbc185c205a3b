import type { KeyObject } from "node:crypto";
import {
  bitString,
  context,
  DerReader,
  encodeDer,
  integer,
  oid,
  sequence,
  setOf,
  TAG,
  type DerValue,
} from "./der.ts";
import { malformedAs, X509Error } from "./errors.ts";
import {
  interpretExtensions,
  readExtensions,
  subjectAltNameExtension,
  type CertificateExtensions,
  type Extension,
} from "./extensions.ts";
import {
  encodeSubjectAltNames,
  type SubjectAltNameInput,
  type SubjectAltNames,
} from "./general-name.ts";
import { exportPublicKey } from "./keys.ts";
import { readName, type Name } from "./name.ts";
import { OID } from "./oid.ts";
import { decodePem, encodePem } from "./pem.ts";
import { readPublicKeyInfo, type PublicKeyInfo } from "./public-key.ts";
import {
  createSigner,
  signatureAlgorithmProblem,
  verifySignature,
  type Signed,
} from "./signature.ts";

/** A certificate request (PKCS #10, RFC 2986) whose signature has been checked. */
export interface CertificateRequest extends Signed {
  readonly der: Uint8Array;
  readonly subject: Name;
  readonly publicKeyInfo: PublicKeyInfo;
  /** The names asked for. What is issued is decided by the profile and the requester, not by these. */
  readonly subjectAltNames: SubjectAltNames;
  /** All extensions asked for, as encoded. */
  readonly extensions: readonly Extension[];
  /** The meaning of all extensions this package knows. */
  readonly known: CertificateExtensions;
}

/** What a request asks for. */
export interface CreateRequestOptions {
  readonly subject: Name;
  readonly subjectAltNames?: SubjectAltNameInput;
  /** The key to be certified; it signs the request. */
  readonly privateKey: KeyObject;
}

/**
 * Makes a certificate request in DER, signed by the key to be certified.
 * @throws X509Error NAME_INVALID, ALGORITHM_UNSUPPORTED
 */
export function createRequest(options: CreateRequestOptions): Uint8Array {
  const { subject, privateKey } = options;
  const signer = createSigner(privateKey);
  const names = encodeSubjectAltNames(options.subjectAltNames ?? {});
  const attributes: DerValue[] =
    names.length === 0
      ? []
      : [
          sequence([
            oid(OID.extensionRequest),
            setOf([sequence([subjectAltNameExtension(names, subject.attributes.length === 0)])]),
          ]),
        ];
  const information = encodeDer(
    sequence([integer(0), subject.der, exportPublicKey(privateKey), context(0, attributes)]),
  );
  return encodeDer(
    sequence([information, signer.signatureAlgorithm, bitString(signer.sign(information))]),
  );
}

/** A request as PEM. */
export function requestToPem(der: Uint8Array): string {
  return encodePem(LABEL, der);
}

/**
 * Reads a certificate request, DER or PEM, under the rules for certificates (S30, S44), and checks
 * that it is signed by the key it contains.
 * @throws X509Error REQUEST_MALFORMED, REQUEST_SIGNATURE_INVALID, PEM_MALFORMED
 */
export function parseRequest(input: Uint8Array | string): CertificateRequest {
  const der = requestBytes(input);
  const request = malformedAs("REQUEST_MALFORMED", "certificate request", () => readRequest(der));
  const problem = signatureAlgorithmProblem(request, request.publicKeyInfo);
  if (problem !== undefined) {
    throw new X509Error("REQUEST_SIGNATURE_INVALID", `certificate request is refused: ${problem}`);
  }
  if (!verifySignature(request, request.publicKeyInfo)) {
    throw new X509Error(
      "REQUEST_SIGNATURE_INVALID",
      "certificate request is not signed by the key it contains",
    );
  }
  return request;
}

function requestBytes(input: Uint8Array | string): Uint8Array {
  if (input instanceof Uint8Array && input[0] === TAG.sequence) return new Uint8Array(input);
  const [block, another] = decodePem(input);
  if (!block || another || (block.label !== LABEL && block.label !== OLD_LABEL)) {
    throw new X509Error("REQUEST_MALFORMED", `text must hold exactly one ${LABEL} block`);
  }
  return block.der;
}

function readRequest(der: Uint8Array): CertificateRequest {
  const file = new DerReader(der);
  const outer = file.sequence("file");
  file.finish("file");
  const start = outer.offset;
  const information = outer.sequence("certificationRequestInfo");
  const signedBytes = der.subarray(start, outer.offset);
  const signatureAlgorithm = outer.whole(TAG.sequence, "signatureAlgorithm");
  const signature = outer.bitString("signature");
  outer.finish("file");

  if (information.smallInteger("version") !== 0) {
    throw new X509Error("DER_MALFORMED", "version is not 0");
  }
  const subject = readName(information, "subject");
  const publicKeyInfo = readPublicKeyInfo(information, "public key");
  const extensions = readAttributes(information.enter(0xa0, "attributes"));
  information.finish("certificationRequestInfo");
  const known = interpretExtensions(extensions);
  return {
    der,
    signedBytes,
    signatureAlgorithm,
    signature,
    subject,
    publicKeyInfo,
    extensions,
    known,
    subjectAltNames: known.subjectAltNames,
  };
}

/** The requested extensions; other attributes (challenge passwords and the like) are left aside. */
function readAttributes(attributes: DerReader): Extension[] {
  let extensions: Extension[] | undefined;
  while (!attributes.done) {
    const attribute = attributes.sequence("attribute");
    const type = attribute.oid("attribute");
    const values = attribute.set("attribute");
    attribute.finish("attribute");
    if (type !== OID.extensionRequest) continue;
    if (extensions) throw new X509Error("DER_MALFORMED", "extensions are requested twice");
    extensions = readExtensions(values, "requested extensions");
    values.finish("requested extensions");
  }
  return extensions ?? [];
}

const LABEL = "CERTIFICATE REQUEST";
const OLD_LABEL = "NEW CERTIFICATE REQUEST";
