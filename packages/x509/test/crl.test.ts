import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";
import fc from "fast-check";
import {
  certificatesToPem,
  createCrlEntryList,
  createIssuer,
  crlFromParts,
  encodePem,
  issueCrl,
  parseCrl,
  parseSerialNumber,
  X509Error,
  type Crl,
  type CrlEntryInput,
  type CrlLimitation,
  type IssueCrlOptions,
  type RevocationReason,
  type SerialNumber,
} from "@handfast/x509";
import {
  context,
  contextPrimitive,
  generalizedTime,
  integer,
  NULL,
  oid,
  primitive,
  sequence,
  TAG,
  time,
  type DerValue,
} from "../src/der.ts";
import { OID } from "../src/oid.ts";
import { indexEntries, SerialIndex } from "../src/serial-index.ts";
import { craftCa, craftLeaf, extensionOf, type Crafted } from "./craft.ts";
import { authorityKeyOf, craftCrl, craftEntry, type CraftCrlOptions } from "./craft-crl.ts";
import { inFolder, openssl, withoutOpenssl } from "./openssl.ts";

const ca = craftCa({ from: "2020-01-01T00:00:00Z", until: "2040-01-01T00:00:00Z" });
const leaf = craftLeaf(ca, { from: "2020-01-01T00:00:00Z", until: "2040-01-01T00:00:00Z" });
const revokedAt = new Date("2026-06-14T08:09:10Z");
const times = {
  thisUpdate: new Date("2026-06-15T00:00:00Z"),
  nextUpdate: new Date("2039-06-16T00:00:00Z"),
};
const reasons = [
  "keyCompromise",
  "cACompromise",
  "affiliationChanged",
  "superseded",
  "cessationOfOperation",
  "certificateHold",
  "privilegeWithdrawn",
  "aACompromise",
] as const satisfies readonly RevocationReason[];

function issue(
  entries: IssueCrlOptions["entries"] = [],
  options: Partial<IssueCrlOptions> & { by?: Crafted } = {},
): Uint8Array {
  const { by = ca, ...rest } = options;
  const issuer = { certificate: by.certificate, privateKey: by.keys.privateKey };
  return issueCrl({ issuer, entries, number: 1, ...times, ...rest });
}

function serial(hex: string): SerialNumber {
  return parseSerialNumber(hex);
}

