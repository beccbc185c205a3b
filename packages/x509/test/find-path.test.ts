import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { verifyChain, type Certificate } from "@handfast/x509";
import { craftCa, craftLeaf, NOW, type Crafted, type CraftOptions } from "./craft.ts";

/** What is wrong with a CA certificate, if anything. */
const flaws = {
  none: {},
  expired: { until: "2026-02-01T00:00:00Z" },
  "no CA": { ca: false },
  "no room": { pathLength: 0 },
  "forbids the leaf": { nameConstraints: { excluded: { dns: ["leaf.example"] } } },
} as const satisfies Record<string, CraftOptions>;

type Flaw = keyof typeof flaws;

/** A certificate for the CA `subject`, issued by the CA `issuer`: both are numbers. */
interface Edge {
  readonly issuer: number;
  readonly subject: number;
  readonly flaw: Flaw;
}

const CAS = 5;
const cas: readonly Crafted[] = Array.from({ length: CAS }, (_, i) =>
  craftCa({ subject: `CN=CA ${i}` }),
);
const leaves: readonly Crafted[] = cas.map((by) => craftLeaf(by));
const crafted = new Map<string, Certificate>();

test("accepts exactly where a path can be found by trying them all", () => {
  const flaw = fc.constantFrom<Flaw>("none", "none", "none", ...(Object.keys(flaws) as Flaw[]));
  const edge = fc.record({ issuer: fc.nat(CAS - 1), subject: fc.nat(CAS - 1), flaw });
  const anchor = fc.record({ subject: fc.nat(CAS - 1), flaw });
  const seen = { accepted: 0, refused: 0 };
  fc.assert(
    fc.property(
      fc.array(edge, { maxLength: 14 }),
      fc.array(anchor, { minLength: 1, maxLength: 2 }),
      fc.nat(CAS - 1),
      (edges, anchors, by) => {
        const roots = anchors.map(({ subject, flaw }) => ({ issuer: subject, subject, flaw }));
        const verdict = verifyChain(
          { leaf: certificateOf(leaves[by]), candidates: edges.map(craft) },
          { anchors: roots.map(craft), now: NOW, purpose: "server" },
        );
        assert.equal(verdict.ok, canReach({ node: by, below: 0, visited: [] }, edges, roots));
        seen[verdict.ok ? "accepted" : "refused"]++;
      },
    ),
    { numRuns: 1500 },
  );
  assert.ok(seen.accepted > 100 && seen.refused > 100, JSON.stringify(seen));
});

interface Place {
  /** The CA whose certificate is wanted. */
  readonly node: number;
  /** How many CAs are below it. */
  readonly below: number;
  readonly visited: readonly number[];
}

function canReach(
  { node, below, visited }: Place,
  edges: readonly Edge[],
  roots: readonly Edge[],
): boolean {
  const fits = (edge: Edge): boolean =>
    edge.subject === node && (edge.flaw === "none" || (edge.flaw === "no room" && below === 0));
  return (
    roots.some(fits) ||
    edges.some(
      (edge) =>
        fits(edge) &&
        edge.issuer !== node &&
        !visited.includes(edge.issuer) &&
        canReach(
          { node: edge.issuer, below: below + 1, visited: [...visited, node] },
          edges,
          roots,
        ),
    )
  );
}

function craft(edge: Edge): Certificate {
  const key = JSON.stringify(edge);
  let certificate = crafted.get(key);
  if (!certificate) {
    const { certificate: own, keys } = cas[edge.subject] as Crafted;
    const by = cas[edge.issuer] as Crafted;
    certificate = craftCa({ subject: own.subject, keys, by, ...flaws[edge.flaw] }).certificate;
    crafted.set(key, certificate);
  }
  return certificate;
}

function certificateOf(one: Crafted | undefined): Certificate {
  assert.ok(one);
  return one.certificate;
}
