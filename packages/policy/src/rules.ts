import type { Pattern } from "./pattern.ts";
import { lowerAscii, parsePattern } from "./pattern.ts";
import type { Node } from "./read-json.ts";
import {
  invalid,
  readNonEmptyList,
  readNonEmptyString,
  readObject,
  readString,
  requireMember,
} from "./read-json.ts";

/** A rule of gRFC A43; what is undefined matches everything. */
export interface Rule {
  readonly name: string;
  readonly principals: readonly Pattern[] | undefined;
  readonly paths: readonly Pattern[] | undefined;
  readonly headers: readonly HeaderRule[] | undefined;
}

/** A header that must be there with one of some values. */
export interface HeaderRule {
  /** In lower case. */
  readonly key: string;
  readonly values: readonly Pattern[];
}

/** How strictly a document is read. */
export interface ParsePolicyOptions {
  /**
   * `handfast` (default) refuses the principal patterns that match more than they seem to: a star
   * beside `=`, a `spiffe://` prefix that does not end its trust domain, a suffix where several trust
   * domains are trusted. `a43` takes them as gRFC A43 does.
   */
  readonly compatibility?: "handfast" | "a43";
  /** The trust domains that are trusted; without it one is assumed. */
  readonly trustDomains?: readonly string[];
}

/** Reads a list of A43 rules, whose names are unique (another implementation silently loses one). */
export function readRules(list: Node, options: ParsePolicyOptions): readonly Rule[] {
  const rules = readNonEmptyList(list).map((node) => readRule(node, options));
  requireUniqueNames(list, rules);
  return rules;
}

/** Refuses a second rule of the same name; the place is that of the second. */
export function requireUniqueNames(list: Node, rules: readonly { readonly name: string }[]): void {
  const seen = new Map<string, number>();
  for (const [index, { name }] of rules.entries()) {
    const before = seen.get(name);
    if (before !== undefined) {
      const node = { ...list, place: `${list.place}[${index}].name` };
      throw invalid(
        node,
        `${JSON.stringify(name)} is the name of ${list.place}[${before}] already`,
      );
    }
    seen.set(name, index);
  }
}

/** Reads patterns that stand for method paths, such as `/bank.v1.BankService/*`. */
export function readPaths(list: Node): readonly Pattern[] {
  return readNonEmptyList(list).map((node) => parsePattern(readString(node)));
}

function readRule(node: Node, options: ParsePolicyOptions): Rule {
  const members = readObject(node, ["name", "source", "request"]);
  const source = members.get("source");
  const request = members.get("request");
  const from = source && readObject(source, ["principals"]).get("principals");
  const asked = request && readObject(request, ["paths", "headers"]);
  const paths = asked?.get("paths");
  const headers = asked?.get("headers");
  return {
    name: readNonEmptyString(requireMember(node, members, "name")),
    principals: from && readNonEmptyList(from).map((node) => readPrincipal(node, options)),
    paths: paths && readPaths(paths),
    headers: headers && readNonEmptyList(headers).map(readHeader),
  };
}

function readPrincipal(node: Node, options: ParsePolicyOptions): Pattern {
  const text = readString(node);
  const pattern = parsePattern(text);
  if (options.compatibility === "a43") return pattern;
  if (text.includes("*") && text.includes("=")) {
    throw invalid(
      node,
      `${JSON.stringify(text)}: a star in the name of a subject also matches inside other attributes; name the subject in full, or use a SAN`,
    );
  }
  if (pattern.kind === "prefix" && /^spiffe:(?!\/\/[^/]+\/)/.test(pattern.literal)) {
    throw invalid(
      node,
      `${JSON.stringify(text)}: the prefix also matches other trust domains; end the trust domain with a slash`,
    );
  }
  if (pattern.kind === "suffix" && (options.trustDomains?.length ?? 1) > 1) {
    throw invalid(
      node,
      `${JSON.stringify(text)}: a suffix matches in every trust domain that is trusted; name the trust domain`,
    );
  }
  return pattern;
}

function readHeader(node: Node): HeaderRule {
  const members = readObject(node, ["key", "values"]);
  const keyNode = requireMember(node, members, "key");
  const key = lowerAscii(readNonEmptyString(keyNode));
  if (!/^[-0-9a-z_.]+$/.test(key.replace(/^:/, ""))) {
    throw invalid(keyNode, `${JSON.stringify(key)} cannot be the name of a header in gRPC`);
  }
  if (key.startsWith(":") || key.startsWith("grpc-") || reservedHeaders.has(key)) {
    throw invalid(keyNode, `${JSON.stringify(key)} belongs to the transport; a rule cannot use it`);
  }
  const values = readNonEmptyList(requireMember(node, members, "values")).map((value) => {
    const pattern = parsePattern(readString(value));
    if (key.endsWith("-bin") && pattern.kind !== "present") {
      throw invalid(
        value,
        `implementations disagree on how to compare the bytes of ${JSON.stringify(key)}; only "*" is allowed`,
      );
    }
    return pattern;
  });
  return { key, values };
}

const reservedHeaders: ReadonlySet<string> = new Set([
  "host",
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);
