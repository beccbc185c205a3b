import type { Certificate } from "./certificate.ts";
import { shortened } from "./chain-verdict.ts";
import type { GeneralName } from "./general-name.ts";
import { parseIp } from "./ip-address.ts";
import type { NameConstraints, NameSubtree } from "./name-constraints-extension.ts";
import { isWithinName } from "./name-match.ts";
import type { Name } from "./name.ts";

/** The checks of one validation: none is made twice, and their work is bounded (S45). */
export interface NameConstraintChecks {
  /** What keeps the certificate from the names it has, as the rest of a sentence about it. */
  problem(constraints: NameConstraints, certificate: Certificate): string | undefined;
}

/** Starts the checks of one validation, with this many comparisons of a name with a subtree. */
export function createNameConstraintChecks(comparisons: number): NameConstraintChecks {
  const budget = { comparisons };
  const seen = new Map<NameConstraints, Map<Certificate, string | undefined>>();
  return {
    problem(constraints, certificate) {
      let known = seen.get(constraints);
      if (!known) seen.set(constraints, (known = new Map()));
      if (!known.has(certificate)) {
        known.set(certificate, nameConstraintProblem(constraints, certificate, budget));
      }
      return known.get(certificate);
    },
  };
}

/**
 * What keeps a certificate from the names a CA may give (RFC 5280 4.2.1.10 and 6.1.3 b, c); undefined
 * if nothing does. Every name of a constrained kind must lie in a permitted subtree, where there is
 * one, and in no excluded one. A kind of name that cannot be judged is refused where it is
 * constrained. A wildcard is judged by every name it stands for: permitted only if all are, excluded
 * if one is (CVE-2025-61727).
 */
function nameConstraintProblem(
  constraints: NameConstraints,
  certificate: Certificate,
  budget: { comparisons: number },
): string | undefined {
  const permitted = byKind(constraints.permitted);
  const excluded = byKind(constraints.excluded);
  for (const [kind, names] of namesOf(certificate)) {
    const mayBe = permitted.get(kind) ?? [];
    const mayNotBe = excluded.get(kind) ?? [];
    if (mayBe.length + mayNotBe.length === 0) continue;
    budget.comparisons -= names.length * (mayBe.length + mayNotBe.length);
    if (budget.comparisons < 0) return "has more names and constraints than are compared";
    for (const name of names) {
      const problem = problemOf(name, mayBe, mayNotBe);
      if (problem !== undefined) return problem;
    }
  }
  return undefined;
}

/** A name ready to be compared. */
type Subject =
  | { readonly kind: "dns" | "email"; readonly value: string }
  | { readonly kind: "uri"; readonly value: string; readonly host: string | undefined }
  | { readonly kind: "ip"; readonly value: string; readonly address: Uint8Array }
  | { readonly kind: "directory"; readonly value: Name }
  | { readonly kind: "other"; readonly value: string };

function problemOf(
  name: Subject,
  permitted: readonly NameSubtree[],
  excluded: readonly NameSubtree[],
): string | undefined {
  const shown = `the ${kindNames[name.kind]} ${shortened(name.kind === "directory" ? name.value.text : name.value)}`;
  if (name.kind === "other") return `has ${shown}, a kind that is constrained and cannot be judged`;
  if (name.kind === "uri" && name.host === undefined) {
    return `has ${shown}, which has no host name to be judged by`;
  }
  if (name.kind === "email" && !name.value.includes("@")) {
    return `has ${shown}, which is no mailbox to be judged`;
  }
  if (excluded.some((subtree) => touches(name, subtree))) return `has ${shown}, which is excluded`;
  if (permitted.length > 0 && !permitted.some((subtree) => contains(subtree, name))) {
    return `has ${shown}, which is not permitted`;
  }
  return undefined;
}

/** Whether the whole of a name lies in a subtree. */
function contains(subtree: NameSubtree, name: Subject): boolean {
  switch (name.kind) {
    case "dns":
      return subtree.type === "dns" && isWithinDomain(name.value, subtree.value);
    case "email":
      return subtree.type === "email" && isMailboxWithin(name.value, subtree.value);
    case "uri":
      return (
        subtree.type === "uri" && name.host !== undefined && isHostWithin(name.host, subtree.value)
      );
    case "ip":
      return subtree.type === "ip" && isAddressWithin(name.address, subtree);
    case "directory":
      return subtree.type === "directory" && isWithinName(name.value, subtree.value);
    case "other":
      return false;
  }
}

/** Whether any of what a name stands for lies in a subtree. */
function touches(name: Subject, subtree: NameSubtree): boolean {
  if (contains(subtree, name)) return true;
  if (name.kind !== "dns" || subtree.type !== "dns" || !name.value.startsWith("*.")) return false;
  // The wildcard stands for one label: `*.a.example` touches `b.a.example`, not `c.b.a.example`.
  const dot = subtree.value.indexOf(".");
  return dot > 0 && subtree.value.slice(dot) === name.value.slice(1);
}

