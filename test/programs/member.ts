// A service of the authority's story: enrols with a token, keeps its certificate fresh, serves calls over
// mutual TLS and makes some to a peer. Told what to do, and telling what happened, by messages.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { createAuthorityClient, crlFromAuthority, enrolOnline, renewOnline } from "@handfast/ca";
import type { ReceivedBundle, ReceivedCertificate } from "@handfast/ca";
import { allowEveryAdmittedPeer, createClient, createServer } from "@handfast/grpc";
import { interopHandlers, TestService } from "@handfast/grpc/testing";
import { createMutualTls, memberOf, spiffeId } from "@handfast/tls";
import type { IdentityMaterial, IdentitySource, TrustSource } from "@handfast/tls";
import { encodePrivateKey, generateKeyPair } from "@handfast/x509";

/** What the test tells a member. */
export type Order =
  | { readonly do: "call"; readonly target: string; readonly peer: string }
  | { readonly do: "stop" };

/** What a member tells the test. */
export type News =
  | { readonly is: "serving"; readonly target: string; readonly fingerprint: string }
  | { readonly is: "renewed"; readonly fingerprint: string; readonly issuer: string }
  | { readonly is: "renewal-refused"; readonly message: string }
  | { readonly is: "call"; readonly failure: string | undefined }
  | { readonly is: "bundle"; readonly sequence: number; readonly roots: number };

const [tokenFile = "", renewEveryMs = ""] = process.argv.slice(2);
const tell = (news: News): void => void process.send?.(news);
let stopped = false;

let held = await enrolOnline({ token: readFileSync(tokenFile, "utf8") });
let bundle: ReceivedBundle = held.bundle;
const { authorityTarget: target } = bundle;
const identityChanged = new Set<() => void>();
const trustChanged = new Set<() => void>();
const identity: IdentitySource = {
  description: "the certificate of this member",
  read: () => Promise.resolve(materialOf(held)),
  watch: (changed) => watchIn(identityChanged, changed),
};
const trust: TrustSource = {
  description: "the bundle of the authority",
  read: () => Promise.resolve([{ bundle: bundle.rootsPem }]),
  watch: (changed) => watchIn(trustChanged, changed),
};
const tls = await createMutualTls({
  identity,
  trust,
  revocation: crlFromAuthority({ target, identity, trust, undetermined: "refuse" }),
  admit: memberOf(bundle.trustDomain),
});
const server = createServer({ tls, policy: allowEveryAdmittedPeer() });
server.add(TestService, interopHandlers);
const bound = await server.listen({ host: "127.0.0.1", port: 0 });
const own = "port" in bound ? `127.0.0.1:${bound.port}` : "";
tell({ is: "serving", target: own, fingerprint: held.certificate.fingerprint });

process.on("message", (order: Order) => {
  if (order.do === "call") void callOnAndOn(order);
  else stopped = true;
});
await Promise.all([renewOnAndOn(), followBundle(), once(process, "disconnect").then(end)]);

async function renewOnAndOn(): Promise<void> {
  while (!stopped) {
    await setTimeout(Number(renewEveryMs));
    const { certificateChain, privateKey } = materialOf(held);
    const { privateKey: nextKey } = generateKeyPair();
    try {
      held = await renewOnline({
        target,
        certificateChain,
        privateKey,
        roots: bundle.rootsPem,
        nextKey,
      });
    } catch (error) {
      tell({ is: "renewal-refused", message: String(error) });
      return;
    }
    for (const changed of identityChanged) changed();
    const { fingerprint, issuer } = held.certificate;
    tell({ is: "renewed", fingerprint, issuer: issuer.text });
  }
}

async function followBundle(): Promise<void> {
  while (!stopped) {
    const client = await createAuthorityClient({ target, identity, trust });
    try {
      for await (const next of client.watchBundle(AbortSignal.timeout(60_000))) {
        if (next.sequence <= bundle.sequence) continue;
        bundle = next;
        for (const changed of trustChanged) changed();
        tell({ is: "bundle", sequence: next.sequence, roots: next.roots.length });
      }
    } catch {
      await setTimeout(100); // its certificate was replaced, or the authority is away
    } finally {
      await client.close();
    }
  }
}

/** One call after the other, each on whatever connection there is; no failure is tried again. */
async function callOnAndOn({ target: where, peer }: Order & { do: "call" }): Promise<void> {
  const client = createClient(TestService, {
    target: where,
    tls,
    expect: spiffeId(peer),
    retry: "never",
    deadlineMs: 10_000,
  });
  while (!stopped) {
    const failure = await client.emptyCall({}).then(
      () => undefined,
      (error: unknown) => String(error),
    );
    tell({ is: "call", failure });
    await setTimeout(10);
  }
}

function materialOf({ chainPem, privateKey }: ReceivedCertificate): IdentityMaterial & {
  readonly privateKey: string;
} {
  return { certificateChain: chainPem, privateKey: encodePrivateKey(privateKey) };
}

function watchIn(listeners: Set<() => void>, changed: () => void): () => void {
  listeners.add(changed);
  return () => void listeners.delete(changed);
}

function end(): never {
  process.exit(0);
}
