import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  createName,
  parseName,
  verifyChain,
  type Certificate,
  type NameConstraintsInput,
  type SubjectAltNameInput,
} from "@handfast/x509";
import { context, DerReader, encodeDer, oid, primitive, sequence, TAG } from "../src/der.ts";
import { groupNames, type GeneralName } from "../src/general-name.ts";
import { createNameConstraintChecks } from "../src/name-constraints.ts";
import {
  encodeNameConstraints,
  readNameConstraints,
  type NameConstraints,
} from "../src/name-constraints-extension.ts";
import { OID } from "../src/oid.ts";
import { craftCa, craftLeaf, extensionOf, NOW, type Crafted, type CraftOptions } from "./craft.ts";

const root = craftCa();

/** What a CA with these constraints makes of a leaf with these names. */
function judge(
  constraints: NameConstraintsInput,
  names: SubjectAltNameInput,
  subject = "",
): string {
  return problemOf(read(constraints), stub({ names, subject })) ?? "fine";
}

const PERMITTED = "fine";
const EXCLUDED = /is excluded$/;
const NOT_PERMITTED = /is not permitted$/;

/** [constraint, name, whether the constraint covers the name]. */
type Row = readonly [constraint: string, name: string, covers: boolean];

function bothWays(kind: "dns" | "email" | "uri" | "ip", rows: readonly Row[]): void {
  for (const [constraint, name, covers] of rows) {
    const names = { [kind]: [name] };
    const within = judge({ permitted: { [kind]: [constraint] } }, names);
    const without = judge({ excluded: { [kind]: [constraint] } }, names);
    assert.match(within, covers ? /^fine$/ : NOT_PERMITTED, `${name} permitted by ${constraint}`);
    assert.match(without, covers ? EXCLUDED : /^fine$/, `${name} excluded by ${constraint}`);
  }
}

