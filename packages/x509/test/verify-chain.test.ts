import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { describe, test } from "node:test";
import {
  createAnchors,
  createName,
  createSignatureMemo,
  issueCrl,
  parseCertificate,
  parseCrl,
  parseName,
  parseSpiffeId,
  verifyChain,
  type Certificate,
  type ChainReason,
  type ChainVerdict,
  type Crl,
  type CrlEntryInput,
  type VerifyChainOptions,
} from "@handfast/x509";
import { encodeDer, integer, NULL, oid, sequence } from "../src/der.ts";
import { OID } from "../src/oid.ts";
import { craftCa, craftLeaf, extensionOf, NOW, type Crafted, type CraftOptions } from "./craft.ts";

const root = craftCa();
const issuing = craftCa({ subject: "CN=Issuing", by: root });
const leaf = craftLeaf(issuing);

interface Judgement extends Partial<VerifyChainOptions> {
  readonly candidates?: readonly Crafted[];
}

function judge(judged: Crafted, options: Judgement = {}): ChainVerdict {
  const { candidates = [issuing], ...rest } = options;
  return verifyChain(
    { leaf: judged.certificate, candidates: candidates.map((one) => one.certificate) },
    { anchors: [root.certificate], now: NOW, purpose: "server", ...rest },
  );
}

function accepts(judged: Crafted, options: Judgement = {}): readonly Certificate[] {
  const verdict = judge(judged, options);
  assert.ok(verdict.ok, verdict.ok ? "" : `${verdict.reason}: ${verdict.message}`);
  return verdict.path;
}

function refuses(
  judged: Crafted,
  reason: ChainReason,
  options: Judgement & { readonly message?: RegExp; readonly about?: Crafted } = {},
): void {
  const verdict = judge(judged, options);
  assert.equal(verdict.ok ? "ok" : verdict.reason, reason, verdict.ok ? "" : verdict.message);
  assert.match(verdict.ok ? "" : verdict.message, options.message ?? /^certificate /);
  const about = (options.about ?? judged).certificate;
  assert.equal(verdict.ok ? "" : verdict.certificate.subject.text, about.subject.text);
}

