// Who calls through a proxy: S63, as far as it is the same for every protocol.
import assert from "node:assert/strict";
import { test } from "node:test";

import { issueCrl } from "@handfast/x509";
import { createTestAuthority } from "@handfast/x509/testing";
import type { TestAuthority, TestIdentity } from "@handfast/x509/testing";

import {
  crlFromSource,
  isForwardedPeer,
  isVerifiedPeer,
  matching,
  memberOf,
  oneOf,
} from "../src/index.ts";
import type {
  Caller,
  ForwardedPeers,
  MutualTlsOptions,
  RefusalCode,
  VerifiedPeer,
} from "../src/index.ts";
import { addressOf, authority, read, recorder, runtime } from "./fixtures.ts";

const proxyId = "spiffe://handfast.test/proxy";
const bankIdentity = authority.issue({ name: "localhost" });
const alice = authority.issue({ name: "alice" });

/** As nginx writes `$ssl_client_escaped_cert`: the leaf alone. */
function escaped({ certificateChainPem }: TestIdentity): string {
  const [leaf = ""] = certificateChainPem.split(/(?<=-----END CERTIFICATE-----\n)/);
  return encodeURIComponent(leaf);
}

interface Behind extends AsyncDisposable {
  readonly forwarded: ForwardedPeers;
  /** A peer that has connected, by name. */
  via(identity: TestIdentity): Promise<VerifiedPeer>;
  reload(): Promise<unknown>;
}

async function behindProxy(
  options: Partial<MutualTlsOptions> = {},
  of: TestAuthority = authority,
): Promise<Behind> {
  const bank = await runtime(
    of === authority ? bankIdentity : of.issue({ name: "localhost" }),
    options,
  );
  const h2 = recorder();
  const listener = await bank.mtls.listen(
    { host: "localhost", port: 0 },
    { h2, clientCertificates: "required" },
  );
  return {
    forwarded: bank.mtls.forwardedPeers({ proxies: [proxyId] }),
    async via(identity) {
      await using caller = await runtime(identity);
      const { socket } = await caller.mtls.dial(addressOf(listener));
      await read(socket);
      socket.destroy();
      const peer = h2.accepted.at(-1);
      assert.ok(peer !== undefined);
      return peer;
    },
    reload: () => bank.mtls.reload(),
    [Symbol.asyncDispose]: () => bank.mtls.close(),
  };
}

function refusalOf(caller: Caller): RefusalCode | undefined {
  return caller.kind === "refused" ? caller.refusal.code : undefined;
}

test("S63: a certificate from the proxy is judged by our verifier, and is another brand than a peer", async () => {
  await using behind = await behindProxy();
  const via = await behind.via(authority.issue({ name: "proxy" }));
  const caller = behind.forwarded.callerOf([escaped(alice)], via);
  assert.equal(caller.kind, "forwarded");
  const { forwarded } = caller;
  assert.equal(forwarded.peer.identity, "spiffe://handfast.test/alice");
  assert.equal(forwarded.via, via);
  assert.equal(isForwardedPeer(forwarded), true);
  assert.equal(isVerifiedPeer(forwarded), false);
  assert.equal(isVerifiedPeer(forwarded.peer), false);
  assert.equal(isForwardedPeer({ ...forwarded }), false);
  // @ts-expect-error what was handed on is no verified peer
  const peer: VerifiedPeer = forwarded.peer;
  assert.equal(Object.isFrozen(peer), true);
});

test("S63: a header from anybody but the proxy, or without a peer, is refused", async () => {
  await using behind = await behindProxy();
  const mallory = await behind.via(authority.issue({ name: "mallory" }));
  assert.equal(refusalOf(behind.forwarded.callerOf([escaped(alice)], mallory)), "NOT_ADMITTED");
  assert.equal(refusalOf(behind.forwarded.callerOf([escaped(alice)], undefined)), "NOT_ADMITTED");
  assert.equal(refusalOf(behind.forwarded.callerOf([""], mallory)), "NOT_ADMITTED");
  const proxy = await behind.via(authority.issue({ name: "proxy" }));
  const painted = { ...proxy };
  assert.equal(refusalOf(behind.forwarded.callerOf([escaped(alice)], painted)), "NOT_ADMITTED");
  assert.deepEqual(behind.forwarded.callerOf([], mallory), { kind: "direct" });
});

