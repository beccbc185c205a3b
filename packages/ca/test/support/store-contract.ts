import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { parseFingerprint, parseSerialNumber } from "@handfast/x509";
import type { Fingerprint } from "@handfast/x509";
import type {
  AcmeQuery,
  AcmeRecord,
  NewCertificateRecord,
  Records,
  Store,
} from "../../src/index.ts";
import { refusal } from "./fixtures.ts";

/** Tests of what every store MUST do; `open` gives handles on one and the same store. */
export function testStoreContract(
  kind: string,
  open: (context: TestContext) => Handles | Promise<Handles>,
): void {
  test(`${kind}: what a transaction wrote is there for every handle once it resolves`, async (context) => {
    const { first, second } = await open(context);
    await first.transaction((records) => establish(records));
    await second.transaction((records) => records.addCertificate(entry("api")));
    for (const store of [first, second]) {
      assert.deepEqual(await store.authority(), authorityRecord);
      assert.deepEqual(
        (await store.issuers()).map(({ name }) => name),
        ["root-1"],
      );
      const { revocation, ...recorded } = (await store.certificate(fingerprintOf("api"))) ?? {};
      assert.equal(revocation, undefined);
      const { names, ...expected } = entry("api");
      assert.deepEqual(recorded, { ...expected, names });
    }
  });

  test(`${kind}: nothing of a transaction that throws remains, and its neighbours are whole`, async (context) => {
    const { first } = await open(context);
    await first.transaction((records) => establish(records));
    const failure = new Error("on purpose");
    const outcomes = await Promise.allSettled([
      first.transaction((records) => records.addCertificate(entry("before"))),
      first.transaction(async (records) => {
        await records.addCertificate(entry("lost"));
        throw failure;
      }),
      first.transaction((records) => records.addCertificate(entry("after"))),
    ]);
    assert.deepEqual(
      outcomes.map((outcome) => (outcome.status === "rejected" ? outcome.reason : "done")),
      ["done", failure, "done"],
    );
    const names = (await first.certificates({})).map(({ subject }) => subject);
    assert.deepEqual(names, ["CN=after", "CN=before", "CN=root"]);
  });

  test(`${kind}: a read outside a transaction sees nothing that is not committed`, async (context) => {
    const { first, second } = await open(context);
    await first.transaction((records) => establish(records));
    await first.transaction(async (records) => {
      await records.addCertificate(entry("api"));
      assert.equal((await records.certificates({ name: "api" })).length, 1);
      assert.equal((await first.certificates({ name: "api" })).length, 0);
      assert.equal((await second.certificates({ name: "api" })).length, 0);
    });
    assert.equal((await second.certificates({ name: "api" })).length, 1);
  });

  test(`${kind}: read, decide and write is one step across handles`, async (context) => {
    const { first, second } = await open(context);
    await first.transaction((records) => establish(records));
    const addIfAlone = (store: Store, serial: string) =>
      store.transaction(async (records) => {
        if ((await records.certificates({ name: "only" })).length > 0) return "there";
        await records.addCertificate({ ...entry("only"), ...unique(serial) });
        return "added";
      });
    const outcomes: string[] = [];
    for (let round = 0; round < 20; round++) {
      const pair = [addIfAlone(first, `a${round}`), addIfAlone(second, `b${round}`)];
      outcomes.push(...(await Promise.all(pair)));
    }
    assert.equal(outcomes.filter((outcome) => outcome === "added").length, 1);
  });

  test(`${kind}: a serial number of one issuer, a certificate, a name of an issuer and an authority are there once`, async (context) => {
    const { first } = await open(context);
    await first.transaction((records) => establish(records));
    await first.transaction((records) => records.addCertificate(entry("api")));
    const twice: ((records: Records) => Promise<void>)[] = [
      (records) => records.addCertificate(entry("api")),
      (records) =>
        records.addCertificate({ ...entry("api"), fingerprint: fingerprintOf("another") }),
      (records) =>
        records.addCertificate({ ...entry("api"), serialNumber: parseSerialNumber("77") }),
      (records) => records.addIssuer(rootIssuer),
      (records) => records.addAuthority({ ...authorityRecord, trustDomain: "b.example" }),
    ];
    for (const work of twice) {
      await assert.rejects(first.transaction(work), refusal("STORE_CONFLICT", /already/));
    }
    assert.equal((await first.certificates({})).length, 2);
  });

  test(`${kind}: a certificate names an issuer that is there`, async (context) => {
    const { first } = await open(context);
    await first.transaction((records) => establish(records));
    await assert.rejects(
      first.transaction((records) => records.addCertificate({ ...entry("api"), issuer: "nobody" })),
    );
    assert.equal((await first.certificates({})).length, 1);
  });

  test(`${kind}: the inventory is searched by name, serial, identity, profile, expiry and status`, async (context) => {
    const { first } = await open(context);
    const later = new Date(noon.getTime() + 86_400_000);
    await first.transaction(async (records) => {
      await establish(records);
      await records.addCertificate(entry("api"));
      await records.addCertificate({ ...entry("billing"), profile: "client", notAfter: later });
      await records.addCertificate(entry("100%_\\"));
    });
    const found = async (query: Parameters<Store["certificates"]>[0]) =>
      (await first.certificates(query)).map(({ subject }) => subject.slice(3));
    assert.deepEqual(await found({ name: "API" }), ["api"]);
    assert.deepEqual(await found({ name: "spiffe://a.example/api" }), ["api"]);
    assert.deepEqual(await found({ name: "SPIFFE://a.example/api" }), []);
    assert.deepEqual(await found({ text: "ill" }), ["billing"]);
    assert.deepEqual(await found({ text: "%" }), ["100%_\\"]);
    assert.deepEqual(await found({ text: "_" }), ["100%_\\"]);
    assert.deepEqual(await found({ text: "\\" }), ["100%_\\"]);
    assert.deepEqual(await found({ text: "' OR 1=1 --" }), []);
    assert.deepEqual(await found({ serialNumber: entry("api").serialNumber }), ["api"]);
    assert.deepEqual(await found({ identity: "spiffe://a.example/billing" }), ["billing"]);
    assert.deepEqual(await found({ publicKey: entry("api").publicKey }), ["api"]);
    assert.deepEqual(await found({ profile: "client" }), ["billing"]);
    assert.deepEqual(await found({ expiresBefore: later }), ["100%_\\", "api", "root"]);
    assert.deepEqual(await found({ status: "valid", now: later }), ["billing"]);
    assert.deepEqual(await found({ status: "expired", now: later, name: "api" }), ["api"]);
    assert.deepEqual(await found({ status: "revoked" }), []);
    assert.deepEqual(await found({ limit: 2 }), ["100%_\\", "billing"]);
    assert.deepEqual(await found({ limit: 2, before: fingerprintOf("billing") }), ["api", "root"]);
    await assert.rejects(found({ status: "valid" }), TypeError);
    await assert.rejects(found({ limit: 0 }), TypeError);
  });

  test(`${kind}: a certificate is revoked once, and listed for its issuer until it ends`, async (context) => {
    const { first, second } = await open(context);
    const later = new Date(noon.getTime() + 1_000);
    await first.transaction(async (records) => {
      await establish(records);
      await records.addCertificate(entry("api"));
      await records.addCertificate({ ...entry("billing"), notAfter: later });
      await records.addRevocation(fingerprintOf("api"), revocation);
      await records.addRevocation(fingerprintOf("billing"), revocation);
    });
    const again = (name: string) =>
      first.transaction((records) => records.addRevocation(fingerprintOf(name), revocation));
    await assert.rejects(again("api"), refusal("STORE_CONFLICT", /already/));
    await assert.rejects(again("nobody"));
    assert.deepEqual((await second.certificate(fingerprintOf("api")))?.revocation, revocation);
    const listed = async (endingFrom: Date) =>
      (await second.revoked("root-1", { endingFrom })).map(({ serialNumber }) => serialNumber);
    const [api, billing] = [entry("api").serialNumber, entry("billing").serialNumber];
    assert.deepEqual(await listed(noon), [api, billing]);
    assert.deepEqual(await listed(later), [billing]);
    assert.deepEqual(await second.revoked("another", { endingFrom: noon }), []);
  });

  test(`${kind}: a block of renewals holds for lines enrolled before it, and for no later one`, async (context) => {
    const { first } = await open(context);
    await first.transaction(async (records) => {
      await establish(records);
      await records.addCertificate({ ...entry("old"), identity: "x" });
      await records.blockRenewals("x");
      const line = { identity: "x", parent: fingerprintOf("old") };
      await records.addCertificate({ ...entry("child"), ...line, enrolment: fingerprintOf("old") });
      await records.addCertificate({ ...entry("new"), identity: "x" });
      await records.addCertificate({ ...entry("other"), identity: "y" });
    });
    const blocked = (name: string) => first.renewalBlocked(fingerprintOf(name));
    assert.deepEqual(
      [await blocked("old"), await blocked("child"), await blocked("new"), await blocked("other")],
      [true, true, false, false],
    );
    await first.transaction((records) => records.blockRenewals("x"));
    assert.equal(await blocked("new"), true);
  });

  test(`${kind}: S52: a token is spent once, and remembered until it may be forgotten`, async (context) => {
    const { first, second } = await open(context);
    await first.transaction((records) => establish(records));
    const spend = (store: Store, id: string, spentAt: Date) =>
      store.transaction((records) =>
        records.spendToken({ id, spentAt, certificate: fingerprintOf("root"), keepUntil: noon }),
      );
    await spend(first, "one", noon);
    await assert.rejects(spend(second, "one", noon), refusal("STORE_CONFLICT", /already/));
    const certificate = fingerprintOf("root");
    assert.deepEqual(await second.spentToken("one"), { id: "one", spentAt: noon, certificate });
    assert.equal(await second.spentToken("two"), undefined);
    await spend(second, "two", noon);
    assert.notEqual(await first.spentToken("one"), undefined);
  });

  test(`${kind}: an ACME record is added once, changed in place, found by its owner and removed`, async (context) => {
    const { first, second } = await open(context);
    const one: AcmeRecord = {
      kind: "order",
      id: "one",
      owner: "alice",
      body: '{"a":1}',
      createdAt: noon,
      keepUntil: undefined,
    };
    await first.transaction(async (records) => {
      await records.addAcmeRecord(one);
      await records.addAcmeRecord({ ...one, kind: "account", owner: undefined });
      await records.addAcmeRecord({ ...one, id: "two", owner: "bob" });
      await records.addAcmeRecord({ ...one, id: "three" });
      assert.deepEqual(await records.acmeRecord("order", "one"), one);
    });
    await assert.rejects(
      second.transaction((records) => records.addAcmeRecord({ ...one, owner: "mallory" })),
      refusal("STORE_CONFLICT", /already/),
    );
    const body = '{"a":2,"é":"\'"}';
    await second.transaction((records) =>
      records.changeAcmeRecord({ kind: "order", id: "one", body, keepUntil: noon }),
    );
    assert.deepEqual(await first.acmeRecord("order", "one"), { ...one, body, keepUntil: noon });
    assert.equal((await first.acmeRecord("account", "one"))?.owner, undefined);
    await assert.rejects(
      first.transaction((records) =>
        records.changeAcmeRecord({ kind: "order", id: "four", body, keepUntil: noon }),
      ),
      refusal("STORE_FAILED", /not recorded/),
    );
    const found = async (query: Omit<AcmeQuery, "kind">) =>
      (await first.acmeRecords({ kind: "order", ...query })).map(({ id }) => id);
    assert.deepEqual(await found({ limit: 10 }), ["three", "two", "one"]);
    assert.deepEqual(await found({ limit: 10, owner: "alice" }), ["three", "one"]);
    assert.deepEqual(await found({ limit: 1, owner: "alice", before: "three" }), ["one"]);
    await first.transaction((records) => records.removeAcmeRecord("order", "one"));
    await first.transaction((records) => records.removeAcmeRecord("order", "one"));
    assert.equal(await second.acmeRecord("order", "one"), undefined);
  });

  test(`${kind}: ACME records are forgotten after their end, at most so many, and no others`, async (context) => {
    const { first } = await open(context);
    const later = new Date(noon.getTime() + 1);
    await first.transaction(async (records) => {
      for (const [id, keepUntil] of [
        ["ended", new Date(noon.getTime() - 2)],
        ["ended too", new Date(noon.getTime() - 1)],
        ["ending", noon],
        ["kept", undefined],
      ] as const) {
        const record = { kind: "nonce", id, owner: undefined, body: "{}", createdAt: noon };
        await records.addAcmeRecord({ ...record, keepUntil });
      }
    });
    const forget = (endedBefore: Date, limit: number) =>
      first.transaction((records) => records.forgetAcmeRecords({ endedBefore, limit }));
    const left = async () =>
      (await first.acmeRecords({ kind: "nonce", limit: 10 })).map(({ id }) => id);
    assert.equal(await forget(noon, 1), 1);
    assert.deepEqual(await left(), ["kept", "ending", "ended too"]);
    assert.equal(await forget(noon, 10), 1);
    assert.equal(await forget(later, 10), 1);
    assert.deepEqual(await left(), ["kept"]);
  });

  test(`${kind}: S55: list numbers only grow, and the list of the greatest is kept`, async (context) => {
    const { first, second } = await open(context);
    await first.transaction((records) => establish(records));
    const next = (store: Store, atLeast: number) =>
      store.transaction((records) => records.nextCrlNumber("root-1", atLeast));
    assert.equal(await next(first, 1_000), 1_000);
    assert.equal(await next(second, 1_000), 1_001);
    assert.equal(await next(first, 5), 1_002);
    assert.equal(await next(second, 2_000), 2_000);
    const many = Array.from({ length: 20 }, (_, index) => next(index % 2 ? first : second, 0));
    assert.equal(new Set(await Promise.all(many)).size, 20);
    assert.equal(await first.latestCrl("root-1"), undefined);
    assert.equal(await first.crlNumber("root-1"), undefined);
    const list = { issuer: "root-1", der: new Uint8Array([1]), thisUpdate: noon, nextUpdate: noon };
    await first.transaction((records) => records.addCrl({ ...list, number: 2_001 }));
    await second.transaction((records) => records.addCrl({ ...list, number: 2_000 }));
    assert.deepEqual(await first.latestCrl("root-1"), { ...list, number: 2_001 });
    assert.equal(await first.crlNumber("root-1"), 2_001);
  });

  test(`${kind}: S50: an issuer changes its state, and the sequence of the bundle only grows`, async (context) => {
    const { first, second } = await open(context);
    await first.transaction((records) => establish(records));
    await first.transaction((records) => records.setIssuerState("root-1", "retiring"));
    assert.deepEqual(await second.issuers(), [{ ...rootIssuer, state: "retiring" }]);
    await assert.rejects(
      first.transaction((records) => records.setIssuerState("root-2", "active")),
      refusal("STORE_FAILED", /not recorded/),
    );
    const raise = (store: Store, atLeast: number) =>
      store.transaction((records) => records.raiseBundleSequence(atLeast));
    assert.deepEqual(
      [await raise(first, 9), await raise(second, 9), await raise(first, 0)],
      [9, 10, 11],
    );
    assert.equal((await second.authority())?.bundleSequence, 11);
  });

  test(`${kind}: what ended is forgotten from the beginning of each line, and nothing that still counts`, async (context) => {
    const { first, second } = await open(context);
    const old = { notAfter: new Date(noon.getTime() - 1) };
    await first.transaction(async (records) => {
      await establish(records);
      await records.addCertificate({ ...entry("first"), ...old, identity: "x" });
      const renewal = (name: string, parent: string) => ({
        ...entry(name),
        identity: "x",
        parent: fingerprintOf(parent),
        enrolment: fingerprintOf("first"),
      });
      await records.addCertificate({ ...renewal("second", "first"), ...old });
      await records.addCertificate(renewal("third", "second"));
      await records.addCertificate({ ...renewal("fourth", "third"), ...old });
      await records.addCertificate({ ...entry("token"), ...old });
      await records.addCertificate({ ...entry("stolen"), ...old });
      await records.addRevocation(fingerprintOf("stolen"), revocation);
      await records.blockRenewals("x");
      await records.blockRenewals("spiffe://a.example/stolen");
      const keepUntil = new Date(noon.getTime() + 1);
      const certificate = fingerprintOf("token");
      await records.spendToken({ id: "one", spentAt: noon, certificate, keepUntil });
    });
    const left = async () => (await second.certificates({})).map(({ subject }) => subject.slice(3));
    const prune = (limit: number, now = noon) =>
      first.transaction((records) => records.prune({ endedBefore: noon, now, limit }));
    assert.equal(await prune(1), 1);
    assert.deepEqual(await left(), ["stolen", "token", "fourth", "third", "second", "root"]);
    assert.equal(await prune(100), 2);
    assert.deepEqual(await left(), ["token", "fourth", "third", "root"]);
    assert.equal((await second.certificate(fingerprintOf("third")))?.parent, undefined);
    assert.equal(await second.renewalBlocked(fingerprintOf("third")), true);
    assert.equal(await second.keyCompromised(entry("stolen").publicKey), true);
    assert.equal(await second.keyCompromised(entry("third").publicKey), false);
    assert.equal(await prune(100, new Date(noon.getTime() + 2)), 1);
    assert.equal(await second.spentToken("one"), undefined);
    assert.deepEqual(await left(), ["fourth", "third", "root"]);
  });
}