describe("finding a path", () => {
  test("takes the candidates as an unordered bag, with strangers among them", () => {
    const stranger = craftCa({ subject: "CN=Stranger" });
    const path = accepts(leaf, { candidates: [stranger, root, leaf, issuing, stranger] });
    assert.deepEqual(
      path.map(({ subject }) => subject.text),
      ["CN=leaf", "CN=Issuing", "CN=Root"],
    );
  });

  test("ends in an anchor that is not self-signed, and needs nothing above it", () => {
    const path = accepts(leaf, { candidates: [], anchors: [issuing.certificate] });
    assert.equal(path.length, 2);
  });

  test("accepts a leaf that is itself an anchor", () => {
    assert.equal(accepts(leaf, { anchors: [leaf.certificate], candidates: [] }).length, 1);
  });

  test("gives the same verdict for anchors prepared once", () => {
    const anchors = createAnchors([issuing.certificate, root.certificate]);
    assert.equal(accepts(leaf, { anchors }).length, 2);
    const stranger = craftLeaf(craftCa({ subject: "CN=Stranger" }));
    refuses(stranger, "CERTIFICATE_AUTHORITY_INVALID", { anchors });
  });

  test("goes round an expired cross-certificate to the anchor itself", () => {
    const other = craftCa({ subject: "CN=Other Root" });
    const cross = craftCa({
      subject: "CN=Root",
      keys: root.keys,
      by: other,
      until: "2026-02-01T00:00:00Z",
    });
    const anchors = [other.certificate, root.certificate];
    assert.equal(accepts(leaf, { candidates: [cross, issuing], anchors }).length, 3);
  });

  test("goes back from a candidate of the right name and key that leads nowhere", () => {
    const gone = craftCa({ subject: "CN=Gone" });
    const deadEnd = craftCa({ subject: "CN=Issuing", keys: issuing.keys, by: gone });
    assert.equal(accepts(leaf, { candidates: [deadEnd, issuing] }).length, 3);
    assert.equal(accepts(leaf, { candidates: [issuing, deadEnd] }).length, 3);
  });

  test("goes back from a twin whose constraints forbid the leaf", () => {
    const narrow = craftCa({
      subject: "CN=Issuing",
      keys: issuing.keys,
      by: root,
      nameConstraints: { permitted: { dns: ["other.example"] } },
    });
    assert.equal(accepts(leaf, { candidates: [narrow, issuing] })[1], issuing.certificate);
    refuses(leaf, "CERTIFICATE_VERIFICATION_FAILED", { candidates: [narrow] });
  });

  test("does not need key identifiers, and takes those that disagree as hints", () => {
    const bare = craftCa({
      subject: "CN=Bare",
      by: root,
      subjectKeyIdentifier: null,
      authorityKeyIdentifier: null,
    });
    accepts(craftLeaf(bare, { authorityKeyIdentifier: null }), { candidates: [bare] });
    accepts(craftLeaf(bare, { authorityKeyIdentifier: Buffer.alloc(20) }), { candidates: [bare] });
    accepts(craftLeaf(issuing, { authorityKeyIdentifier: Buffer.alloc(20) }));
  });

  test("chains names without regard to case, spaces and string type (RFC 5280 7.1)", () => {
    const spaced = craftLeaf(issuing, { issuer: parseName("CN=  iSSUING ") });
    accepts(spaced);
    const other = craftLeaf(issuing, { issuer: parseName("CN=Is suing") });
    refuses(other, "CERTIFICATE_AUTHORITY_INVALID");
  });

  test("leaves a circle of CAs that sign each other", () => {
    const a = craftCa({ subject: "CN=A" });
    const b = craftCa({ subject: "CN=B", by: a });
    const aByB = craftCa({ subject: "CN=A", keys: a.keys, by: b });
    const below = craftLeaf(aByB);
    refuses(below, "CERTIFICATE_AUTHORITY_INVALID", { candidates: [aByB, b], about: b });
    accepts(below, { candidates: [aByB, b], anchors: [a.certificate] });
  });

  test("S45: a thousand copies of a wrong candidate do not hide the right one", () => {
    const gone = craftCa({ subject: "CN=Gone" });
    const wrong = craftCa({ subject: "CN=Issuing", by: gone });
    const candidates = [...Array.from({ length: 1000 }, () => wrong), issuing];
    accepts(leaf, { candidates });
  });

  test("S45: CAs that all sign each other end the search after 100 signatures, saying so", () => {
    const cas = Array.from({ length: 12 }, (_, i) => craftCa({ subject: `CN=Knot ${i}` }));
    const candidates = cas.flatMap((by) =>
      cas
        .filter((ca) => ca !== by)
        .map(({ keys, certificate }) => craftCa({ subject: certificate.subject, keys, by })),
    );
    let signatures = 0;
    const verdict = judge(craftLeaf(cas[0] as Crafted), {
      candidates,
      signatures: { has: () => false, add: () => void signatures++ },
    });
    assert.equal(signatures, 100);
    assert.ok(!verdict.ok && verdict.reason === "CERTIFICATE_VERIFICATION_FAILED");
    assert.match(verdict.message, /needs more checks to find a path than are made/);
  });

  test("S45: 32 candidates of one name are tried, the likeliest first", () => {
    const gone = craftCa({ subject: "CN=Gone" });
    const wrong = Array.from({ length: 40 }, () => craftCa({ subject: "CN=Issuing", by: gone }));
    accepts(leaf, { candidates: [...wrong, issuing] });
    const blind = craftLeaf(issuing, { authorityKeyIdentifier: null });
    refuses(blind, "CERTIFICATE_AUTHORITY_INVALID", { candidates: [...wrong, issuing] });
    accepts(blind, { candidates: [issuing, ...wrong] });
  });

  test("remembers signatures in the memory it is given, good ones alone", () => {
    const signatures = createSignatureMemo();
    accepts(leaf, { signatures });
    assert.ok(signatures.has(leaf.certificate, issuing.certificate));
    const forged = craftLeaf({ ...issuing, keys: root.keys });
    refuses(forged, "CERTIFICATE_AUTHORITY_INVALID", { signatures });
    assert.ok(!signatures.has(forged.certificate, issuing.certificate));
  });

  test("the memory for signatures forgets the oldest first", () => {
    const memo = createSignatureMemo(2);
    memo.add(leaf.certificate, issuing.certificate);
    memo.add(issuing.certificate, root.certificate);
    memo.add(root.certificate, root.certificate);
    assert.ok(!memo.has(leaf.certificate, issuing.certificate));
    assert.ok(memo.has(issuing.certificate, root.certificate));
    assert.ok(memo.has(root.certificate, root.certificate));
  });
});

