import assert from "node:assert/strict";
import { test } from "node:test";
import { verifyChain } from "@handfast/x509";
import { contextPrimitive, encodeDer, integer, oid, sequence, type DerValue } from "../src/der.ts";
import { OID } from "../src/oid.ts";
import { craftCa, craftLeaf, extensionOf, NOW, type Crafted, type CraftOptions } from "./craft.ts";

const A = "1.3.6.1.4.1.99999.1";
const B = "1.3.6.1.4.1.99999.2";
const C = "1.3.6.1.4.1.99999.3";
const ANY = OID.anyPolicy;
const root = craftCa();

/** What the policy extensions of one certificate say. */
interface Says {
  readonly policies?: readonly string[];
  readonly map?: readonly (readonly [issuer: string, subject: string])[];
  readonly require?: number;
  readonly inhibitMapping?: number;
  readonly inhibitAny?: number;
  readonly selfIssued?: boolean;
}

/** Whether a path holds whose certificates, from the first CA to the leaf, say this. */
function holds(says: readonly Says[], acceptable?: readonly string[], anchor: Says = {}): boolean {
  const top = craftCa({ keys: root.keys, more: extensions(anchor) });
  let by = top;
  const candidates: Crafted[] = [];
  for (const [index, one] of says.entries()) {
    const subject = one.selfIssued ? by.certificate.subject : `CN=Number ${index}`;
    const options: CraftOptions = { by, subject, more: extensions(one) };
    by = index === says.length - 1 ? craftLeaf(by, options) : craftCa(options);
    candidates.push(by);
  }
  const verdict = verifyChain(
    { leaf: by.certificate, candidates: candidates.map(({ certificate }) => certificate) },
    {
      anchors: [top.certificate],
      now: NOW,
      purpose: "server",
      ...(acceptable && { policies: acceptable }),
    },
  );
  assert.ok(verdict.ok || verdict.reason === "CERTIFICATE_VERIFICATION_FAILED");
  return verdict.ok;
}

test("without policy constraints nobody asks for policies", () => {
  assert.ok(holds([{}, {}]));
  assert.ok(holds([{ policies: [A] }, { policies: [B] }]));
  assert.ok(!holds([{}, {}], [A]));
});

test("a policy that was asked for must hold in every certificate", () => {
  assert.ok(holds([{ policies: [A, B] }, { policies: [A] }], [A]));
  assert.ok(!holds([{ policies: [A] }, { policies: [A] }], [B]));
  assert.ok(!holds([{ policies: [A] }, { policies: [B] }], [A, B]));
  assert.ok(!holds([{ policies: [A] }, {}], [A]));
  assert.ok(!holds([{ policies: [A] }, { policies: [A] }], []));
});

test("requireExplicitPolicy counts from where it stands", () => {
  const agreeing = [{ policies: [A] }, { policies: [A] }];
  const differing = [{ policies: [A] }, { policies: [B] }];
  for (const require of [0, 1]) {
    const asked = (path: readonly Says[]): Says[] => [{ ...path[0], require }, path[1] as Says];
    assert.ok(holds(asked(agreeing)));
    assert.ok(!holds(asked(differing)), `${require}`);
  }
  assert.ok(holds([{ policies: [A], require: 2 }, { policies: [B] }]));
  assert.ok(!holds([{ policies: [A] }, { policies: [B], require: 0 }]));
});

test("the anchor's constraints count, its own policies are not asked (RFC 5937)", () => {
  assert.ok(!holds([{}, {}], undefined, { require: 0 }));
  assert.ok(
    holds([{ policies: [A] }, { policies: [A] }], undefined, { require: 0, policies: [B] }),
  );
  assert.ok(!holds([{ policies: [ANY] }, { policies: [A] }], [A], { inhibitAny: 0 }));
});

