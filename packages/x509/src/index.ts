// The public names of @handfast/x509, grouped by reader.

// who reads certificates
export {
  certificatesToPem,
  parseCertificate,
  parseCertificatesPem,
  type Certificate,
} from "./certificate.ts";
export type {
  AccessDescription,
  AuthorityKeyIdentifier,
  BasicConstraints,
  CertificateExtensions,
  DistributionPoint,
  Extension,
  KeyUsage,
} from "./extensions.ts";
export type { GeneralName, SubjectAltNameInput, SubjectAltNames } from "./general-name.ts";
export { createName, parseName, type Name, type NameAttribute } from "./name.ts";
export {
  parseFingerprint,
  parseSerialNumber,
  type Fingerprint,
  type SerialNumber,
} from "./identifiers.ts";
export { identityOf, spiffeIdOf } from "./identity.ts";
export { parseSpiffeId, parseTrustDomain, type SpiffeId } from "./spiffe-id.ts";
export { decodePem, encodePem, type PemBlock } from "./pem.ts";

// who makes keys and certificates
export { generateKeyPair, publicKeyMatches, type KeyPair } from "./keys.ts";
export { encodePrivateKey, parsePrivateKey } from "./private-key.ts";
export {
  parsePublicKeyInfo,
  type KeyAlgorithm,
  type PublicKeyInfo,
  type PublicKeyKind,
} from "./public-key.ts";
export {
  createIssuer,
  issueCertificate,
  validityFrom,
  type CertificateRequestedContents,
  type IssueCertificateOptions,
  type Issuer,
} from "./issue-certificate.ts";
export { profiles, type Profile, type ProfileRules } from "./profile.ts";
export type {
  NameConstraints,
  NameConstraintsInput,
  NameSubtree,
  NameSubtreeInput,
} from "./name-constraints-extension.ts";
export { createSigner, verifySignature, type Signed, type Signer } from "./signature.ts";

// who decides whether to trust
export {
  createSignatureMemo,
  verifyChain,
  type ChainPurpose,
  type ChainReason,
  type ChainVerdict,
  type SignatureMemo,
  type VerifyChainOptions,
} from "./verify-chain.ts";

// when something is wrong
export { X509Error, x509Errors, type X509ErrorCode } from "./errors.ts";