describe("authority", () => {
  test("S10: a forged certificate is untrusted, whatever it says of itself", () => {
    const forger = craftCa({ subject: "CN=Issuing" });
    const forged = craftLeaf(
      { keys: forger.keys, certificate: issuing.certificate },
      { until: "2026-02-01T00:00:00Z" },
    );
    refuses(forged, "CERTIFICATE_AUTHORITY_INVALID");
  });

  test("S10: a stranger's expired certificate is untrusted, not expired", () => {
    const stranger = craftLeaf(craftCa({ subject: "CN=Stranger" }), {
      until: "2026-02-01T00:00:00Z",
    });
    refuses(stranger, "CERTIFICATE_AUTHORITY_INVALID", { message: /CN=Stranger is unknown/ });
  });

  test("names the last certificate whose issuer is missing", () => {
    refuses(leaf, "CERTIFICATE_AUTHORITY_INVALID", {
      anchors: [],
      about: issuing,
      message: /^certificate CN=Issuing was not issued by a trusted authority/,
    });
  });

  test("a leaf may not issue", () => {
    const cases: readonly CraftOptions[] = [
      { ca: false },
      { ca: false, keyUsage: ["keyCertSign"] },
      { keyUsage: ["digitalSignature"] },
    ];
    for (const options of cases) {
      const not = craftCa({ subject: "CN=Not a CA", by: root, ...options });
      refuses(craftLeaf(not), "CERTIFICATE_AUTHORITY_INVALID", { candidates: [not], about: not });
    }
    const quiet = craftCa({ subject: "CN=Quiet", by: root, keyUsage: null });
    accepts(craftLeaf(quiet), { candidates: [quiet] });
  });

  test("an anchor is held to be a CA as well", () => {
    const not = craftCa({ subject: "CN=Not", ca: false });
    const below = craftLeaf(not);
    const anchors = [not.certificate];
    refuses(below, "CERTIFICATE_AUTHORITY_INVALID", { anchors, about: not });
  });

  test("path lengths count CAs below, the self-issued not", () => {
    const zero = craftCa({ subject: "CN=Zero", by: root, pathLength: 0 });
    accepts(craftLeaf(zero), { candidates: [zero] });
    const below = craftCa({ subject: "CN=Below", by: zero });
    refuses(craftLeaf(below), "CERTIFICATE_AUTHORITY_INVALID", {
      candidates: [zero, below],
      about: zero,
      message: /allows 0 CAs below it, has 1/,
    });
    const rolled = craftCa({ subject: "CN=Zero", by: zero, pathLength: 0 });
    accepts(craftLeaf(rolled), { candidates: [zero, rolled] });
    const anchors = [craftCa({ keys: root.keys, pathLength: 0 }).certificate];
    refuses(leaf, "CERTIFICATE_AUTHORITY_INVALID", { anchors, about: root });
  });

  test("maxDepth limits the CAs between leaf and anchor", () => {
    accepts(leaf, { maxDepth: 1 });
    refuses(leaf, "CERTIFICATE_AUTHORITY_INVALID", { maxDepth: 0 });
    accepts(craftLeaf(root), { maxDepth: 0 });
  });

  test("refuses RSA keys under 2,048 bits, in CAs and leaves, and SHA-1, saying so", () => {
    const weak = craftCa({
      subject: "CN=Weak",
      keys: generateKeyPairSync("rsa", { modulusLength: 1024 }),
    });
    refuses(craftLeaf(weak), "SIGNATURE_VERIFICATION_FAILED", {
      anchors: [weak.certificate],
      message: /RSA key of 1024 bits is too weak/,
    });
    const ownKey = craftLeaf(issuing, { keys: weak.keys });
    refuses(ownKey, "CERTIFICATE_VERIFICATION_FAILED", { message: /RSA key of 1024 bits/ });
    const sha1 = encodeDer(sequence([oid("1.2.840.113549.1.1.5"), NULL]));
    const rsa = craftCa({ subject: "CN=RSA", algorithm: "rsa-2048" });
    const sha256 = encodeDer(sequence([oid(OID.rsaSha256), NULL]));
    const der = Buffer.from(craftLeaf(rsa).certificate.der).toString("latin1");
    const replaced = der.replaceAll(
      Buffer.from(sha256).toString("latin1"),
      Buffer.from(sha1).toString("latin1"),
    );
    const relabelled = { ...leaf, certificate: parseCertificate(Buffer.from(replaced, "latin1")) };
    refuses(relabelled, "SIGNATURE_VERIFICATION_FAILED", {
      anchors: [rsa.certificate],
      message: /SHA-1 with RSA is too weak/,
    });
  });

  test("refuses unknown critical extensions anywhere in the path", () => {
    const odd = extensionOf("1.3.6.1.4.1.99999.1", NULL, true);
    const options = { more: [odd] };
    refuses(craftLeaf(issuing, options), "CERTIFICATE_VERIFICATION_FAILED");
    const ca = craftCa({ subject: "CN=Odd", by: root, ...options });
    refuses(craftLeaf(ca), "CERTIFICATE_VERIFICATION_FAILED", { candidates: [ca], about: ca });
    const anchor = craftCa({ keys: root.keys, ...options });
    const anchors = [anchor.certificate];
    refuses(leaf, "CERTIFICATE_VERIFICATION_FAILED", { anchors, about: anchor });
    accepts(leaf, { anchors: [anchor.certificate, root.certificate] });
  });
});

