import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { createKeeper } from "../src/agent/keeper.ts";
import { bundleInMemory, placeInMemory } from "../src/index.ts";
import type { BundleKeeper, CredentialPlace, ManagedCertificate, Renewer } from "../src/index.ts";
import { agentFixture, leafIn, testRenewer } from "./support/agents.ts";

const minute = 60_000;

async function keeping(
  context: TestContext,
  {
    place = placeInMemory(),
    bundle = bundleInMemory(),
    hook,
  }: { place?: CredentialPlace; bundle?: BundleKeeper; hook?: ManagedCertificate["hook"] } = {},
) {
  const fixture = await agentFixture(context);
  const { authority, clock, events } = fixture;
  const renewer = testRenewer(authority, { name: "api" });
  const keeper = await createKeeper({
    certificates: [{ name: "api", place, renewer, ...(hook && { hook }) }],
    bundle,
    clock: () => clock.now,
    random: () => 0,
    onEvent: (event) => events.push(event),
  });
  const later = (ms: number) => {
    clock.now = new Date(clock.now.getTime() + ms);
    return keeper.pass();
  };
  return { ...fixture, keeper, renewer, place, bundle, later };
}

test("a certificate that is missing is got at once, and renewed after two thirds of its life", async (context) => {
  const { keeper, later, place, said, bundle, renewer } = await keeping(context);
  assert.equal(keeper.ready(), false);
  await keeper.pass();
  assert.deepEqual(said(), ["renewed"]);
  assert.equal(keeper.ready(), true);
  assert.notEqual(bundle.current, undefined);
  const first = await leafIn(place);
  assert.equal(keeper.nextDelayMs() <= 40 * minute, true);
  await later(39 * minute);
  assert.equal(renewer.renewals, 1);
  await later(1 * minute);
  assert.equal(renewer.renewals, 2);
  const second = await leafIn(place);
  assert.notDeepEqual(second?.subjectPublicKeyInfo, first?.subjectPublicKeyInfo);
  assert.deepEqual(second?.subjectAltNames.all, first?.subjectAltNames.all);
});

test("an authority that is away is asked again and again, up to the end of the certificate and beyond, then it is said loudly", async (context) => {
  const { keeper, later, renewer, said, clock } = await keeping(context);
  await keeper.pass();
  const [{ notAfter } = {}] = keeper.certificates();
  said();
  renewer.failure = new Error("connect ECONNREFUSED");
  await later(40 * minute);
  assert.deepEqual(said(), ["renewal-failed"]);
  let attempts = 1;
  for (const end = clock.now.getTime() + 15 * minute; clock.now.getTime() < end; attempts++) {
    await later(keeper.nextDelayMs());
    said();
  }
  assert.ok(attempts > 5 && attempts < 30, `${attempts} attempts in a quarter of an hour`);
  assert.equal(keeper.ready(), true);
  clock.now = notAfter ?? clock.now;
  await keeper.pass();
  assert.ok(said().includes("expired"));
  assert.equal(keeper.ready(), false);
  for (let more = 0; more < 3; more++) {
    await later(5 * minute);
    assert.deepEqual(said(), ["renewal-failed", "expired"]);
  }
});

test("a renewal whose answer was lost is asked for again with the same key, and nothing is taken for a theft", async (context) => {
  const { keeper, later, renewer, authority, said, place } = await keeping(context);
  await keeper.pass();
  renewer.lost = new Error("the connection broke");
  await later(40 * minute);
  await later(keeper.nextDelayMs());
  renewer.lost = undefined;
  await later(keeper.nextDelayMs());
  assert.deepEqual(said(), ["renewed", "renewal-failed", "renewal-failed", "renewed"]);
  const records = await authority.find({ name: "api" });
  assert.equal(records.length, 2);
  assert.equal((await leafIn(place))?.fingerprint, records[0]?.fingerprint);
});

