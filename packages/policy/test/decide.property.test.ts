import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import type { DecisionRequest, Principal } from "../src/index.ts";
import { covers, matches, parsePattern } from "../src/pattern.ts";
import { policyOf } from "./support/policies.ts";

// Few letters, so that patterns and values meet often.
const word = fc.string({ unit: fc.constantFrom("a", "b", "A", "/", "*"), maxLength: 4 });
const words = fc.array(word, { minLength: 1, maxLength: 3 });
const key = fc.constantFrom("h", "g", "constructor");
const optional = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined });

interface PlainRule {
  readonly source?: { readonly principals?: readonly string[] | undefined } | undefined;
  readonly request?:
    | {
        readonly paths?: readonly string[] | undefined;
        readonly headers?:
          | readonly { readonly key: string; readonly values: readonly string[] }[]
          | undefined;
      }
    | undefined;
}

const rule: fc.Arbitrary<PlainRule> = fc.record({
  source: optional(fc.record({ principals: optional(words) })),
  request: optional(
    fc.record({
      paths: optional(fc.oneof(words, fc.array(word, { minLength: 9, maxLength: 12 }))),
      headers: optional(
        fc.array(fc.record({ key, values: words }), { minLength: 1, maxLength: 3 }),
      ),
    }),
  ),
});
const rules = fc.array(rule, { minLength: 1, maxLength: 8 });
// Enough for the index to divide them by one kind of thing after another.
const manyRules = fc.array(rule, { maxLength: 40 });

const names = fc.array(word, { maxLength: 3 });
const principal: fc.Arbitrary<Principal> = fc.record({
  authenticated: fc.boolean(),
  uriSans: names,
  dnsSans: names,
  subject: word,
  organizations: names,
  commonNames: names,
  issuer: word,
});
const request: fc.Arbitrary<DecisionRequest> = fc.record({
  principal,
  path: word,
  headers: fc.dictionary(key, fc.oneof(word, names), { maxKeys: 3 }),
});

const compile = (
  deny: readonly PlainRule[],
  allow: readonly PlainRule[],
): ReturnType<typeof policyOf> =>
  policyOf(
    {
      name: "p",
      ...(deny.length === 0 ? {} : { deny_rules: named(deny) }),
      allow_rules: named(allow),
    },
    { compatibility: "a43" },
  );
const named = (list: readonly PlainRule[]): object[] =>
  list.map((plain, index) => ({ ...plain, name: String(index) }));

test("decides as the specification reads, rule by rule", () => {
  fc.assert(
    fc.property(manyRules, fc.tuple(manyRules, rules), request, (deny, [more, some], asked) => {
      const allow = [...more, ...some];
      const denied = deny.findIndex((each) => matchesPlainly(each, asked, "deny"));
      const allowed = allow.findIndex((each) => matchesPlainly(each, asked, "allow"));
      const expected = denied >= 0 ? [false, denied] : [allowed >= 0, allowed];
      const { allowed: verdict, rule: by } = compile(deny, allow).decide(asked);
      assert.deepEqual([verdict, by === "" ? -1 : Number(by)], expected);
    }),
    { numRuns: 1500 },
  );
});

test("deny always wins", () => {
  fc.assert(
    fc.property(rules, rules, request, (deny, allow, asked) => {
      const hit = compile([], deny).decide({ ...asked, principal: singleKind(asked.principal) });
      const both = compile(deny, allow).decide({
        ...asked,
        principal: singleKind(asked.principal),
      });
      return !(hit.allowed && both.allowed);
    }),
  );
});

test("another allow rule never takes an allow away", () => {
  fc.assert(
    fc.property(rules, rules, rule, request, (deny, allow, more, asked) => {
      const before = compile(deny, allow).decide(asked).allowed;
      return !before || compile(deny, [more, ...allow]).decide(asked).allowed;
    }),
  );
});

