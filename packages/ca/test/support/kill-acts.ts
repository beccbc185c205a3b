import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { DatabaseSync } from "node:sqlite";
import { text } from "node:stream/consumers";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { createName, createRequest, generateKeyPair } from "@handfast/x509";
import { authorityHome, initAuthorityHome, openAuthorityHome } from "../../src/index.ts";
import type { Authority } from "../../src/index.ts";
import { requestFor, temporaryFolder } from "./fixtures.ts";

/** An act that a process is killed in. */
export type KilledAct = "issue" | "renew" | "enrol" | "revoke" | "crl";

/**
 * Has a process do an act and die before each step of its store (or before those that are named):
 * what it was told is recorded, what is recorded is whole, and the act can be done again.
 */
export async function killInAct(
  context: TestContext,
  { act, steps }: { readonly act: KilledAct; readonly steps?: readonly number[] },
): Promise<void> {
  const home = temporaryFolder(context);
  await initAuthorityHome(home, { trustDomain: "handfast.internal", requester });
  const effects: boolean[] = [];
  for (let step = 0; steps === undefined || step < steps.length; step++) {
    const attempt = await inHome(home, (authority) => prepare(authority, { act, step }));
    const told = await die([home, act, String(steps?.[step] ?? step), attempt.argument]);
    const database = new DatabaseSync(authorityHome(home).store);
    assert.deepEqual(Object.values(database.prepare("PRAGMA integrity_check").get() ?? {}), ["ok"]);
    database.close();
    effects.push(await inHome(home, (authority) => attempt.check(authority, told)));
    if (told !== undefined) break;
  }
  // Before the commit nothing is there, after it everything: there is one step where that turns.
  const turn = effects.includes(true) ? effects.indexOf(true) : effects.length;
  assert.ok(effects.slice(turn).every(Boolean), effects.join());
  if (steps === undefined) assert.ok(turn > 3 && turn < effects.length, effects.join());
  context.diagnostic(`${act}: ${effects.length} steps, in effect after ${turn}`);
}

interface Attempt {
  readonly argument: string;
  /** Whether the act has taken effect; fails if that is not what was told, or not whole. */
  check(authority: Authority, told: string | undefined): Promise<boolean>;
}

async function prepare(
  authority: Authority,
  { act, step }: { act: KilledAct; step: number },
): Promise<Attempt> {
  const name = `s${step}`;
  switch (act) {
    case "issue":
      return {
        argument: name,
        async check({ find }, told) {
          const found = await find({ name });
          if (told !== undefined)
            assert.deepEqual(
              found.map(({ fingerprint }) => fingerprint),
              [told],
            );
          return found.length === 1;
        },
      };
    case "renew": {
      const { certificate } = await authority.issue(requestFor(name));
      const { publicKey } = generateKeyPair();
      const der = publicKey.export({ type: "spki", format: "der" }).toString("base64");
      const parent = certificate.fingerprint;
      return {
        argument: JSON.stringify({ certificate: parent, publicKey: der }),
        async check({ find, renew }, told) {
          const found = await find({ parent });
          const again = await renew({ certificate: parent, publicKey, requester });
          const after = await find({ parent });
          assert.equal(after.length, 1, "one child, however often it is asked for");
          if (told !== undefined) assert.equal(again.certificate.fingerprint, told);
          return found.length === 1;
        },
      };
    }
    case "enrol": {
      const { publicKey: _any, ...contents } = requestFor(name);
      const audience = "https://ca.example";
      const token = await authority.createToken({ ...contents, audience });
      const { privateKey } = generateKeyPair();
      const request = createRequest({ subject: createName([]), privateKey });
      return {
        argument: JSON.stringify({ token, request: Buffer.from(request).toString("base64") }),
        async check({ find, enrol }, told) {
          const found = await find({ name });
          const again = await enrol({ token, audience, request });
          assert.equal((await find({ name })).length, 1, "one certificate ever");
          if (told !== undefined) assert.equal(again.certificate.fingerprint, told);
          return found.length === 1;
        },
      };
    }
    case "revoke": {
      let { certificate } = await authority.issue(requestFor(name));
      const first = certificate.fingerprint;
      for (let child = 0; child < 2; child++) {
        const { publicKey } = generateKeyPair();
        const parent = certificate.fingerprint;
        ({ certificate } = await authority.renew({ certificate: parent, publicKey, requester }));
      }
      const last = certificate.fingerprint;
      return {
        argument: first,
        async check({ find, revoke, renew }, told) {
          const revoked = await find({ name, status: "revoked" });
          assert.ok([0, 3].includes(revoked.length), "the whole line or none of it");
          if (told !== undefined) assert.equal(revoked.length, 3);
          await revoke({ certificate: first, reason: "superseded", requester });
          assert.equal((await find({ name, status: "revoked" })).length, 3);
          const { publicKey } = generateKeyPair();
          await assert.rejects(renew({ certificate: last, publicKey, requester }), {
            code: "RENEWAL_REFUSED",
          });
          return revoked.length === 3;
        },
      };
    }
    case "crl": {
      const before = (await authority.latestCrl("issuing-1"))?.number ?? 0;
      return {
        argument: "",
        async check({ latestCrl, publishCrls }, told) {
          const latest = (await latestCrl("issuing-1"))?.number ?? 0;
          if (told !== undefined) assert.equal(latest, Number(told));
          const [next] = await publishCrls({ role: "issuing" });
          assert.ok(next !== undefined && next.number > Math.max(latest, before));
          return latest > before;
        },
      };
    }
  }
}

async function inHome<Result>(
  home: string,
  work: (authority: Authority) => Promise<Result>,
): Promise<Result> {
  const authority = await openAuthorityHome(home);
  try {
    return await work(authority);
  } finally {
    await authority.close();
  }
}

/** What the process was told before it died; undefined if it died before. */
async function die(words: readonly string[]): Promise<string | undefined> {
  const child = spawn(process.execPath, [...process.execArgv, script, ...words], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [said, [, signal]] = await Promise.all([text(child.stdout), once(child, "exit")]);
  assert.equal(signal, "SIGKILL");
  return said === "" ? undefined : (JSON.parse(said) as { told: string }).told;
}

const requester = "local:test";
const script = fileURLToPath(new URL("act-until-killed.ts", import.meta.url));
