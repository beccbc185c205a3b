import assert from "node:assert/strict";
import { test } from "node:test";
import { createTestAuthority } from "@handfast/x509/testing";
import { encodeSpiffeBundle, parseSpiffeBundle } from "../src/index.ts";
import { refusal, temporaryAuthority } from "./support/fixtures.ts";

test("a bundle of two roots goes out as SPIFFE JWKS and comes back the same", async (context) => {
  for (const keyAlgorithm of ["ecdsa-p256", "rsa-2048", "ml-dsa-44"] as const) {
    const { authority } = await temporaryAuthority(context, { keyAlgorithm });
    await authority.prepareRotation({ what: "root", requester: "local:test" });
    const bundle = await authority.bundle();
    const text = encodeSpiffeBundle(bundle, { refreshHintSeconds: 60 });
    const document = JSON.parse(text) as { keys: Record<string, unknown>[] };
    assert.equal(document.keys.length, 2);
    for (const key of document.keys) {
      assert.equal(key["use"], "x509-svid");
      assert.equal(typeof key["kty"], "string");
      assert.equal(key["kid"], undefined);
      assert.equal(key["d"] ?? key["priv"], undefined, "no private half");
    }
    const read = parseSpiffeBundle(text, { trustDomain: bundle.trustDomain });
    assert.equal(read.sequence, bundle.sequence);
    assert.deepEqual(
      read.roots.map(({ fingerprint }) => fingerprint),
      bundle.roots.map(({ fingerprint }) => fingerprint),
    );
  }
});

test("S22: a federated bundle with anything wrong in it is refused whole", async (context) => {
  const { authority } = await temporaryAuthority(context);
  const [good] = (JSON.parse(encodeSpiffeBundle(await authority.bundle())) as { keys: object[] })
    .keys;
  const leaf = createTestAuthority().issue({ name: "leaf" });
  const x5c = (bytes: Uint8Array) => [Buffer.from(bytes).toString("base64")];
  const read = (document: unknown) => () =>
    parseSpiffeBundle(typeof document === "string" ? document : JSON.stringify(document), {
      trustDomain: "other.example",
    });
  const ignored = { use: "jwt-svid", kid: "x" };
  assert.equal(read({ keys: [good, ignored] })().roots.length, 1);
  for (const [document, words] of [
    ["", /is not JSON/],
    ["[]", /is not a JSON object/],
    [{}, /no list of keys/],
    [{ keys: [] }, /nobody would be trusted/],
    [{ keys: [ignored] }, /nobody would be trusted/],
    [{ keys: [good, 1] }, /not an object/],
    [{ keys: [good, { use: "x509-svid" }] }, /exactly one certificate/],
    [{ keys: [good, { use: "x509-svid", x5c: [] }] }, /exactly one certificate/],
    [{ keys: [good, { use: "x509-svid", x5c: ["AAAA"] }] }, /cannot be read/],
    [{ keys: [good, { use: "x509-svid", x5c: x5c(leaf.certificate.der) }] }, /no CA certificate/],
    [{ keys: [good], spiffe_sequence: 1.5 }, /no whole number/],
  ] as const) {
    assert.throws(read(document), refusal("BUNDLE_INVALID", words), JSON.stringify(document));
  }
  assert.throws(() => parseSpiffeBundle("{}", { trustDomain: "../x" }), {
    code: "SPIFFE_ID_INVALID",
  });
});
