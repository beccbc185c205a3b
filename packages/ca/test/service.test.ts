import assert from "node:assert/strict";
import { test } from "node:test";
import { encodePrivateKey, generateKeyPair } from "@handfast/x509";
import { enrolOnline, renewOnline } from "../src/index.ts";
import { refusal } from "./support/fixtures.ts";
import { onlineAuthority } from "./support/online.ts";

test("a service enrols with a token, renews over its certificate, and ends when it is revoked", async (t) => {
  const { service, token, authority } = await onlineAuthority(t);
  const enrolled = await enrolOnline({ token: await token("billing") });
  assert.deepEqual(enrolled.certificate.subjectAltNames.dns, ["billing"]);
  assert.equal(enrolled.bundle.authorityTarget, service.authorityTarget);
  assert.equal(enrolled.bundle.trustDomain, "handfast.internal");

  const { privateKey: nextKey } = generateKeyPair();
  const present = {
    target: enrolled.bundle.authorityTarget,
    certificateChain: enrolled.chainPem,
    privateKey: encodePrivateKey(enrolled.privateKey),
    roots: enrolled.bundle.rootsPem,
  };
  const renewed = await renewOnline({ ...present, nextKey });
  assert.deepEqual(renewed.certificate.subjectAltNames, enrolled.certificate.subjectAltNames);
  const again = await renewOnline({ ...present, nextKey });
  assert.equal(again.certificate.fingerprint, renewed.certificate.fingerprint);
  await assert.rejects(
    renewOnline({ ...present, nextKey: generateKeyPair().privateKey }),
    refusal("RENEWAL_REPEATED", /another key/),
  );

  await authority.revoke({
    certificate: enrolled.certificate.fingerprint,
    reason: "keyCompromise",
    requester: "local:test",
  });
  const next = {
    ...present,
    certificateChain: renewed.chainPem,
    privateKey: encodePrivateKey(renewed.privateKey),
  };
  await assert.rejects(
    renewOnline({ ...next, nextKey: generateKeyPair().privateKey }),
    refusal("REQUEST_UNAUTHENTICATED", /was revoked/),
  );
});
