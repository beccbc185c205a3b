import { isIP, isIPv4 } from "node:net";
import { CaError } from "../errors.ts";
import { canonicalAddress, networkList } from "./ip-address.ts";
import { AcmeProblem } from "./problem.ts";

/** What a certificate is asked for (RFC 8555 7.1.3, RFC 8738): in its one canonical spelling. */
export interface Identifier {
  readonly type: "dns" | "ip";
  readonly value: string;
}

/**
 * Reads an identifier of an order: a DNS name, with a wildcard as the whole first label at most, or
 * an IP address.
 *
 * @throws AcmeProblem malformed, unsupportedIdentifier
 */
export function readIdentifier(given: unknown): Identifier {
  const { type, value } = (given ?? {}) as { type?: unknown; value?: unknown };
  if (typeof type !== "string" || typeof value !== "string") {
    throw new AcmeProblem("malformed", "an identifier must have a type and a value");
  }
  if (type === "dns") {
    const name = canonicalDnsName(value);
    if (name !== undefined) return { type, value: name };
    throw new AcmeProblem("malformed", `dns identifier ${quoted(value)} must be a DNS name`);
  }
  if (type === "ip") {
    const address = canonicalAddress(value);
    if (address !== undefined) return { type, value: address };
    throw new AcmeProblem("malformed", `ip identifier ${quoted(value)} must be an IP address`);
  }
  throw new AcmeProblem("unsupportedIdentifier", "the types of identifiers are dns and ip");
}

/** In lower case; undefined unless it is LDH labels, the last not a number (which were an address). */
export function canonicalDnsName(text: string): string | undefined {
  const name = text.toLowerCase();
  const labels = name.replace(/^\*\./, "").split(".");
  const fits =
    name.length <= 253 &&
    labels.every((label) => /^(?!-)[a-z0-9-]{1,63}(?<!-)$/.test(label)) &&
    !/^(?:\d+|0x[0-9a-f]*)$/.test(labels.at(-1) ?? "");
  return fits ? name : undefined;
}

/** Whether a key that was given these names may have certificates for an identifier. */
export function isPermitted({ type, value }: Identifier, names: readonly string[]): boolean {
  return names.some((name) => permits(name, { type, value }));
}

/**
 * Reads what an external account key is given: `api.example` for this name alone, `.example` for
 * every name below it and wildcards, `*.example` for names one label below it and that wildcard,
 * an IP address, or a network as `10.0.0.0/8`.
 *
 * @throws CaError NAME_REFUSED
 */
export function readPermittedName(text: string): string {
  const network = /^([^/]+)\/(\d{1,3})$/.exec(text);
  const address = canonicalAddress(network?.[1] ?? text);
  if (address !== undefined) {
    if (network === null) return address;
    const bits = Number(network[2]);
    if (bits <= (isIPv4(address) ? 32 : 128)) return `${address}/${bits}`;
  } else if (network === null) {
    const name = canonicalDnsName(text.replace(/^\./, ""));
    const wildcardBelow = text.startsWith(".*");
    if (name !== undefined && !wildcardBelow) return text.startsWith(".") ? `.${name}` : name;
  }
  throw new CaError(
    "NAME_REFUSED",
    `name ${quoted(text)} must be a DNS name, one that starts with a dot or with *., an IP address or a network`,
  );
}

/**
 * Reads a network, `10.1.0.0/16`, or one address.
 *
 * @throws CaError NAME_REFUSED
 */
export function readNetwork(text: string): string {
  const name = readPermittedName(text);
  if (isIP(name) !== 0) return `${name}/${isIPv4(name) ? 32 : 128}`;
  if (name.includes("/")) return name;
  throw new CaError("NAME_REFUSED", `network ${quoted(text)} must be like 10.1.0.0/16`, {
    hint: "name a network by its first address and the length of its prefix, or one address",
  });
}

function permits(name: string, { type, value }: Identifier): boolean {
  const isAddress = isIP(name.replace(/\/\d+$/, "")) !== 0;
  if (isAddress !== (type === "ip")) return false;
  if (isAddress) return name.includes("/") ? networkList([name])(value) : name === value;
  if (name.startsWith(".")) return value.endsWith(name);
  if (!name.startsWith("*.")) return value === name;
  const dot = value.indexOf(".");
  return dot > 0 && value.slice(dot) === name.slice(1);
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