describe("a revocation list that was issued", () => {
  const entries: CrlEntryInput[] = [
    { serialNumber: leaf.certificate.serialNumber, revokedAt, reason: "keyCompromise" },
    { serialNumber: serial("ff"), revokedAt, reason: "unspecified" },
    { serialNumber: serial("7f".repeat(20)), revokedAt: new Date("2026-12-31T23:59:59.9Z") },
    {
      serialNumber: serial("01"),
      revokedAt: new Date("2051-02-28T00:00:00Z"),
      reason: "superseded",
      invalidityDate: new Date("2026-01-01T00:00:00Z"),
    },
    { serialNumber: serial("02"), revokedAt, invalidityDate: new Date("1999-01-01T00:00:00Z") },
  ];

  test("is read back as it was", () => {
    const crl = parseCrl(issue(entries, { number: 2n ** 150n }));
    assert.equal(crl.size, 5);
    assert.equal(crl.number, 2n ** 150n);
    assert.equal(crl.issuer.text, "CN=Root");
    assert.deepEqual({ thisUpdate: crl.thisUpdate, nextUpdate: crl.nextUpdate }, times);
    assert.deepEqual(crl.authorityKeyIdentifier, ca.certificate.subjectKeyIdentifier);
    assert.equal(crl.limitation, undefined);
    assert.ok(crl.verify(ca.certificate));
    const read = [...crl.entries()].map((entry) => ({
      serialNumber: entry.serialNumber,
      revokedAt: entry.revokedAt.toISOString(),
      reason: entry.reason,
      invalidityDate: entry.invalidityDate?.toISOString(),
    }));
    const second = "2026-06-14T08:09:10.000Z";
    assert.deepEqual(read, [
      {
        serialNumber: leaf.certificate.serialNumber,
        revokedAt: second,
        reason: "keyCompromise",
        invalidityDate: undefined,
      },
      { serialNumber: "ff", revokedAt: second, reason: undefined, invalidityDate: undefined },
      {
        serialNumber: "7f".repeat(20),
        revokedAt: "2026-12-31T23:59:59.000Z",
        reason: undefined,
        invalidityDate: undefined,
      },
      {
        serialNumber: "01",
        revokedAt: "2051-02-28T00:00:00.000Z",
        reason: "superseded",
        invalidityDate: "2026-01-01T00:00:00.000Z",
      },
      {
        serialNumber: "02",
        revokedAt: second,
        reason: undefined,
        invalidityDate: "1999-01-01T00:00:00.000Z",
      },
    ]);
  });

  test("finds whom it lists, and nobody else", () => {
    const crl = parseCrl(issue(entries));
    for (const { serialNumber } of entries) {
      assert.equal(crl.lookup(serialNumber)?.serialNumber, serialNumber);
    }
    for (const other of ["03", "fe", "7f".repeat(19), "80ff"]) {
      assert.equal(crl.lookup(serial(other)), undefined);
    }
  });

  test("without entries has no field for them", () => {
    const crl = parseCrl(issue());
    assert.equal(crl.size, 0);
    assert.deepEqual([...crl.entries()], []);
    assert.equal(crl.lookup(serial("01")), undefined);
    assert.equal(crl.entryBytes.length, 0);
  });

  test("is read from PEM as from DER", () => {
    const der = issue(entries);
    const pem = encodePem("X509 CRL", der);
    for (const form of [pem, Buffer.from(pem), `noise\n${pem}`]) {
      assert.deepEqual(parseCrl(form).der, new Uint8Array(der));
    }
  });

  test("is added to and signed again without encoding the old entries", () => {
    const list = createCrlEntryList(parseCrl(issue(entries)));
    list.add({ serialNumber: serial("0abc"), revokedAt, reason: "superseded" });
    const crl = parseCrl(issue(list, { number: 2 }));
    assert.equal(crl.size, 6);
    assert.equal(crl.lookup(serial("0abc"))?.reason, "superseded");
    assert.equal(crl.lookup(serial("01"))?.reason, "superseded");
    const [old] = list.encoded;
    assert.deepEqual(old, parseCrl(issue(entries)).entryBytes);
  });

  test("knows every reason, and leaves unspecified out", () => {
    const listed = reasons.map((reason, i) => ({
      serialNumber: serial(`1${i}`),
      revokedAt,
      reason,
    }));
    const crl = parseCrl(issue(listed));
    for (const { serialNumber, reason } of listed) {
      assert.equal(crl.lookup(serialNumber)?.reason, reason);
    }
    const bare = issue([{ serialNumber: serial("01"), revokedAt }]);
    const unspecified = issue([{ serialNumber: serial("01"), revokedAt, reason: "unspecified" }]);
    assert.deepEqual(parseCrl(unspecified).entryBytes, parseCrl(bare).entryBytes);
  });

  test("whatever the entries, gives them back", () => {
    const entry = fc.record(
      {
        serialNumber: fc
          .bigInt({ min: 1n, max: 2n ** 159n - 1n })
          .map((n) => serial(n.toString(16))),
        revokedAt: fc
          .integer({ min: Date.UTC(1950, 0, 1) / 1000, max: Date.UTC(2090, 0, 1) / 1000 })
          .map((second) => new Date(second * 1000)),
        reason: fc.constantFrom(...reasons),
        invalidityDate: fc
          .integer({ min: Date.UTC(1950, 0, 1) / 1000, max: Date.UTC(2090, 0, 1) / 1000 })
          .map((second) => new Date(second * 1000)),
      },
      { requiredKeys: ["serialNumber", "revokedAt"] },
    );
    const lists = fc.uniqueArray(entry, { selector: (one) => one.serialNumber, maxLength: 60 });
    fc.assert(
      fc.property(lists, (all) => {
        const crl = parseCrl(issue(all));
        assert.equal(crl.size, all.length);
        for (const one of all) {
          const found = crl.lookup(one.serialNumber);
          assert.deepEqual(
            [found?.revokedAt, found?.reason, found?.invalidityDate],
            [one.revokedAt, one.reason, one.invalidityDate],
          );
        }
      }),
      { numRuns: 60 },
    );
  });

  test("is refused where the issuer, the times or the number make no sense", () => {
    const refused = (options: Parameters<typeof issue>[1]): void => {
      assert.throws(
        () => issue([], options),
        (error) => error instanceof X509Error && error.code === "ISSUE_REFUSED",
      );
    };
    refused({ by: craftCa({ keyUsage: ["keyCertSign"] }) });
    refused({ by: craftCa({ subjectKeyIdentifier: null }) });
    refused({ nextUpdate: times.thisUpdate });
    for (const number of [-1, 1.5, Number.NaN, 2n ** 160n]) refused({ number });
    const issuer = { certificate: ca.certificate, privateKey: leaf.keys.privateKey };
    assert.throws(
      () => issue([], { issuer }),
      (error) => error instanceof X509Error && error.code === "KEY_MISMATCH",
    );
    issue([], { issuer: createIssuer(ca.certificate, ca.keys.privateKey) });
  });
});

