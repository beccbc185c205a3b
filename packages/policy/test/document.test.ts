import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { parsePolicy, PolicyError } from "../src/index.ts";

const rule = { name: "r" };
const withRule = (change: object): object => ({ name: "p", allow_rules: [{ ...rule, ...change }] });
const withHeader = (header: unknown): object => withRule({ request: { headers: [header] } });

test("reads a whole A43 document", () => {
  const text = JSON.stringify({
    name: "bank",
    deny_rules: [{ name: "no-kiosk", source: { principals: ["spiffe://example.org/kiosk"] } }],
    allow_rules: [
      {
        name: "tellers",
        source: { principals: ["spiffe://example.org/teller/*", "*.example.org", "*", ""] },
        request: {
          paths: ["/bank.v1.BankService/*"],
          headers: [{ key: "X-Env", values: ["prod", "*"] }],
        },
      },
      { name: "open", source: {}, request: {} },
    ],
  });
  const document = parsePolicy(Buffer.from(text));
  assert.deepEqual(document, {
    form: "rules",
    name: "bank",
    version: createHash("sha256").update(text).digest("hex"),
    auditLogging: { condition: "NONE", loggers: [] },
    denyRules: [
      {
        name: "no-kiosk",
        principals: [{ kind: "exact", literal: "spiffe://example.org/kiosk" }],
        paths: undefined,
        headers: undefined,
      },
    ],
    allowRules: [
      {
        name: "tellers",
        principals: [
          { kind: "prefix", literal: "spiffe://example.org/teller/" },
          { kind: "suffix", literal: ".example.org" },
          { kind: "present", literal: "" },
          { kind: "exact", literal: "" },
        ],
        paths: [{ kind: "prefix", literal: "/bank.v1.BankService/" }],
        headers: [
          {
            key: "x-env",
            values: [
              { kind: "exact", literal: "prod" },
              { kind: "present", literal: "" },
            ],
          },
        ],
      },
      { name: "open", principals: undefined, paths: undefined, headers: undefined },
    ],
  });
  assert.deepEqual(parsePolicy(text), document);
});

test("S28: an invalid document is refused, and the message begins with the place", () => {
  const refused: [place: string, problem: RegExp, document: unknown][] = [
    ["", /expected an object, got a list/, []],
    ["", /expected an object, got null/, null],
    ["name", /missing/, {}],
    ["name", /expected a string, got a number/, { name: 1, allow_rules: [rule] }],
    ["name", /not empty/, { name: "", allow_rules: [rule] }],
    ["allow_rules", /missing/, { name: "p" }],
    ["allow_rules", /missing/, { name: "p", deny_rules: [rule] }],
    ["allow_rules", /an empty list/, { name: "p", allow_rules: [] }],
    ["allow_rules", /expected a list, got an object/, { name: "p", allow_rules: {} }],
    ["deny_rules", /an empty list/, { name: "p", deny_rules: [], allow_rules: [rule] }],
    [
      "deny_rules",
      /expected a list, got null/,
      { name: "p", deny_rules: null, allow_rules: [rule] },
    ],
    ["allow_rule", /unknown field/, { name: "p", allow_rules: [rule], allow_rule: [] }],
    ["allow_rules[0]", /expected an object, got a string/, { name: "p", allow_rules: ["r"] }],
    ["allow_rules[0].name", /missing/, { name: "p", allow_rules: [{}] }],
    ["allow_rules[0].name", /not empty/, withRule({ name: "" })],
    ["allow_rules[0].effect", /unknown field/, withRule({ effect: "deny" })],
    ["allow_rules[0].source", /expected an object, got null/, withRule({ source: null })],
    ["allow_rules[0].source.principal", /unknown/, withRule({ source: { principal: ["a"] } })],
    ["allow_rules[0].source.principals", /empty list/, withRule({ source: { principals: [] } })],
    [
      "allow_rules[0].source.principals[1]",
      /expected a string, got a boolean/,
      withRule({ source: { principals: ["a", true] } }),
    ],
    ["allow_rules[0].request.method", /unknown field/, withRule({ request: { method: "x" } })],
    ["allow_rules[0].request.paths", /an empty list/, withRule({ request: { paths: [] } })],
    ["allow_rules[0].request.paths[0]", /a number/, withRule({ request: { paths: [1] } })],
    ["allow_rules[0].request.headers", /an empty list/, withRule({ request: { headers: [] } })],
    ["allow_rules[0].request.headers[0].key", /missing/, withHeader({ values: ["a"] })],
    ["allow_rules[0].request.headers[0].key", /not empty/, withHeader({ key: "", values: ["a"] })],
    [
      "allow_rules[0].request.headers[0].key",
      /cannot be/,
      withHeader({ key: "a b", values: ["a"] }),
    ],
    ["allow_rules[0].request.headers[0].values", /missing/, withHeader({ key: "a" })],
    [
      "allow_rules[0].request.headers[0].values",
      /empty list/,
      withHeader({ key: "a", values: [] }),
    ],
    ["allow_rules[0].request.headers[0].name", /unknown/, withHeader({ name: "a", values: ["a"] })],
    [
      "allow_rules[1].request.headers[0].key",
      /belongs to the transport/,
      {
        name: "p",
        allow_rules: [
          rule,
          { name: "s", request: { headers: [{ key: "grpc-x", values: ["a"] }] } },
        ],
      },
    ],
  ];
  for (const [place, problem, document] of refused) {
    const error = errorOf(JSON.stringify(document));
    assert.equal(error.code, "POLICY_INVALID");
    assert.equal(error.place, place, JSON.stringify(document));
    assert.ok(
      error.message.startsWith(`${place === "" ? "the document" : place}: `),
      error.message,
    );
    assert.match(error.message, problem);
  }
});