test("the order of rules never matters for the verdict", () => {
  const shuffled = rules.chain((list) =>
    fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length })),
  );
  fc.assert(
    fc.property(shuffled, shuffled, request, ([deny, deny2], [allow, allow2], asked) => {
      const first = compile(deny, allow).decide(asked);
      const second = compile(deny2, allow2).decide(asked);
      assert.deepEqual([first.allowed, first.reason], [second.allowed, second.reason]);
    }),
  );
});

test("S26: an extra name in a certificate never lifts a deny", () => {
  fc.assert(
    fc.property(rules, request, names, names, (deny, asked, uriSans, dnsSans) => {
      const policy = compile(deny, [{}]);
      // "" stands for no certificate at all, which more names are bound to change.
      fc.pre(asked.principal.subject !== "" || !asked.principal.authenticated);
      const more = {
        ...asked.principal,
        uriSans: [...uriSans, ...asked.principal.uriSans],
        dnsSans: [...asked.principal.dnsSans, ...dnsSans],
      };
      const before = policy.decide(asked).reason;
      return before !== "deny-rule" || !policy.decide({ ...asked, principal: more }).allowed;
    }),
  );
});

test("hostile principals and headers never throw", () => {
  const policy = compile(
    [{ source: { principals: ["a*", "*b"] } }],
    [{ request: { paths: ["*"], headers: [{ key: "h", values: ["a*"] }] } }],
  );
  fc.assert(
    fc.property(
      fc.anything({ withNullPrototype: true }),
      fc.anything(),
      fc.anything(),
      (a, b, c) => {
        const asked = { principal: a, path: b, headers: c } as DecisionRequest;
        const whole = a as DecisionRequest;
        return !policy.decide(asked).allowed || !policy.decide(whole).allowed;
      },
    ),
  );
});

test("a pattern that covers another matches whatever that one matches", () => {
  fc.assert(
    fc.property(word, word, word, (wide, narrow, value) => {
      const [outer, inner] = [parsePattern(wide), parsePattern(narrow)];
      return !covers(outer, inner) || !matches(inner, value) || matches(outer, value);
    }),
    { numRuns: 2000 },
  );
});

/** The specification once more, by the book and without an index. */
function matchesPlainly(
  plain: PlainRule,
  { principal, path, headers }: DecisionRequest,
  list: "deny" | "allow",
): boolean {
  const { principals } = plain.source ?? {};
  const { paths, headers: wanted } = plain.request ?? {};
  return (
    (principals === undefined || principals.some((text) => isCalled(principal, text, list))) &&
    (paths === undefined || paths.some((text) => plainMatch(text, path))) &&
    (wanted ?? []).every(({ key, values }) => {
      const sent = new Map(Object.entries(headers)).get(key);
      return sent !== undefined && values.some((text) => plainMatch(text, [sent].flat().join(",")));
    })
  );
}

function isCalled(principal: Principal, text: string, list: "deny" | "allow"): boolean {
  const { authenticated, uriSans, dnsSans, subject } = principal;
  if (!authenticated) return false;
  const kinds: boolean[][] = [
    uriSans.map((name) => name !== "" && plainMatch(text, name)),
    dnsSans.map((name) => name !== "" && plainMatch(text.toLowerCase(), name.toLowerCase())),
  ];
  if (subject !== "") kinds.push([plainMatch(text, subject)]);
  const present = kinds.filter((kind) => kind.length > 0);
  if (present.length === 0) return text === "";
  return list === "deny" ? present.flat().includes(true) : (present[0] ?? []).includes(true);
}

function plainMatch(text: string, value: string): boolean {
  if (text === "*") return value !== "";
  if (text.endsWith("*")) return value.startsWith(text.slice(0, -1));
  if (text.startsWith("*")) return value.endsWith(text.slice(1));
  return value === text;
}

/** A principal whose allow and deny names are the same. */
function singleKind(principal: Principal): Principal {
  return { ...principal, uriSans: [], dnsSans: [] };
}