/** A DNS name lies in a domain if it is the domain or has labels before it. */
function isWithinDomain(name: string, domain: string): boolean {
  return domain === "" || name === domain || name.endsWith(`.${domain}`);
}

/** `.domain` stands for the hosts below it, `host` for itself alone. */
function isHostWithin(host: string, constraint: string): boolean {
  if (constraint === "") return true;
  return constraint.startsWith(".") ? host.endsWith(constraint) : host === constraint;
}

/** A mailbox, a host, or `.domain`; local parts compare exactly, hosts without case. */
function isMailboxWithin(mailbox: string, constraint: string): boolean {
  const at = mailbox.lastIndexOf("@");
  const host = mailbox.slice(at + 1).toLowerCase();
  const constraintAt = constraint.lastIndexOf("@");
  if (constraintAt < 0) return isHostWithin(host, constraint);
  return (
    host === constraint.slice(constraintAt + 1) &&
    unquoted(mailbox.slice(0, at)) === unquoted(constraint.slice(0, constraintAt))
  );
}

/** `"a"@b` and `a@b` are one mailbox (RFC 5321 4.1.2). */
function unquoted(local: string): string {
  const isQuoted = local.length > 1 && local.startsWith('"') && local.endsWith('"');
  return isQuoted ? local.slice(1, -1).replaceAll(/\\(.)/g, "$1") : local;
}

function isAddressWithin(
  address: Uint8Array,
  range: { readonly address: Uint8Array; readonly mask: Uint8Array },
): boolean {
  return (
    address.length === range.address.length &&
    address.every(
      (octet, i) => ((octet ^ (range.address[i] as number)) & (range.mask[i] as number)) === 0,
    )
  );
}

function namesOf(certificate: Certificate): Map<string, Subject[]> {
  const names = new Map<string, Subject[]>();
  const add = (key: string, name: Subject): void => {
    const list = names.get(key);
    if (list) list.push(name);
    else names.set(key, [name]);
  };
  const { subject, subjectAltNames } = certificate;
  if (subject.attributes.length > 0) add("directory", { kind: "directory", value: subject });
  for (const name of subjectAltNames.all) add(keyOf(name), subjectOf(name));
  // RFC 5280 4.2.1.10: the mailbox in the subject counts where there is no alternative name.
  if (subjectAltNames.all.length === 0) {
    for (const { type, value } of subject.attributes) {
      if (type === EMAIL_ADDRESS) add("email", { kind: "email", value });
    }
  }
  return names;
}

function keyOf(name: GeneralName): string {
  switch (name.type) {
    case "dns":
    case "ip":
    case "uri":
    case "email":
    case "directory":
      return name.type;
    case "registeredId":
    case "other":
    case "x400":
    case "ediParty":
      return otherKey(otherTags[name.type]);
  }
}

function subjectOf(name: GeneralName): Subject {
  switch (name.type) {
    case "dns":
    case "email":
      return { kind: name.type, value: name.value };
    case "uri":
      return { kind: "uri", value: name.value, host: hostOf(name.value) };
    case "ip":
      return { kind: "ip", value: name.value, address: parseIp(name.value) ?? new Uint8Array() };
    case "directory":
      return { kind: "directory", value: name.value };
    case "registeredId":
    case "other":
    case "x400":
    case "ediParty":
      return { kind: "other", value: name.type };
  }
}

/** The host of a URI if it is a name; an address, or anything that could be read in two ways, is none. */
function hostOf(uri: string): string | undefined {
  const authority = /^[^:]+:\/\/([^/?#]*)/.exec(uri)?.[1] ?? "";
  const host = authority
    .slice(authority.lastIndexOf("@") + 1)
    .replace(/:\d*$/, "")
    .toLowerCase();
  return HOST.test(host) && parseIp(host) === undefined ? host : undefined;
}

function byKind(subtrees: readonly NameSubtree[]): ReadonlyMap<string, readonly NameSubtree[]> {
  return Map.groupBy(subtrees, (subtree) =>
    subtree.type === "other" ? otherKey(subtree.tag) : subtree.type,
  );
}

/** Kinds that are not looked into: two of one tag meet, whatever they hold. */
function otherKey(tag: number): string {
  return `other ${tag & 0x1f}`;
}

const otherTags = { other: 0, x400: 3, ediParty: 5, registeredId: 8 } as const;
const kindNames = {
  dns: "DNS name",
  email: "email address",
  uri: "URI",
  ip: "IP address",
  directory: "name",
  other: "name of kind",
} as const;
const HOST =
  /^(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*$/;
const EMAIL_ADDRESS = "1.2.840.113549.1.9.1";