test("S63: the header twice is refused, and the proxy without it is nobody", async () => {
  await using behind = await behindProxy();
  const via = await behind.via(authority.issue({ name: "proxy" }));
  const twice = [escaped(alice), escaped(alice)];
  assert.equal(refusalOf(behind.forwarded.callerOf(twice, via)), "CERTIFICATE_MALFORMED");
  for (const joined of [twice.join(", "), twice.join(""), twice.join(",\n")]) {
    const caller = behind.forwarded.callerOf([joined], via);
    // Two blocks in one value are a leaf and what leads to its anchor: still alice alone, or nobody.
    const who = caller.kind === "forwarded" ? caller.forwarded.peer.identity : refusalOf(caller);
    assert.ok(who === "CERTIFICATE_MALFORMED" || who === "spiffe://handfast.test/alice");
    if (joined.includes(",")) assert.equal(who, "CERTIFICATE_MALFORMED");
  }
  assert.deepEqual(behind.forwarded.callerOf([], via), { kind: "unknown" });
});

const stranger = createTestAuthority({ commonName: "Stranger CA" });
const broken: readonly [string, RefusalCode, string][] = [
  ["nothing", "CERTIFICATE_MALFORMED", ""],
  ["a name", "CERTIFICATE_MALFORMED", "spiffe://handfast.test/alice"],
  ["half an escape", "CERTIFICATE_MALFORMED", `${escaped(alice)}%4`],
  ["half a certificate", "CERTIFICATE_MALFORMED", escaped(alice).slice(0, -60)],
  ["a key", "CERTIFICATE_MALFORMED", encodeURIComponent(alice.privateKeyPem)],
  ["too much", "CERTIFICATE_MALFORMED", escaped(alice).repeat(200)],
  ["eleven certificates", "CERTIFICATE_MALFORMED", escaped(alice).repeat(11)],
  ["text before it", "CERTIFICATE_MALFORMED", `x${escaped(alice)}`],
  ["a stranger's", "CERTIFICATE_AUTHORITY_INVALID", escaped(stranger.issue({ name: "alice" }))],
  [
    "an expired one",
    "CERTIFICATE_EXPIRED",
    escaped(
      authority.issue({
        name: "alice",
        notBefore: new Date(Date.now() - 540_000),
        notAfter: new Date(Date.now() - 60_000),
      }),
    ),
  ],
  [
    "a server's",
    "CERTIFICATE_WRONG_PURPOSE",
    escaped(authority.issue({ name: "alice", profile: "server" })),
  ],
];

for (const [what, code, text] of broken) {
  test(`S63: the proxy that hands on ${what} is told ${code}`, async () => {
    await using behind = await behindProxy();
    const via = await behind.via(authority.issue({ name: "proxy" }));
    assert.equal(refusalOf(behind.forwarded.callerOf([text], via)), code);
    // From the cache as well.
    assert.equal(refusalOf(behind.forwarded.callerOf([text], via)), code);
  });
}

test("S63: the holder is admitted as if he had come himself, or by a rule of his own", async () => {
  const admit = oneOf([proxyId]);
  await using bank = await runtime(bankIdentity, { admit });
  await using behind = await behindProxy({ admit });
  const via = await behind.via(authority.issue({ name: "proxy" }));
  assert.equal(refusalOf(behind.forwarded.callerOf([escaped(alice)], via)), "NOT_ADMITTED");
  const own = bank.mtls.forwardedPeers({ proxies: [proxyId], admit: memberOf("handfast.test") });
  assert.equal(own.callerOf([escaped(alice)], via).kind, "forwarded");
  const promising = matching((() => Promise.resolve(true)) as unknown as () => boolean);
  const faulty = bank.mtls.forwardedPeers({ proxies: [proxyId], admit: promising });
  assert.equal(refusalOf(faulty.callerOf([escaped(alice)], via)), "NOT_ADMITTED");
  assert.throws(() => bank.mtls.forwardedPeers({ proxies: [] }), TypeError);
});