describe("validity", () => {
  const brief = craftLeaf(issuing, { from: "2026-03-01T00:00:00Z", until: "2026-04-01T00:00:00Z" });

  test("includes both ends, to the second", () => {
    accepts(brief, { now: new Date("2026-03-01T00:00:00Z") });
    accepts(brief, { now: new Date("2026-04-01T00:00:00Z") });
    accepts(brief, { now: new Date("2026-04-01T00:00:00.999Z") });
  });

  test("refuses one that expired a second ago, with the time", () => {
    refuses(brief, "CERTIFICATE_EXPIRED", {
      now: new Date("2026-04-01T00:00:01Z"),
      message: /expired at 2026-04-01T00:00:00Z/,
    });
  });

  test("refuses one that becomes valid in a millisecond", () => {
    refuses(brief, "CERTIFICATE_NOT_YET_VALID", { now: new Date("2026-02-28T23:59:59.999Z") });
  });

  test("holds for CAs and anchors as well", () => {
    const old = craftCa({ subject: "CN=Old", by: root, until: "2026-02-01T00:00:00Z" });
    refuses(craftLeaf(old), "CERTIFICATE_EXPIRED", { candidates: [old], about: old });
    const anchor = craftCa({ keys: root.keys, until: "2026-02-01T00:00:00Z" });
    const anchors = [anchor.certificate];
    refuses(leaf, "CERTIFICATE_EXPIRED", { anchors, about: anchor });
  });

  test("does not take a date that is none", () => {
    assert.throws(() => judge(leaf, { now: new Date(Number.NaN) }), TypeError);
  });
});

describe("purpose", () => {
  test("the leaf's extended key usages decide, where there are any", () => {
    const server = craftLeaf(issuing, { extendedKeyUsage: [OID.serverAuth] });
    accepts(server);
    refuses(server, "CERTIFICATE_WRONG_PURPOSE", { purpose: "client" });
    accepts(server, { purpose: "any" });
    accepts(craftLeaf(issuing, { extendedKeyUsage: [OID.anyExtendedKeyUsage] }));
  });

  test("a CA's extended key usages bind what is below it", () => {
    const clients = craftCa({
      subject: "CN=Clients",
      by: root,
      extendedKeyUsage: [OID.clientAuth],
    });
    const below = craftLeaf(clients);
    refuses(below, "CERTIFICATE_WRONG_PURPOSE", { candidates: [clients], about: clients });
    accepts(below, { candidates: [clients], purpose: "client" });
  });

  test("key usages must fit (RFC 5280 4.2.1.12)", () => {
    const enciphering = craftLeaf(issuing, { keyUsage: ["keyEncipherment"] });
    accepts(enciphering);
    refuses(enciphering, "CERTIFICATE_WRONG_PURPOSE", { purpose: "client" });
    refuses(craftLeaf(issuing, { keyUsage: ["cRLSign"] }), "CERTIFICATE_WRONG_PURPOSE");
    accepts(craftLeaf(issuing, { keyUsage: null }));
  });

  test("an OCSP responder's certificate names that usage itself", () => {
    const responder = craftLeaf(issuing, { extendedKeyUsage: [OID.ocspSigning] });
    accepts(responder, { purpose: "ocspSigning" });
    const any = craftLeaf(issuing, { extendedKeyUsage: [OID.anyExtendedKeyUsage] });
    refuses(any, "CERTIFICATE_WRONG_PURPOSE", { purpose: "ocspSigning" });
  });

  test("an unknown purpose is a mistake of the caller", () => {
    assert.throws(() => judge(leaf, { purpose: "email" as "any" }), TypeError);
    assert.throws(() => judge(leaf, { maxDepth: -1 }), TypeError);
  });
});

