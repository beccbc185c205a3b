import { contextPrimitive, DerReader, encodeDer, malformed, oid, type DerValue } from "./der.ts";
import { X509Error } from "./errors.ts";
import { formatIp, parseIp } from "./ip-address.ts";
import { hasHostileCharacters, readName, type Name } from "./name.ts";

/** One GeneralName (RFC 5280 4.2.1.6). `ip` values are canonical text (RFC 5952 for IPv6). */
export type GeneralName =
  | { readonly type: "dns" | "ip" | "uri" | "email"; readonly value: string }
  | { readonly type: "directory"; readonly value: Name }
  | { readonly type: "registeredId"; readonly value: string }
  | { readonly type: "other"; readonly oid: string; readonly value: Uint8Array }
  | { readonly type: "x400" | "ediParty"; readonly value: Uint8Array };

/** The names of a certificate by kind, each list in encoded order. */
export interface SubjectAltNames {
  /** Lower case. */
  readonly dns: readonly string[];
  readonly ip: readonly string[];
  readonly uri: readonly string[];
  readonly email: readonly string[];
  readonly directory: readonly Name[];
  /** Everything, also the kinds that have no list of their own. */
  readonly all: readonly GeneralName[];
}

/** Names to put into a certificate or a request, by kind. */
export interface SubjectAltNameInput {
  /** A-labels; a wildcard only as the whole left label. */
  readonly dns?: readonly string[];
  /** IPv4 or IPv6 literals. */
  readonly ip?: readonly string[];
  /** With scheme and authority. */
  readonly uri?: readonly string[];
  readonly email?: readonly string[];
}

/**
 * Reads one or more GeneralNames to the end of the reader, under the rules of S30: DNS names are LDH
 * labels (underscore and left wildcard allowed), URIs have a scheme and an authority, and nothing
 * holds control or bidirectional characters.
 * @throws X509Error DER_MALFORMED
 */
export function readGeneralNames(reader: DerReader, what: string): GeneralName[] {
  if (reader.done) throw malformed(what, "is an empty list of names");
  const names: GeneralName[] = [];
  while (!reader.done) names.push(readGeneralName(reader, what));
  return names;
}

/** Reads one GeneralName. */
function readGeneralName(reader: DerReader, what: string): GeneralName {
  const element = reader.any(what);
  const content = reader.content(element);
  switch (element.tag) {
    case 0x82: {
      const value = ascii(content, what).toLowerCase();
      return { type: "dns", value: checked(value, dnsNameProblem(value), what) };
    }
    case 0x87:
      if (content.length !== 4 && content.length !== 16) {
        throw malformed(what, `has an IP address of ${content.length} octets`);
      }
      return { type: "ip", value: formatIp(content) };
    case 0x86: {
      const value = ascii(content, what);
      return { type: "uri", value: checked(value, uriProblem(value), what) };
    }
    case 0x81: {
      const value = ascii(content, what);
      return { type: "email", value: checked(value, emailProblem(value), what) };
    }
    case 0xa4: {
      const inner = reader.inside(element);
      const value = readName(inner, what);
      inner.finish(what);
      return { type: "directory", value };
    }
    case 0x88:
      return {
        type: "registeredId",
        value: new DerReader(reader.encoded(element)).oid(what, 0x88),
      };
    case 0xa0: {
      const inner = reader.inside(element);
      const oid = inner.oid(what);
      const wrapped = inner.element(0xa0, what);
      const value = inner.inside(wrapped);
      value.any(what);
      value.finish(what);
      inner.finish(what);
      return { type: "other", oid, value: inner.content(wrapped) };
    }
    case 0xa3:
      return { type: "x400", value: content };
    case 0xa5:
      return { type: "ediParty", value: content };
    default:
      throw malformed(what, `has a name of unknown kind 0x${element.tag.toString(16)}`);
  }
}

/** Groups names by kind. */
export function groupNames(all: readonly GeneralName[]): SubjectAltNames {
  const dns: string[] = [];
  const ip: string[] = [];
  const uri: string[] = [];
  const email: string[] = [];
  const directory: Name[] = [];
  for (const name of all) {
    if (name.type === "dns") dns.push(name.value);
    else if (name.type === "ip") ip.push(name.value);
    else if (name.type === "uri") uri.push(name.value);
    else if (name.type === "email") email.push(name.value);
    else if (name.type === "directory") directory.push(name.value);
  }
  return { dns, ip, uri, email, directory, all };
}

/**
 * Encodes names for a subjectAltName extension, in the order DNS, IP, URI, email.
 * @throws X509Error NAME_INVALID for a name that our own reader would refuse
 */