describe("name constraints (RFC 5280 4.2.1.10)", () => {
  test("a DNS domain covers itself and what has labels before it", () => {
    bothWays("dns", [
      ["example.com", "example.com", true],
      ["example.com", "EXAMPLE.com", true],
      ["Example.Com", "a.b.example.com", true],
      ["example.com", "notexample.com", false],
      ["example.com", "example.com.evil.test", false],
      ["example.com", "com", false],
      ["a.example.com", "example.com", false],
      ["", "anything.test", true],
    ]);
  });

  test("a wildcard is judged by every name it stands for", () => {
    const labels = ["a", "b"];
    const domains = (depth: number): string[] =>
      depth === 1
        ? labels
        : [...labels, ...labels.flatMap((l) => domains(depth - 1).map((d) => `${l}.${d}`))];
    const covers = (domain: string, name: string): boolean =>
      name === domain || name.endsWith(`.${domain}`);
    let cases = 0;
    for (const domain of domains(4)) {
      for (const parent of domains(3)) {
        // "x" stands for all the labels that no constraint mentions.
        const meant = ["a", "b", "x"].map((label) => `${label}.${parent}`);
        const name = { dns: [`*.${parent}`] };
        const all = meant.every((one) => covers(domain, one));
        const some = meant.some((one) => covers(domain, one));
        assert.equal(judge({ permitted: { dns: [domain] } }, name) === PERMITTED, all);
        assert.equal(judge({ excluded: { dns: [domain] } }, name) === PERMITTED, !some);
        cases++;
      }
    }
    assert.equal(cases, 30 * 14);
  });

  test("a mailbox, a host, or a domain with a leading dot", () => {
    bothWays("email", [
      ["ann@example.com", "ann@example.com", true],
      ["ann@example.com", "ann@EXAMPLE.com", true],
      ["ann@example.com", "Ann@example.com", false],
      ["ann@example.com", "bob@example.com", false],
      ["ann@example.com", '"ann"@example.com', true],
      ["*@example.com", "ann@example.com", false],
      ["*@example.com", "*@example.com", true],
      ["example.com", "ann@example.com", true],
      ["example.com", "ann@mail.example.com", false],
      [".example.com", "ann@mail.example.com", true],
      [".example.com", "ann@example.com", false],
      [".example.com", "ann@notexample.com", false],
      ["", "ann@example.com", true],
    ]);
  });

  test("S46: URI constraints bind the host, exactly or below a leading dot, and never the path", () => {
    bothWays("uri", [
      ["td.example", "spiffe://td.example/api", true],
      ["td.example", "spiffe://TD.example/other/path", true],
      ["td.example", "https://ann@td.example:8443/api", true],
      ["td.example", "spiffe://a.td.example/api", false],
      ["td.example", "https://evil.test@other.example/td.example", false],
      [".td.example", "https://a.td.example/", true],
      [".td.example", "https://a.b.td.example/", true],
      [".td.example", "https://td.example/", false],
      ["", "https://td.example/", true],
    ]);
  });

  test("S46: a URI whose host is no name is refused under any URI constraint", () => {
    for (const uri of ["https://192.0.2.1/", "https://[2001:db8::1]/", "https://a%2eb.example/"]) {
      for (const constraints of [
        { permitted: { uri: [""] } },
        { excluded: { uri: ["x.example"] } },
      ]) {
        assert.match(judge(constraints, { uri: [uri] }), /has no host name to be judged by$/);
      }
      assert.equal(judge({ permitted: { dns: ["x.example"] } }, { uri: [uri] }), PERMITTED);
    }
  });

  test("IP ranges cover addresses of their own family", () => {
    bothWays("ip", [
      ["192.0.2.0/24", "192.0.2.255", true],
      ["192.0.2.0/24", "192.0.3.0", false],
      ["192.0.2.128/25", "192.0.2.127", false],
      ["0.0.0.0/0", "203.0.113.9", true],
      ["192.0.2.1/32", "192.0.2.1", true],
      ["2001:db8::/33", "2001:db8:7fff::1", true],
      ["2001:db8::/33", "2001:db8:8000::1", false],
      ["0.0.0.0/0", "::1", false],
      ["::/0", "127.0.0.1", false],
    ]);
  });

  test("directory names are compared from the front, for subject and alternative names", () => {
    const bank = { directory: [parseName("O=Bank,C=DE")] };
    const rows: readonly [subject: string, covers: boolean][] = [
      ["CN=api,O=Bank,C=DE", true],
      ["CN=api,O=  bank ,C=DE", true],
      ["O=Bank,C=DE", true],
      ["O=Bank", false],
      ["O=Bank,CN=api,C=DE", false],
      ["CN=api,O=Banker,C=DE", false],
    ];
    for (const [subject, covers] of rows) {
      assert.match(judge({ permitted: bank }, {}, subject), covers ? /^fine$/ : NOT_PERMITTED);
      assert.match(judge({ excluded: bank }, {}, subject), covers ? EXCLUDED : /^fine$/);
      const inside = stub({ directory: subject, subject: "CN=ok,O=Bank,C=DE" });
      assert.match(
        problemOf(read({ permitted: bank }), inside) ?? "fine",
        covers ? /^fine$/ : NOT_PERMITTED,
      );
    }
    assert.equal(judge({ permitted: bank }, { dns: ["a.example"] }), PERMITTED);
    const everything = { directory: [createName([])] };
    assert.match(judge({ excluded: everything }, {}, "CN=api"), EXCLUDED);
    assert.equal(judge({ permitted: everything }, {}, "CN=api"), PERMITTED);
  });

  test("an email address in the subject counts where there is no alternative name", () => {
    const value = encodeDer(primitive(TAG.ia5String, Buffer.from("b@evil.test")));
    const mail = parseName(`1.2.840.113549.1.9.1=#${Buffer.from(value).toString("hex")}`);
    const constraints = read({ permitted: { email: ["good.test"] } });
    assert.match(problemOf(constraints, stub({ subject: mail.text })) ?? "", NOT_PERMITTED);
    const named = stub({ subject: mail.text, names: { dns: ["a.test"] } });
    assert.equal(problemOf(constraints, named), undefined);
  });

  test("a name of each kind must be in order, excluded goes before permitted", () => {
    const constraints = {
      permitted: { dns: ["example.com"], ip: ["192.0.2.0/24"] },
      excluded: { dns: ["secret.example.com"] },
    };
    assert.equal(judge(constraints, { dns: ["a.example.com"], ip: ["192.0.2.1"] }), PERMITTED);
    assert.match(judge(constraints, { dns: ["a.example.com", "b.test"] }), NOT_PERMITTED);
    assert.match(judge(constraints, { dns: ["x.secret.example.com"] }), EXCLUDED);
    assert.match(judge(constraints, { dns: ["a.example.com"], ip: ["10.0.0.1"] }), NOT_PERMITTED);
    assert.equal(judge(constraints, { uri: ["spiffe://td/x"], email: ["a@b"] }), PERMITTED);
  });

  test("a kind that cannot be judged is refused where it is constrained, and only there", () => {
    const base = context(0, [
      oid("1.2.3.4"),
      context(0, [primitive(TAG.utf8String, Buffer.from("x"))]),
    ]);
    const other = readNameConstraints(
      new DerReader(encodeDer(sequence([context(1, [sequence([base])])]))),
    );
    const name: GeneralName = { type: "other", oid: "1.2.3.5", value: new Uint8Array([5, 0]) };
    assert.match(problemOf(other, stub({ all: [name] })) ?? "", /a kind that is constrained/);
    assert.equal(problemOf(other, stub({ names: { dns: ["a.example"] } })), undefined);
    assert.equal(problemOf(read({ permitted: { dns: ["x"] } }), stub({ all: [name] })), undefined);
  });

  test("S45: 250,000 comparisons and no more", () => {
    const dns = Array.from({ length: 500 }, (_, i) => `h${i}.example`);
    const constraints = read({ excluded: { dns: dns.map((name) => `x.${name}`) } });
    const exact = createNameConstraintChecks(250_000);
    assert.equal(exact.problem(constraints, stub({ names: { dns } })), undefined);
    const more = stub({ names: { dns: [...dns, "one.more"] } });
    const problem = createNameConstraintChecks(250_000).problem(constraints, more);
    assert.match(problem ?? "", /more names and constraints than are compared/);
  });
});