describe("a revocation list before openssl", { skip: withoutOpenssl }, () => {
  const caPem = certificatesToPem([ca.certificate]);
  const listing = (entries: readonly CrlEntryInput[]): string =>
    encodePem("X509 CRL", issue(entries));
  const entry = { serialNumber: leaf.certificate.serialNumber, revokedAt } as const;

  test("is read, in both forms, with its entries", () => {
    const pem = listing([{ ...entry, reason: "keyCompromise" }]);
    const text = openssl(["crl", "-in", "crl.pem", "-noout", "-text"], { "crl.pem": pem });
    assert.match(text, /Key Compromise/);
    assert.match(text, /X509v3 CRL Number/);
    assert.match(text, /X509v3 Authority Key Identifier/);
    const der = parseCrl(pem).der;
    openssl(["crl", "-inform", "DER", "-in", "crl.der", "-noout"], { "crl.der": der });
  });

  test("clears and revokes in `openssl verify -crl_check`", () => {
    const verify = (pem: string): string =>
      inFolder(
        {
          "ca.pem": caPem,
          "leaf.pem": certificatesToPem([leaf.certificate]),
          "crl.pem": pem,
        },
        (cwd) => {
          const args = [
            "verify",
            "-crl_check",
            "-CAfile",
            "ca.pem",
            "-CRLfile",
            "crl.pem",
            "leaf.pem",
          ];
          const { stdout, stderr } = spawnSync("openssl", args, { cwd, encoding: "utf8" });
          return stdout + stderr;
        },
      );
    assert.match(verify(listing([{ serialNumber: serial("0bad"), revokedAt }])), /leaf\.pem: OK/);
    assert.match(verify(listing([entry])), /certificate revoked/);
  });

  test("is read by us where openssl made it", () => {
    const config = [
      "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ncrlnumber=number\ndefault_md=sha256",
      "default_crl_days=30\ncrl_extensions=e\n[e]\nauthorityKeyIdentifier=keyid\n",
    ].join("\n");
    const index = `R\t391231235959Z\t260101000000Z,keyCompromise\t0BAD\tunknown\t/CN=x\n`;
    const made = inFolder(
      {
        "ca.pem": caPem,
        "key.pem": ca.keys.privateKey.export({ type: "pkcs8", format: "pem" }),
        "ca.cnf": config,
        "index.txt": index,
        number: "1F",
      },
      (cwd) =>
        execFileSync(
          "openssl",
          ["ca", "-gencrl", "-config", "ca.cnf", "-keyfile", "key.pem", "-cert", "ca.pem"],
          { cwd, encoding: "utf8", stdio: "pipe" },
        ),
    );
    const crl = parseCrl(made);
    assert.ok(crl.verify(ca.certificate));
    assert.equal(crl.number, 0x1fn);
    assert.equal(crl.lookup(serial("0bad"))?.reason, "keyCompromise");
  });
});