export function encodeSubjectAltNames(names: SubjectAltNameInput): DerValue[] {
  const list: DerValue[] = [];
  for (const type of INPUT_KINDS) {
    for (const value of names[type] ?? []) list.push(encodeGeneralName({ type, value }));
  }
  return list;
}

/**
 * Encodes one GeneralName.
 * @throws X509Error NAME_INVALID
 */
export function encodeGeneralName(name: GeneralName): DerValue {
  switch (name.type) {
    case "dns": {
      const value = name.value.toLowerCase();
      return encodeText(2, value, "DNS name", dnsNameProblem(value));
    }
    case "ip": {
      const bytes = parseIp(name.value);
      if (bytes === undefined) throw invalidName("IP address", "is not an IPv4 or IPv6 literal");
      return contextPrimitive(7, bytes);
    }
    case "uri":
      return encodeText(6, name.value, "URI", uriProblem(name.value));
    case "email":
      return encodeText(1, name.value, "email address", emailProblem(name.value));
    case "directory":
      return { tag: 0xa4, length: name.value.der.length, content: name.value.der };
    case "registeredId":
      return contextPrimitive(8, oid(name.value).subarray(2));
    case "other": {
      const type = oid(name.oid);
      const value = { tag: 0xa0, length: name.value.length, content: name.value };
      return { tag: 0xa0, length: type.length + encodeDer(value).length, content: [type, value] };
    }
    case "x400":
      return { tag: 0xa3, length: name.value.length, content: name.value };
    case "ediParty":
      return { tag: 0xa5, length: name.value.length, content: name.value };
  }
}

/** What is wrong with a DNS name as a certificate name (S30); undefined if nothing is. */
export function dnsNameProblem(name: string): string | undefined {
  if (name.length > 253) return `is ${name.length} characters long, at most 253 are allowed`;
  const rest = name.startsWith("*.") ? name.slice(2) : name;
  if (!DNS_NAME.test(rest)) return "is not made of letter-digit-hyphen labels";
  if (IPV4_LIKE.test(rest)) return "is an IP address";
  return undefined;
}

/** What is wrong with a URI as a certificate name (S30); undefined if nothing is. */
function uriProblem(uri: string): string | undefined {
  if (hasHostileCharacters(uri)) return "has control characters";
  return URI.test(uri) ? undefined : "is not a URI with a scheme and an authority";
}

/** What is wrong with an address as an rfc822Name; undefined if nothing is. */
function emailProblem(address: string): string | undefined {
  const at = address.lastIndexOf("@");
  const local = address.slice(0, Math.max(at, 0));
  if (!DOT_ATOM.test(local) && !QUOTED.test(local)) return "is not of the form local@domain";
  return DNS_NAME.test(address.slice(at + 1)) ? undefined : "has a domain that is no DNS name";
}

function checked(value: string, problem: string | undefined, what: string): string {
  if (problem !== undefined) throw malformed(what, `has a name that ${problem}`);
  return value;
}

function ascii(content: Uint8Array, what: string): string {
  for (let at = 0; at < content.length; at++) {
    const octet = content[at] as number;
    if (octet < 0x20 || octet > 0x7e)
      throw malformed(what, "has a name with other than printable ASCII");
  }
  return Buffer.from(content.buffer, content.byteOffset, content.byteLength).toString("latin1");
}

function encodeText(n: number, value: string, kind: string, problem: string | undefined): DerValue {
  if (problem !== undefined) throw invalidName(kind, problem);
  return contextPrimitive(n, Buffer.from(value, "latin1"));
}

function invalidName(kind: string, problem: string): X509Error {
  return new X509Error("NAME_INVALID", `${kind} ${problem}`);
}

const INPUT_KINDS = ["dns", "ip", "uri", "email"] as const;
const LABEL = "[a-zA-Z0-9_](?:[a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?";
const DNS_NAME = new RegExp(`^(?=.{1,253}$)${LABEL}(?:\\.${LABEL})*$`);
const IPV4_LIKE = /^\d{1,3}(?:\.\d{1,3}){3}$/;
/** RFC 3986: scheme, authority that is not empty, then path, query and fragment. */
const URI =
  /^[A-Za-z][A-Za-z0-9+.-]*:\/\/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@[\]]|%[0-9A-Fa-f]{2})+(?:[/?#](?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?#]|%[0-9A-Fa-f]{2})*)?$/;
const DOT_ATOM = /^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*$/;
const QUOTED = /^"(?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\[\x20-\x7e])*"$/;