describe("name constraints along a path", () => {
  const constrained = craftCa({
    subject: "CN=Constrained",
    by: root,
    nameConstraints: { permitted: { dns: ["example.com"] } },
  });
  const inside = { names: { dns: ["a.example.com"] } };
  const outside = { names: { dns: ["a.example.org"] } };

  test("every CA's constraints bind everything below it, anchors' too", () => {
    const below = craftCa({ subject: "CN=Below", by: constrained });
    assert.equal(verdictOn(craftLeaf(below, inside), [constrained, below]), "ok");
    const wrong = "CERTIFICATE_VERIFICATION_FAILED";
    assert.equal(verdictOn(craftLeaf(below, outside), [constrained, below]), wrong);
    const leaf = craftLeaf(constrained, outside);
    assert.equal(verdictOn(leaf, [], { anchor: constrained }), wrong);
  });

  test("a CA below narrows and cannot widen", () => {
    const narrower = craftCa({
      subject: "CN=Narrower",
      by: constrained,
      nameConstraints: { permitted: { dns: ["b.example.com", "example.org"] } },
    });
    const path = [constrained, narrower];
    const names = (dns: string): CraftOptions => ({ names: { dns: [dns] } });
    assert.equal(verdictOn(craftLeaf(narrower, names("b.example.com")), path), "ok");
    for (const dns of ["a.example.com", "example.org"]) {
      const leaf = craftLeaf(narrower, names(dns));
      assert.equal(verdictOn(leaf, path), "CERTIFICATE_VERIFICATION_FAILED");
    }
  });

  test("a CA's own names are bound, a self-issued CA's are not, a self-issued leaf's are", () => {
    const strayed = craftCa({ subject: "CN=Strayed", by: constrained, ...outside });
    const rolled = craftCa({ subject: "CN=Constrained", by: constrained, ...outside });
    const wrong = "CERTIFICATE_VERIFICATION_FAILED";
    assert.equal(verdictOn(craftLeaf(strayed, inside), [constrained, strayed]), wrong);
    assert.equal(verdictOn(craftLeaf(rolled, inside), [constrained, rolled]), "ok");
    const leaf = craftLeaf(constrained, { subject: "CN=Constrained", ...outside });
    assert.equal(verdictOn(leaf, [constrained]), wrong);
  });

  test("are obeyed whether or not they are marked critical", () => {
    const value = encodeNameConstraints({ permitted: { dns: ["example.com"] } });
    const quiet = craftCa({
      subject: "CN=Quiet",
      by: root,
      more: [extensionOf(OID.nameConstraints, value, false)],
    });
    assert.equal(verdictOn(craftLeaf(quiet, inside), [quiet]), "ok");
    const wrong = craftLeaf(quiet, outside);
    assert.equal(verdictOn(wrong, [quiet]), "CERTIFICATE_VERIFICATION_FAILED");
  });
});

function verdictOn(
  leaf: Crafted,
  candidates: readonly Crafted[],
  { anchor = root }: { anchor?: Crafted } = {},
): string {
  const verdict = verifyChain(
    { leaf: leaf.certificate, candidates: candidates.map(({ certificate }) => certificate) },
    { anchors: [anchor.certificate], now: NOW, purpose: "server" },
  );
  return verdict.ok ? "ok" : verdict.reason;
}

function problemOf(constraints: NameConstraints, certificate: Certificate): string | undefined {
  return createNameConstraintChecks(1_000_000).problem(constraints, certificate);
}

function read(input: NameConstraintsInput): NameConstraints {
  return readNameConstraints(new DerReader(encodeDer(encodeNameConstraints(input))));
}

/** As much of a certificate as its names are. */
function stub(parts: {
  readonly names?: SubjectAltNameInput;
  readonly subject?: string;
  readonly directory?: string;
  readonly all?: readonly GeneralName[];
}): Certificate {
  const { names = {}, subject = "", directory, all = [] } = parts;
  const list: GeneralName[] = [
    ...all,
    ...(names.dns ?? []).map((value) => ({ type: "dns", value: value.toLowerCase() }) as const),
    ...(names.ip ?? []).map((value) => ({ type: "ip", value }) as const),
    ...(names.uri ?? []).map((value) => ({ type: "uri", value }) as const),
    ...(names.email ?? []).map((value) => ({ type: "email", value }) as const),
    ...(directory === undefined
      ? []
      : [{ type: "directory", value: parseName(directory) } as const]),
  ];
  return {
    subject: subject === "" ? createName([]) : parseName(subject),
    subjectAltNames: groupNames(list),
  } as unknown as Certificate;
}