describe("whose list it is (S1)", () => {
  const crl = parseCrl(issue([{ serialNumber: serial("01"), revokedAt }]));

  test("that of the CA whose key signed it, as often as asked", () => {
    assert.ok(crl.verify(ca.certificate));
    assert.ok(crl.verify(ca.certificate));
    const renewed = craftCa({ keys: ca.keys });
    assert.ok(crl.verify(renewed.certificate));
  });

  test("not that of another key, name or key identifier", () => {
    const namesake = craftCa({ subjectKeyIdentifier: crl.authorityKeyIdentifier });
    const others: readonly Crafted[] = [
      namesake,
      craftCa(),
      craftCa({ keys: ca.keys, subject: "CN=root" }),
      craftCa({ keys: ca.keys, subjectKeyIdentifier: Buffer.alloc(20, 1) }),
      craftCa({ keys: ca.keys, subjectKeyIdentifier: null }),
      craftCa({ keys: ca.keys, keyUsage: ["keyCertSign"] }),
    ];
    for (const other of others) {
      assert.ok(!crl.verify(other.certificate));
      assert.ok(!crl.verify(other.certificate));
    }
    assert.ok(crl.verify(craftCa({ keys: ca.keys, keyUsage: null }).certificate));
  });

  test("a flood of namesakes does not make it forget its own", () => {
    const own = parseCrl(issue());
    assert.ok(own.verify(ca.certificate));
    const key = ca.certificate.subjectKeyIdentifier as Uint8Array;
    for (let i = 0; i < 70; i++) {
      assert.ok(!own.verify(craftCa({ keys: leaf.keys, subjectKeyIdentifier: key }).certificate));
    }
    assert.deepEqual(own.parts().verified, [ca.certificate.fingerprint]);
  });
});

describe("a list that cannot decide alone", () => {
  const scope = (...fields: DerValue[]): DerValue =>
    extensionOf(OID.issuingDistributionPoint, sequence(fields), true);
  const flag = (n: number): DerValue => contextPrimitive(n, Uint8Array.of(0xff));
  const point = context(0, [context(0, [contextPrimitive(6, Buffer.from("http://a.example/1"))])]);
  const odd = extensionOf("1.3.6.1.4.1.99999.7", NULL, true);
  const cases: readonly [CrlLimitation, CraftCrlOptions][] = [
    ["delta", { more: [extensionOf(OID.deltaCrlIndicator, integer(1), true)] }],
    ["indirect", { more: [scope(point, flag(4))] }],
    ["partial", { more: [scope(flag(1))] }],
    ["partial", { more: [scope(flag(2))] }],
    ["partial", { more: [scope(contextPrimitive(3, Uint8Array.of(1, 0x40)))] }],
    ["partial", { more: [scope(point)] }],
    ["unknown-critical-extension", { more: [odd] }],
    ["unknown-critical-extension", { entries: [craftEntry(integer(1), { extensions: [odd] })] }],
    [
      "indirect",
      {
        entries: [
          craftEntry(integer(1), {
            extensions: [
              extensionOf(
                OID.certificateIssuer,
                sequence([context(4, [ca.certificate.subject.der])]),
                true,
              ),
            ],
          }),
        ],
      },
    ],
    [
      "delta",
      {
        more: [extensionOf(OID.deltaCrlIndicator, integer(1), true)],
        entries: [craftEntry(integer(1), { extensions: [reasonOf(8)] })],
      },
    ],
  ];

  for (const [limitation, options] of cases) {
    test(`says that it is ${limitation}, and is nobody's`, () => {
      const crl = parseCrl(craftCrl(ca, options));
      assert.equal(crl.limitation, limitation);
      assert.ok(!crl.verify(ca.certificate));
    });
  }

  test("an extension that is unknown and not critical changes nothing", () => {
    const quiet = extensionOf("1.3.6.1.4.1.99999.7", NULL);
    const entries = [craftEntry(integer(1), { extensions: [quiet] })];
    const crl = parseCrl(craftCrl(ca, { more: [quiet], entries }));
    assert.equal(crl.limitation, undefined);
    assert.ok(crl.verify(ca.certificate));
    assert.equal(crl.lookup(serial("01"))?.reason, undefined);
  });
});

