import assert from "node:assert/strict";
import { createPublicKey, sign } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { test } from "node:test";
import { generateKeyPair, parseCrl, signatureAlgorithmFor } from "@handfast/x509";
import type { ExternalSigner, KeyAlgorithm } from "@handfast/x509";
import { createAuthority } from "../src/index.ts";
import { refusal, requestFor, temporaryAuthority } from "./support/fixtures.ts";

/** A token that signs and shows its key to nobody. */
function token(
  privateKey: KeyObject,
  digest: string | null,
): ExternalSigner & { readonly signed: () => number } {
  let signed = 0;
  const publicKey = createPublicKey(privateKey);
  return {
    publicKey,
    signatureAlgorithm: signatureAlgorithmFor(publicKey),
    sign(bytes) {
      signed += 1;
      return sign(digest, bytes, privateKey);
    },
    signed: () => signed,
  };
}

test("an authority whose issuing key is in a token issues and revokes without ever loading it", async (context) => {
  for (const [keyAlgorithm, digest] of [
    ["ecdsa-p256", "sha256"],
    ["ecdsa-p384", "sha384"],
    ["rsa-2048", "sha256"],
    ["ed25519", null],
  ] as const satisfies [KeyAlgorithm, string | null][]) {
    const { keys, store, clock } = await temporaryAuthority(context, { keyAlgorithm });
    const signer = token(await keys.load("issuing-1"), digest);
    keys.loaded.length = 0;
    const authority = await createAuthority({
      store,
      keys: { ...keys, signer: async (name) => (name === "issuing-1" ? signer : undefined) },
      clock: () => clock.now,
    });
    const { certificate, chain } = await authority.issue(requestFor("api"));
    assert.ok(chain[1]?.publicKey.equals(signer.publicKey));
    const { fingerprint } = certificate;
    await authority.revoke({
      certificate: fingerprint,
      reason: "superseded",
      requester: "local:test",
    });
    const [crl] = await authority.publishCrls({ role: "issuing" });
    assert.ok(crl !== undefined && chain[1] !== undefined && parseCrl(crl.der).verify(chain[1]));
    assert.equal(signer.signed(), 2);
    assert.deepEqual(keys.loaded, []);
  }
});

test("S53: a token with another key, or one that signs wrongly, hands nothing out", async (context) => {
  const { keys, store, clock } = await temporaryAuthority(context);
  const honest = token(await keys.load("issuing-1"), "sha256");
  const issueWith = async (signer: ExternalSigner) => {
    const authority = await createAuthority({
      store,
      keys: { ...keys, signer: async () => signer },
      clock: () => clock.now,
    });
    return authority.issue(requestFor("api"));
  };
  const other = token(generateKeyPair().privateKey, "sha256");
  await assert.rejects(issueWith(other), refusal("KEY_MISMATCH", /issuing-1/));
  await assert.rejects(
    issueWith({ ...honest, sign: (bytes) => other.sign(bytes) }),
    refusal("CERTIFICATE_UNUSABLE", /would not verify/),
  );
  assert.deepEqual(await store.certificates({ profile: "peer" }), []);
});
