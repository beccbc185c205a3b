import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { createTestAuthority } from "@handfast/x509/testing";
import { certificatesToPem, decodePem, encodePem, parseCertificatesPem } from "@handfast/x509";

const root = createTestAuthority();
const good = root.bundlePem;

describe("PEM text", () => {
  test("of any content reads back, with any text around it", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ minLength: 1, maxLength: 200 })), (contents) => {
        const text = contents.map((der) => `comment\n${encodePem("CERTIFICATE", der)}`).join("\n");
        const blocks = decodePem(text);
        assert.deepEqual(
          blocks.map(({ der }) => Buffer.from(der)),
          contents.map((der) => Buffer.from(der)),
        );
      }),
    );
  });

  test("reads with CRLF, a byte order mark, trailing spaces and as bytes", () => {
    for (const text of [
      good.replaceAll("\n", "\r\n"),
      `\uFEFF${good}`,
      good.replaceAll("\n", " \n"),
      good.trimEnd(),
    ]) {
      assert.equal(parseCertificatesPem(text).length, 1);
      assert.equal(parseCertificatesPem(Buffer.from(text, "utf8")).length, 1);
    }
  });

  const broken: [string, string][] = [
    ["is cut off inside the block", good.slice(0, good.length / 2)],
    ["is cut off inside the END line", good.slice(0, -10)],
    ["has an END line without BEGIN", `-----END CERTIFICATE-----\n${good}`],
    ["has a block inside a block", good.replace(/\n/, "\n-----BEGIN CERTIFICATE-----\n")],
    ["closes with another label", good.replace("END CERTIFICATE", "END X509 CRL")],
    ["has letters that are not base64", good.replace(/\nMII/, "\nM****II")],
    ["has a label in small letters", good.replaceAll("CERTIFICATE", "certificate")],
    ["has a missing letter", good.replace(/\nMII/, "\nMI")],
    ["has a letter too many", good.replace(/\nMII/, "\nMIII")],
    [
      "has letters after the padding",
      encodePem("CERTIFICATE", new Uint8Array(4)).replace("==", "==AAAA"),
    ],
    ["has padding alone", "-----BEGIN CERTIFICATE-----\n====\n-----END CERTIFICATE-----\n"],
    [
      "has bits set that no octet uses",
      encodePem("CERTIFICATE", new Uint8Array(4)).replace("A==", "B=="),
    ],
    ["has letters beyond ASCII", good.replace(/\nMII/, "\nM\u0141I")],
    ["has an empty block", "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"],
    ["has header lines", good.replace("-----\n", "-----\nProc-Type: 4,ENCRYPTED\n\n")],
    ["has a BEGIN without a label", good.replace("BEGIN CERTIFICATE", "BEGIN ")],
    ["has a BEGIN in the middle of a line", `x${good}`],
  ];
  for (const [name, text] of broken) {
    test(`that ${name} is refused whole`, () => {
      assert.throws(() => decodePem(`${good}${text}`), { code: "PEM_MALFORMED" });
    });
  }
});

test("an old PEM encryption header is named in the hint", () => {
  const text = good.replace("-----\n", "-----\nProc-Type: 4,ENCRYPTED\n\n");
  assert.throws(() => decodePem(text), { code: "PEM_MALFORMED", hint: /PKCS #8/ });
});

describe("a bundle of certificates (S22)", () => {
  test("that holds a private key is refused", () => {
    const leaf = root.issue();
    assert.throws(() => parseCertificatesPem(good + leaf.privateKeyPem), {
      code: "BUNDLE_HAS_PRIVATE_KEY",
    });
  });

  test("that holds another kind of block is refused", () => {
    const other = encodePem("X509 CRL", Uint8Array.of(0x30, 0));
    assert.throws(() => parseCertificatesPem(good + other), { code: "PEM_MALFORMED" });
  });

  test("without any certificate is refused", () => {
    for (const text of ["", " \n", "no PEM here\n"]) {
      assert.throws(() => parseCertificatesPem(text), { code: "BUNDLE_EMPTY" });
    }
  });

  test("with a broken certificate among good ones is refused", () => {
    const der = Uint8Array.from(root.certificate.der.subarray(0, -1));
    assert.throws(() => parseCertificatesPem(good + encodePem("CERTIFICATE", der)), {
      code: "CERTIFICATE_MALFORMED",
    });
  });

  test("is written with CERTIFICATE blocks only", () => {
    const leaf = root.issue();
    const text = certificatesToPem([leaf.certificate, root.certificate]);
    assert.deepEqual(
      decodePem(text).map(({ label }) => label),
      ["CERTIFICATE", "CERTIFICATE"],
    );
  });
});
