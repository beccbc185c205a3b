import { compilePolicy, parsePolicy } from "../../src/index.ts";
import type { CompiledPolicy, ParsePolicyOptions, Principal } from "../../src/index.ts";
import { anonymousPrincipal } from "../../src/index.ts";

/** A compiled policy from a document written as a value. */
export function policyOf(document: unknown, options?: ParsePolicyOptions): CompiledPolicy {
  return compilePolicy(parsePolicy(JSON.stringify(document), options));
}

/** A caller with a certificate that has the names given and no others. */
export function caller(names: Partial<Principal>): Principal {
  return { ...anonymousPrincipal, ...names };
}

/** A policy that allows everything but what the deny rules say. */
export function allowBut(
  denyRules: readonly unknown[],
  options?: ParsePolicyOptions,
): CompiledPolicy {
  const document = { name: "p", deny_rules: denyRules, allow_rules: [{ name: "rest" }] };
  return policyOf(document, options);
}

/** A policy that allows what one rule says. */
export function allowing(rule: object, options?: ParsePolicyOptions): CompiledPolicy {
  return policyOf({ name: "p", allow_rules: [{ name: "only", ...rule }] }, options);
}

/** The verdict in one word. */
export function verdict(
  policy: CompiledPolicy,
  request: {
    principal?: Principal;
    path?: string;
    headers?: Record<string, string | readonly string[]>;
  },
): string {
  const { allowed } = policy.decide({
    principal: request.principal ?? caller({ uriSans: ["spiffe://example.org/api"] }),
    path: request.path ?? "/pkg.Service/Method",
    headers: request.headers ?? {},
  });
  return allowed ? "allow" : "deny";
}
