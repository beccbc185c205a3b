import type { KeyObject } from "node:crypto";
import { certificatesToPem, type Certificate } from "./certificate.ts";
import { dnsNameProblem } from "./general-name.ts";
import { createIssuer, issueCertificate } from "./issue-certificate.ts";
import { generateKeyPair } from "./keys.ts";
import type { NameConstraintsInput } from "./name-constraints-extension.ts";
import { createName, type Name } from "./name.ts";
import { encodePrivateKey } from "./private-key.ts";
import type { Profile } from "./profile.ts";
import type { KeyAlgorithm } from "./public-key.ts";
import { parseTrustDomain } from "./spiffe-id.ts";

/** How a test authority is made; everything has a default. */
export interface TestAuthorityOptions {
  readonly algorithm?: KeyAlgorithm;
  /** `handfast.test` unless told otherwise; `null` for a CA that names no trust domain. */
  readonly trustDomain?: string | null;
  readonly commonName?: string;
  /** The middle of everything's validity; the real now unless told otherwise. */
  readonly now?: Date;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  readonly nameConstraints?: NameConstraintsInput;
  readonly pathLength?: number | "unlimited";
}

/** What a test certificate holds; everything has a default. */
export interface TestIssueOptions {
  /** CN, DNS name (where it is one) and last part of the SPIFFE id; `leaf` if not given. */
  readonly name?: string;
  /** `peer` if not given. */
  readonly profile?: Profile;
  readonly dns?: readonly string[];
  readonly ip?: readonly string[];
  readonly uri?: readonly string[];
  readonly email?: readonly string[];
  readonly subject?: Name;
  /** One hour before now if not given. */
  readonly notBefore?: Date;
  /** One day after now if not given. */
  readonly notAfter?: Date;
  readonly algorithm?: KeyAlgorithm;
  readonly crlUrls?: readonly string[];
  readonly ocspUrls?: readonly string[];
}

/** A certificate with its key. */
export interface TestIdentity {
  readonly certificate: Certificate;
  readonly privateKey: KeyObject;
  /** The leaf and the intermediates, without the root. */
  readonly certificateChainPem: string;
  readonly privateKeyPem: string;
}

/** A CA in memory, for tests only: it keeps no record of what it issues. */
export interface TestAuthority {
  readonly certificate: Certificate;
  readonly privateKey: KeyObject;
  /** The root, as peers trust it. */
  readonly bundlePem: string;
  issue(options?: TestIssueOptions): TestIdentity;
  /** A CA below this one. */
  intermediate(options?: TestAuthorityOptions): TestAuthority;
}

/** Makes a root CA in memory. It allows any number of CAs below it unless told otherwise. */
export function createTestAuthority(options: TestAuthorityOptions = {}): TestAuthority {
  return authority({ commonName: "Test Root CA", ...options }, undefined);
}

interface Parent {
  readonly certificate: Certificate;
  readonly privateKey: KeyObject;
  readonly root: Certificate;
  /** CAs between this one (included) and the root (excluded). */
  readonly intermediates: readonly Certificate[];
}

function authority(options: TestAuthorityOptions, parent: Parent | undefined): TestAuthority {
  const now = options.now ?? new Date();
  const trustDomain =
    options.trustDomain === null
      ? undefined
      : parseTrustDomain(options.trustDomain ?? "handfast.test");
  const keys = generateKeyPair(options.algorithm);
  const certificate = issueCertificate({
    profile: parent ? "issuing" : "root",
    subject: createName([{ type: "CN", value: options.commonName ?? "Test Issuing CA" }]),
    publicKey: keys.publicKey,
    notBefore: options.notBefore ?? hoursFrom(now, -2),
    notAfter: options.notAfter ?? hoursFrom(now, 24 * 365),
    pathLength: options.pathLength ?? "unlimited",
    ...(trustDomain !== undefined && { subjectAltNames: { uri: [`spiffe://${trustDomain}`] } }),
    ...(options.nameConstraints && { nameConstraints: options.nameConstraints }),
    ...(parent
      ? { issuer: { certificate: parent.certificate, privateKey: parent.privateKey } }
      : { issuer: "self", privateKey: keys.privateKey }),
  });
  const self: Parent = {
    certificate,
    privateKey: keys.privateKey,
    root: parent?.root ?? certificate,
    intermediates: parent ? [certificate, ...parent.intermediates] : [],
  };
  return {
    certificate,
    privateKey: keys.privateKey,
    bundlePem: certificatesToPem([self.root]),
    issue: (request = {}) =>
      issue(self, { now, trustDomain, algorithm: options.algorithm }, request),
    intermediate: (request = {}) =>
      authority({ ...options, commonName: "Test Issuing CA", ...request }, self),
  };
}

function issue(
  { certificate: issuer, privateKey, intermediates }: Parent,
  defaults: { now: Date; trustDomain: string | undefined; algorithm: KeyAlgorithm | undefined },
  request: TestIssueOptions,
): TestIdentity {
  const { now, trustDomain } = defaults;
  const name = request.name ?? "leaf";
  const keys = generateKeyPair(request.algorithm ?? defaults.algorithm);
  const certificate = issueCertificate({
    profile: request.profile ?? "peer",
    subject: request.subject ?? createName([{ type: "CN", value: name }]),
    publicKey: keys.publicKey,
    issuer: createIssuer(issuer, privateKey),
    notBefore: request.notBefore ?? hoursFrom(now, -1),
    notAfter: request.notAfter ?? hoursFrom(now, 24),
    subjectAltNames: {
      dns: request.dns ?? (dnsNameProblem(name) === undefined ? [name] : []),
      ip: request.ip ?? [],
      uri: request.uri ?? (trustDomain === undefined ? [] : [`spiffe://${trustDomain}/${name}`]),
      email: request.email ?? [],
    },
    ...(request.crlUrls && { crlUrls: request.crlUrls }),
    ...(request.ocspUrls && { ocspUrls: request.ocspUrls }),
  });
  return {
    certificate,
    privateKey: keys.privateKey,
    certificateChainPem: certificatesToPem([certificate, ...intermediates]),
    privateKeyPem: encodePrivateKey(keys.privateKey),
  };
}

function hoursFrom(date: Date, hours: number): Date {
  return new Date(date.getTime() + hours * 3_600_000);
}
