// The same contract on a real PostgreSQL, and what several instances on one database add to it.
import assert from "node:assert/strict";
import { existsSync, readdirSync, statSync } from "node:fs";
import { test } from "node:test";
import type { TestContext } from "node:test";
import pg from "pg";
import { createName, createRequest, generateKeyPair } from "@handfast/x509";
import {
  authorityHome,
  CaError,
  createAcme,
  createAuthority,
  establishAuthority,
  initAuthorityHome,
  openAuthorityHome,
  openPostgresStore,
} from "../src/index.ts";
import type { Store } from "../src/index.ts";
import { acmeUrl, createTestClient, listen } from "./support/acme.ts";
import { memoryKeys, refusal, requestFor, temporaryFolder } from "./support/fixtures.ts";
import { killOneOfTwo } from "./support/kill-one-of-two.ts";
import { startPostgres } from "../../../test/support/postgres.ts";
import { testStoreContract } from "./support/store-contract.ts";

const postgres = await startPostgres();

if (postgres.skip !== false) {
  test("the store on PostgreSQL", { skip: postgres.skip });
} else {
  const { database } = postgres;
  const openOn = async (context: TestContext, url: string): Promise<Store> => {
    const store = await openPostgresStore({ url, missing: "create" });
    context.after(() => store.close());
    return store;
  };

  testStoreContract("postgres", async (context) => {
    const url = await database();
    const [first, second] = await Promise.all([openOn(context, url), openOn(context, url)]);
    return { first, second };
  });

  /** Two authorities on one database, with the same keys. */
  const twoInstances = async (context: TestContext) => {
    const url = await database();
    const stores = await Promise.all([openOn(context, url), openOn(context, url)]);
    const keys = memoryKeys();
    const [store] = stores;
    await establishAuthority({ store, keys, trustDomain: "handfast.internal", requester });
    const [one, other] = await Promise.all(
      stores.map((each) => createAuthority({ store: each, keys })),
    );
    assert.ok(one !== undefined && other !== undefined);
    return { one, other, store, url, stores, keys };
  };

  test("S51: an external account key and a nonce are good once, whichever instance they are shown to", async (context) => {
    const { one, other, stores, keys } = await twoInstances(context);
    const ports = await Promise.all(
      [one, other].map(async (authority, index) => {
        const store = stores[index] ?? stores[0];
        const acme = await createAcme({ authority, store, keys, url: acmeUrl });
        context.after(() => acme.close());
        return listen(context, (message, response) => void acme.handle(message, response));
      }),
    );
    const external = await one.createExternalAccount({ names: [".bank.example"], requester });
    const clients = Array.from({ length: 8 }, (_, index) =>
      createTestClient(ports[index % 2] ?? 0),
    );
    const answers = await Promise.all(clients.map((client) => client.register(external)));
    assert.equal(answers.filter(({ status }) => status === 201).length, 1);

    const client = clients[answers.findIndex(({ status }) => status === 201)];
    assert.ok(client);
    const header = { nonce: await client.nonce() };
    const url = String(client.kid);
    const shown = await Promise.all(ports.map((port) => client.sendTo(port, url, "", header)));
    const statuses = new Set(shown.map(({ status }) => status));
    assert.deepEqual(statuses, new Set([200, 400]));
  });

  test("S48: revocation by one instance racing renewal by another: no living certificate of a revoked parent", async (context) => {
    const { one, other, store } = await twoInstances(context);
    const outcomes = new Set<string>();
    for (let round = 0; round < 5; round++) {
      const parents = await Promise.all(
        Array.from({ length: 20 }, (_, index) => one.issue(requestFor(`s${round}-${index}`))),
      );
      const races = parents.flatMap(({ certificate: { fingerprint: certificate } }, index) => {
        const { publicKey } = generateKeyPair();
        const renewal = () =>
          other.renew({ certificate, publicKey, requester }).then(
            () => outcomes.add("renewed"),
            (error: { code?: string }) => outcomes.add(String(error.code)),
          );
        const revocation = async () => {
          // The first comes before all renewals, the last after its own, the others in between.
          for (let turn = 0; turn < 2 * index; turn++) await store.authority();
          await one.revoke({ certificate, reason: "superseded", requester });
        };
        if (index === 0) return [revocation().then(renewal)];
        if (index === 19) return [renewal().then(revocation)];
        return [renewal(), revocation()];
      });
      await Promise.all(races);
    }
    assert.deepEqual([...outcomes].sort(), ["RENEWAL_REFUSED", "renewed"]);
    const all = await store.certificates({ limit: 10_000, profile: "peer" });
    assert.ok(all.length > 100);
    assert.deepEqual(
      all.filter(({ revocation }) => revocation === undefined),
      [],
    );
  });

  test("S52: a token shown to two instances at once by many keys gives one certificate", async (context) => {
    const { one, other } = await twoInstances(context);
    const audience = "https://ca.example";
    const { publicKey: _any, ...contents } = requestFor("api");
    const token = await one.createToken({ ...contents, audience });
    const outcomes = await Promise.allSettled(
      Array.from({ length: 20 }, (_, index) => {
        const { privateKey } = generateKeyPair();
        const request = createRequest({ subject: createName([]), privateKey });
        return (index % 2 === 0 ? one : other).enrol({ token, audience, request });
      }),
    );
    const codes = outcomes.map((outcome) =>
      outcome.status === "fulfilled" ? "enrolled" : (outcome.reason as { code?: string }).code,
    );
    assert.equal(codes.filter((code) => code === "enrolled").length, 1);
    assert.equal(codes.filter((code) => code === "TOKEN_SPENT").length, 19);
    assert.equal((await one.find({ name: "api" })).length, 1);
  });

  test("S55: two instances sign lists at once: no number twice, and the list of the greatest is kept", async (context) => {
    const { one, other, store } = await twoInstances(context);
    const signed = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        (index % 2 === 0 ? one : other).publishCrls({ role: "issuing" }),
      ),
    );
    const numbers = signed.flat().map(({ number }) => number);
    assert.equal(new Set(numbers).size, 20);
    assert.equal((await store.latestCrl("issuing-1"))?.number, Math.max(...numbers));
  });

  test("an instance killed under load: no serial number twice, no record lost, no list number twice", async (context) => {
    await killOneOfTwo(context, { url: await database(), acts: 60 });
  });

  test("a home that names a database is opened by several instances, and its address is kept secret", async (context) => {
    const home = temporaryFolder(context);
    const databaseUrl = await database();
    await initAuthorityHome(home, { trustDomain: "handfast.internal", requester, databaseUrl });
    const { databaseUrl: path, store } = authorityHome(home);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.equal(existsSync(store), false);
    const instances = await Promise.all([openAuthorityHome(home), openAuthorityHome(home)]);
    context.after(() => Promise.all(instances.map((instance) => instance.close())));
    const [one, other] = instances;
    const { certificate } = await one.issue(requestFor("api"));
    assert.equal((await other.find({ name: "api" }))[0]?.fingerprint, certificate.fingerprint);
    const elsewhere = temporaryFolder(context);
    await assert.rejects(
      initAuthorityHome(elsewhere, { trustDomain: "other.internal", requester, databaseUrl }),
      refusal("AUTHORITY_EXISTS", /authority of handfast\.internal already/),
    );
    assert.deepEqual(readdirSync(elsewhere), []);
  });

  test("a connection that breaks in a transaction leaves nothing, and the next transaction has a new one", async (context) => {
    const { one, store, url } = await twoInstances(context);
    await assert.rejects(
      store.transaction(async (records) => {
        await records.nextCrlNumber("issuing-1", 9_000_000_000_000_000);
        await query(
          url,
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction'",
        );
        await records.authority();
      }),
      refusal("STORE_FAILED", /database failed/),
    );
    const [crl] = await one.publishCrls({ role: "issuing" });
    assert.ok(crl !== undefined && crl.number < 9_000_000_000_000_000);
  });

  test("what collides with another transaction is run again, whole", async (context) => {
    const { store } = await twoInstances(context);
    let runs = 0;
    const number = await store.transaction(async (records) => {
      runs += 1;
      const taken = await records.nextCrlNumber("issuing-1", 5);
      if (runs < 3) {
        const collision = Object.assign(new Error("on purpose"), { code: "40001" });
        throw new CaError("STORE_BUSY", "a collision", { cause: collision });
      }
      return taken;
    });
    assert.deepEqual([runs, number], [3, 5]);
  });

  test("a database without a store, of a newer release or of something else is refused unchanged", async () => {
    const url = await database();
    const open = (missing: "create" | "fail") => openPostgresStore({ url, missing });
    await assert.rejects(open("fail"), refusal("AUTHORITY_NOT_FOUND", /no authority/));
    await query(url, "CREATE SCHEMA handfast_ca CREATE TABLE something (a int)");
    await assert.rejects(open("create"), refusal("STORE_UNKNOWN", /schema handfast_ca/));
    await query(url, "DROP SCHEMA handfast_ca CASCADE; CREATE SCHEMA handfast_ca");
    await (await open("create")).close();
    await query(url, "UPDATE handfast_ca.schema_version SET version = 9999");
    await assert.rejects(open("create"), refusal("STORE_NEWER", /version 9999/));
  });

  test("a database that is not there stops the start, and its password is not told", async () => {
    for (const url of ["postgres://ca:secret@127.0.0.1:1/none", "secret:"]) {
      await assert.rejects(openPostgresStore({ url, missing: "fail" }), (error: Error) => {
        assert.equal((error as { code?: unknown }).code, "STORE_FAILED");
        assert.doesNotMatch(error.message, /secret/);
        return true;
      });
    }
  });
}

const requester = "local:test";

async function query(url: string, sql: string): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
