import { test } from "node:test";
import * as fc from "fast-check";
import { checkPolicy, parsePolicy } from "../src/index.ts";
import type { CompiledPolicy, DecisionRequest } from "../src/index.ts";
import { policyOf } from "./support/policies.ts";

// Few letters, so that rules cover each other often.
const pattern = fc.constantFrom("a", "ab", "b", "a*", "ab*", "*b", "*", "");
const patterns = fc.option(fc.uniqueArray(pattern, { minLength: 1, maxLength: 2 }), {
  nil: undefined,
});
const rule = fc.record({
  source: fc.record({ principals: patterns }),
  request: fc.record({
    paths: patterns,
    headers: fc.option(
      fc.tuple(
        fc.record({
          key: fc.constant("h"),
          values: fc.array(pattern, { minLength: 1, maxLength: 2 }),
        }),
      ),
      { nil: undefined },
    ),
  }),
});
const rules = fc.array(rule, { minLength: 1, maxLength: 4 });
const value = fc.constantFrom("a", "ab", "abb", "b", "x", "");
const request: fc.Arbitrary<DecisionRequest> = fc.record({
  principal: fc.record({
    authenticated: fc.boolean(),
    uriSans: fc.array(value, { maxLength: 1 }),
    dnsSans: fc.array(value, { maxLength: 1 }),
    subject: value,
    organizations: fc.constant([]),
    commonNames: fc.constant([]),
    issuer: fc.constant(""),
  }),
  path: value,
  headers: fc.dictionary(fc.constant("h"), value),
});

const named = (list: readonly object[]): object[] =>
  list.map((each, index) => ({ ...each, name: String(index) }));

test("a rule that is said never to allow never does, and one that adds nothing can go", () => {
  fc.assert(
    fc.property(
      rules,
      rules,
      fc.array(request, { minLength: 20, maxLength: 20 }),
      (deny, allow, all) => {
        const document = { name: "p", deny_rules: named(deny), allow_rules: named(allow) };
        const policy = policyOf(document, { compatibility: "a43" });
        const parsed = parsePolicy(JSON.stringify(document), { compatibility: "a43" });
        return checkPolicy(parsed).every(({ code, place }) => {
          const [, list = "", index = ""] = /^(\w+)\[(\d+)\]$/.exec(place) ?? [];
          if (code === "RULE_NEVER_ALLOWS")
            return all.every(
              (one) => policy.decide(one).rule !== index || !policy.decide(one).allowed,
            );
          if (code !== "RULE_REDUNDANT") return true;
          const rest = named(list === "deny_rules" ? deny : allow).toSpliced(Number(index), 1);
          const without = policyOf({ ...document, [list]: rest }, { compatibility: "a43" });
          return all.every((one) => sameVerdict(policy, without, one));
        });
      },
    ),
    { numRuns: 1000 },
  );
});

function sameVerdict(left: CompiledPolicy, right: CompiledPolicy, asked: DecisionRequest): boolean {
  return left.decide(asked).allowed === right.decide(asked).allowed;
}