test("anyPolicy stands for each policy, until it is inhibited", () => {
  assert.ok(holds([{ policies: [ANY] }, { policies: [A] }], [A]));
  assert.ok(holds([{ policies: [A] }, { policies: [ANY] }], [A]));
  assert.ok(holds([{ policies: [ANY] }, { policies: [ANY] }], [A]));
  assert.ok(!holds([{ policies: [A] }, { policies: [ANY] }], [B]));
  assert.ok(!holds([{ policies: [A], inhibitAny: 0 }, { policies: [ANY] }], [A]));
  assert.ok(holds([{ policies: [A], inhibitAny: 1 }, { policies: [ANY] }, { policies: [A] }], [A]));
  assert.ok(
    !holds([{ policies: [A], inhibitAny: 1 }, { policies: [A] }, { policies: [ANY] }], [A]),
  );
});

test("a self-issued CA may still say anyPolicy, and does not count", () => {
  const path = [
    { policies: [A], inhibitAny: 0 },
    { policies: [ANY], selfIssued: true },
    { policies: [A] },
  ];
  assert.ok(holds(path, [A]));
  const uncounted = { policies: [A], selfIssued: true };
  assert.ok(holds([{ policies: [A], require: 2 }, uncounted, { policies: [B] }]));
  assert.ok(!holds([{ policies: [A], require: 1 }, uncounted, { policies: [B] }]));
  const leaf = { policies: [ANY], selfIssued: true };
  assert.ok(!holds([{ policies: [A], inhibitAny: 0 }, leaf], [A]));
});

test("a mapping gives a policy another name below", () => {
  const mapped = (below: string): Says[] => [
    { policies: [A], map: [[A, B]] },
    { policies: [below] },
  ];
  assert.ok(holds(mapped(B), [A]));
  assert.ok(!holds(mapped(A), [A]));
  assert.ok(!holds(mapped(B), [B]));
  assert.ok(
    holds(
      [
        {
          policies: [A],
          map: [
            [A, B],
            [A, C],
          ],
        },
        { policies: [C] },
      ],
      [A],
    ),
  );
  assert.ok(holds([{ policies: [ANY], map: [[A, B]] }, { policies: [B] }], [A]));
});

test("a mapping that is inhibited takes the policy away", () => {
  const path = (inhibitMapping: number): Says[] => [
    { policies: [A], inhibitMapping },
    { policies: [A], map: [[A, B]] },
    { policies: [B] },
  ];
  assert.ok(!holds(path(0), [A]));
  assert.ok(holds(path(1), [A]));
});

test("anyPolicy cannot be mapped, whether or not policies are asked for", () => {
  assert.ok(!holds([{ policies: [A], map: [[ANY, B]] }, { policies: [B] }]));
  assert.ok(!holds([{ policies: [A], map: [[A, ANY]] }, { policies: [B] }]));
});

test("RFC 9618: mappings that multiply at each step cost no more than their number", () => {
  const policies = Array.from({ length: 40 }, (_, i) => `1.3.6.1.4.1.99999.9.${i}`);
  const map = policies.flatMap((a) => policies.map((b) => [a, b] as const));
  const step = { policies, map };
  const path = [{ ...step, require: 0 }, step, step, step, step, step, { policies }];
  const started = process.cpuUsage();
  assert.ok(holds(path, policies.slice(0, 1)));
  const { user } = process.cpuUsage(started);
  // The tree of RFC 5280 would have 40^7 nodes.
  assert.ok(user < 2_000_000, `${user} µs`);
});

function extensions(says: Says): DerValue[] {
  const { policies, map, require, inhibitMapping, inhibitAny } = says;
  const list: DerValue[] = [];
  const add = (dotted: string, value: DerValue): void =>
    void list.push(extensionOf(dotted, value, true));
  if (policies) {
    add(OID.certificatePolicies, sequence(policies.map((policy) => sequence([oid(policy)]))));
  }
  if (map) {
    add(OID.policyMappings, sequence(map.map(([from, to]) => sequence([oid(from), oid(to)]))));
  }
  if (require !== undefined || inhibitMapping !== undefined) {
    const skip = (n: number, certificates: number | undefined): DerValue[] =>
      certificates === undefined
        ? []
        : [contextPrimitive(n, encodeDer(integer(certificates)).subarray(2))];
    add(OID.policyConstraints, sequence([...skip(0, require), ...skip(1, inhibitMapping)]));
  }
  if (inhibitAny !== undefined) add(OID.inhibitAnyPolicy, integer(inhibitAny));
  return list;
}