describe("names", () => {
  const named = craftLeaf(issuing, {
    subject: "CN=common.example",
    names: { dns: ["api.example", "*.wild.example"], ip: ["192.0.2.1", "2001:db8::1"] },
  });

  test("DNS names compare without case, a final dot aside", () => {
    for (const name of ["api.example", "API.Example", "api.example."]) accepts(named, { name });
  });

  test("a wildcard stands for exactly one whole left label", () => {
    accepts(named, { name: "a.wild.example" });
    const others = ["wild.example", "a.b.wild.example", "*.wild.example", ".wild.example"];
    for (const name of others) refuses(named, "CERTIFICATE_HOSTNAME_MISMATCH", { name });
  });

  test("an IP literal needs an IP name, in whatever form it is written", () => {
    for (const name of ["192.0.2.1", "2001:db8::1", "2001:DB8:0:0::1"]) accepts(named, { name });
    for (const name of ["192.0.2.2", "::1", "192.0.2.1.", "192.0.2.01"]) {
      refuses(named, "CERTIFICATE_HOSTNAME_MISMATCH", { name });
    }
  });

  test("S24: the common name is never used, also with URI and email names alone", () => {
    refuses(named, "CERTIFICATE_HOSTNAME_MISMATCH", { name: "common.example" });
    const alone: readonly CraftOptions["names"][] = [
      undefined,
      { uri: ["spiffe://td.example/api"] },
      { email: ["api@common.example"] },
    ];
    for (const names of alone) {
      const without = craftLeaf(issuing, {
        subject: "CN=common.example",
        ...(names ? { names } : { names: { email: ["x@y"] } }),
      });
      refuses(without, "CERTIFICATE_HOSTNAME_MISMATCH", { name: "common.example" });
    }
  });

  test("no name at all is no name to match", () => {
    refuses(named, "CERTIFICATE_HOSTNAME_MISMATCH", { name: "" });
  });

  test("the SPIFFE id must be the only URI", () => {
    const spiffeId = parseSpiffeId("spiffe://td.example/api");
    accepts(craftLeaf(issuing, { names: { uri: [spiffeId.uri] } }), { spiffeId });
    const wrong: readonly string[][] = [
      ["spiffe://td.example/other"],
      [spiffeId.uri, "https://td.example/"],
    ];
    for (const uri of wrong) {
      refuses(craftLeaf(issuing, { names: { uri } }), "SPIFFE_ID_INVALID", { spiffeId });
    }
    refuses(leaf, "SPIFFE_ID_INVALID", { spiffeId });
  });
});