test("headers of the transport cannot be used, in any case", () => {
  const reserved = [
    ":path",
    ":authority",
    "grpc-timeout",
    "GRPC-Status",
    "host",
    "Host",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "Upgrade",
  ];
  for (const key of reserved) {
    const { place, message } = errorOf(JSON.stringify(withHeader({ key, values: ["*"] })));
    assert.equal(place, "allow_rules[0].request.headers[0].key");
    assert.match(message, /belongs to the transport/);
  }
  parsePolicy(JSON.stringify(withHeader({ key: "hostname", values: ["*"] })));
  parsePolicy(JSON.stringify(withHeader({ key: "grpc", values: ["*"] })));
});

test("S31: of a binary header a rule can only ask that it is there", () => {
  for (const value of ["abc", "abc*", "*abc", ""]) {
    const { place } = errorOf(
      JSON.stringify(withHeader({ key: "token-bin", values: ["*", value] })),
    );
    assert.equal(place, "allow_rules[0].request.headers[0].values[1]");
  }
  parsePolicy(JSON.stringify(withHeader({ key: "Token-Bin", values: ["*"] })));
});

test("S34: names are unique within a list, and free between lists", () => {
  const lists = { name: "p", deny_rules: [rule], allow_rules: [rule] };
  parsePolicy(JSON.stringify(lists));
  for (const list of ["deny_rules", "allow_rules"]) {
    const twice = { ...lists, [list]: [rule, { name: "other" }, rule] };
    const error = errorOf(JSON.stringify(twice));
    assert.equal(error.place, `${list}[2].name`);
    assert.equal(error.message, `${list}[2].name: "r" is the name of ${list}[0] already`);
  }
});

test("S32: a document that parsers would read differently is refused whole", () => {
  const good = '"allow_rules":[{"name":"r"}]';
  const refused: [source: string | Uint8Array, problem: RegExp][] = [
    [
      `{"name":"p","deny_rules":[{"name":"d"}],"deny_rules":[{"name":"e"}],${good}}`,
      /"deny_rules" is there twice/,
    ],
    [`{"name":"p","__proto__":{},${good}}`, /"__proto__" is not allowed/],
    [`{"name":"p",${good}}{}`, /line 1, column \d+: expected the end/],
    [`{"name":"p",${good}}garbage`, /expected the end/],
    [`{"name":"p",${good},"x":${"[".repeat(20)}${"]".repeat(20)}}`, /at most 20 levels/],
    [`{"name":"p",${good}}${" ".repeat(4 * 1024 * 1024)}`, /expected at most 4194304 bytes, got/],
    [
      Buffer.concat([Buffer.from(`{"name":"p`), Buffer.of(0xc3), Buffer.from(`",${good}}`)]),
      /UTF-8/,
    ],
    ["", /expected a value, got the end/],
  ];
  for (const [source, problem] of refused) {
    const error = errorOf(source);
    assert.equal(error.code, "POLICY_INVALID");
    assert.match(error.message, problem);
  }
});

