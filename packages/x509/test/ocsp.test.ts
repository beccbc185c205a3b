import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import fc from "fast-check";
import {
  certificatesToPem,
  createOcspCertId,
  createOcspRequest,
  createOcspResponder,
  encodeOcspError,
  isOcspCertIdOf,
  issueOcspResponse,
  ocspStatusAt,
  parseOcspRequest,
  parseOcspResponse,
  parseSerialNumber,
  verifyOcspResponse,
  X509Error,
  type IssueOcspResponseOptions,
  type OcspResponse,
  type OcspStatus,
  type OcspVerdict,
  type VerifyOcspResponseOptions,
} from "@handfast/x509";
import {
  bitString,
  context,
  contextPrimitive,
  encodeDer,
  generalizedTime,
  integer,
  NULL,
  octetString,
  octetStringOf,
  oid,
  primitive,
  sequence,
  TAG,
  type DerValue,
} from "../src/der.ts";
import { encodeOcspCertId } from "../src/ocsp-cert-id.ts";
import { OID } from "../src/oid.ts";
import { craftCa, craftLeaf, extensionOf, NOW, type Crafted, type CraftOptions } from "./craft.ts";
import { inFolder, withoutOpenssl } from "./openssl.ts";

const ca = craftCa({ subject: "CN=Issuing" });
const leaf = craftLeaf(ca);
const nonce = Buffer.alloc(32, 7);
const certId = createOcspCertId(ca.certificate, leaf.certificate.serialNumber);
const good: OcspStatus = { is: "good" };
const revoked: OcspStatus = {
  is: "revoked",
  revokedAt: new Date("2026-06-01T00:00:00Z"),
  reason: "keyCompromise",
};

type Answering = Partial<IssueOcspResponseOptions> & { readonly by?: Crafted };

function answer({ by = ca, ...options }: Answering = {}): Uint8Array {
  return issueOcspResponse({
    responder: createOcspResponder(by.certificate, {
      privateKey: by.keys.privateKey,
      issuer: ca.certificate,
    }),
    certId,
    status: good,
    producedAt: NOW,
    thisUpdate: NOW,
    nextUpdate: new Date(NOW.getTime() + 3_600_000),
    ...options,
  });
}

function verify(der: Uint8Array, options: Partial<VerifyOcspResponseOptions> = {}): OcspVerdict {
  return verifyOcspResponse(parseOcspResponse(der), {
    certificate: leaf.certificate,
    issuer: ca.certificate,
    now: NOW,
    ...options,
  });
}

function counts(der: Uint8Array, options: Partial<VerifyOcspResponseOptions> = {}): OcspStatus {
  const verdict = verify(der, options);
  assert.ok(verdict.ok, verdict.ok ? "" : verdict.problem);
  return verdict.answer.status;
}

function doesNotCount(
  der: Uint8Array,
  problem: RegExp,
  options: Partial<VerifyOcspResponseOptions> = {},
): void {
  const verdict = verify(der, options);
  assert.match(verdict.ok ? "it counts" : verdict.problem, problem);
}

function responderOf(options: CraftOptions = {}): Crafted {
  return craftLeaf(ca, {
    subject: "CN=Responder",
    extendedKeyUsage: [OID.ocspSigning],
    more: [extensionOf(OID.ocspNoCheck, NULL)],
    ...options,
  });
}

