import assert from "node:assert/strict";
import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { identityFromMemory, trustFromMemory } from "@handfast/tls";
import { encodePrivateKey, generateKeyPair, parseCrl } from "@handfast/x509";
import {
  createAuthorityClient,
  enrolOnline,
  initAuthorityHome,
  openAuthorityHome,
} from "../../src/index.ts";
import type { ReceivedCertificate } from "../../src/index.ts";
import { temporaryFolder } from "./fixtures.ts";
import type { Serving, Step } from "./serve-and-die.ts";

/**
 * Kills a service at a step of an enrolment, starts it again, and asks once more with the same token and
 * key: there is one certificate, whether or not the first attempt had recorded it.
 */
export async function killAtEnrolment(t: TestContext, step: Step): Promise<void> {
  const place = await createPlace(t);
  const first = await place.start("0");
  const token = await first.token("billing");
  await first.dieAt(step);
  const { privateKey } = generateKeyPair();
  await assert.rejects(enrolOnline({ token, privateKey, timeoutMs: 20_000 }), step);
  await first.dead;
  const recorded = await place.count("billing");
  assert.equal(recorded, step === "after-commit" || step === "after-audit" ? 1 : 0, step);

  await place.start(new URL(first.enrolmentUrl).port);
  const enrolled = await enrolOnline({ token, privateKey });
  assert.deepEqual(enrolled.certificate.subjectAltNames.dns, ["billing"]);
  assert.equal(await place.count("billing"), 1, step);
  const stranger = enrolOnline({ token });
  await assert.rejects(stranger, { code: "TOKEN_SPENT" }, step);
}

/**
 * Kills a service at a step of a revocation, and starts it again: if the revocation was recorded, the list
 * that is signed at the start says so; if not, it can be done again.
 */
export async function killAtRevocation(t: TestContext, step: Step): Promise<void> {
  const place = await createPlace(t);
  const first = await place.start("0");
  const [alice, spare] = [
    await enrolOnline({ token: await first.token("alice") }),
    await enrolOnline({ token: await first.token("alice") }),
  ];
  await first.dieAt(step);
  await assert.rejects(revokeBy(first, spare, alice), step);
  await first.dead;

  const second = await place.start(new URL(first.enrolmentUrl).port);
  const { serialNumber } = alice.certificate;
  const recorded = await place.revoked(alice);
  assert.equal(recorded, step === "after-commit" || step === "after-audit", step);
  assert.equal((await place.list()).lookup(serialNumber) !== undefined, recorded, step);
  if (!recorded) await revokeBy(second, spare, alice);
  assert.notEqual((await place.list()).lookup(serialNumber), undefined, step);
}

async function revokeBy(
  { authorityTarget: target }: Serving,
  who: ReceivedCertificate,
  { certificate: { fingerprint: certificate } }: ReceivedCertificate,
): Promise<void> {
  const client = await createAuthorityClient({
    target,
    identity: identityFromMemory({
      certificateChain: who.chainPem,
      privateKey: encodePrivateKey(who.privateKey),
    }),
    trust: trustFromMemory(who.bundle.rootsPem),
    deadlineMs: 20_000,
  });
  try {
    await client.revoke({ certificate, reason: "keyCompromise", onlyThis: true });
  } finally {
    await client.close();
  }
}

interface Place {
  start(port: string): Promise<Service>;
  /** How many certificates of a name are recorded. */
  count(name: string): Promise<number>;
  revoked(who: ReceivedCertificate): Promise<boolean>;
  list(): Promise<ReturnType<typeof parseCrl>>;
}

interface Service extends Serving {
  readonly dead: Promise<unknown>;
  token(name: string): Promise<string>;
  dieAt(step: Step): Promise<void>;
}

async function createPlace(t: TestContext): Promise<Place> {
  const home = join(temporaryFolder(t), "home");
  await initAuthorityHome(home, { trustDomain: "handfast.internal", requester: "local:test" });
  const read = await openAuthorityHome(home);
  t.after(() => read.close());
  return {
    async start(port) {
      const child = fork(new URL("serve-and-die.ts", import.meta.url), [home, port], {
        execArgv: ["--conditions=@handfast/source"],
      });
      const dead = once(child, "exit");
      t.after(async () => {
        child.kill("SIGKILL");
        await dead;
      });
      const serving = (await message(child)) as Serving;
      return {
        ...serving,
        dead,
        async token(name) {
          child.send({ token: name });
          return ((await message(child)) as { token: string }).token;
        },
        async dieAt(step) {
          child.send({ dieAt: step });
          await message(child);
        },
      };
    },
    count: async (name) => (await read.find({ name })).length,
    async revoked({ certificate: { fingerprint } }) {
      const [record] = await read.find({ fingerprint });
      return record?.revocation !== undefined;
    },
    async list() {
      const record = await read.latestCrl("issuing-1");
      assert.ok(record);
      return parseCrl(record.der);
    },
  };
}

async function message(child: ChildProcess): Promise<unknown> {
  const [told] = (await once(child, "message")) as [unknown];
  return told;
}
