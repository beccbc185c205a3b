import { isIP } from "node:net";
import { parseSpiffeId } from "@handfast/x509";
import { CaError } from "./errors.ts";

declare const serviceNameBrand: unique symbol;

/** A name that is safe as a file name, as a common name and as one segment of a SPIFFE path. */
export type ServiceName = string & { readonly [serviceNameBrand]: true };

/** The subject alternative names of a certificate, by kind. */
export interface AlternativeNames {
  readonly dns: readonly string[];
  readonly ip: readonly string[];
  readonly uri: readonly string[];
  readonly email: readonly string[];
}

/**
 * Reads the name of a service: 1 to 64 letters, digits, dots, hyphens and underscores, the first
 * neither a dot nor a hyphen.
 *
 * @throws CaError NAME_REFUSED
 */
export function parseServiceName(text: string): ServiceName {
  if (/^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$/.test(text)) return text as ServiceName;
  throw refused(
    `name ${quoted(text)} must be 1 to 64 letters, digits, dots, hyphens and underscores, and start with none of dot and hyphen`,
  );
}

/** How the names of a service's certificate are made. */
export interface ServiceNamesOptions {
  readonly trustDomain: string;
  /** Added to what the name itself gives; texts as `parseAlternativeName` reads them. */
  readonly additional?: readonly string[];
  /** Adds localhost, 127.0.0.1 and ::1. Every service that has them can pose as localhost. */
  readonly local?: boolean;
  /** What the profile may carry: other kinds are left out, unless they are added expressly. */
  readonly kinds?: readonly (keyof AlternativeNames)[];
  /** The SPIFFE id: `/NAME` in the trust domain if not given; null for none. */
  readonly spiffeId?: string | null;
}

/**
 * The names that a service's certificate carries by default: its name as DNS name (or IP address)
 * where it is one, and its SPIFFE id.
 *
 * @throws CaError NAME_REFUSED
 */
export function serviceNames(name: ServiceName, options: ServiceNamesOptions): AlternativeNames {
  const { trustDomain, additional = [], local = false, kinds = alternativeNameKinds } = options;
  const spiffeId =
    options.spiffeId === undefined ? `spiffe://${trustDomain}/${name}` : options.spiffeId;
  const own = [
    ...(isIP(name) === 0 ? [] : [{ kind: "ip" as const, value: name }]),
    ...(isDnsName(name) ? [{ kind: "dns" as const, value: name.toLowerCase() }] : []),
    ...(spiffeId === null ? [] : [parseAlternativeName(`uri:${spiffeId}`)]),
  ];
  const names = [
    ...own.filter(({ kind }) => kinds.includes(kind)),
    ...additional.map(parseAlternativeName),
    ...(local ? localNames : []),
  ];
  const of = (kind: keyof AlternativeNames) => [
    ...new Set(names.filter((one) => one.kind === kind).map((one) => one.value)),
  ];
  return { dns: of("dns"), ip: of("ip"), uri: of("uri"), email: of("email") };
}

/**
 * Reads a subject alternative name: `dns:`, `ip:`, `uri:` or `email:` and the value; without such a
 * prefix an IP literal is an address, a text with `://` a URI, one with `@` an e-mail address and
 * anything else a DNS name.
 *
 * @throws CaError NAME_REFUSED
 */
export function parseAlternativeName(text: string): {
  kind: keyof AlternativeNames;
  value: string;
} {
  const prefixed = /^(dns|ip|uri|email):(.*)$/is.exec(text);
  const value = prefixed?.[2] ?? text;
  const kind = (prefixed?.[1]?.toLowerCase() as keyof AlternativeNames | undefined) ?? kindOf(text);
  const problem = checks[kind](value);
  if (problem !== undefined)
    throw new CaError("NAME_REFUSED", `${kind} name ${quoted(text)} ${problem}`);
  return { kind, value: kind === "dns" ? value.toLowerCase() : value };
}