describe("a list is refused that", () => {
  const utc = (text: string): DerValue => primitive(TAG.utcTime, Buffer.from(text));
  const entry = (...parts: DerValue[]): CraftCrlOptions => ({ entries: [sequence(parts)] });
  const when = utc("260614000000Z");
  const cases: readonly [string, CraftCrlOptions, RegExp][] = [
    ["has no version", { version: null }, /version is not 2/],
    ["has version 1 written out", { version: integer(0) }, /version is not 2/],
    ["has no nextUpdate", { nextUpdate: null }, /nextUpdate is missing/],
    ["has a nextUpdate that is no date", { nextUpdate: utc("260631000000Z") }, /does not exist/],
    [
      "has a GeneralizedTime before 2050",
      { thisUpdate: generalizedTime(new Date("2026-06-15T00:00:00Z")) },
      /expected UTCTime/,
    ],
    ["has no CRL number", { number: null }, /CRL number is missing/],
    [
      "has a critical CRL number",
      { number: extensionOf(OID.crlNumber, integer(1), true) },
      /CRL number is critical/,
    ],
    [
      "has a negative CRL number",
      { number: extensionOf(OID.crlNumber, primitive(TAG.integer, Uint8Array.of(0x80))) },
      /at most 20 octets/,
    ],
    [
      "has a CRL number of 21 octets",
      { number: extensionOf(OID.crlNumber, integer(Buffer.alloc(21, 1))) },
      /at most 20 octets/,
    ],
    [
      "has no authority key identifier",
      { authorityKey: null },
      /authority key identifier is missing/,
    ],
    [
      "has a critical authority key identifier",
      { authorityKey: authorityKeyOf(ca, true) },
      /authority key identifier is critical/,
    ],
    [
      "has an authority key identifier without a key identifier",
      { authorityKey: extensionOf(OID.authorityKeyIdentifier, sequence([])) },
      /authority key identifier is missing/,
    ],
    [
      "names another algorithm inside",
      { innerAlgorithm: sequence([oid(OID.ed25519)]) },
      /differs inside and outside/,
    ],
    ["has an empty list of entries", { emptyList: true }, /present and empty/],
    ["has bytes after its end", { trailing: Uint8Array.of(0) }, /too many/],
    ["has an extension twice", { more: [extensionOf(OID.crlNumber, integer(2))] }, /twice/],
    [
      "has an entry whose serial number is not minimal",
      entry(primitive(TAG.integer, Uint8Array.of(0, 1)), when),
      /not minimal/,
    ],
    [
      "has an entry without a serial number",
      entry(primitive(TAG.integer, new Uint8Array()), when),
      /INTEGER/,
    ],
    [
      "has an entry with a serial number of 128 octets",
      entry(integer(Buffer.alloc(128, 1)), when),
      /128 octets/,
    ],
    ["has an entry without a time", entry(integer(1)), /./],
    [
      "has an entry of the 30th of February",
      entry(integer(1), utc("260230000000Z")),
      /does not exist/,
    ],
    ["has an entry at half past 24", entry(integer(1), utc("260228243000Z")), /does not exist/],
    ["has an entry in local time", entry(integer(1), utc("260614000000+")), /Z/],
    [
      "has an entry with something after it",
      entry(integer(1), when, sequence([reasonOf(1)]), NULL),
      /too many/,
    ],
    [
      "has an entry with an empty list of extensions",
      entry(integer(1), when, sequence([])),
      /empty/,
    ],
    [
      "has an entry with the reason 7",
      entry(integer(1), when, sequence([reasonOf(7)])),
      /unknown reason 7/,
    ],
    [
      "takes a certificate off a list that is no delta",
      entry(integer(1), when, sequence([reasonOf(8)])),
      /no delta/,
    ],
    [
      "has an invalidity date in UTCTime",
      entry(integer(1), when, sequence([extensionOf(OID.invalidityDate, when)])),
      /./,
    ],
  ];
  for (const [title, options, message] of cases) {
    test(title, () => refuses(craftCrl(ca, options), message));
  }

  test("is no list", () => {
    const pem = encodePem("X509 CRL", issue());
    refuses(ca.certificate.der, /./);
    refuses("", /not one PEM block/);
    refuses(new Uint8Array(), /not one PEM block/);
    refuses("noise", /not one PEM block/);
    refuses(encodePem("CRL", issue()), /not one PEM block X509 CRL/);
    refuses(pem + pem, /not one PEM block/);
    refuses(pem.slice(0, -20), /neither DER nor PEM/);
  });
});

