import { createName } from "@handfast/x509";
import type {
  Certificate,
  CertificateRequestedContents,
  Name,
  NameAttribute,
} from "@handfast/x509";
import { CaError } from "./errors.ts";
import { checkAlternativeNames } from "./names.ts";
import type { AlternativeNames } from "./names.ts";
import type { LeafProfile } from "./profiles.ts";

/** The subject of a certificate, most often a common name alone. */
export interface SubjectRequest {
  readonly commonName?: string;
  readonly organizations?: readonly string[];
  readonly organizationalUnits?: readonly string[];
}

/** What is to be decided upon; whose key it is plays no part in it. */
export interface ContentsRequest {
  /** The name of a profile. */
  readonly profile: string;
  readonly subject: Name;
  readonly names: AlternativeNames;
  /** Whole seconds from now: granted or refused. */
  readonly validitySeconds?: number;
  /** Whole seconds where none are asked for, cut to what is allowed; the profile's if not given. */
  readonly usualSeconds?: number;
}

/** What a decision about a request rests on. */
interface IssuanceContext {
  readonly profiles: Readonly<Record<string, LeafProfile>>;
  readonly trustDomain: string;
  readonly now: Date;
  /** The certificate of the issuer. */
  readonly issuer: Certificate;
}

/**
 * Decides what goes into a certificate (security.md S54): the profile and the request's own words,
 * each checked; a request that does not fit is refused, never bent.
 *
 * @throws CaError PROFILE_UNKNOWN, NAME_REFUSED, VALIDITY_REFUSED
 */
export function contentsOf(
  request: ContentsRequest,
  context: IssuanceContext,
): Omit<CertificateRequestedContents, "publicKey"> {
  const { subject, names } = request;
  const profile = profileOf(request.profile, context);
  const { trustDomain } = context;
  checkAlternativeNames(names, {
    trustDomain,
    profile: request.profile,
    kinds: profile.names,
  });
  return {
    profile: profile.x509,
    subject,
    subjectAltNames: names,
    ...validityOf(request, { ...context, profile }),
  };
}

/**
 * The subject of a request as a name.
 *
 * @throws CaError NAME_REFUSED; X509Error NAME_INVALID
 */
export function subjectOf(subject: SubjectRequest): Name {
  const { organizations = [], organizationalUnits = [], commonName } = subject;
  const attributes: NameAttribute[] = [
    ...organizations.map((value) => ({ type: "O", value })),
    ...organizationalUnits.map((value) => ({ type: "OU", value })),
    ...(commonName === undefined ? [] : [{ type: "CN", value: commonName }]),
  ];
  const refused = attributes.find(({ value }) => /[*/]/.test(value));
  if (refused === undefined) return createName(attributes);
  throw new CaError(
    "NAME_REFUSED",
    `subject ${refused.type} ${JSON.stringify(refused.value)} must not hold "*" or "/"`,
  );
}

function profileOf(name: string, { profiles }: IssuanceContext): LeafProfile {
  const profile = Object.hasOwn(profiles, name) ? profiles[name] : undefined;
  if (profile !== undefined) return profile;
  throw new CaError("PROFILE_UNKNOWN", `there is no profile ${JSON.stringify(name)}`, {
    hint: `the profiles are ${Object.keys(profiles).join(", ")}`,
  });
}

/** No leaf outlives its issuer; a validity that was asked for is granted or refused, never cut. */
function validityOf(
  request: ContentsRequest,
  { profile, now, issuer }: IssuanceContext & { readonly profile: LeafProfile },
): { notBefore: Date; notAfter: Date } {
  const { validitySeconds, usualSeconds = profile.validitySeconds } = request;
  const { maxValiditySeconds } = profile;
  const start = Math.floor(now.getTime() / 1_000) * 1_000;
  const latest = issuer.notAfter.getTime();
  if (validitySeconds !== undefined) {
    refuseValidity(validitySeconds, { ...request, maxValiditySeconds, start, latest });
  }
  const seconds = validitySeconds ?? Math.min(usualSeconds, maxValiditySeconds);
  const backdated = start - backdatingSeconds * 1_000;
  return {
    notBefore: new Date(Math.max(backdated, issuer.notBefore.getTime())),
    notAfter: new Date(Math.min(start + seconds * 1_000, latest)),
  };
}

function refuseValidity(
  seconds: number,
  bounds: { profile: string; maxValiditySeconds: number; start: number; latest: number },
): void {
  const { profile, maxValiditySeconds, start, latest } = bounds;
  if (!Number.isSafeInteger(seconds) || seconds < 1) {
    throw refusedValidity(`must be 1 or more whole seconds, not ${seconds}`);
  }
  if (seconds > maxValiditySeconds) {
    throw refusedValidity(
      `of ${seconds} s is longer than the ${maxValiditySeconds} s (${maxValiditySeconds / day} days) that profile ${profile} allows`,
    );
  }
  const end = start + seconds * 1_000;
  if (end <= latest) return;
  throw refusedValidity(
    `would end at ${rfc3339(end)}, after the issuer's own end at ${rfc3339(latest)}`,
  );
}

function refusedValidity(problem: string): CaError {
  return new CaError("VALIDITY_REFUSED", `validity ${problem}`);
}

function rfc3339(ms: number): string {
  return new Date(ms).toISOString().replace(".000Z", "Z");
}

const day = 86_400;

/** So that clocks may differ. */
const backdatingSeconds = 60;
