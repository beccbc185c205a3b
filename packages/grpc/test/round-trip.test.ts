import assert from "node:assert/strict";
import { test } from "node:test";
import {
  GrpcError,
  Metadata,
  badRequest,
  createClient,
  errorInfo,
  readBadRequest,
  readErrorInfo,
  readRetryInfo,
  retryInfo,
} from "../src/index.ts";
import { TestService, UnimplementedService } from "../src/testing/index.ts";
import { collect, dial, failure, serve } from "./fixtures.ts";

test("connects, and a unary call goes there and back with its peer known", async () => {
  let caller: string | undefined;
  await using bank = await serve({
    handlers: {
      emptyCall(_request, call) {
        caller = call.peer?.identity;
        return {};
      },
    },
  });
  await using alice = await dial(bank.target);
  assert.deepEqual(await alice.client.connect({ timeoutMs: 5_000 }), { health: "SERVING" });
  await alice.client.emptyCall({});
  assert.equal(caller, "spiffe://handfast.test/alice");
  assert.equal(bank.tls.mtls.sessions().length, 1);
});

test("two clients of one runtime and target share their connection", async () => {
  await using bank = await serve();
  await using alice = await dial(bank.target);
  const second = createClient(TestService, { tls: alice.tls.mtls, target: bank.target });
  await alice.client.emptyCall({});
  await second.emptyCall({});
  assert.equal(bank.tls.mtls.sessions().length, 1);
  second.close();
  await alice.client.emptyCall({});
});

test("a handler's GrpcError reaches the client with its text and details, and nothing else", async () => {
  await using bank = await serve({
    handlers: {
      emptyCall(_request, call) {
        call.responseTrailers.set("x-why", "because");
        throw new GrpcError("INVALID_ARGUMENT", "amount: 100 % wrong, naïve", {
          hint: "for our log only",
          cause: new Error("secret"),
          details: [
            errorInfo({ reason: "INVALID_REQUEST", domain: "bank.handfast" }),
            badRequest([{ field: "amount", description: "must be positive" }]),
            retryInfo({ delayMs: 250 }),
          ],
        });
      },
    },
  });
  await using alice = await dial(bank.target);
  const error = await failure(alice.client.emptyCall({}));
  assert.ok(error instanceof GrpcError);
  assert.deepEqual([error.code, error.status], ["INVALID_ARGUMENT", 3]);
  assert.equal(error.message, "amount: 100 % wrong, naïve");
  assert.equal(readErrorInfo(error)?.reason, "INVALID_REQUEST");
  assert.deepEqual(readBadRequest(error), [{ field: "amount", description: "must be positive" }]);
  assert.deepEqual(readRetryInfo(error), { delayMs: 250 });
  assert.equal(error.trailers.get("x-why"), "because");
  assert.deepEqual(error.trailers.names(), ["x-why"]);
});

test("what a handler throws unknown is INTERNAL with a fixed text; the fault is told to the owner", async () => {
  const secret = new Error("password=hunter2");
  await using bank = await serve({
    handlers: {
      emptyCall() {
        throw secret;
      },
      async *streamingOutputCall() {
        yield {};
        throw secret;
      },
    },
  });
  await using alice = await dial(bank.target);
  const errors = [
    await failure(alice.client.emptyCall({})),
    await failure(collect(alice.client.streamingOutputCall({}))),
  ];
  for (const error of errors) {
    assert.ok(error instanceof GrpcError);
    assert.deepEqual([error.code, error.message], ["INTERNAL", "internal error"]);
    assert.equal(error.trailers.names().length, 0);
  }
  const faults = bank.events.filter((event) => event.type === "handler-fault");
  assert.deepEqual(
    faults.map(({ error }) => error),
    [secret, secret],
  );
});

test("a method that nobody serves is UNIMPLEMENTED", async () => {
  await using bank = await serve();
  await using alice = await dial(bank.target);
  const other = createClient(UnimplementedService, { tls: alice.tls.mtls, target: bank.target });
  const error = await failure(other.unimplementedCall({}));
  assert.equal(error instanceof GrpcError && error.code, "UNIMPLEMENTED");
  other.close();
});

test("headers and trailers go both ways, text and bytes", async () => {
  await using bank = await serve();
  await using alice = await dial(bank.target);
  let headers: Metadata | undefined;
  let trailers: Metadata | undefined;
  await alice.client.emptyCall({}, {});
  await alice.client.unaryCall(
    {},
    {
      headers: {
        "x-grpc-test-echo-initial": "test_initial_metadata_value",
        "x-grpc-test-echo-trailing-bin": Uint8Array.of(0xab, 0xab, 0xab),
      },
      onHeaders(received) {
        headers = received;
      },
      onTrailers(received) {
        trailers = received;
      },
    },
  );
  assert.equal(headers?.get("x-grpc-test-echo-initial"), "test_initial_metadata_value");
  const echoed = trailers?.getBinary("x-grpc-test-echo-trailing-bin");
  assert.deepEqual(Uint8Array.from(echoed ?? []), Uint8Array.of(0xab, 0xab, 0xab));
});

