// What becomes of open connections and calls when a peer's standing changes (security.md S11, S12).
import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { anonymousPrincipal } from "@handfast/policy";
import { matching, peerRefusal } from "@handfast/tls";
import type { DrainReason, RevocationSource, Session } from "@handfast/tls";
import type { EngineServerCall, ServerEngine } from "../src/engine.ts";
import { GrpcError, Metadata } from "../src/index.ts";
import { OpenCall } from "../src/server/call.ts";
import { serveConnection } from "../src/server/connection.ts";
import { TestService } from "../src/testing/index.ts";
import { aliceIdentity, authority, dial, failure, recorder, serve } from "./fixtures.ts";

test("a revoked client's open stream ends with the reason at once, and it starts no other call", async () => {
  const revocation = revocable();
  await using bank = await serve({ tlsOptions: { revocation: revocation.source } });
  await using alice = await dial(bank.target);
  await using bob = await dial(bank.target, { identity: authority.issue({ name: "bob" }) });
  const endless = {
    responseParameters: Array.from({ length: 1_000 }, () => ({ intervalUs: 10_000 })),
  };
  const [ofAlice, ofBob] = [alice, bob].map(({ client }) => client.streamingOutputCall(endless));
  await ofAlice?.next();
  await ofBob?.next();
  const start = performance.now();
  revocation.revoke(aliceIdentity.certificate.serialNumber);
  const error = await failure(drain(ofAlice));
  assert.ok(performance.now() - start < 1_000);
  assert.ok(error instanceof GrpcError);
  assert.deepEqual([error.code, error.refusal?.code], ["UNAUTHENTICATED", "CERTIFICATE_REVOKED"]);
  const again = await failure(alice.client.emptyCall({}));
  assert.equal(again instanceof GrpcError && again.refusal?.code, "CERTIFICATE_REVOKED");
  await ofBob?.next();
  await ofBob?.return?.(undefined);
  await bob.client.emptyCall({});
});

test("S11 a peer revoked between its verdict and its first call starts no call", async () => {
  let ran = 0;
  const revocation = revocable();
  await using bank = await serve({
    tlsOptions: { revocation: revocation.source },
    handlers: {
      emptyCall() {
        ran += 1;
        return {};
      },
    },
  });
  await using alice = await dial(bank.target);
  await alice.client.connect();
  const [call] = [failure(alice.client.emptyCall({}))];
  revocation.revoke(aliceIdentity.certificate.serialNumber);
  const error = await call;
  assert.ok(error instanceof GrpcError);
  assert.equal(error.refusal?.code, "CERTIFICATE_REVOKED", error.message);
  assert.equal(ran, 0);
});

test("S11 a call that arrives before its session was judged again has it judged, and starts not", () => {
  const ended: [number, string][] = [];
  let onCall: (call: EngineServerCall) => void = () => undefined;
  const connection: { drain(reason: DrainReason): void }[] = [];
  const engine: ServerEngine = {
    register: () => undefined,
    accept(_socket, whenCalled) {
      onCall = whenCalled;
      return { drain: () => undefined };
    },
  };
  const refusal = peerRefusal("CERTIFICATE_REVOKED");
  assert.ok(refusal !== undefined);
  const session: Session = {
    id: 1,
    admitted() {
      connection[0]?.drain({ kind: "refused", refusal });
      return false;
    },
  };
  const who = { peer: undefined, principal: anonymousPrincipal, remoteAddress: "::1", session };
  connection.push(
    serveConnection(new PassThrough(), who, {
      engine,
      maxHeaderBytes: 1_000,
      maxSendMessageBytes: 1_000,
      route: (path) => ({ path, method: TestService.method.emptyCall, handler: neverRun }),
      passage: { gates: [], interceptors: [], fault: neverRun },
      started: neverRun,
      ended: neverRun,
      released: neverRun,
    }),
  );
  onCall({
    path: "/grpc.testing.TestService/EmptyCall",
    headers: new Metadata(),
    deadline: undefined,
    start: neverRun,
    read: neverRun,
    sendHeaders: neverRun,
    send: neverRun,
    finish: (status, trailers) =>
      ended.push([status.status, trailers.get("handfast-refusal") ?? ""]),
  });
  assert.deepEqual(ended, [[16, "CERTIFICATE_REVOKED"]]);
});

test("a deadline is kept by the call itself, whatever the engine does about it", async () => {
  const ended = recorder<[number, string]>();
  const call = new OpenCall(
    {
      path: "/grpc.testing.TestService/EmptyCall",
      headers: new Metadata(),
      deadline: Date.now() + 20,
      start: () => undefined,
      read: neverRun,
      sendHeaders: neverRun,
      send: neverRun,
      finish: ({ status, message }) => ended.add([status, message]),
    },
    {
      descriptor: TestService.method.emptyCall,
      peer: undefined,
      principal: anonymousPrincipal,
      remoteAddress: undefined,
      maxSendMessageBytes: 1_000,
      ended: () => undefined,
      released: () => undefined,
    },
  );
  const { signal } = call;
  const [status] = await ended.next(() => true);
  assert.equal(status, 4);
  assert.equal(signal.reason instanceof GrpcError && signal.reason.code, "DEADLINE_EXCEEDED");
});

test("a peer that is no longer admitted keeps its call for the grace, and starts no other", async () => {
  const seen = recorder<string>();
  let admitted = true;
  const revocation = revocable();
  let finish: (() => void) | undefined;
  await using bank = await serve({
    tlsOptions: { admit: matching(() => admitted), revocation: revocation.source },
    handlers: {
      unaryCall: () =>
        new Promise((resolve) => {
          finish = () => resolve({});
          seen.add("started");
        }),
    },
  });
  await using alice = await dial(bank.target);
  const inFlight = alice.client.unaryCall({});
  await seen.next(() => true);
  admitted = false;
  revocation.regrade();
  const error = await failure(alice.client.emptyCall({}));
  assert.equal(error instanceof GrpcError && error.refusal?.code, "NOT_ADMITTED");
  finish?.();
  await inFlight;
});

function neverRun(): never {
  throw new Error("this was not to run");
}

/** A revocation source that a test revokes with. */
function revocable(): {
  readonly source: RevocationSource;
  revoke(serial: string): void;
  regrade(): void;
} {
  const revoked = new Set<string>();
  let changed = (): void => undefined;
  return {
    source: {
      description: "a test",
      undetermined: "refuse",
      open: (hooks) => {
        changed = hooks.changed;
        return Promise.resolve({
          judge: (path) =>
            path.map((certificate) =>
              revoked.has(certificate.serialNumber)
                ? { status: "revoked", certificate }
                : { status: "unrevoked" },
            ),
          uncovered: () => 0,
          reload: () => Promise.resolve("unchanged"),
          close: () => undefined,
        });
      },
    },
    revoke(serial) {
      revoked.add(serial);
      changed();
    },
    regrade: () => changed(),
  };
}

async function drain(stream: AsyncIterable<unknown> | undefined): Promise<void> {
  for await (const _message of stream ?? []) continue;
}
