import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { describe, test } from "node:test";
import { createTestAuthority } from "@handfast/x509/testing";
import {
  createSigner,
  generateKeyPair,
  inspect,
  parseCertificate,
  parseCertificatesPem,
  parsePublicKeyInfo,
  verifySignature,
  type Certificate,
} from "@handfast/x509";
import { exportPublicKey } from "../src/keys.ts";
import { openssl, withoutOpenssl } from "./openssl.ts";

function selfSigned(keyArguments: string, signingArguments = ""): Certificate {
  const words = `req -x509 -newkey ${keyArguments} -nodes -keyout key.pem -subj /CN=a -days 1 ${signingArguments}`;
  const [certificate] = parseCertificatesPem(openssl(words.trim().split(/ +/), {}));
  assert.ok(certificate);
  return certificate;
}

describe("a certificate signed by openssl", { skip: withoutOpenssl }, () => {
  const pss = "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen";
  const accepted: [string, string, string][] = [
    ["ECDSA-SHA256", "ec -pkeyopt ec_paramgen_curve:P-256", "-sha256"],
    ["ECDSA-SHA384", "ec -pkeyopt ec_paramgen_curve:P-384", "-sha384"],
    ["ECDSA-SHA512", "ec -pkeyopt ec_paramgen_curve:P-521", "-sha512"],
    ["Ed25519", "ed25519", ""],
    ["Ed448", "ed448", ""],
    ["RSA-SHA256", "rsa:2048", "-sha256"],
    ["RSA-SHA512", "rsa:2048", "-sha512"],
    ["RSASSA-PSS", "rsa:2048", `${pss}:32 -sha256`],
    ["RSASSA-PSS", "rsa:2048", `${pss}:64 -sha512`],
    ["RSASSA-PSS", "rsa-pss", `${pss}:48 -sha384`],
  ];
  for (const [name, key, signing] of accepted) {
    test(`verifies: ${name}, ${key} ${signing}`, () => {
      const certificate = selfSigned(key, signing);
      assert.equal(inspect(certificate).signatureAlgorithm, name);
      assert.equal(verifySignature(certificate, certificate.publicKeyInfo), true);
      const changed = Uint8Array.from(certificate.signedBytes);
      changed[20] = (changed[20] as number) ^ 1;
      assert.equal(
        verifySignature({ ...parts(certificate), signedBytes: changed }, certificate.publicKeyInfo),
        false,
      );
    });
  }

  const refused: [string, string][] = [
    ["rsa:2048", "-sha1"],
    ["rsa:2048", "-md5"],
    ["ec -pkeyopt ec_paramgen_curve:P-256", "-sha1"],
    ["rsa:1024", "-sha256"],
    ["rsa:2048", `${pss}:20 -sha1`],
    ["rsa:2048", `${pss}:20 -sha256`],
    ["ec -pkeyopt ec_paramgen_curve:P-192", "-sha256"],
    ["ec -pkeyopt ec_paramgen_curve:secp256k1", "-sha256"],
  ];
  for (const [key, signing] of refused) {
    test(`is refused before any arithmetic: ${key} ${signing} (S44)`, () => {
      const certificate = selfSigned(key, signing);
      assert.equal(verifySignature(certificate, certificate.publicKeyInfo), false);
    });
  }
});

describe("a signature", () => {
  test("of each kind of key is refused under another key of its kind", () => {
    for (const algorithm of ["ecdsa-p256", "ed25519", "ml-dsa-44"] as const) {
      const { certificate } = createTestAuthority({ algorithm });
      const other = parsePublicKeyInfo(exportPublicKey(generateKeyPair(algorithm).publicKey));
      assert.equal(verifySignature(certificate, certificate.publicKeyInfo), true);
      assert.equal(verifySignature(certificate, other), false);
    }
  });

  test("of ML-DSA is refused under another parameter set", () => {
    const { certificate } = createTestAuthority({ algorithm: "ml-dsa-44" });
    const other = parsePublicKeyInfo(exportPublicKey(generateKeyPair("ml-dsa-65").publicKey));
    assert.equal(verifySignature(certificate, other), false);
  });

  test("that is cut off, empty or prolonged is refused", () => {
    const { certificate } = createTestAuthority();
    for (const signature of [
      new Uint8Array(),
      certificate.signature.subarray(0, -1),
      Uint8Array.of(...certificate.signature, 0),
    ]) {
      assert.equal(
        verifySignature({ ...parts(certificate), signature }, certificate.publicKeyInfo),
        false,
      );
    }
  });

  test("is not made with a key that certificates cannot use", () => {
    for (const { privateKey } of [
      generateKeyPairSync("x25519"),
      generateKeyPairSync("ec", { namedCurve: "secp256k1" }),
    ]) {
      assert.throws(() => createSigner(privateKey), { code: "ALGORITHM_UNSUPPORTED" });
    }
  });

  test("is not made with a public key", () => {
    assert.throws(() => createSigner(generateKeyPair().publicKey), TypeError);
  });

  test("survives reading the certificate again", () => {
    const { certificate } = createTestAuthority();
    const again = parseCertificate(certificate.der);
    assert.equal(verifySignature(again, certificate.publicKeyInfo), true);
  });
});

function parts({ signature, signatureAlgorithm, signedBytes }: Certificate): {
  signature: Uint8Array;
  signatureAlgorithm: Uint8Array;
  signedBytes: Uint8Array;
} {
  return { signature, signatureAlgorithm, signedBytes };
}
