// The same rules as a Cedar policy set, decided by Cedar's own engine (WebAssembly, one call per decision).
import assert from "node:assert/strict";

import { preparsePolicySet, statefulIsAuthorized } from "@cedar-policy/cedar-wasm/nodejs";
import type { DecisionRequest, PolicyDocument, Rule } from "@handfast/policy";

/** A decision function; exact names and paths are in Cedar's scope, where it can rule policies out early. */
export function cedarOf(document: PolicyDocument): (request: DecisionRequest) => boolean {
  assert.equal(document.form, "rules");
  const policies = [
    ...document.denyRules.map((rule) => policyOf("forbid", rule)),
    ...document.allowRules.map((rule) => policyOf("permit", rule)),
  ];
  const id = `bench-${policies.length}`;
  const parsed = preparsePolicySet(id, { staticPolicies: policies.join("\n") });
  assert.equal(parsed.type, "success");
  return ({ principal, path, headers }) => {
    const uri = principal.uriSans[0] ?? "";
    const answer = statefulIsAuthorized({
      principal: { type: "Peer", id: uri },
      action: { type: "Action", id: "call" },
      resource: { type: "Method", id: path },
      context: { uri, path, env: String(headers["x-env"] ?? "") },
      validateRequest: false,
      preparsedPolicySetId: id,
      entities: [],
    });
    assert.equal(answer.type, "success");
    return answer.type === "success" && answer.response.decision === "allow";
  };
}

function policyOf(effect: "permit" | "forbid", rule: Rule): string {
  const exact = (patterns: Rule["paths"]): string | undefined =>
    patterns?.length === 1 && patterns[0]?.kind === "exact" ? patterns[0].literal : undefined;
  const peer = exact(rule.principals);
  const method = exact(rule.paths);
  const scope = [
    peer === undefined ? "principal" : `principal == Peer::${JSON.stringify(peer)}`,
    `action == Action::"call"`,
    method === undefined ? "resource" : `resource == Method::${JSON.stringify(method)}`,
  ];
  const conditions = [
    ...(peer === undefined ? likes("context.uri", rule.principals) : []),
    ...(method === undefined ? likes("context.path", rule.paths) : []),
    ...(rule.headers ?? []).flatMap(({ values }) => likes("context.env", values)),
  ];
  const when = conditions.length === 0 ? "" : ` when { ${conditions.join(" && ")} }`;
  return `${effect}(${scope.join(", ")})${when};`;
}

function likes(attribute: string, patterns: Rule["paths"]): string[] {
  if (patterns === undefined) return [];
  const each = patterns.map(({ kind, literal }) => {
    const text = JSON.stringify(literal).slice(1, -1);
    const before = kind === "suffix" || kind === "present" ? "*" : "";
    const after = kind === "prefix" || kind === "present" ? "*" : "";
    return `${attribute} like "${before}${text}${after}"`;
  });
  return [`(${each.join(" || ")})`];
}
