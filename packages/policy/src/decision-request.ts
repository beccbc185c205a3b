import type { CompiledPolicy, Decision, DecisionRequest } from "./compile.ts";
import { lowerAscii } from "./pattern.ts";
import { readPrincipal } from "./principal.ts";
import type { Node } from "./read-json.ts";
import {
  invalid,
  readDocument,
  readList,
  readNonEmptyList,
  readNonEmptyString,
  readObject,
  readString,
  requireMember,
} from "./read-json.ts";

/**
 * Reads a request from JSON: `{"principal": {...}, "path": "/package.Service/Method", "headers"?: {...}}`.
 * Header names may be in any case.
 *
 * @throws {PolicyError} REQUEST_INVALID
 */
export function parseDecisionRequest(source: string | Uint8Array): DecisionRequest {
  const node = readDocument(source, "REQUEST_INVALID");
  return readRequest(node, readObject(node, requestMembers));
}

/** A request and what the policy has to say about it. */
export interface PolicyCase {
  readonly request: DecisionRequest;
  readonly expect: "allow" | "deny";
  /** The rule that has to decide; undefined where it does not matter, "" for no rule. */
  readonly rule: string | undefined;
  /** Such as `[3]`. */
  readonly place: string;
}

/**
 * Reads test cases: a list of requests, each with `"expect": "allow" | "deny"` and perhaps `"rule"`.
 *
 * @throws {PolicyError} CASES_INVALID
 */
export function parsePolicyCases(source: string | Uint8Array): readonly PolicyCase[] {
  return readNonEmptyList(readDocument(source, "CASES_INVALID")).map((node) => {
    const members = readObject(node, [...requestMembers, "expect", "rule"]);
    const expectNode = requireMember(node, members, "expect");
    const expect = readNonEmptyString(expectNode);
    if (expect !== "allow" && expect !== "deny") {
      throw invalid(expectNode, `expected "allow" or "deny", got ${JSON.stringify(expect)}`);
    }
    const rule = members.get("rule");
    return {
      request: readRequest(node, members),
      expect,
      rule: rule && readString(rule),
      place: node.place,
    };
  });
}

/** What a policy said to one case. */
export interface PolicyCaseResult {
  readonly case: PolicyCase;
  readonly decision: Decision;
  readonly passed: boolean;
}

/** Decides each case; one passes if the verdict is the expected one, by the expected rule. */
export function testPolicy(
  policy: CompiledPolicy,
  cases: readonly PolicyCase[],
): readonly PolicyCaseResult[] {
  return cases.map((each) => {
    const decision = policy.decide(each.request);
    const passed =
      decision.allowed === (each.expect === "allow") &&
      (each.rule === undefined || each.rule === decision.rule);
    return { case: each, decision, passed };
  });
}

function readRequest(node: Node, members: ReadonlyMap<string, Node>): DecisionRequest {
  const headers = members.get("headers");
  return {
    principal: readPrincipal(requireMember(node, members, "principal")),
    path: readString(requireMember(node, members, "path")),
    headers: headers === undefined ? {} : readHeaders(headers),
  };
}

/** Names that differ in case alone are one header, in the order of the document. */
function readHeaders(node: Node): DecisionRequest["headers"] {
  if (!(node.value instanceof Map)) readObject(node, []);
  const headers = Object.create(null) as Record<string, string[]>;
  for (const [name, value] of node.value as ReadonlyMap<string, Node["value"]>) {
    const child = { ...node, value, place: `${node.place}.${name}` };
    const values = Array.isArray(value) ? readList(child).map(readString) : [readString(child)];
    (headers[lowerAscii(name)] ??= []).push(...values);
  }
  return headers;
}

const requestMembers = ["principal", "path", "headers"] as const;
