import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { describe, test } from "node:test";
import { createTestAuthority } from "@handfast/x509/testing";
import { certificatesToPem, encodePkcs12, generateKeyPair, parsePkcs12 } from "@handfast/x509";
import { DerReader, encodeDer, integer, sequence, TAG } from "../src/der.ts";
import { inFolder, openssl, withoutOpenssl } from "./openssl.ts";

const withoutKeytool: string | false =
  spawnSync("keytool", ["-help"]).error === undefined ? false : "keytool is not installed";

const root = createTestAuthority();
const issuing = root.intermediate();
const leaf = issuing.issue({ name: "api" });
const passphrase = "correct horse";
const file = encodePkcs12({
  privateKey: leaf.privateKey,
  certificate: leaf.certificate,
  issuers: [issuing.certificate],
  passphrase,
  friendlyName: "api",
});

describe("a PKCS #12 file", () => {
  test("reads back as it was written", () => {
    const contents = parsePkcs12(file, { passphrase });
    assert.ok(contents.privateKey.equals(leaf.privateKey));
    assert.equal(contents.certificate.fingerprint, leaf.certificate.fingerprint);
    assert.deepEqual(
      contents.issuers.map(({ fingerprint }) => fingerprint),
      [issuing.certificate.fingerprint],
    );
    assert.equal(contents.friendlyName, "api");
  });

  test("is read by openssl pkcs12", { skip: withoutOpenssl }, () => {
    const printed = openssl(
      ["pkcs12", "-in", "file.p12", "-passin", `pass:${passphrase}`, "-nodes"],
      { "file.p12": file },
    );
    assert.match(printed, /friendlyName: api/);
    assert.match(printed, /BEGIN PRIVATE KEY/);
    assert.equal(printed.match(/BEGIN CERTIFICATE/g)?.length, 2);
  });

  test("is read by Java's keytool", { skip: withoutKeytool }, () => {
    const printed = inFolder({ "file.p12": file }, (folder) =>
      execFileSync(
        "keytool",
        ["-list", "-v", "-keystore", "file.p12", "-storetype", "PKCS12", "-storepass", passphrase],
        { cwd: folder, encoding: "utf8", stdio: "pipe" },
      ),
    );
    assert.match(printed, /Alias name: api/);
    assert.match(printed, /Entry type: PrivateKeyEntry/);
    assert.match(printed, /Certificate chain length: 2/);
  });

  test("made by openssl is read", { skip: withoutOpenssl }, () => {
    const made = inFolder(
      {
        "key.pem": leaf.privateKeyPem,
        "leaf.pem": certificatesToPem([leaf.certificate]),
        "ca.pem": certificatesToPem([issuing.certificate]),
      },
      (folder) =>
        execFileSync(
          "openssl",
          words(
            "pkcs12 -export -inkey key.pem -in leaf.pem -certfile ca.pem",
            "-name söme -passout pass:other",
          ),
          { cwd: folder, stdio: "pipe" },
        ),
    );
    const contents = parsePkcs12(made, { passphrase: "other" });
    assert.ok(contents.privateKey.equals(leaf.privateKey));
    assert.equal(contents.issuers.length, 1);
  });

  test("made by keytool is read", { skip: withoutKeytool }, () => {
    const made = inFolder({}, (folder) => {
      execFileSync(
        "keytool",
        words(
          "-genkeypair -alias svc -keyalg EC -groupname secp256r1 -dname CN=svc",
          "-storetype PKCS12 -keystore f.p12 -storepass changeit",
        ),
        { cwd: folder, stdio: "pipe" },
      );
      return execFileSync("cat", ["f.p12"], { cwd: folder });
    });
    const contents = parsePkcs12(made, { passphrase: "changeit" });
    assert.equal(contents.certificate.subject.text, "CN=svc");
    assert.equal(contents.friendlyName, "svc");
  });

  test("with another passphrase is refused before anything is decrypted (S47)", () => {
    assert.throws(() => parsePkcs12(file, { passphrase: "wrong" }), { code: "PASSPHRASE_WRONG" });
  });

  test("that was changed in one octet is refused", () => {
    const changed = Uint8Array.from(file);
    changed[200] = (changed[200] as number) ^ 1;
    assert.throws(() => parsePkcs12(changed, { passphrase }), { code: "PASSPHRASE_WRONG" });
  });

  test("that was cut off is refused at every length", () => {
    for (let length = 0; length < file.length; length += 7) {
      assert.throws(() => parsePkcs12(file.subarray(0, length), { passphrase }), {
        code: "PKCS12_MALFORMED",
      });
    }
  });

  test("whose integrity check asks for 100,000,000 rounds is refused at once (S44)", () => {
    const pfx = new DerReader(file).sequence("file");
    const version = pfx.whole(TAG.integer, "version");
    const safe = pfx.whole(TAG.sequence, "authSafe");
    const macData = pfx.sequence("macData");
    const digestInfo = macData.whole(TAG.sequence, "digest");
    const salt = macData.whole(TAG.octetString, "salt");
    const greedy = encodeDer(
      sequence([version, safe, sequence([digestInfo, salt, integer(100_000_000)])]),
    );
    assert.throws(() => parsePkcs12(greedy, { passphrase }), { code: "KEY_DERIVATION_REFUSED" });
  });

  test("is not made for a key that is not the certificate's", () => {
    assert.throws(
      () =>
        encodePkcs12({
          privateKey: generateKeyPair().privateKey,
          certificate: leaf.certificate,
          passphrase,
        }),
      { code: "KEY_MISMATCH" },
    );
  });
});

function words(...lines: readonly string[]): string[] {
  return lines.join(" ").split(" ");
}
