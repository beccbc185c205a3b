import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { openAuditChain, openAuditKey, verifyAuditChain } from "@handfast/policy";
import { generateKeyPair } from "@handfast/x509";
import type { AuditTrail } from "../src/index.ts";
import { requestFor, temporaryAuthority, temporaryFolder } from "./support/fixtures.ts";

test("each issue, renewal, revocation and refusal is told to the audit, with who and why", async (context) => {
  const told: [string, Record<string, unknown>][] = [];
  const audit: AuditTrail = {
    async append(kind, fields) {
      told.push([kind, fields]);
      return { chain: "", seq: told.length };
    },
  };
  const { authority } = await temporaryAuthority(context, { audit });
  const { certificate } = await authority.issue(requestFor("api"));
  const { publicKey } = generateKeyPair();
  const { fingerprint } = certificate;
  await authority.renew({ certificate: fingerprint, publicKey, requester: "api itself" });
  await authority.revoke({ certificate: fingerprint, reason: "superseded", requester: "operator" });
  await assert.rejects(authority.issue(requestFor("api", { profile: "root" })));
  assert.deepEqual(
    told.map(([kind, { action, outcome, requester, code, reason }]) =>
      [kind, action, outcome, requester, code ?? reason].filter((value) => value !== undefined),
    ),
    [
      ["authority", "issue", "done", "local:test"],
      ["authority", "renew", "done", "api itself"],
      ["authority", "revoke", "done", "operator", "superseded"],
      ["authority", "revoke", "done", "operator", "superseded"],
      ["authority", "issue", "refused", "local:test", "PROFILE_UNKNOWN"],
    ],
  );
  assert.equal(told[0]?.[1]["fingerprint"], fingerprint);
});

test("what the audit does not take is not handed out", async (context) => {
  const audit: AuditTrail = {
    async append() {
      throw new Error("the disk is full");
    },
  };
  const { authority } = await temporaryAuthority(context, { audit });
  await assert.rejects(authority.issue(requestFor("api")), /the disk is full/);
});

test("the audit chain of the policy room takes what the authority tells, and verifies", async (context) => {
  const path = join(temporaryFolder(context), "audit.log");
  const signer = await openAuditKey(`${path}.key`);
  const chain = await openAuditChain(path, { signer });
  const { authority } = await temporaryAuthority(context, { audit: chain });
  await authority.issue(requestFor("api"));
  await assert.rejects(authority.issue(requestFor("api", { profile: "root" })));
  const { head } = chain;
  await chain.close();
  const found = await verifyAuditChain(path, { publicKey: signer.publicKey, head });
  assert.equal(found.ok, true);
  assert.ok(found.records >= 2);
});