describe("an OCSP request", () => {
  const ask = { certificate: leaf.certificate, issuer: ca.certificate };

  test("is read back as it was, with SHA-256 or SHA-1, with a nonce or without", () => {
    for (const hash of ["sha256", "sha1"] as const) {
      const request = parseOcspRequest(createOcspRequest({ ...ask, hash, nonce }));
      assert.equal(request.certId.hash, hash);
      assert.equal(request.certId.serialNumber, leaf.certificate.serialNumber);
      assert.ok(isOcspCertIdOf(request.certId, ca.certificate));
      assert.ok(!isOcspCertIdOf(request.certId, leaf.certificate));
      assert.deepEqual(Buffer.from(request.nonce ?? []), nonce);
    }
    const plain = parseOcspRequest(createOcspRequest(ask));
    assert.deepEqual([plain.certId.hash, plain.nonce], ["sha256", undefined]);
  });

  test("RFC 9654: a nonce has 1 to 128 octets", () => {
    for (const length of [1, 128]) {
      const request = createOcspRequest({ ...ask, nonce: Buffer.alloc(length) });
      assert.equal(parseOcspRequest(request).nonce?.length, length);
    }
    for (const length of [0, 129]) {
      assert.throws(() => createOcspRequest({ ...ask, nonce: Buffer.alloc(length) }), TypeError);
      const forged = request([single()], [nonceOf(octetString(Buffer.alloc(length)))]);
      refuses(forged, /nonce of/);
    }
  });

  test("S57: is about one certificate, and at most 4 KiB long", () => {
    refuses(request([single(), single()]), /more than one certificate/);
    refuses(request([]), /./);
    const padding = extensionOf("1.2.3.4", octetString(Buffer.alloc(4096)));
    refuses(request([single()], [padding]), /at most 4096/);
  });

  test("is refused where it is not well made", () => {
    const critical = extensionOf("1.2.3.4", NULL, true);
    refuses(request([single()], [critical]), /unknown critical extension/);
    refuses(request([single([critical])]), /unknown critical extension/);
    refuses(Buffer.concat([request([single()]), Buffer.of(0)]), /too many/);
    const shorter = sequence([
      sequence([oid(OID.sha256)]),
      octetString(Buffer.alloc(20)),
      octetString(Buffer.alloc(32)),
      integer(1),
    ]);
    refuses(request([sequence([shorter])]), /hashes of 20 octets/);
    const md5 = sequence([
      sequence([oid("1.2.840.113549.2.5"), NULL]),
      octetString(Buffer.alloc(16)),
      octetString(Buffer.alloc(16)),
      integer(1),
    ]);
    refuses(request([sequence([md5])]), /expected SHA-256 or SHA-1/);
    for (const serial of [
      integer(0),
      primitive(TAG.integer, Uint8Array.of(0x80)),
      integer(Buffer.alloc(21, 1)),
    ]) {
      const hashes = octetString(Buffer.alloc(32));
      const odd = sequence([sequence([oid(OID.sha256)]), hashes, hashes, serial]);
      refuses(request([sequence([odd])]), /serial number/);
    }
  });

  function refuses(der: Uint8Array, message: RegExp): void {
    assert.throws(
      () => parseOcspRequest(der),
      (error) => {
        assert.ok(error instanceof X509Error && error.code === "OCSP_MALFORMED", String(error));
        assert.match(error.message, message);
        return true;
      },
    );
  }

  function single(extensions: DerValue[] = []): DerValue {
    const id = encodeOcspCertId(certId);
    return sequence(extensions.length > 0 ? [id, context(0, [sequence(extensions)])] : [id]);
  }

  function request(singles: DerValue[], extensions: DerValue[] = []): Uint8Array {
    const more = extensions.length > 0 ? [context(2, [sequence(extensions)])] : [];
    return encodeDer(sequence([sequence([sequence(singles), ...more])]));
  }
});

