// What becomes of open connections and calls when a peer's standing changes (security.md S11, S12).
import assert from "node:assert/strict";
import { test } from "node:test";
import { matching } from "@handfast/tls";
import type { RevocationSource } from "@handfast/tls";
import { GrpcError } from "../src/index.ts";
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
          judge: (path) => {
            const certificate = path.find(({ serialNumber }) => revoked.has(serialNumber));
            return certificate === undefined
              ? { status: "unrevoked" }
              : { status: "revoked", certificate };
          },
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