/** Two ways into one store. */
interface Handles {
  readonly first: Store;
  readonly second: Store;
}

async function establish(records: Records): Promise<void> {
  await records.addAuthority(authorityRecord);
  await records.addCertificate(entry("root"));
  await records.addIssuer(rootIssuer);
}

function entry(name: string): NewCertificateRecord {
  return {
    ...unique(name),
    enrolment: fingerprintOf(name),
    issuer: "root-1",
    der: new Uint8Array([1, 2, 3]),
    subject: `CN=${name}`,
    names: [
      { kind: "dns", value: name },
      { kind: "uri", value: `spiffe://a.example/${name}` },
    ],
    identity: `spiffe://a.example/${name}`,
    publicKey: fingerprintOf(`key of ${name}`),
    profile: "peer",
    requester: "local:test",
    parent: undefined,
    notBefore: noon,
    notAfter: noon,
    issuedAt: noon,
  };
}

function unique(seed: string): Pick<NewCertificateRecord, "fingerprint" | "serialNumber"> {
  const fingerprint = fingerprintOf(seed);
  return { fingerprint, serialNumber: parseSerialNumber(`10${fingerprint.slice(0, 30)}`) };
}

function fingerprintOf(seed: string): Fingerprint {
  return parseFingerprint(hash("sha256", seed, "hex"));
}

const noon = new Date("2026-03-01T12:00:00Z");
const revocation = {
  revokedAt: noon,
  reason: "keyCompromise",
  cause: fingerprintOf("cause"),
  requester: "local:test",
} as const;
const authorityRecord = { trustDomain: "a.example", createdAt: noon, bundleSequence: 5 };
const rootIssuer = {
  name: "root-1",
  role: "root",
  generation: 1,
  state: "active",
  certificate: fingerprintOf("root"),
  createdAt: noon,
} as const;
