import { context, contextPrimitive, DerReader, malformed, sequence, type DerValue } from "./der.ts";
import { X509Error } from "./errors.ts";
import { parseIp } from "./ip-address.ts";
import { hasHostileCharacters, readName, type Name } from "./name.ts";
import { parseTrustDomain } from "./spiffe-id.ts";

/** One subtree of a nameConstraints extension (RFC 5280 4.2.1.10). */
export type NameSubtree =
  | { readonly type: "dns" | "email" | "uri"; readonly value: string }
  | { readonly type: "ip"; readonly address: Uint8Array; readonly mask: Uint8Array }
  | { readonly type: "directory"; readonly value: Name }
  | { readonly type: "other"; readonly tag: number; readonly value: Uint8Array };

/** What a CA may name and what it may not. */
export interface NameConstraints {
  readonly permitted: readonly NameSubtree[];
  readonly excluded: readonly NameSubtree[];
}

/** Constraints to put into a CA certificate, by kind; IP ranges as `10.0.0.0/8` or `2001:db8::/32`. */
export interface NameSubtreeInput {
  readonly dns?: readonly string[];
  readonly ip?: readonly string[];
  /** Hosts (`td.example`) or, with a leading dot, domains. */
  readonly uri?: readonly string[];
  readonly email?: readonly string[];
  readonly directory?: readonly Name[];
}

/** What a CA may name and what it may not, to be written. */
export interface NameConstraintsInput {
  readonly permitted?: NameSubtreeInput;
  readonly excluded?: NameSubtreeInput;
}

/**
 * Reads the value of a nameConstraints extension: at least one list, no list empty, `minimum` and
 * `maximum` never written (RFC 5280 4.2.1.10).
 * @throws X509Error DER_MALFORMED
 */
export function readNameConstraints(reader: DerReader): NameConstraints {
  const inner = reader.sequence(WHAT);
  const permitted = inner.context(0, WHAT);
  const excluded = inner.context(1, WHAT);
  inner.finish(WHAT);
  if (!permitted && !excluded) throw malformed(WHAT, "permit and exclude nothing");
  return {
    permitted: permitted ? readSubtrees(permitted) : [],
    excluded: excluded ? readSubtrees(excluded) : [],
  };
}

/**
 * The value of a nameConstraints extension.
 * @throws X509Error NAME_INVALID
 */
export function encodeNameConstraints(input: NameConstraintsInput): DerValue {
  const permitted = encodeSubtrees(input.permitted ?? {});
  const excluded = encodeSubtrees(input.excluded ?? {});
  if (permitted.length === 0 && excluded.length === 0) {
    throw new X509Error("NAME_INVALID", "name constraints permit and exclude nothing");
  }
  const lists: DerValue[] = [];
  if (permitted.length > 0) lists.push(context(0, permitted));
  if (excluded.length > 0) lists.push(context(1, excluded));
  return sequence(lists);
}

/**
 * The constraints of an issuing CA that is bound to a SPIFFE trust domain (S46): URI names of that
 * host, and no DNS name, IP address or email address but those given. They bind the domain, never the
 * path: the CA can name any workload of the domain.
 */
export function trustDomainConstraints(
  trustDomain: string,
  permitted: Omit<NameSubtreeInput, "uri" | "directory"> = {},
): NameConstraintsInput {
  const { dns = [], ip = [], email = [] } = permitted;
  return {
    permitted: {
      uri: [parseTrustDomain(trustDomain)],
      dns,
      ip,
      // RFC 5280 knows no constraint that excludes every mailbox; permitting one that cannot exist
      // (RFC 6761) does.
      email: email.length > 0 ? email : ["invalid"],
    },
    excluded: {
      dns: dns.length > 0 ? [] : [""],
      ip: [
        ...(ip.some((range) => !range.includes(":")) ? [] : ["0.0.0.0/0"]),
        ...(ip.some((range) => range.includes(":")) ? [] : ["::/0"]),
      ],
    },
  };
}

function readSubtrees(list: DerReader): NameSubtree[] {
  const subtrees: NameSubtree[] = [];
  while (!list.done) {
    const subtree = list.sequence(WHAT);
    subtrees.push(readBase(subtree));
    if (!subtree.done) throw malformed(WHAT, "have a subtree with minimum or maximum");
  }
  if (subtrees.length === 0) throw malformed(WHAT, "have an empty list");
  return subtrees;
}

function readBase(subtree: DerReader): NameSubtree {
  const element = subtree.any(WHAT);
  const content = subtree.content(element);
  switch (element.tag) {
    case 0x82:
      return { type: "dns", value: checked(content, dnsProblem) };
    case 0x86:
      return { type: "uri", value: checked(content, hostProblem) };
    case 0x81:
      return { type: "email", value: checkedEmail(content) };
    case 0x87:
      return readRange(content);
    case 0xa4: {
      const inner = subtree.inside(element);
      const value = readName(inner, WHAT);
      inner.finish(WHAT);
      return { type: "directory", value };
    }
    default:
      if (element.tag < 0x80 || element.tag > 0xa8)
        throw malformed(WHAT, "have an unknown kind of name");
      return { type: "other", tag: element.tag, value: content };
  }
}