describe("an OCSP response", () => {
  test("is read back as it was", () => {
    const statuses: OcspStatus[] = [
      good,
      revoked,
      { ...revoked, reason: undefined },
      { is: "unknown" },
    ];
    for (const status of statuses) {
      const response = parseOcspResponse(answer({ status, nonce }));
      assert.ok(response.status === "successful");
      const { basic } = response;
      assert.deepEqual(basic.answers[0]?.status, status);
      assert.deepEqual(Buffer.from(basic.nonce ?? []), nonce);
      assert.deepEqual(basic.producedAt, NOW);
      assert.equal(basic.certificates.length, 0);
      assert.deepEqual(basic.answers[0]?.certId.serialNumber, certId.serialNumber);
    }
    const unspecified = answer({ status: { ...revoked, reason: "unspecified" } });
    const read = parseOcspResponse(unspecified);
    assert.ok(read.status === "successful");
    assert.deepEqual(read.basic.answers[0]?.status, { ...revoked, reason: undefined });
  });

  test("may say that there is no answer, unsigned", () => {
    for (const status of [
      "malformedRequest",
      "internalError",
      "tryLater",
      "sigRequired",
      "unauthorized",
    ] as const) {
      const der = encodeOcspError(status);
      assert.deepEqual(parseOcspResponse(der), { status });
      doesNotCount(der, new RegExp(`says ${status}`));
    }
  });

  test("names the responder by key or by name", () => {
    for (const identifyBy of ["key", "name"] as const) {
      const responder = createOcspResponder(ca.certificate, {
        privateKey: ca.keys.privateKey,
        issuer: ca.certificate,
        identifyBy,
      });
      const der = answer({ responder });
      const response = parseOcspResponse(der);
      assert.ok(response.status === "successful");
      assert.equal(response.basic.responderId.by, identifyBy);
      assert.equal(counts(der).is, "good");
    }
  });

  test("is not signed by a certificate that is neither the issuer nor for that", () => {
    const refused = (certificate: Crafted, privateKey = certificate.keys.privateKey): unknown =>
      createOcspResponder(certificate.certificate, { privateKey, issuer: ca.certificate });
    assert.throws(() => refused(leaf), /is not for OCSP signing/);
    assert.throws(() => refused(ca, leaf.keys.privateKey), /does not belong/);
  });
});