test("S63: a leaf of an issuing CA finds its path by the proxy's own chain, or by what comes with it", async () => {
  const issuing = authority.intermediate({ commonName: "Issuing" });
  const carol = issuing.issue({ name: "carol" });
  await using behind = await behindProxy();
  const apart = await behind.via(authority.issue({ name: "proxy" }));
  assert.equal(
    refusalOf(behind.forwarded.callerOf([escaped(carol)], apart)),
    "CERTIFICATE_AUTHORITY_INVALID",
  );
  const whole = encodeURIComponent(carol.certificateChainPem);
  assert.equal(behind.forwarded.callerOf([whole], apart).kind, "forwarded");
  const beside = await behind.via(issuing.issue({ name: "proxy" }));
  assert.equal(behind.forwarded.callerOf([escaped(carol)], beside).kind, "forwarded");
});

test("S63: one who is revoked is refused at the next call, however often he was judged before", async () => {
  const now = Date.now();
  const crl = (number: number, revoked: readonly TestIdentity[]): Uint8Array =>
    issueCrl({
      issuer: authority,
      entries: revoked.map(({ certificate }) => ({
        serialNumber: certificate.serialNumber,
        revokedAt: new Date(now),
      })),
      number,
      thisUpdate: new Date(now - 60_000),
      nextUpdate: new Date(now + 3_600_000),
    });
  let bytes = crl(1, []);
  const source = {
    description: "changing",
    read: () => Promise.resolve([{ name: "list", bytes }]),
  };
  await using behind = await behindProxy({
    revocation: crlFromSource(source, { undetermined: "refuse" }),
  });
  const via = await behind.via(authority.issue({ name: "proxy" }));
  let changes = 0;
  const stop = behind.forwarded.onChange(() => changes++);
  const bob = escaped(authority.issue({ name: "bob" }));
  assert.equal(behind.forwarded.callerOf([escaped(alice)], via).kind, "forwarded");
  assert.equal(behind.forwarded.callerOf([escaped(alice)], via).kind, "forwarded");
  bytes = crl(2, [alice]);
  await behind.reload();
  assert.equal(changes, 1);
  stop();
  assert.equal(refusalOf(behind.forwarded.callerOf([escaped(alice)], via)), "CERTIFICATE_REVOKED");
  assert.equal(behind.forwarded.callerOf([bob], via).kind, "forwarded");
});

test("S63: a verdict on a certificate lasts no longer than the certificate", async () => {
  let time = new Date();
  await using behind = await behindProxy({ now: () => time });
  const via = await behind.via(authority.issue({ name: "proxy" }));
  const brief = escaped(
    authority.issue({ name: "alice", notAfter: new Date(time.getTime() + 60_000) }),
  );
  assert.equal(behind.forwarded.callerOf([brief], via).kind, "forwarded");
  time = new Date(time.getTime() + 61_000);
  assert.equal(refusalOf(behind.forwarded.callerOf([brief], via)), "CERTIFICATE_EXPIRED");
});

test("S63: the cache of verdicts is bounded, and a known certificate is not read again", async () => {
  let asked = 0;
  await using behind = await behindProxy({
    admit: matching(() => {
      asked++;
      return true;
    }),
  });
  const via = await behind.via(authority.issue({ name: "proxy" }));
  asked = 0;
  for (let call = 0; call < 5; call++) behind.forwarded.callerOf([escaped(alice)], via);
  assert.equal(asked, 1);
  // As many others as the cache holds push it out.
  for (let other = 0; other < 1000; other++) behind.forwarded.callerOf([`x${other}`], via);
  behind.forwarded.callerOf([escaped(alice)], via);
  assert.equal(asked, 2);
});