test("interceptors run in the order listed around unary and streaming calls alike", async () => {
  const log: string[] = [];
  const named =
    (name: string) =>
    async (
      call: { readonly method: string },
      next: (taps: { request(): void; response(): void }) => Promise<void>,
    ): Promise<void> => {
      log.push(`${name} > ${call.method.split("/")[2]}`);
      try {
        await next({
          request: () => log.push(`${name} request`),
          response: () => log.push(`${name} response`),
        });
        log.push(`${name} < OK`);
      } catch (error) {
        log.push(`${name} < ${error instanceof GrpcError ? error.code : "?"}`);
        throw error;
      }
    };
  await using bank = await serve({
    interceptors: [named("first"), named("second")],
    handlers: {
      emptyCall() {
        log.push("handler");
        throw new GrpcError("NOT_FOUND", "none");
      },
    },
  });
  await using alice = await dial(bank.target, { interceptors: [named("client")] });
  await failure(alice.client.emptyCall({}));
  assert.deepEqual(log.splice(0), [
    "client > EmptyCall",
    "client request",
    "first > EmptyCall",
    "second > EmptyCall",
    "first request",
    "second request",
    "handler",
    "second < NOT_FOUND",
    "first < NOT_FOUND",
    "client < NOT_FOUND",
  ]);
  await collect(
    alice.client.streamingOutputCall({ responseParameters: [{ size: 1 }, { size: 2 }] }),
  );
  assert.deepEqual(
    log.filter((line) => line.startsWith("second")),
    [
      "second > StreamingOutputCall",
      "second request",
      "second response",
      "second response",
      "second < OK",
    ],
  );
});

test("an interceptor that does not go on keeps the handler from running", async () => {
  let ran = false;
  await using bank = await serve({
    interceptors: [
      () => {
        throw new GrpcError("FAILED_PRECONDITION", "closed today");
      },
    ],
    handlers: {
      emptyCall() {
        ran = true;
        return {};
      },
    },
  });
  await using alice = await dial(bank.target);
  const error = await failure(alice.client.emptyCall({}));
  assert.equal(error instanceof GrpcError && error.message, "closed today");
  assert.equal(ran, false);
});

test("a message larger than the limit is RESOURCE_EXHAUSTED in each direction, on each side", async () => {
  await using bank = await serve({
    limits: { maxReceiveMessageBytes: 2_000, maxSendMessageBytes: 2_000 },
  });
  await using alice = await dial(bank.target, {
    limits: { maxReceiveMessageBytes: 1_000, maxSendMessageBytes: 3_000 },
  });
  const { client } = alice;
  const told = async (work: Promise<unknown>): Promise<unknown> => {
    const error = await failure(work);
    assert.ok(error instanceof GrpcError);
    assert.equal(error.code, "RESOURCE_EXHAUSTED");
    return error.message;
  };
  const body = (bytes: number): { payload: { body: Uint8Array } } => ({
    payload: { body: new Uint8Array(bytes) },
  });
  const sent = "is larger than the limit of";
  assert.equal(
    await told(client.unaryCall(body(4_000))),
    `request message of 4006 bytes ${sent} 3000`,
  );
  await told(client.unaryCall(body(2_500)));
  assert.equal(
    await told(client.unaryCall({ responseSize: 2_500 })),
    `response message of 2506 bytes ${sent} 2000`,
  );
  await told(client.unaryCall({ responseSize: 1_500 }));
  await client.unaryCall({ responseSize: 500, ...body(500) });
  await bank.next(() => bank.events.length === 4);
  const codes = bank.events.map((event) => event.type === "call" && event.code);
  assert.deepEqual(codes.slice(0, 2), ["RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED"]);
});

test("a service is served once, and only with all its handlers", async () => {
  await using bank = await serve();
  assert.throws(() => bank.server.add(TestService, {} as never), TypeError);
  assert.throws(
    () => bank.server.add(UnimplementedService, {} as never),
    /UnimplementedCall needs a handler/,
  );
});

test("S43 a request id of the caller is used only if it is a plain one of 64 characters at most", async () => {
  const ids: string[] = [];
  await using bank = await serve({
    handlers: {
      emptyCall(_request, { requestId }) {
        ids.push(requestId);
        return {};
      },
    },
  });
  await using alice = await dial(bank.target);
  const given = ["plain-1", "with space", "semi;colon", "x".repeat(65), "x".repeat(64)];
  for (const id of given) await alice.client.emptyCall({}, { headers: { "x-request-id": id } });
  assert.deepEqual(
    ids.map((id, index) => id === given[index]),
    [true, false, false, false, true],
  );
  assert.ok(ids.every((id) => /^[A-Za-z0-9-]{1,64}$/.test(id)));
});