describe("the form of entries", () => {
  test("is read in all its varieties", () => {
    const entries = [
      craftEntry(integer(1), { revokedAt: time(new Date("2024-02-29T23:59:59Z")) }),
      craftEntry(integer(2), { revokedAt: time(new Date("2026-01-31T00:00:00Z")) }),
      craftEntry(integer(3), { revokedAt: time(new Date("2050-01-01T00:00:00Z")) }),
      craftEntry(integer(4), { extensions: [reasonOf(1, true)] }),
      craftEntry(integer(5), {
        extensions: [
          reasonOf(10),
          extensionOf("1.2.3.4", primitive(TAG.octetString, Buffer.alloc(200))),
        ],
      }),
      craftEntry(primitive(TAG.integer, Uint8Array.of(0x80)), {}),
      craftEntry(integer(0), {}),
    ];
    const crl = parseCrl(craftCrl(ca, { entries }));
    assert.equal(crl.size, 7);
    assert.equal(crl.lookup(serial("01"))?.revokedAt.toISOString(), "2024-02-29T23:59:59.000Z");
    assert.equal(crl.lookup(serial("03"))?.revokedAt.getUTCFullYear(), 2050);
    assert.equal(crl.lookup(serial("04"))?.reason, "keyCompromise");
    assert.equal(crl.lookup(serial("05"))?.reason, "aACompromise");
    // -128 is no serial number, and not the same as 128.
    assert.equal(crl.lookup(serial("80")), undefined);
  });

  test("of two entries with one serial number the first counts", () => {
    const entries = [
      craftEntry(integer(1), { extensions: [reasonOf(1)] }),
      craftEntry(integer(1), { extensions: [reasonOf(4)] }),
    ];
    const crl = parseCrl(craftCrl(ca, { entries }));
    assert.equal(crl.lookup(serial("01"))?.reason, "keyCompromise");
  });
});

