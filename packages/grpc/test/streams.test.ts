import assert from "node:assert/strict";
import { test } from "node:test";
import { GrpcError } from "../src/index.ts";
import { collect, dial, failure, recorder, serve } from "./fixtures.ts";

const sizes = [31_415, 9, 2_653, 58_979];

test("a server's stream arrives whole and in order", async () => {
  await using bank = await serve();
  await using alice = await dial(bank.target);
  const responses = await collect(
    alice.client.streamingOutputCall({ responseParameters: sizes.map((size) => ({ size })) }),
  );
  assert.deepEqual(
    responses.map(({ payload }) => payload?.body.length),
    sizes,
  );
});

test("a client's stream arrives whole", async () => {
  await using bank = await serve();
  await using alice = await dial(bank.target);
  const requests = [27_182, 8, 1_828, 45_904].map((size) => ({
    payload: { body: new Uint8Array(size) },
  }));
  const { aggregatedPayloadSize } = await alice.client.streamingInputCall(requests);
  assert.equal(aggregatedPayloadSize, 74_922);
});

test("both streams at once: each request is answered before the next is sent", async () => {
  await using bank = await serve();
  await using alice = await dial(bank.target);
  const answered = recorder<number>();
  async function* requests(): AsyncGenerator<{ responseParameters: { size: number }[] }> {
    for (const [index, size] of sizes.entries()) {
      yield { responseParameters: [{ size }] };
      await answered.next((count) => count === index + 1);
    }
  }
  const seen: (number | undefined)[] = [];
  for await (const { payload } of alice.client.fullDuplexCall(requests())) {
    seen.push(payload?.body.length);
    answered.add(seen.length);
  }
  assert.deepEqual(seen, sizes);
});

test("an empty stream each way is an answer of none", async () => {
  await using bank = await serve();
  await using alice = await dial(bank.target);
  assert.deepEqual(await collect(alice.client.fullDuplexCall([])), []);
  assert.equal((await alice.client.streamingInputCall([])).aggregatedPayloadSize, 0);
});

test("leaving a stream early cancels it on the server, whose handler learns of it", async () => {
  const seen = recorder<string>();
  await using bank = await serve({
    handlers: {
      async *streamingOutputCall(_request, call) {
        call.signal.addEventListener("abort", () => seen.add("aborted"));
        try {
          for (;;) yield { payload: { body: new Uint8Array(10) } };
        } finally {
          seen.add("returned");
        }
      },
    },
  });
  await using alice = await dial(bank.target);
  let count = 0;
  for await (const _response of alice.client.streamingOutputCall({})) {
    count += 1;
    if (count === 3) break;
  }
  await seen.next((what) => what === "aborted");
  await seen.next((what) => what === "returned");
  const end = await bank.next((event) => event.type === "call");
  assert.equal(end.type === "call" && end.code, "CANCELLED");
});

test("a stream is produced only as fast as it is read", async () => {
  let produced = 0;
  await using bank = await serve({
    handlers: {
      async *streamingOutputCall() {
        for (; produced < 1_000; produced++) yield { payload: { body: new Uint8Array(16_384) } };
      },
    },
  });
  await using alice = await dial(bank.target);
  const stream = alice.client.streamingOutputCall({});
  await stream.next();
  await alice.client.emptyCall({});
  await alice.client.emptyCall({});
  assert.ok(produced < 100, `${produced} messages of 16 KiB for one that was read`);
  await stream.return?.(undefined);
});

test("a signal gives a call up on both ends, its reason kept", async () => {
  const seen = recorder<unknown>();
  await using bank = await serve({
    handlers: {
      emptyCall: (_request, call) =>
        new Promise(() => {
          call.signal.addEventListener("abort", () => seen.add(call.signal.reason));
          seen.add("started");
        }),
    },
  });
  await using alice = await dial(bank.target);
  const controller = new AbortController();
  const call = failure(alice.client.emptyCall({}, { signal: controller.signal }));
  await seen.next((what) => what === "started");
  controller.abort("changed my mind");
  const error = await call;
  assert.ok(error instanceof GrpcError);
  assert.deepEqual([error.code, error.cause], ["CANCELLED", "changed my mind"]);
  const reason = await seen.next((what) => what !== "started");
  assert.equal(reason instanceof GrpcError && reason.code, "CANCELLED");
  const early = await failure(alice.client.emptyCall({}, { signal: AbortSignal.abort("no") }));
  assert.equal(early instanceof GrpcError && early.code, "CANCELLED");
});

test("every call has a deadline: the client's default, or its own", async () => {
  const deadlines: (Date | undefined)[] = [];
  await using bank = await serve({
    handlers: {
      emptyCall(_request, { deadline }) {
        deadlines.push(deadline);
        return {};
      },
    },
  });
  await using alice = await dial(bank.target, { deadlineMs: 7_000 });
  const start = Date.now();
  await alice.client.emptyCall({});
  await alice.client.emptyCall({}, { deadlineMs: 70_000 });
  await alice.client.emptyCall({}, { deadlineMs: Number.POSITIVE_INFINITY });
  const inMs = deadlines.map((deadline) => deadline && deadline.getTime() - start);
  const [first = 0, second = 0, third] = inMs;
  assert.ok(first > 6_000 && first < 8_000, String(first));
  assert.ok(second > 69_000 && second < 71_000, String(second));
  assert.equal(third, undefined);
});

test("a deadline ends the call on both ends, also of a handler that never does", async () => {
  const seen = recorder<unknown>();
  await using bank = await serve({
    handlers: {
      emptyCall: (_request, call) =>
        new Promise(() => {
          call.signal.addEventListener("abort", () => seen.add(call.signal.reason));
        }),
    },
  });
  await using alice = await dial(bank.target);
  await alice.client.connect();
  const error = await failure(alice.client.emptyCall({}, { deadlineMs: 60 }));
  assert.equal(error instanceof GrpcError && error.code, "DEADLINE_EXCEEDED");
  const reason = await seen.next(() => true);
  assert.equal(reason instanceof GrpcError && reason.code, "DEADLINE_EXCEEDED");
  const end = await bank.next(
    (event) => event.type === "call" && event.method.endsWith("EmptyCall"),
  );
  assert.equal(end.type === "call" && end.code, "DEADLINE_EXCEEDED");
});

test("requests that cannot be produced end the call, and say why", async () => {
  await using bank = await serve();
  await using alice = await dial(bank.target);
  const broken = new Error("the disk is gone");
  async function* requests(): AsyncGenerator<object> {
    yield {};
    throw broken;
  }
  const error = await failure(alice.client.streamingInputCall(requests()));
  assert.ok(error instanceof GrpcError);
  assert.deepEqual([error.code, error.cause], ["CANCELLED", broken]);
});
