// Time per policy decision with 10, 1,000 and 10,000 rules, beside a linear scan over the same rules
// and beside Cedar (WebAssembly) with the same rules.
//   node --conditions=@handfast/source bench/policy.bench.ts [--rounds 300]
// Familiar callers: 1,024 requests again and again, as a server sees them. Strangers: 16,384 requests,
// each by another caller for another path. Headers: rules that differ in one header value alone.
// The second number is that of the quietest tenth of rounds, for a machine that others use too.
import assert from "node:assert/strict";
import { parseArgs } from "node:util";
import { compilePolicy, parsePolicy } from "@handfast/policy";
import type { CompiledPolicy, DecisionRequest, PolicyDocument, Rule } from "@handfast/policy";
import { cedarOf } from "./policy/cedar.ts";

const { values } = parseArgs({ options: { rounds: { type: "string", default: "300" } } });
const rounds = Number(values.rounds);
const requestsPerRound = 1024;

console.log("median ns per decision (quietest tenth of rounds)");
console.log(
  "   rules        familiar       strangers         headers     linear scan           Cedar",
);
for (const count of [10, 1_000, 10_000]) {
  const text = JSON.stringify(documentOf(count));
  const policy = compilePolicy(parsePolicy(text));
  const byHeader = compilePolicy(parsePolicy(JSON.stringify(headerDocumentOf(count))));
  const scan = linearScan(policy.document);
  const familiar = requests(count, { first: 0, distinct: requestsPerRound });
  const cedar = cedarOf(policy.document);
  for (const request of familiar.slice(0, 64)) {
    assert.equal(cedar(request), scan(request), request.path);
  }
  for (const request of familiar) {
    assert.equal(policy.decide(request).allowed, scan(request), request.path);
  }
  const all = requests(count, { first: 0, distinct: requestsPerRound * 16, strange: true });
  const columns = [
    time((round) => decideAll(policy, slice(familiar, round))),
    time((round) => decideAll(policy, slice(all, round))),
    time((round) => decideAll(byHeader, slice(familiar, round))),
    time((round) => scanSome(scan, slice(familiar, round)), Math.ceil(rounds / 10)),
    time((round) => scanSome(cedar, slice(familiar, round)), Math.ceil(rounds / 20)),
  ];
  const cells = columns.map(({ median, quiet }) =>
    `${median.toFixed(0)} (${quiet.toFixed(0)})`.padStart(14),
  );
  console.log(`${String(count).padStart(8)}  ${cells.join("  ")}`);
}

/** Every caller may call a method of its own: by exact name, by prefix or suffix, some by header too. */
function documentOf(count: number): object {
  return {
    name: "bench",
    deny_rules: [
      { name: "outcast", source: { principals: ["spiffe://example.org/outcast/*"] } },
      { name: "closed", request: { paths: ["/closed.v1.Service/*"] } },
    ],
    allow_rules: Array.from({ length: count }, (_, index) => ({
      name: `rule-${index}`,
      source: { principals: [principalPattern(index)] },
      request: {
        paths: [index % 5 === 0 ? `/team${index}.v1.Service/*` : pathOf(index)],
        ...(index % 10 === 3 ? { headers: [{ key: "x-env", values: ["prod", "test*"] }] } : {}),
      },
    })),
  };
}

/** Every tenant, known by a header, may call everything. */
function headerDocumentOf(count: number): object {
  return {
    name: "bench headers",
    allow_rules: Array.from({ length: count }, (_, index) => ({
      name: `tenant-${index}`,
      request: { headers: [{ key: "x-request-id", values: [String(index)] }] },
    })),
  };
}

function principalPattern(index: number): string {
  if (index % 7 === 0) return `spiffe://example.org/team${index}/*`;
  if (index % 11 === 0) return `*.team${index}.example.org`;
  return `spiffe://example.org/service/${index}`;
}

function requests(
  count: number,
  options: { first: number; distinct: number; strange?: boolean },
): DecisionRequest[] {
  return Array.from({ length: options.distinct }, (_, number) => {
    const index = (number * 7919 + options.first) % count;
    const strange = options.strange === true ? `/${number}` : "";
    const principal = {
      authenticated: true,
      uriSans: [received(uriOf(index) + strange)],
      dnsSans: [received(`host${number}.example.org`)],
      subject: received(`CN=host${number}`),
      organizations: [],
      commonNames: [],
      issuer: "CN=Example CA",
    };
    const headers = {
      "x-env": "prod",
      "user-agent": "bench",
      "x-request-id": received(String(number)),
    };
    return { principal, path: received(pathOf(index) + strange), headers };
  });
}

/** Text as it comes from a certificate or a wire: decoded from bytes, not pieced together. */
function received(text: string): string {
  return Buffer.from(text).toString("latin1");
}

function uriOf(index: number): string {
  const team = index % 7 === 0;
  return team ? `spiffe://example.org/team${index}/a` : `spiffe://example.org/service/${index}`;
}

function pathOf(index: number): string {
  return `/team${index % 5 === 0 ? index : index % 50}.v1.Service/Method${index}`;
}

function slice(all: readonly DecisionRequest[], round: number): readonly DecisionRequest[] {
  const from = (round * requestsPerRound) % all.length;
  return all.slice(from, from + requestsPerRound);
}

function decideAll(policy: CompiledPolicy, asked: readonly DecisionRequest[]): number {
  for (const request of asked) policy.decide(request);
  return asked.length;
}

/** A scan over thousands of rules is slow: a few requests are enough. */
function scanSome(
  scan: (request: DecisionRequest) => boolean,
  asked: readonly DecisionRequest[],
): number {
  const some = asked.slice(0, 64);
  for (const request of some) scan(request);
  return some.length;
}

/** The rules one by one, with the checks in the cheapest order. */
function linearScan(document: PolicyDocument): (request: DecisionRequest) => boolean {
  assert.equal(document.form, "rules");
  const { denyRules, allowRules } = document;
  return (request) =>
    !denyRules.some((rule) => applies(rule, request)) &&
    allowRules.some((rule) => applies(rule, request));
}

function applies(rule: Rule, { principal, path, headers }: DecisionRequest): boolean {
  return (
    (rule.paths?.some((pattern) => fits(pattern, path)) ?? true) &&
    (rule.principals?.some((pattern) => principal.uriSans.some((uri) => fits(pattern, uri))) ??
      true) &&
    (rule.headers?.every(({ key, values }) => {
      const value = headers[key];
      return typeof value === "string" && values.some((pattern) => fits(pattern, value));
    }) ??
      true)
  );
}

function fits({ kind, literal }: { kind: string; literal: string }, value: string): boolean {
  if (kind === "exact") return value === literal;
  if (kind === "prefix") return value.startsWith(literal);
  return kind === "suffix" ? value.endsWith(literal) : value !== "";
}

/** The median and 10th percentile over rounds of the time per decision, after a warm-up. */
function time(
  run: (round: number) => number,
  count: number = rounds,
): { median: number; quiet: number } {
  for (let round = 0; round < Math.ceil(count / 4); round++) run(round);
  const each: number[] = [];
  for (let round = 0; round < count; round++) {
    const start = process.hrtime.bigint();
    const decided = run(round);
    each.push(Number(process.hrtime.bigint() - start) / decided);
  }
  each.sort((left, right) => left - right);
  const at = (part: number): number => each[Math.floor(each.length * part)] ?? Number.NaN;
  return { median: at(0.5), quiet: at(0.1) };
}