/**
 * Checks the names of a request: each well formed, of a kind that the profile has, at most one URI
 * (with two, verifiers see no identity: security.md S14), and SPIFFE ids of our trust domain only.
 *
 * @throws CaError NAME_REFUSED
 */
export function checkAlternativeNames(
  names: AlternativeNames,
  rules: {
    readonly trustDomain: string;
    readonly profile: string;
    readonly kinds: readonly (keyof AlternativeNames)[];
  },
): void {
  for (const kind of alternativeNameKinds) {
    for (const value of names[kind]) {
      if (!rules.kinds.includes(kind)) {
        throw refused(
          `${kind} name ${quoted(value)} is of a kind that profile ${rules.profile} has not`,
        );
      }
      checkValue(kind, value);
    }
  }
  if (names.uri.length > 1) {
    throw new CaError(
      "NAME_REFUSED",
      `${names.uri.length} URI names are asked for; a peer with more than one has no identity`,
      { hint: "leave out the SPIFFE id, or the other URI" },
    );
  }
  for (const uri of names.uri.filter((value) => value.startsWith("spiffe:"))) {
    if (parseSpiffeId(uri).trustDomain === rules.trustDomain) continue;
    throw refused(
      `SPIFFE id ${quoted(uri)} is not of this authority's trust domain ${rules.trustDomain}`,
    );
  }
}

function checkValue(kind: keyof AlternativeNames, value: string): void {
  const problem = checks[kind](value);
  if (problem !== undefined) throw refused(`${kind} name ${quoted(value)} ${problem}`);
}

function refused(message: string): CaError {
  return new CaError("NAME_REFUSED", message);
}

function kindOf(text: string): keyof AlternativeNames {
  if (isIP(text) !== 0) return "ip";
  if (text.includes("://")) return "uri";
  return text.includes("@") ? "email" : "dns";
}

/** LDH labels, underscores allowed, the last label not a number (that would be an address). */
function isDnsName(name: string): boolean {
  const labels = name.split(".");
  return (
    name.length <= 253 &&
    labels.every((label) => /^(?!-)[A-Za-z0-9_-]{1,63}(?<!-)$/.test(label)) &&
    !/^\d+$/.test(labels.at(-1) ?? "")
  );
}

/** The name as a message may show it; whoever prints messages escapes what is left. */
function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}

const alternativeNameKinds = ["dns", "ip", "uri", "email"] as const;

const localNames = [
  { kind: "dns", value: "localhost" },
  { kind: "ip", value: "127.0.0.1" },
  { kind: "ip", value: "::1" },
] as const;

/** What is wrong with a value of a kind, if anything is (security.md S30, S54). */
const checks: Readonly<Record<keyof AlternativeNames, (value: string) => string | undefined>> = {
  dns: (value) =>
    isDnsName(value.replace(/^\*\./, ""))
      ? undefined
      : "must be labels of letters, digits, hyphens and underscores, `*` only as the whole first label",
  ip: (value) =>
    isIP(value) !== 0 && !value.includes("%") ? undefined : "must be an IPv4 or IPv6 address",
  email: (value) =>
    /^[A-Za-z0-9.!#$%&'+=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,253}$/.test(value) &&
    isDnsName(value.slice(value.indexOf("@") + 1))
      ? undefined
      : "must be an address of plain ASCII letters at a DNS name",
  uri: (value) => {
    if (value.startsWith("spiffe:")) {
      try {
        return parseSpiffeId(value).path === ""
          ? "must name a path in its trust domain"
          : undefined;
      } catch (error) {
        return `must be a SPIFFE id: ${(error as Error).message}`;
      }
    }
    return /^[a-z][a-z0-9+.-]*:\/\/[A-Za-z0-9._~:@[\]-]+(?:[/?#][!-~]*)?$/i.test(value) &&
      value.length <= 2_048
      ? undefined
      : "must have a scheme and an authority, in ASCII without spaces";
  },
};
