// What the service does when there is too much to do, and when it is told to stop.
import assert from "node:assert/strict";
import { test } from "node:test";
import { readRetryInfo } from "@handfast/grpc";
import type { GrpcError } from "@handfast/grpc";
import { createName, createRequest, generateKeyPair } from "@handfast/x509";
import { enrolOnline } from "../src/index.ts";
import { refusal } from "./support/fixtures.ts";
import { onlineAuthority } from "./support/online.ts";

test("one identity that renews too often is told to wait, and nobody else notices", async (t) => {
  const online = await onlineAuthority(t, {
    limits: { renewalsPerIdentity: { perSecond: 0.01, burst: 1 } },
  });
  const [alice, bob] = [await online.member("alice"), await online.member("bob")];
  const [asAlice, asBob] = [await online.client(alice), await online.client(bob)];
  const renewal = () => ({
    certificateRequest: createRequest({
      subject: createName([]),
      privateKey: generateKeyPair().privateKey,
    }),
  });
  await asAlice.renew(renewal());
  const second = await asAlice.renew(renewal()).then(
    () => assert.fail("it was renewed"),
    (error: unknown) => error as GrpcError,
  );
  assert.equal(second.code, "RESOURCE_EXHAUSTED");
  assert.ok((readRetryInfo(second)?.delayMs ?? 0) > 1_000);
  await asBob.renew(renewal());
  await asAlice.getBundle({});
  const codes = online.recorded.flatMap((one) => ("code" in one ? [one.code] : []));
  assert.deepEqual(codes, ["TOO_MANY_REQUESTS"]);
});

test("beyond what it can work on at a time the authority asks to come back, and loses nothing", async (t) => {
  const hold = createHold();
  const online = await onlineAuthority(t, {
    limits: { pending: 1 },
    beforeRecord: hold.at("enrol"),
  });
  const [one, other] = [await online.token("billing"), await online.token("kiosk")];
  const first = enrolOnline({ token: one });
  await hold.reached;
  const { privateKey } = generateKeyPair();
  const second = enrolOnline({ token: other, privateKey });
  await assert.rejects(second, refusal("OVERLOADED", /try again in \d+ s/));
  hold.release();
  assert.deepEqual((await first).certificate.subjectAltNames.dns, ["billing"]);
  const again = await enrolOnline({ token: other, privateKey });
  assert.deepEqual(again.certificate.subjectAltNames.dns, ["kiosk"]);
  assert.ok(online.service.ready());
});

test("a shutdown lets the request under way end, and takes no other", async (t) => {
  const hold = createHold();
  const online = await onlineAuthority(t, { beforeRecord: hold.at("enrol") });
  const [one, other] = [await online.token("billing"), await online.token("kiosk")];
  const first = enrolOnline({ token: one });
  await hold.reached;
  const down = online.service.shutdown({ graceMs: 10_000 });
  await assert.rejects(enrolOnline({ token: other, timeoutMs: 2_000 }), { code: "DIAL_FAILED" });
  hold.release();
  assert.deepEqual((await first).certificate.subjectAltNames.dns, ["billing"]);
  await down;
  assert.equal((await online.authority.find({ name: "kiosk" })).length, 0);
});

/** Holds the first act of a kind until it is released. */
function createHold(): {
  at(action: string): (fields: { readonly action?: unknown }) => Promise<void>;
  readonly reached: Promise<void>;
  release(): void;
} {
  const reached = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  return {
    at: (action) => async (fields) => {
      if (fields.action !== action) return;
      reached.resolve();
      await released.promise;
    },
    reached: reached.promise,
    release: () => released.resolve(),
  };
}