test("an answer for another key, another identity or of yesterday is not used", async (context) => {
  type Fixture = Awaited<ReturnType<typeof keeping>>;
  const answers: [RegExp, (fixture: Fixture) => Promise<Renewer["renew"]>][] = [
    [
      /is for another key/,
      async ({ place }) => {
        const chainPem = (await place.read())?.chainPem ?? "";
        return async () => ({ chainPem });
      },
    ],
    [
      /is for spiffe.*other, the present one for spiffe.*api/,
      async ({ authority }) => {
        const other = testRenewer(authority, { name: "other" });
        return (request) => other.renew({ ...request, present: undefined });
      },
    ],
    [
      /ended at/,
      async ({ renewer, clock }) => {
        const honest = renewer.renew.bind(renewer);
        return async (request) => {
          const answer = await honest(request);
          clock.now = new Date(clock.now.getTime() + 61 * minute);
          return answer;
        };
      },
    ],
  ];
  for (const [reason, dishonest] of answers) {
    const fixture = await keeping(context);
    const { keeper, place, renewer, said } = fixture;
    await keeper.pass();
    const before = await leafIn(place);
    renewer.renew = await dishonest(fixture);
    said();
    await keeper.renewNow();
    assert.equal(said()[0], "renewal-failed");
    assert.match(keeper.certificates()[0]?.lastFailure ?? "", reason);
    assert.equal((await leafIn(place))?.fingerprint, before?.fingerprint);
  }
});

test("the clock may step: what is due is seen, whatever was planned", async (context) => {
  const { keeper, later, renewer } = await keeping(context);
  await keeper.pass();
  await later(-60 * minute);
  assert.equal(renewer.renewals, 1);
  await later(60 * minute + 41 * minute);
  assert.equal(renewer.renewals, 2);
});

test("the wish of the authority (ARI) comes before the rule, and cannot have us renew in a circle", async (context) => {
  const { keeper, later, renewer, clock } = await keeping(context);
  let window = {
    start: new Date(clock.now.getTime() + 5 * minute),
    end: new Date(clock.now.getTime() + 6 * minute),
  };
  Object.assign(renewer, { window: () => Promise.resolve(window) });
  await keeper.pass();
  assert.equal(renewer.renewals, 1);
  window = { start: new Date(0), end: new Date(0) };
  await later(20 * minute);
  assert.equal(renewer.renewals, 2, "not before a third of the life");
  await keeper.pass();
  await later(minute);
  assert.equal(renewer.renewals, 2);
});

test("S50: a bundle is taken by a higher sequence only, never empty, never with another kind of block", async (context) => {
  const { authority, bundle, later, said, keeper } = await keeping(context);
  await keeper.pass();
  const first = bundle.current;
  assert.ok(first !== undefined);
  assert.equal(await bundle.take({ ...first, sequence: first.sequence - 1 }), false);
  assert.equal(await bundle.take({ ...first }), false);
  const sequence = first.sequence + 1;
  for (const rootsPem of [
    "",
    "-----BEGIN X-----\nAAAA\n-----END X-----\n",
    `${first.rootsPem}-----BEGIN CERTIFICATE-----\nAAAA\n`,
  ]) {
    await assert.rejects(bundle.take({ sequence, rootsPem }), { code: "BUNDLE_INVALID" });
  }
  assert.deepEqual(bundle.current, first);
  said();
  await authority.prepareRotation({ what: "root", requester: "local:test" });
  await later(6 * minute);
  assert.deepEqual(said(), ["bundle-changed"]);
  assert.equal(bundle.current?.rootsPem.match(/BEGIN CERTIFICATE/g)?.length, 2);
});

test("many certificates are renewed a few at a time, and one that fails keeps none of the others", async (context) => {
  const { authority, clock } = await agentFixture(context);
  let atOnce = 0;
  let most = 0;
  const certificates = Array.from({ length: 20 }, (_, index) => {
    const renewer = testRenewer(authority, { name: `s${index}` });
    const renew = renewer.renew.bind(renewer);
    renewer.renew = async (request) => {
      most = Math.max(most, ++atOnce);
      try {
        if (index === 7) throw new Error("not this one");
        return await renew(request);
      } finally {
        atOnce -= 1;
      }
    };
    return { name: `s${index}`, place: placeInMemory(), renewer };
  });
  const options = { bundle: bundleInMemory(), clock: () => clock.now, atOnce: 4 };
  const keeper = await createKeeper({ ...options, certificates });
  await keeper.pass();
  assert.equal(most, 4);
  const missing = keeper.certificates().filter(({ notAfter }) => notAfter === undefined);
  assert.deepEqual(
    missing.map(({ name }) => name),
    ["s7"],
  );
  assert.deepEqual([keeper.counts.renewed, keeper.counts.failed, keeper.ready()], [19, 1, false]);
  const twice = [...certificates.slice(0, 1), ...certificates.slice(0, 1)];
  await assert.rejects(createKeeper({ ...options, certificates: twice }), TypeError);
});
