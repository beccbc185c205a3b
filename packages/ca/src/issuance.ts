import type { KeyObject } from "node:crypto";
import { createName } from "@handfast/x509";
import type { Certificate, CertificateRequestedContents, NameAttribute } from "@handfast/x509";
import { CaError } from "./errors.ts";
import { checkAlternativeNames } from "./names.ts";
import type { AlternativeNames } from "./names.ts";
import type { LeafProfile } from "./profiles.ts";

/** What is asked for; what is not asked for, the profile decides. */
export interface IssueRequest {
  /** The name of a profile; `peer` if not given. */
  readonly profile?: string;
  /** The public key, as key object or as DER SubjectPublicKeyInfo. */
  readonly publicKey: KeyObject | Uint8Array;
  readonly subject: SubjectRequest;
  readonly names: AlternativeNames;
  /** Whole seconds from now; the profile's if not given. */
  readonly validitySeconds?: number;
  /** Who asks, for the record: `local:USER`, or an authenticated identity. */
  readonly requester: string;
}

/** The subject of a certificate, most often a common name alone. */
export interface SubjectRequest {
  readonly commonName?: string;
  readonly organizations?: readonly string[];
  readonly organizationalUnits?: readonly string[];
}

/** What a decision about a request rests on. */
export interface IssuanceContext {
  readonly profiles: Readonly<Record<string, LeafProfile>>;
  readonly trustDomain: string;
  readonly now: Date;
  /** The certificate of the issuer. */
  readonly issuer: Certificate;
}

/** The profile of a request that names none. */
export const defaultProfile = "peer";

/**
 * Decides what goes into a certificate (security.md S54): the profile and the request's own words,
 * each checked; a request that does not fit is refused, never bent.
 *
 * @throws CaError PROFILE_UNKNOWN, NAME_REFUSED, VALIDITY_REFUSED; X509Error NAME_INVALID
 */
export function contentsOf(
  request: IssueRequest,
  context: IssuanceContext,
): CertificateRequestedContents {
  const { profile: name = defaultProfile } = request;
  const profile = profileOf(name, context);
  const { trustDomain } = context;
  checkAlternativeNames(request.names, { trustDomain, profile: name, kinds: profile.names });
  return {
    profile: profile.x509,
    subject: createName(attributesOf(request.subject)),
    subjectAltNames: request.names,
    publicKey: request.publicKey,
    ...validityOf(request, { ...context, profile, name }),
  };
}

function profileOf(name: string, { profiles }: IssuanceContext): LeafProfile {
  const profile = Object.hasOwn(profiles, name) ? profiles[name] : undefined;
  if (profile !== undefined) return profile;
  throw new CaError("PROFILE_UNKNOWN", `there is no profile ${JSON.stringify(name)}`, {
    hint: `the profiles are ${Object.keys(profiles).join(", ")}`,
  });
}

function attributesOf(subject: SubjectRequest): NameAttribute[] {
  const { organizations = [], organizationalUnits = [], commonName } = subject;
  const attributes = [
    ...organizations.map((value) => ({ type: "O", value })),
    ...organizationalUnits.map((value) => ({ type: "OU", value })),
    ...(commonName === undefined ? [] : [{ type: "CN", value: commonName }]),
  ];
  const refused = attributes.find(({ value }) => /[*/]/.test(value));
  if (refused === undefined) return attributes;
  throw new CaError(
    "NAME_REFUSED",
    `subject ${refused.type} ${JSON.stringify(refused.value)} must not hold "*" or "/"`,
  );
}

/** No leaf outlives its issuer; a validity that was asked for is granted or refused, never cut. */
function validityOf(
  { validitySeconds }: IssueRequest,
  context: IssuanceContext & { readonly profile: LeafProfile; readonly name: string },
): { notBefore: Date; notAfter: Date } {
  const { profile, name, now, issuer } = context;
  const seconds = validitySeconds ?? profile.validitySeconds;
  if (!Number.isSafeInteger(seconds) || seconds < 1) {
    throw new CaError(
      "VALIDITY_REFUSED",
      `validity must be 1 or more whole seconds, not ${seconds}`,
    );
  }
  if (seconds > profile.maxValiditySeconds) {
    throw new CaError(
      "VALIDITY_REFUSED",
      `validity of ${seconds} s is longer than the ${profile.maxValiditySeconds} s (${profile.maxValiditySeconds / day} days) that profile ${name} allows`,
    );
  }
  const start = Math.floor(now.getTime() / 1_000) * 1_000;
  const end = start + seconds * 1_000;
  const latest = issuer.notAfter.getTime();
  if (end > latest && validitySeconds !== undefined) {
    throw new CaError(
      "VALIDITY_REFUSED",
      `validity would end at ${rfc3339(end)}, after the issuer's own end at ${rfc3339(latest)}`,
    );
  }
  const backdated = start - backdatingSeconds * 1_000;
  return {
    notBefore: new Date(Math.max(backdated, issuer.notBefore.getTime())),
    notAfter: new Date(Math.min(end, latest)),
  };
}

function rfc3339(ms: number): string {
  return new Date(ms).toISOString().replace(".000Z", "Z");
}

const day = 86_400;

/** So that clocks may differ. */
const backdatingSeconds = 60;
