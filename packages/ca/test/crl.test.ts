import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { certificatesToPem, parseCrl } from "@handfast/x509";
import { createAuthority, openSqliteStore } from "../src/index.ts";
import type { PublishedCrl } from "../src/index.ts";
import { requestFor, temporaryAuthority, temporaryFolder } from "./support/fixtures.ts";
import type { TestAuthority } from "./support/fixtures.ts";

const requester = "local:test";
const openssl = spawnSync("openssl", ["version"]).status === 0;

async function sign({ authority }: Pick<TestAuthority, "authority">): Promise<PublishedCrl> {
  const [crl] = await authority.publishCrls({ role: "issuing" });
  assert.ok(crl !== undefined);
  return crl;
}

test("a list names what was revoked, with its reason, and verifies under the issuing key", async (context) => {
  const { authority, clock } = await temporaryAuthority(context);
  const { certificate, chain } = await authority.issue(requestFor("api"));
  const { certificate: good } = await authority.issue(requestFor("billing"));
  await authority.revoke({ certificate: certificate.fingerprint, reason: "superseded", requester });
  const published = await sign({ authority });
  const crl = parseCrl(published.pem);
  assert.ok(chain[1] !== undefined && crl.verify(chain[1]));
  assert.equal(crl.lookup(certificate.serialNumber)?.reason, "superseded");
  assert.equal(crl.lookup(good.serialNumber), undefined);
  assert.equal(published.entries, 1);
  assert.equal(published.nextUpdate.getTime() - clock.now.getTime(), 30 * 86_400_000);
});

test("S55: the number is the time in milliseconds, and one more where the clock stands or goes back", async (context) => {
  const { authority, clock } = await temporaryAuthority(context);
  const noon = clock.now.getTime();
  assert.equal((await sign({ authority })).number, noon);
  assert.equal((await sign({ authority })).number, noon + 1);
  clock.now = new Date(noon - 1_000_000);
  assert.equal((await sign({ authority })).number, noon + 2);
  clock.now = new Date(noon + 1_000_000);
  assert.equal((await sign({ authority })).number, noon + 1_000_000);
});

test("S55: two instances on one store never use a number twice, and the newest list is kept", async (context) => {
  const { authority, clock, keys, path, store } = await temporaryAuthority(context);
  const second = await createAuthority({
    store: openSqliteStore({ path, missing: "fail" }),
    keys,
    clock: () => clock.now,
  });
  context.after(() => second.close());
  const signed = await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      sign({ authority: index % 2 === 0 ? authority : second }),
    ),
  );
  const numbers = signed.map(({ number }) => number);
  assert.equal(new Set(numbers).size, 20);
  assert.equal((await store.latestCrl("issuing-1"))?.number, Math.max(...numbers));
});

test("a certificate that expired stays on one list after its end, and then goes", async (context) => {
  const { authority, clock } = await temporaryAuthority(context);
  const { certificate } = await authority.issue(requestFor("api", { validitySeconds: 3_600 }));
  await sign({ authority });
  clock.now = new Date(clock.now.getTime() + 60_000);
  const request = {
    certificate: certificate.fingerprint,
    reason: "unspecified",
    requester,
  } as const;
  await authority.revoke(request);
  const listed = async () =>
    parseCrl((await sign({ authority })).der).lookup(certificate.serialNumber) !== undefined;
  assert.equal(await listed(), true);
  clock.now = new Date(certificate.notAfter.getTime() + 60_000);
  assert.equal(await listed(), true);
  clock.now = new Date(clock.now.getTime() + 60_000);
  assert.equal(await listed(), false);
});

test(
  "openssl verifies with our lists, and refuses the revoked certificate",
  { skip: !openssl },
  async (context) => {
    const { authority } = await temporaryAuthority(context, { start: new Date() });
    const folder = temporaryFolder(context);
    const good = await authority.issue(requestFor("good"));
    const revoked = await authority.issue(requestFor("revoked"));
    const { fingerprint } = revoked.certificate;
    await authority.revoke({ certificate: fingerprint, reason: "keyCompromise", requester });
    const lists = [
      ...(await authority.publishCrls({ role: "root" })),
      ...(await authority.publishCrls({ role: "issuing" })),
    ];
    writeFileSync(join(folder, "ca.pem"), certificatesToPem(await authority.roots()));
    writeFileSync(join(folder, "crls.pem"), lists.map(({ pem }) => pem).join(""));
    writeFileSync(join(folder, "good.pem"), good.chainPem);
    writeFileSync(join(folder, "revoked.pem"), revoked.chainPem);
    const verdictOn = (name: string) => {
      const trust = ["-CAfile", "ca.pem", "-CRLfile", "crls.pem", "-untrusted", `${name}.pem`];
      const words = ["verify", "-crl_check_all", ...trust, `${name}.pem`];
      return spawnSync("openssl", words, { cwd: folder, encoding: "utf8" });
    };
    const accepted = verdictOn("good");
    assert.equal(accepted.status, 0, accepted.stderr);
    const refused = verdictOn("revoked");
    assert.notEqual(refused.status, 0);
    assert.match(refused.stdout + refused.stderr, /certificate revoked/);
  },
);