test("S29: patterns that match more than they seem to are refused, unless asked for", () => {
  const principals: [pattern: string, problem: RegExp, several: boolean][] = [
    ["*,O=Bank", /star in the name of a subject/, false],
    ["CN=alice*", /star in the name of a subject/, false],
    ["CN=al*ce", /star in the name of a subject/, false],
    ["spiffe://example.org*", /other trust domains/, false],
    ["spiffe://*", /other trust domains/, false],
    ["spiffe:*", /other trust domains/, false],
    ["spiffe:///*", /other trust domains/, false],
    ["*/admin", /in every trust domain/, true],
    ["*.example.org", /in every trust domain/, true],
  ];
  const trustDomains = ["example.org", "partner.example"];
  for (const [pattern, problem, several] of principals) {
    const text = JSON.stringify(withRule({ source: { principals: ["ok", pattern] } }));
    const { place, message } = errorOf(text, several ? { trustDomains } : {});
    assert.equal(place, "allow_rules[0].source.principals[1]", pattern);
    assert.match(message, problem);
    parsePolicy(text, { compatibility: "a43", trustDomains });
  }
  const fine = ["spiffe://example.org/*", "*/admin", "CN=alice,O=Bank", "*", "a*b", "*a*"];
  parsePolicy(JSON.stringify(withRule({ source: { principals: fine } })));
  parsePolicy(JSON.stringify(withRule({ source: { principals: fine } })), {
    trustDomains: ["example.org"],
  });
  // The rule is about principals: paths and header values have no such meaning.
  parsePolicy(JSON.stringify(withHeader({ key: "a", values: ["b=*"] })));
});

test("audit_logging_options are read, and refused where they are unclear", () => {
  const audited = (options: unknown): string =>
    JSON.stringify({ name: "p", allow_rules: [rule], audit_logging_options: options });
  const { auditLogging } = parsePolicy(
    audited({
      audit_condition: "ON_DENY",
      audit_loggers: [{ name: "stdout" }, { name: "chain", config: { a: 1 }, is_optional: true }],
    }),
  );
  assert.deepEqual(auditLogging, {
    condition: "ON_DENY",
    loggers: [
      {
        name: "stdout",
        config: new Map(),
        isOptional: false,
        place: "audit_logging_options.audit_loggers[0]",
      },
      {
        name: "chain",
        config: new Map([["a", 1]]),
        isOptional: true,
        place: "audit_logging_options.audit_loggers[1]",
      },
    ],
  });
  assert.deepEqual(parsePolicy(audited({})).auditLogging, { condition: "NONE", loggers: [] });
  const at = "audit_logging_options";
  const refused: [place: string, options: unknown][] = [
    [at, []],
    [`${at}.audit_condition`, { audit_condition: "ALWAYS" }],
    [`${at}.audit_condition`, { audit_condition: 3 }],
    [`${at}.audit_loggers[0].name`, { audit_loggers: [{}] }],
    [`${at}.audit_loggers[0].name`, { audit_loggers: [{ name: "" }] }],
    [`${at}.audit_loggers[0].config`, { audit_loggers: [{ name: "a", config: [] }] }],
    [`${at}.audit_loggers[0].is_optional`, { audit_loggers: [{ name: "a", is_optional: 1 }] }],
    [`${at}.audit_loggers[0].typed_config`, { audit_loggers: [{ name: "a", typed_config: {} }] }],
  ];
  for (const [place, options] of refused) assert.equal(errorOf(audited(options)).place, place);
});

function errorOf(
  source: string | Uint8Array,
  options?: Parameters<typeof parsePolicy>[1],
): PolicyError {
  try {
    parsePolicy(source, options);
  } catch (thrown) {
    assert.ok(thrown instanceof PolicyError, String(thrown));
    return thrown;
  }
  return assert.fail(`not refused: ${Buffer.from(source).toString().slice(0, 200)}`);
}