function readRange(content: Uint8Array): NameSubtree {
  const half = content.length / 2;
  if (half !== 4 && half !== 16) {
    throw malformed(WHAT, `have an IP range of ${content.length} octets, expected 8 or 32`);
  }
  const mask = content.subarray(half);
  if (!isPrefixMask(mask)) throw malformed(WHAT, "have an IP mask that is not a prefix");
  return { type: "ip", address: content.subarray(0, half), mask };
}

/** Ones, then zeros: the first octet that is not 0xff ends in zeros only, and the rest is zero. */
function isPrefixMask(mask: Uint8Array): boolean {
  const edge = mask.findIndex((octet) => octet !== 0xff);
  if (edge < 0) return true;
  const zeros = ~(mask[edge] as number) & 0xff;
  return (zeros & (zeros + 1)) === 0 && mask.subarray(edge + 1).every((octet) => octet === 0);
}

function encodeSubtrees(input: NameSubtreeInput): DerValue[] {
  const wrap = (value: DerValue): DerValue => sequence([value]);
  return [
    ...(input.dns ?? []).map((text) => wrap(contextPrimitive(2, encodeText(text, dnsProblem)))),
    ...(input.ip ?? []).map((text) => wrap(contextPrimitive(7, encodeRange(text)))),
    ...(input.uri ?? []).map((text) => wrap(contextPrimitive(6, encodeText(text, hostProblem)))),
    ...(input.email ?? []).map((text) => wrap(contextPrimitive(1, encodeText(text, emailProblem)))),
    ...(input.directory ?? []).map((name) => wrap(context(4, [name.der]))),
  ];
}

function encodeText(text: string, problemOf: (text: string) => string | undefined): Uint8Array {
  const problem = problemOf(text);
  if (problem !== undefined) {
    throw new X509Error("NAME_INVALID", `name constraint ${problem}`);
  }
  return Buffer.from(text, "latin1");
}

function encodeRange(text: string): Uint8Array {
  const [literal = "", length, extra] = text.split("/");
  const address = parseIp(literal);
  const bits = length !== undefined && /^\d{1,3}$/.test(length) ? Number(length) : Number.NaN;
  if (!address || extra !== undefined || !(bits <= address.length * 8)) {
    throw new X509Error(
      "NAME_INVALID",
      "name constraint is not an IP range, expected for instance 10.0.0.0/8 or 2001:db8::/32",
    );
  }
  const mask = address.map((_, i) => 0xff & ~(0xff >> Math.min(8, Math.max(0, bits - 8 * i))));
  if (address.some((octet, i) => (octet & ~(mask[i] as number)) !== 0)) {
    throw new X509Error(
      "NAME_INVALID",
      "name constraint is an IP range with bits beyond its prefix",
    );
  }
  return Uint8Array.of(...address, ...mask);
}

function checked(content: Uint8Array, problemOf: (text: string) => string | undefined): string {
  const text = Buffer.from(content).toString("latin1");
  const problem = problemOf(text);
  if (problem !== undefined) throw malformed(WHAT, `have a name that ${problem}`);
  return text.toLowerCase();
}

/** A mailbox keeps the case of its local part. */
function checkedEmail(content: Uint8Array): string {
  const text = Buffer.from(content).toString("latin1");
  const problem = emailProblem(text);
  if (problem !== undefined) throw malformed(WHAT, `have a name that ${problem}`);
  const at = text.lastIndexOf("@");
  return text.slice(0, at + 1) + text.slice(at + 1).toLowerCase();
}

/** The empty name stands for all names. */
function dnsProblem(text: string): string | undefined {
  return text === "" || DOMAIN.test(text) ? undefined : "is no DNS domain";
}

function hostProblem(text: string): string | undefined {
  const host = text.startsWith(".") ? text.slice(1) : text;
  return text === "" || DOMAIN.test(host) ? undefined : "is no host or .domain";
}

function emailProblem(text: string): string | undefined {
  const at = text.lastIndexOf("@");
  if (at < 0) return hostProblem(text);
  const local = text.slice(0, at);
  const valid = local !== "" && !hasHostileCharacters(local) && !/[^\u0020-\u007e]/.test(local);
  return valid && DOMAIN.test(text.slice(at + 1)) ? undefined : "is no mailbox, host or .domain";
}

const WHAT = "nameConstraints";
const LABEL = "[a-zA-Z0-9_](?:[a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?";
const DOMAIN = new RegExp(`^(?=.{1,253}$)${LABEL}(?:\\.${LABEL})*$`);