describe("the reason told", () => {
  const mistakes = {
    keyUsage: ["keyCertSign"],
    until: "2026-02-01T00:00:00Z",
    names: { dns: ["x.example"] },
  } as const satisfies CraftOptions;

  test("S10: comes in the order untrusted, validity, purpose, name, revoked", () => {
    const crls = [crlOf(issuing, [{ serialNumber: 77 }])];
    const judged = (taken: readonly (keyof typeof mistakes)[]): Crafted => {
      const left = Object.entries(mistakes).filter(([key]) => !taken.includes(key as "until"));
      return craftLeaf(issuing, { serialNumber: 77, ...Object.fromEntries(left) });
    };
    const options = { name: "leaf.example", crls };
    refuses(judged([]), "CERTIFICATE_AUTHORITY_INVALID", { ...options, candidates: [] });
    refuses(judged([]), "CERTIFICATE_EXPIRED", options);
    refuses(judged(["until"]), "CERTIFICATE_WRONG_PURPOSE", options);
    refuses(judged(["until", "keyUsage"]), "CERTIFICATE_HOSTNAME_MISMATCH", options);
    refuses(judged(["until", "keyUsage", "names"]), "CERTIFICATE_REVOKED", options);
  });

  test("is that of the path that came furthest", () => {
    const notCa = craftCa({ subject: "CN=Issuing", keys: issuing.keys, by: root, ca: false });
    const expired = craftCa({
      subject: "CN=Issuing",
      keys: issuing.keys,
      by: root,
      until: "2026-02-01T00:00:00Z",
    });
    for (const candidates of [
      [notCa, expired],
      [expired, notCa],
    ]) {
      refuses(leaf, "CERTIFICATE_EXPIRED", { candidates, about: expired });
    }
  });

  test("keeps a long subject short", () => {
    const long = createName(
      Array.from({ length: 50 }, (_, i) => ({ type: "OU", value: `unit ${i}` })),
    );
    const verdict = judge(craftLeaf(root, { subject: long, until: "2026-02-01T00:00:00Z" }));
    assert.ok(!verdict.ok && verdict.message.length < 200);
  });
});

describe("revocation", () => {
  const other = craftCa({ subject: "CN=Other Root" });
  const crls = [crlOf(root), crlOf(issuing)];

  test("S6: every certificate but the anchor is looked up", () => {
    accepts(leaf, { crls });
    refuses(leaf, "CERTIFICATE_VERIFICATION_FAILED", {
      crls: [crlOf(root)],
      message: /may be revoked: there is no revocation list that the issuer's key signed/,
    });
    refuses(leaf, "CERTIFICATE_VERIFICATION_FAILED", { crls: [crlOf(issuing)], about: issuing });
    accepts(leaf, { crls: [], undetermined: "admit" });
  });

  test("S6: a revoked issuing CA takes its leaves with it", () => {
    const revoking = [crlOf(root, [entryOf(issuing)]), crlOf(issuing)];
    refuses(leaf, "CERTIFICATE_REVOKED", { crls: revoking, about: issuing });
  });

  test("S1: a list signed by another CA of the same name changes nothing", () => {
    const rogue = craftCa({ subject: "CN=Issuing", subjectKeyIdentifier: keyIdOf(issuing) });
    const full = crlOf(rogue, [entryOf(leaf)]);
    accepts(leaf, { crls: [...crls, full], anchors: [root.certificate, rogue.certificate] });
    const empty = crlOf(rogue, [], { number: 9 });
    refuses(leaf, "CERTIFICATE_REVOKED", {
      crls: [crlOf(root), crlOf(issuing, [entryOf(leaf)]), empty],
      anchors: [root.certificate, rogue.certificate],
    });
  });

  test("S3: past nextUpdate a list still revokes, and no longer clears", () => {
    const times = { thisUpdate: "2026-06-01T00:00:00Z", nextUpdate: "2026-06-15T11:59:59Z" };
    const stale = (entries: readonly Entry[]): Crl[] => [
      crlOf(root),
      crlOf(issuing, entries, times),
    ];
    for (const undetermined of ["refuse", "admit"] as const) {
      refuses(leaf, "CERTIFICATE_REVOKED", { crls: stale([entryOf(leaf)]), undetermined });
    }
    accepts(leaf, { crls: stale([]), undetermined: "admit" });
    refuses(leaf, "CERTIFICATE_VERIFICATION_FAILED", {
      crls: stale([]),
      message: /should have been renewed at 2026-06-15T11:59:59.000Z/,
    });
  });

  test("S5: the list with the greatest number counts; one from the future does not", () => {
    const held = crlOf(issuing, [entryOf(leaf)], { number: 1 });
    const released = crlOf(issuing, [], { number: 2 });
    accepts(leaf, { crls: [crlOf(root), released, held] });
    const future = crlOf(issuing, [], { number: 3, thisUpdate: "2026-06-15T12:05:01Z" });
    refuses(leaf, "CERTIFICATE_REVOKED", { crls: [crlOf(root), held, future] });
  });

  test("RFC 9608: a certificate that says it has no revocation is not missed on a list", () => {
    const short = craftLeaf(issuing, { more: [extensionOf(OID.noRevocationAvailable, NULL)] });
    accepts(short, { crls: [crlOf(root)] });
    refuses(short, "CERTIFICATE_REVOKED", {
      crls: [crlOf(root), crlOf(issuing, [entryOf(short)])],
    });
  });

  test("S8: a CA revoked under one root is not alive through its cross-signed twin", () => {
    const twin = craftCa({ subject: "CN=Issuing", keys: issuing.keys, by: other });
    const anchors = [root.certificate, other.certificate];
    const candidates = [issuing, twin];
    const revoking = (reason: CrlEntryInput["reason"]): Crl[] => [
      ...crls,
      crlOf(other, [{ ...entryOf(twin), ...(reason && { reason }) }]),
    ];
    accepts(leaf, { crls: [...crls, crlOf(other)], anchors, candidates });
    for (const reason of [undefined, "keyCompromise", "cACompromise"] as const) {
      refuses(leaf, "CERTIFICATE_REVOKED", {
        crls: revoking(reason),
        anchors,
        candidates,
        about: issuing,
      });
    }
    // S50: a cross-certificate that was merely retired says nothing about the key.
    accepts(leaf, { crls: revoking("superseded"), anchors, candidates });
  });

  test("S8: a stranger's twin and list revoke nobody", () => {
    const twin = craftCa({ subject: "CN=Issuing", keys: issuing.keys, by: other });
    const revoking = [...crls, crlOf(other, [entryOf(twin)])];
    accepts(leaf, { crls: revoking, candidates: [issuing, twin, other] });
  });

  test("S10: nothing is looked up for a path that does not verify", () => {
    const forged = craftLeaf({ ...issuing, keys: root.keys }, { serialNumber: 4242 });
    const lookups: string[] = [];
    const real = crlOf(issuing, [{ serialNumber: 4242 }]);
    const watched = new Proxy(real, {
      get(target, property) {
        lookups.push(String(property));
        const value: unknown = Reflect.get(target, property, target);
        return typeof value === "function" ? (value.bind(target) as unknown) : value;
      },
    });
    refuses(forged, "CERTIFICATE_AUTHORITY_INVALID", { crls: [watched] });
    assert.deepEqual(lookups, []);
  });
});

