import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { verifyChain, type IssuingRules } from "@handfast/x509";
import { contextPrimitive, integer, octetString, oid, sequence } from "../src/der.ts";
import { encodeGeneralName } from "../src/general-name.ts";
import { encodeNameConstraints } from "../src/name-constraints-extension.ts";
import { OID } from "../src/oid.ts";
import { craftCa, craftLeaf, extensionOf, NOW, type Crafted, type CraftOptions } from "./craft.ts";

const root = craftCa();

/** A leaf, or the CA above one, that a rule finds fault with; the path holds without the rule. */
type Case = readonly [fault: RegExp, options: CraftOptions];

function judge(leaf: Crafted, top: Crafted, issuingRules?: IssuingRules): string {
  const verdict = verifyChain(
    { leaf: leaf.certificate, candidates: [] },
    {
      anchors: [top.certificate],
      now: NOW,
      purpose: "server",
      ...(issuingRules && { issuingRules }),
    },
  );
  return verdict.ok ? "ok" : `${verdict.reason}: ${verdict.message}`;
}

function findsFault(rules: IssuingRules, leaf: Crafted, top: Crafted, fault: RegExp): void {
  assert.equal(judge(leaf, top), "ok");
  const found = judge(leaf, top, rules);
  assert.match(found, /^CERTIFICATE_MALFORMED: /, `${fault}`);
  assert.match(found, fault);
}

const access = sequence([
  sequence([oid(OID.accessOcsp), encodeGeneralName({ type: "uri", value: "http://a.example/" })]),
]);
const constraints = encodeNameConstraints({ permitted: { dns: ["leaf.example"] } });
const identifier = Buffer.alloc(20, 7);
const criticalSubjectKey: CraftOptions = {
  subjectKeyIdentifier: null,
  more: [extensionOf(OID.subjectKeyIdentifier, octetString(identifier), true)],
};
const criticalAuthorityKey: CraftOptions = {
  authorityKeyIdentifier: null,
  more: [
    extensionOf(OID.authorityKeyIdentifier, sequence([contextPrimitive(0, identifier)]), true),
  ],
};

const leaves: readonly Case[] = [
  [/no authority key identifier .*4\.2\.1\.1/, { authorityKeyIdentifier: null }],
  [/critical authority key identifier/, criticalAuthorityKey],
  [/critical subject key identifier/, criticalSubjectKey],
  [/no subject name and no critical alternative name/, { subject: "" }],
  [/may sign certificates and is no CA/, { keyUsage: ["digitalSignature", "keyCertSign"] }],
  [
    /name constraints and is no CA/,
    { more: [extensionOf(OID.nameConstraints, constraints, true)] },
  ],
  [
    /critical authority information/,
    { more: [extensionOf(OID.authorityInformationAccess, access, true)] },
  ],
  [
    /critical subject information/,
    { more: [extensionOf(OID.subjectInformationAccess, access, true)] },
  ],
  [/underscore/, { names: { dns: ["a_b.example"] } }],
];

for (const [fault, options] of leaves) {
  test(`rfc5280 finds a leaf: ${fault.source}`, () => {
    findsFault("rfc5280", craftLeaf(root, options), root, fault);
  });
}

const cas: readonly Case[] = [
  [/no issuer name/, { subject: "" }],
  [/CA without a subject key identifier/, { subjectKeyIdentifier: null }],
  [
    /name constraints that are not critical/,
    { more: [extensionOf(OID.nameConstraints, constraints)] },
  ],
  [
    /policy constraints that are not critical/,
    {
      more: [extensionOf(OID.policyConstraints, sequence([contextPrimitive(1, Uint8Array.of(0))]))],
    },
  ],
  [/inhibits anyPolicy, not critically/, { more: [extensionOf(OID.inhibitAnyPolicy, integer(0))] }],
];

for (const [fault, options] of cas) {
  test(`rfc5280 finds a CA: ${fault.source}`, () => {
    const top = craftCa(options);
    findsFault("rfc5280", craftLeaf(top), top, fault);
  });
}

test("the public web wants more of leaves", () => {
  const web: CraftOptions = {
    subject: "CN=leaf.example",
    extendedKeyUsage: [OID.serverAuth],
    names: { dns: ["leaf.example"] },
  };
  assert.equal(judge(craftLeaf(root, web), root, "publicWeb"), "ok");
  const more: readonly Case[] = [
    [/CA where a leaf is expected/, { ca: true }],
    [
      /no extended key usage that stands by itself/,
      { extendedKeyUsage: [OID.anyExtendedKeyUsage] },
    ],
    [/common name that is none of its alternative names/, { subject: "CN=other.example" }],
    [/key that is not allowed/, { algorithm: "ed25519" }],
  ];
  for (const [fault, options] of more) {
    findsFault("publicWeb", craftLeaf(root, { ...web, ...options }), root, fault);
  }
  const odd = generateKeyPairSync("rsa", { modulusLength: 2052 });
  findsFault("publicWeb", craftLeaf(root, { ...web, keys: odd }), root, /not allowed/);
  const anchor = craftCa({ extendedKeyUsage: [OID.serverAuth] });
  findsFault("publicWeb", craftLeaf(anchor, web), anchor, /anchor with extended key usages/);
  const unlike = craftCa({ authorityKeyIdentifier: identifier });
  findsFault("publicWeb", craftLeaf(unlike, web), unlike, /not its own key identifier/);
});