describe("S7: a response counts", () => {
  test("if the issuer's key signed it", () => {
    assert.deepEqual(counts(answer()), good);
    assert.deepEqual(counts(answer({ status: revoked })), revoked);
    const impostor = craftCa({ subject: "CN=Issuing" });
    const forged = issueOcspResponse({
      ...answering(impostor, impostor),
      status: good,
    });
    doesNotCount(forged, /nobody the issuer vouches for/);
    const renamed = { certificate: ca.certificate, keys: impostor.keys };
    doesNotCount(answer({ responder: responderWith(renamed) }), /signature is not the issuer's/);
  });

  test("if a delegate signed it that the issuer's key certified for OCSP signing", () => {
    for (const identifyBy of ["key", "name"] as const) {
      const delegate = responderOf();
      const responder = createOcspResponder(delegate.certificate, {
        privateKey: delegate.keys.privateKey,
        issuer: ca.certificate,
        identifyBy,
      });
      assert.equal(counts(answer({ responder })).is, "good");
    }
  });

  test("not if the delegate is in any way unfit", () => {
    const other = craftCa({ subject: "CN=Issuing" });
    const cases: readonly [Crafted, RegExp][] = [
      [responderOf({ by: other }), /not issued by the issuer's key/],
      [
        responderOf({ by: craftCa({ subject: "CN=Other", by: ca }) }),
        /not issued by the issuer's key/,
      ],
      [responderOf({ extendedKeyUsage: [OID.serverAuth] }), /not for OCSP signing/],
      [responderOf({ extendedKeyUsage: [OID.anyExtendedKeyUsage] }), /not for OCSP signing/],
      [responderOf({ keyUsage: ["keyEncipherment"] }), /may not make signatures/],
      [responderOf({ until: "2026-06-15T11:59:58Z" }), /not in time/],
      [responderOf({ from: "2026-06-15T12:00:01Z" }), /not in time/],
      [responderOf({ more: [] }), /is revoked, or may be/],
      [
        responderOf({
          more: [extensionOf(OID.ocspNoCheck, NULL), extensionOf("1.2.3.4", NULL, true)],
        }),
        /unknown critical extension/,
      ],
    ];
    for (const [delegate, problem] of cases) {
      doesNotCount(answer({ responder: responderWith(delegate) }), problem);
    }
    const honest = responderOf();
    const damaged = Buffer.from(answer({ responder: responderWith(honest) }));
    const der = Buffer.from(honest.certificate.der);
    damaged[damaged.indexOf(der) - 20] = (damaged[damaged.indexOf(der) - 20] as number) ^ 1;
    doesNotCount(damaged, /signature is not the delegate's/);
  });

  test("a delegate that wants to be asked about is asked about", () => {
    const asking = responderOf({ more: [] });
    const der = answer({ responder: responderWith(asking) });
    assert.equal(counts(der, { isRevoked: () => false }).is, "good");
    doesNotCount(der, /is revoked, or may be/, { isRevoked: () => true });
    const plain = answer({ responder: responderWith(responderOf()) });
    assert.equal(counts(plain, { isRevoked: () => true }).is, "good");
  });

  test("if it is about the certificate that was asked for", () => {
    const sibling = createOcspCertId(ca.certificate, parseSerialNumber("0bad"));
    doesNotCount(answer({ certId: sibling }), /about another certificate/);
    const elsewhere = createOcspCertId(leaf.certificate, leaf.certificate.serialNumber);
    doesNotCount(answer({ certId: elsewhere }), /about another certificate/);
    const sha1 = createOcspCertId(ca.certificate, certId.serialNumber, { hash: "sha1" });
    assert.equal(counts(answer({ certId: sha1 })).is, "good");
  });

  test("if it is at most five minutes ahead", () => {
    const ahead = (ms: number): Uint8Array => answer({ thisUpdate: new Date(NOW.getTime() + ms) });
    assert.equal(counts(ahead(300_000)).is, "good");
    doesNotCount(ahead(301_000), /from the future/);
  });

  test("if it says until when, and once", () => {
    const open = basicResponse([singleAnswer({ nextUpdate: false })]);
    doesNotCount(open, /until when/);
    doesNotCount(basicResponse([singleAnswer({}), singleAnswer({})]), /answers twice/);
    assert.equal(counts(basicResponse([singleAnswer({})])).is, "good");
  });

  test("if its nonce is the one that was sent; a cached answer has none", () => {
    assert.equal(counts(answer({ nonce }), { nonce }).is, "good");
    assert.equal(counts(answer(), { nonce }).is, "good");
    doesNotCount(answer({ nonce: Buffer.alloc(32) }), /answers another request/, { nonce });
    doesNotCount(answer(), /does not repeat the nonce/, { nonce, requireNonce: true });
    assert.equal(counts(answer({ nonce }), { nonce, requireNonce: true }).is, "good");
  });

  test("good until nextUpdate, revoked for ever, unknown never", () => {
    const at = (status: OcspStatus, now: string): string => {
      const verdict = verify(answer({ status, nextUpdate: new Date("2026-06-15T13:00:00Z") }));
      assert.ok(verdict.ok);
      return ocspStatusAt(verdict.answer, new Date(now));
    };
    assert.equal(at(good, "2026-06-15T13:00:00Z"), "unrevoked");
    assert.equal(at(good, "2026-06-15T13:00:00.001Z"), "undetermined");
    assert.equal(at(revoked, "2027-01-01T00:00:00Z"), "revoked");
    assert.equal(at({ is: "unknown" }, "2026-06-15T12:00:00Z"), "undetermined");
  });
});

describe("a malformed OCSP response", () => {
  const cases: readonly [string, Uint8Array, RegExp][] = [
    ["has the unknown status 4", status(4), /unknown status 4/],
    ["is successful without answers", status(0), /has no answers/],
    [
      "has answers and an error",
      encodeDer(sequence([primitive(TAG.enumerated, Uint8Array.of(3)), context(0, [NULL])])),
      /answers and the status tryLater/,
    ],
    ["is of another type", wrapped(octetString(new Uint8Array()), "1.2.3.4"), /unknown type/],
    ["has an empty list of answers", basicResponse([]), /has no answers/],
    [
      "has an unknown critical extension",
      basicResponse([singleAnswer({})], { extensions: [extensionOf("1.2.3.4", NULL, true)] }),
      /unknown critical extension/,
    ],
    [
      "has an unknown critical extension on an answer",
      basicResponse([singleAnswer({ extensions: [extensionOf("1.2.3.4", NULL, true)] })]),
      /unknown critical extension/,
    ],
    [
      "has an unknown certificate status",
      basicResponse([singleAnswer({ status: contextPrimitive(3, new Uint8Array()) })]),
      /unknown certificate status/,
    ],
    [
      "has the reason 7",
      basicResponse([
        singleAnswer({
          status: context(1, [
            generalizedTime(NOW),
            context(0, [primitive(TAG.enumerated, Uint8Array.of(7))]),
          ]),
        }),
      ]),
      /unknown reason 7/,
    ],
    [
      "names nobody as its signer",
      basicResponse([singleAnswer({})], { responderId: NULL }),
      /does not say who signed it/,
    ],
    [
      "names its signer by a hash that is no SHA-1",
      basicResponse([singleAnswer({})], {
        responderId: context(2, [octetString(Buffer.alloc(32))]),
      }),
      /key hash of 32 octets/,
    ],
    [
      "carries more certificates than anybody needs",
      basicResponse([singleAnswer({})], {
        certificates: Array.from({ length: 11 }, () => sequence([])),
      }),
      /11 certificates/,
    ],
  ];
  for (const [title, der, message] of cases) {
    test(title, () => {
      assert.throws(
        () => parseOcspResponse(der),
        (error) => {
          assert.ok(error instanceof X509Error && error.code === "OCSP_MALFORMED", String(error));
          assert.match(error.message, message);
          return true;
        },
      );
    });
  }

  test("with any one byte changed or cut off never says anything else", () => {
    const der = answer({ responder: responderWith(responderOf()), status: revoked, nonce });
    for (let at = 0; at < der.length; at++) {
      const bytes = der.slice();
      bytes[at] = (bytes[at] as number) ^ 0x01;
      const response = tryToParse(bytes);
      const verdict = response && verifyParsed(response);
      // The certificate's signature may have room for a bit that changes nothing; the answer has not.
      assert.ok(!verdict?.ok || verdict.answer.status.is === "revoked", `byte ${at}`);
      assert.equal(tryToParse(der.subarray(0, at)), undefined);
    }
  });

  test("whatever the bytes, reading ends with a message or OCSP_MALFORMED", () => {
    const der = answer({ responder: responderWith(responderOf()), nonce });
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
        try {
          parseOcspRequest(bytes);
        } catch (error) {
          assert.ok(error instanceof X509Error && error.code === "OCSP_MALFORMED", String(error));
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe("OCSP with openssl", { skip: withoutOpenssl }, () => {
  // The command knows no other time than the real one.
  const now = new Date();
  const window = {
    from: new Date(now.getTime() - 3_600_000).toISOString(),
    until: new Date(now.getTime() + 86_400_000).toISOString(),
  };
  const authority = craftCa({ subject: "CN=Issuing", keys: ca.keys, ...window });
  const subject = craftLeaf(authority, window);
  const delegate = responderOf({ by: authority, ...window });
  const ask = { certificate: subject.certificate, issuer: authority.certificate };
  const files = {
    "ca.pem": certificatesToPem([authority.certificate]),
    "ca-key.pem": authority.keys.privateKey.export({ type: "pkcs8", format: "pem" }),
    "leaf.pem": certificatesToPem([subject.certificate]),
    "responder.pem": certificatesToPem([delegate.certificate]),
    "responder-key.pem": delegate.keys.privateKey.export({ type: "pkcs8", format: "pem" }),
  };

  function run(args: readonly string[], cwd: string): string {
    const { status, stdout, stderr } = spawnSync("openssl", ["ocsp", ...args], {
      cwd,
      encoding: "utf8",
    });
    assert.equal(status, 0, stdout + stderr);
    return stdout + stderr;
  }

  test("its requests are read by us, and ours by it", () => {
    for (const hash of ["sha256", "sha1"] as const) {
      const made = inFolder(files, (cwd) => {
        run(["-issuer", "ca.pem", `-${hash}`, "-cert", "leaf.pem", "-reqout", "request.der"], cwd);
        return readFileSync(join(cwd, "request.der"));
      });
      const request = parseOcspRequest(made);
      assert.ok(isOcspCertIdOf(request.certId, authority.certificate));
      assert.equal(request.certId.serialNumber, subject.certificate.serialNumber);
      assert.equal(request.certId.hash, hash);
      assert.ok(request.nonce);
      const ours = createOcspRequest({ ...ask, hash, nonce: randomBytes(32) });
      const text = inFolder({ "ours.der": ours }, (cwd) =>
        run(["-reqin", "ours.der", "-req_text"], cwd),
      );
      assert.match(text, new RegExp(`Hash Algorithm: ${hash}`));
      assert.match(text, /OCSP Nonce/);
    }
  });

  test("its answers to our requests count, signed by CA and by delegate", () => {
    const serial = subject.certificate.serialNumber.toUpperCase();
    const indexes = {
      good: `V\t391231235959Z\t\t${serial}\tunknown\t/CN=leaf\n`,
      revoked: `R\t391231235959Z\t260601000000Z,superseded\t${serial}\tunknown\t/CN=leaf\n`,
      unknown: "",
    };
    const request = createOcspRequest({ ...ask, nonce });
    const judged: string[] = [];
    for (const [is, index] of Object.entries(indexes)) {
      for (const signer of ["ca", "responder"]) {
        const der = inFolder({ ...files, "request.der": request, "index.txt": index }, (cwd) => {
          const by = ["-rsigner", `${signer}.pem`, "-rkey", `${signer}-key.pem`, "-CA", "ca.pem"];
          const io = ["-reqin", "request.der", "-respout", "response.der", "-ndays", "1"];
          run(["-index", "index.txt", ...by, ...io], cwd);
          return readFileSync(join(cwd, "response.der"));
        });
        const verdict = verify(der, { ...ask, now: new Date(), nonce, requireNonce: true });
        const said = verdict.ok ? verdict.answer.status.is : verdict.problem;
        judged.push(`${is} by ${signer}: ${said}`);
      }
    }
    assert.deepEqual(judged, [
      "good by ca: good",
      "good by responder: good",
      "revoked by ca: revoked",
      "revoked by responder: revoked",
      "unknown by ca: unknown",
      "unknown by responder: unknown",
    ]);
  });

  const statuses: readonly [OcspStatus, RegExp][] = [
    [good, /leaf\.pem: good/],
    [revoked, /leaf\.pem: revoked[\s\S]*keyCompromise/],
    [{ is: "unknown" }, /leaf\.pem: unknown/],
  ];

  for (const identifyBy of ["key", "name"] as const) {
    test(`our answers convince it, signed by CA and by delegate, named by ${identifyBy}`, () => {
      const certId = createOcspCertId(authority.certificate, subject.certificate.serialNumber, {
        hash: "sha1",
      });
      for (const signer of [authority, delegate]) {
        const responder = createOcspResponder(signer.certificate, {
          privateKey: signer.keys.privateKey,
          issuer: authority.certificate,
          identifyBy,
        });
        for (const [status, expected] of statuses) {
          const response = issueOcspResponse({
            responder,
            certId,
            status,
            producedAt: now,
            thisUpdate: now,
            nextUpdate: new Date(now.getTime() + 3_600_000),
          });
          const said = inFolder({ ...files, "response.der": response }, (cwd) => {
            const about = ["-issuer", "ca.pem", "-cert", "leaf.pem", "-CAfile", "ca.pem"];
            return run([...about, "-respin", "response.der", "-no_nonce"], cwd);
          });
          assert.match(said, expected);
          assert.match(said, /Response verify OK/);
        }
      }
    });
  }
});

function responderWith(by: Crafted): IssueOcspResponseOptions["responder"] {
  // Straight from its parts: the real constructor refuses the unfit ones these tests need.
  const real = createOcspResponder(ca.certificate, {
    privateKey: ca.keys.privateKey,
    issuer: ca.certificate,
  });
  const own = craftCa({ keys: by.keys });
  const { signer } = createOcspResponder(own.certificate, {
    privateKey: by.keys.privateKey,
    issuer: own.certificate,
  });
  return { ...real, certificate: by.certificate, signer };
}

function answering(by: Crafted, issuer: Crafted): Omit<IssueOcspResponseOptions, "status"> {
  return {
    responder: createOcspResponder(by.certificate, {
      privateKey: by.keys.privateKey,
      issuer: issuer.certificate,
    }),
    certId,
    producedAt: NOW,
    thisUpdate: NOW,
    nextUpdate: new Date(NOW.getTime() + 3_600_000),
  };
}

function nonceOf(value: DerValue): DerValue {
  return extensionOf(OID.ocspNonce, value);
}

function status(code: number): Uint8Array {
  return encodeDer(sequence([primitive(TAG.enumerated, Uint8Array.of(code))]));
}

function wrapped(basic: DerValue, type: string = OID.ocspBasic): Uint8Array {
  return encodeDer(
    sequence([
      primitive(TAG.enumerated, Uint8Array.of(0)),
      context(0, [sequence([oid(type), octetStringOf(basic)])]),
    ]),
  );
}

function singleAnswer(parts: {
  readonly status?: DerValue;
  readonly nextUpdate?: false;
  readonly extensions?: DerValue[];
}): DerValue {
  return sequence([
    encodeOcspCertId(certId),
    parts.status ?? contextPrimitive(0, new Uint8Array()),
    generalizedTime(NOW),
    ...(parts.nextUpdate === false
      ? []
      : [context(0, [generalizedTime(new Date(NOW.getTime() + 3_600_000))])]),
    ...(parts.extensions ? [context(1, [sequence(parts.extensions)])] : []),
  ]);
}

/** A response signed by the CA, with these answers. */
function basicResponse(
  answers: DerValue[],
  parts: {
    readonly responderId?: DerValue;
    readonly extensions?: DerValue[];
    readonly certificates?: DerValue[];
  } = {},
): Uint8Array {
  const { signer } = responderWith(ca);
  const tbs = encodeDer(
    sequence([
      parts.responderId ?? context(1, [ca.certificate.subject.der]),
      generalizedTime(NOW),
      sequence(answers),
      ...(parts.extensions ? [context(1, [sequence(parts.extensions)])] : []),
    ]),
  );
  return wrapped(
    sequence([
      tbs,
      signer.signatureAlgorithm,
      bitString(signer.sign(tbs)),
      ...(parts.certificates ? [context(0, [sequence(parts.certificates)])] : []),
    ]),
  );
}

function tryToParse(bytes: Uint8Array): OcspResponse | undefined {
  try {
    return parseOcspResponse(bytes);
  } catch (error) {
    assert.ok(error instanceof X509Error && error.code === "OCSP_MALFORMED", String(error));
    return undefined;
  }
}

function verifyParsed(response: OcspResponse): OcspVerdict {
  return verifyOcspResponse(response, {
    certificate: leaf.certificate,
    issuer: ca.certificate,
    now: NOW,
  });
}