describe("rules on issuing", () => {
  test("are off unless asked for", () => {
    const bare = craftLeaf(root, { authorityKeyIdentifier: null });
    accepts(bare, { candidates: [] });
    refuses(bare, "CERTIFICATE_MALFORMED", {
      issuingRules: "rfc5280",
      message: /has no authority key identifier \(RFC 5280 4\.2\.1\.1\)/,
    });
  });

  test("find nothing against a plain hierarchy", () => {
    accepts(leaf, { issuingRules: "rfc5280" });
    const web = craftLeaf(issuing, { subject: "CN=leaf.example" });
    accepts(web, { issuingRules: "publicWeb" });
    refuses(leaf, "CERTIFICATE_MALFORMED", { issuingRules: "publicWeb" });
  });
});

interface Entry {
  readonly serialNumber: number;
  readonly reason?: NonNullable<CrlEntryInput["reason"]>;
}

function entryOf({ certificate }: Crafted): Entry {
  return { serialNumber: Number.parseInt(certificate.serialNumber, 16) };
}

function keyIdOf({ certificate }: Crafted): Uint8Array {
  assert.ok(certificate.subjectKeyIdentifier);
  return certificate.subjectKeyIdentifier;
}

function crlOf(
  by: Crafted,
  entries: readonly Entry[] = [],
  options: { number?: number; thisUpdate?: string; nextUpdate?: string } = {},
): Crl {
  const der = issueCrl({
    issuer: { certificate: by.certificate, privateKey: by.keys.privateKey },
    number: options.number ?? 1,
    thisUpdate: new Date(options.thisUpdate ?? "2026-06-15T00:00:00Z"),
    nextUpdate: new Date(options.nextUpdate ?? "2026-06-16T00:00:00Z"),
    entries: entries.map(({ serialNumber, reason }) => ({
      serialNumber: serialOf(serialNumber),
      revokedAt: new Date("2026-06-14T00:00:00Z"),
      ...(reason && { reason }),
    })),
  });
  return parseCrl(der);
}

function serialOf(number: number): CrlEntryInput["serialNumber"] {
  const [, , ...content] = encodeDer(integer(number));
  const hex = Buffer.from(content).toString("hex");
  return (hex.startsWith("00") ? hex.slice(2) : hex) as CrlEntryInput["serialNumber"];
}
