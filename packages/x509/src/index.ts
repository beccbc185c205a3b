// The public names of @handfast/x509, grouped by reader.

// who reads certificates
export {
  certificatesToPem,
  parseCertificate,
  parseCertificateBeside,
  parseCertificatesDer,
  parseCertificatesPem,
  type Certificate,
} from "./certificate.ts";
export { keyUsages } from "./extensions.ts";
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
export { createName, decodeName, parseName, type Name, type NameAttribute } from "./name.ts";
export {
  parseFingerprint,
  parseSerialNumber,
  type Fingerprint,
  type SerialNumber,
} from "./identifiers.ts";
export { identityOf, spiffeIdOf } from "./identity.ts";
export { parseSpiffeId, parseTrustDomain, type SpiffeId } from "./spiffe-id.ts";
export { decodePem, encodePem, type PemBlock } from "./pem.ts";

export { inspect, type CertificateDescription } from "./inspect.ts";
export { lint, type LintFinding } from "./lint.ts";

// who makes keys and certificates
export { exportKeyPair, generateKeyPair, publicKeyMatches, type KeyPair } from "./keys.ts";
export { encodePrivateKey, parsePkcs8, parsePrivateKey } from "./private-key.ts";
export {
  encodePrivateKeyInfo,
  parsePrivateKeyInfo,
  type PrivateKeyInfo,
} from "./private-key-info.ts";
export type { MlDsaPrivateKey } from "./ml-dsa.ts";
export {
  keyAlgorithms,
  parsePublicKeyInfo,
  type KeyAlgorithm,
  type PublicKeyInfo,
  type PublicKeyKind,
} from "./public-key.ts";
export {
  createIssuer,
  issueCertificate,
  keyIdentifierOf,
  validityFrom,
  type CertificateRequestedContents,
  type IssueCertificateOptions,
  type Issuer,
} from "./issue-certificate.ts";
export { trustDomainConstraints } from "./name-constraints-extension.ts";
export { profiles, type Profile, type ProfileRules } from "./profile.ts";
export type {
  NameConstraints,
  NameConstraintsInput,
  NameSubtree,
  NameSubtreeInput,
} from "./name-constraints-extension.ts";
export {
  createSigner,
  signatureAlgorithmFor,
  verifySignature,
  type ExternalSigner,
  type Signed,
  type Signer,
} from "./signature.ts";

export {
  createRequest,
  parseRequest,
  requestToPem,
  type CertificateRequest,
  type CreateRequestOptions,
} from "./request.ts";
export { encodePkcs12, parsePkcs12, type Pkcs12Contents, type Pkcs12Input } from "./pkcs12.ts";

// who decides whether to trust
export { verifyChain, type VerifyChainOptions } from "./verify-chain.ts";
export type { ChainAccepted, ChainReason, ChainRefused, ChainVerdict } from "./chain-verdict.ts";
export type { ChainPurpose } from "./judge-path.ts";
export type { IssuingRules } from "./issuing-rules.ts";
export { createAnchors, type Anchors } from "./anchors.ts";
export { createSignatureMemo, type SignatureMemo } from "./signature-memo.ts";

// who revokes
export {
  checkRevocation,
  type CheckRevocationOptions,
  type RevocationStatus,
} from "./check-revocation.ts";
export { crlFromParts, parseCrl, type Crl, type CrlParts } from "./crl.ts";
export type { CrlEntry } from "./crl-entries.ts";
export type { CrlLimitation } from "./crl-extensions.ts";
export { createCrlEntryList, type CrlEntryInput, type CrlEntryList } from "./crl-entry-list.ts";
export { issueCrl, type IssueCrlOptions } from "./issue-crl.ts";
export { condemnsKey, type RevocationReason } from "./revocation-reason.ts";

// who asks, and who answers, by OCSP
export {
  createOcspCertId,
  isOcspCertIdOf,
  type OcspCertId,
  type OcspHash,
} from "./ocsp-cert-id.ts";
export {
  createOcspRequest,
  parseOcspRequest,
  type CreateOcspRequestOptions,
  type OcspRequest,
} from "./ocsp-request.ts";
export {
  parseOcspResponse,
  type OcspAnswer,
  type OcspBasicResponse,
  type OcspResponse,
  type OcspResponseStatus,
  type OcspStatus,
} from "./ocsp-response.ts";
export {
  createOcspResponder,
  encodeOcspError,
  issueOcspResponse,
  type IssueOcspResponseOptions,
  type OcspResponder,
} from "./issue-ocsp-response.ts";
export {
  ocspStatusAt,
  verifyOcspResponse,
  type OcspVerdict,
  type VerifyOcspResponseOptions,
} from "./verify-ocsp-response.ts";

// when something is wrong
export { X509Error, x509Errors, type X509ErrorCode } from "./errors.ts";
