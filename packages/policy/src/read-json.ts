import type { PolicyErrorCode } from "./errors.ts";
import { PolicyError } from "./errors.ts";
import type { JsonValue } from "./parse-json.ts";
import { parseJson } from "./parse-json.ts";

/** A value and where it stands in its document, so that every complaint names the place. */
export interface Node {
  readonly value: JsonValue;
  /** Such as `allow_rules[1].request`; "" for the whole document. */
  readonly place: string;
  /** The code of complaints about this document. */
  readonly code: PolicyErrorCode;
}

/** Parses a document of at most 4 MiB; what is wrong with its JSON is thrown under `code`. */
export function readDocument(source: string | Uint8Array, code: PolicyErrorCode): Node {
  const whole: Node = { value: null, place: "", code };
  const bytes = typeof source === "string" ? Buffer.byteLength(source) : source.byteLength;
  if (bytes > maxDocumentBytes) {
    throw invalid(whole, `expected at most ${maxDocumentBytes} bytes, got ${bytes}`);
  }
  const parsed = parseJson(source);
  if (parsed.ok) return { ...whole, value: parsed.value };
  throw invalid(whole, `line ${parsed.line}, column ${parsed.column}: ${parsed.problem}`);
}

/** The members of an object that has no others than those named. */
export function readObject(node: Node, names: readonly string[]): ReadonlyMap<string, Node> {
  const { value } = node;
  if (!(value instanceof Map)) throw unexpected(node, "an object");
  const members = new Map<string, Node>();
  for (const [name, member] of value as ReadonlyMap<string, JsonValue>) {
    const place = node.place === "" ? name : `${node.place}.${name}`;
    const child: Node = { value: member, place, code: node.code };
    if (!names.includes(name)) {
      throw invalid(child, `unknown field; expected one of ${names.join(", ")}`);
    }
    members.set(name, child);
  }
  return members;
}

/** A member that has to be there. */
export function requireMember(node: Node, members: ReadonlyMap<string, Node>, name: string): Node {
  const member = members.get(name);
  if (member !== undefined) return member;
  throw invalid({ ...node, place: node.place === "" ? name : `${node.place}.${name}` }, "missing");
}

/** The elements of a list. */
export function readList(node: Node): readonly Node[] {
  const { value, place, code } = node;
  if (!Array.isArray(value)) throw unexpected(node, "a list");
  return (value as readonly JsonValue[]).map((element, index) => ({
    value: element,
    place: `${place}[${index}]`,
    code,
  }));
}

/** The elements of a list that must have some: an empty one is how a template opens everything. */
export function readNonEmptyList(node: Node): readonly Node[] {
  const elements = readList(node);
  if (elements.length > 0) return elements;
  throw invalid(node, "an empty list; leave the field out, or name at least one");
}

/** A string, empty or not. */
export function readString(node: Node): string {
  if (typeof node.value !== "string") throw unexpected(node, "a string");
  return node.value;
}

/** A string with something in it. */
export function readNonEmptyString(node: Node): string {
  const text = readString(node);
  if (text === "") throw invalid(node, "expected a string that is not empty");
  return text;
}

/** A boolean. */
export function readBoolean(node: Node): boolean {
  if (typeof node.value !== "boolean") throw unexpected(node, "true or false");
  return node.value;
}

/** An error that begins with the place. */
export function invalid(node: Node, problem: string): PolicyError {
  const place = node.place === "" ? "the document" : node.place;
  return new PolicyError(node.code, `${place}: ${problem}`, { place: node.place });
}

function unexpected(node: Node, expected: string): PolicyError {
  return invalid(node, `expected ${expected}, got ${kindOf(node.value)}`);
}

function kindOf(value: JsonValue): string {
  if (value === null) return "null";
  if (typeof value === "object") return value instanceof Map ? "an object" : "a list";
  return typeof value === "number"
    ? "a number"
    : typeof value === "string"
      ? "a string"
      : "a boolean";
}

/** The most bytes a policy document or a file of cases may have. */
export const maxDocumentBytes: number = 4 * 1024 * 1024;