describe("the index", () => {
  test("takes less than the list itself, even where entries are as short as can be", () => {
    const entries = Array.from({ length: 50_000 }, (_, i) => ({
      serialNumber: serial((i + 1).toString(16)),
      revokedAt,
    }));
    const crl = parseCrl(issue(entries));
    const { index } = crl.parts();
    assert.ok(index.table.byteLength + index.tags.byteLength <= crl.der.length);
    for (const { serialNumber } of entries) assert.ok(crl.lookup(serialNumber));
    assert.equal(crl.lookup(serial("00c351")), undefined);
  });

  test("hashes with a key of its own for each list, HalfSipHash-1-3", () => {
    const der = issue();
    assert.notDeepEqual(parseCrl(der).parts().index.key, parseCrl(der).parts().index.key);
    // The vectors of the Linux kernel (lib/test_siphash.c, 32 bits): octets 0, 1, 2, …
    const message = Uint8Array.from({ length: 8 }, (_, i) => i);
    const hashes = [0, 1, 2, 3, 4, 5, 6, 7, 8].map(
      (length) => SerialIndex.hash(message, { start: 0, length }, [0x03020100, 0x07060504]) >>> 0,
    );
    assert.deepEqual(
      hashes,
      [
        0x5814c896, 0xe7e864ca, 0xbc4b0e30, 0x01539939, 0x7e059ea6, 0x88e3d89b, 0xa0080b65,
        0x9d38d9d6, 0x577999b1,
      ],
    );
  });

  test("serial numbers that were chosen to collide under one key are spread under another", () => {
    const key = [1, 2] as const;
    const chosen: SerialNumber[] = [];
    for (let n = 0; chosen.length < 400; n++) {
      const bytes = Buffer.from(n.toString(16).padStart(8, "0"), "hex");
      bytes[0] = 0x40;
      const hash = SerialIndex.hash(bytes, { start: 0, length: 4 }, key);
      if ((hash & 0x3ff) === 0) chosen.push(serial(bytes.toString("hex")));
    }
    const crl = parseCrl(issue(chosen.map((serialNumber) => ({ serialNumber, revokedAt }))));
    const start = crl.entryBytes.byteOffset - crl.der.byteOffset;
    const range = { start, end: start + crl.entryBytes.length, count: crl.size };
    const longestRun = (tags: Uint8Array): number =>
      Math.max(
        ...tags
          .join(" ")
          .replaceAll(/[1-9]\d*/g, "x")
          .replaceAll(" ", "")
          .split("0")
          .map((run) => run.length),
      );
    assert.equal(longestRun(indexEntries(crl.der, range, key).tags), 400);
    assert.ok(longestRun(crl.parts().index.tags) < 200);
  });

  test("travels to another thread and back with what was verified", () => {
    const crl = parseCrl(
      issue([{ serialNumber: serial("0abc"), revokedAt, reason: "superseded" }]),
    );
    assert.ok(crl.verify(ca.certificate));
    const parts = structuredClone(crl.parts());
    const again = crlFromParts(parts);
    assert.deepEqual(again.parts(), crl.parts());
    assert.equal(again.lookup(serial("0abc"))?.reason, "superseded");
    assert.equal(again.number, crl.number);
    assert.ok(again.verify(ca.certificate));
  });
});

describe("hostile bytes", () => {
  const der = issue([
    { serialNumber: serial("0abc"), revokedAt, reason: "superseded" },
    { serialNumber: serial("0abd"), revokedAt },
  ]);

  test("a list with any one byte changed or cut off is refused or verified by nobody", () => {
    let read = 0;
    for (let at = 0; at < der.length; at++) {
      for (const bit of [0x01, 0x80]) {
        const bytes = der.slice();
        bytes[at] = (bytes[at] as number) ^ bit;
        const crl = tryToParse(bytes);
        if (crl) read++;
        assert.ok(!crl?.verify(ca.certificate), `byte ${at}`);
      }
      assert.equal(tryToParse(der.subarray(0, at)), undefined);
    }
    assert.ok(read > 0);
  });

  test("whatever the bytes, reading ends with a list or CRL_MALFORMED", () => {
    const anything = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc
        .tuple(fc.nat(der.length - 1), fc.uint8Array({ maxLength: 12 }), fc.nat(12))
        .map(([at, put, drop]) =>
          Buffer.concat([der.subarray(0, at), put, der.subarray(at + drop)]),
        ),
    );
    fc.assert(
      fc.property(anything, (bytes) => {
        tryToParse(bytes);
      }),
      { numRuns: 2000 },
    );
  });

  test("the bytes given may change afterwards", () => {
    const bytes = der.slice();
    const crl = parseCrl(bytes);
    bytes.set(randomBytes(bytes.length));
    assert.ok(crl.verify(ca.certificate));
    assert.equal(crl.lookup(serial("0abc"))?.reason, "superseded");
  });
});

function reasonOf(code: number, critical = false): DerValue {
  return extensionOf(OID.reasonCode, primitive(TAG.enumerated, Uint8Array.of(code)), critical);
}

function refuses(bytes: Uint8Array | string, message: RegExp): void {
  assert.throws(
    () => parseCrl(bytes),
    (error) => {
      assert.ok(error instanceof X509Error);
      assert.equal(error.code, "CRL_MALFORMED");
      assert.match(error.message, message);
      return true;
    },
  );
}

function tryToParse(bytes: Uint8Array): Crl | undefined {
  try {
    return parseCrl(bytes);
  } catch (error) {
    assert.ok(error instanceof X509Error && error.code === "CRL_MALFORMED", String(error));
    return undefined;
  }
}
