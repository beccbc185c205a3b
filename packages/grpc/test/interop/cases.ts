// The cases of the gRPC interoperability tests, as their descriptions have them:
// https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md
import assert from "node:assert/strict";
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import type {
  SimpleResponse,
  StreamingInputCallResponse,
  StreamingOutputCallResponse,
} from "../../src/gen/grpc/testing/test_pb.ts";
import { TestService, UnimplementedService } from "../../src/testing/index.ts";
import { initialEntry, trailingEntry } from "./call.ts";
import type { Ended, InteropCall, InteropClient } from "./call.ts";

/** One case: passes, or throws. */
export type InteropCase = (client: InteropClient) => Promise<void>;

export const interopCases: Readonly<Record<string, InteropCase>> = {
  empty_unary: emptyUnary,

  async large_unary(client) {
    const call = client.call(TestService.method.unaryCall);
    call.send({ responseSize: 314_159, payload: zeros(271_828) });
    assert.equal(sizeOf(await call.next()), 314_159);
    await endsWell(call);
  },

  async client_streaming(client) {
    const call = client.call(TestService.method.streamingInputCall);
    for (const size of [27_182, 8, 1_828, 45_904]) call.send({ payload: zeros(size) });
    call.end();
    const response = (await call.next()) as StreamingInputCallResponse | undefined;
    assert.equal(response?.aggregatedPayloadSize, 74_922);
    await endsWell(call);
  },

  async server_streaming(client) {
    const sizes = [31_415, 9, 2_653, 58_979];
    const call = client.call(TestService.method.streamingOutputCall);
    call.send({ responseParameters: sizes.map((size) => ({ size })) });
    for (const size of sizes) assert.equal(sizeOf(await call.next()), size);
    await endsWell(call);
  },

  async ping_pong(client) {
    const call = client.call(TestService.method.fullDuplexCall);
    for (const [request, response] of pairs) {
      call.send({ responseParameters: [{ size: response }], payload: zeros(request) });
      assert.equal(sizeOf(await call.next()), response);
    }
    call.end();
    await endsWell(call);
  },

  async empty_stream(client) {
    const call = client.call(TestService.method.fullDuplexCall);
    call.end();
    await endsWell(call);
  },

  async timeout_on_sleeping_server(client) {
    await emptyUnary(client);
    const call = client.call(TestService.method.fullDuplexCall, { deadlineMs: 1 });
    call.send({ payload: zeros(27_182) });
    assert.equal((await call.ended).code, "DEADLINE_EXCEEDED");
  },

  async cancel_after_begin(client) {
    await emptyUnary(client);
    const call = client.call(TestService.method.streamingInputCall, { withMetadata: true });
    call.cancel();
    assert.equal((await call.ended).code, "CANCELLED");
  },

  async cancel_after_first_response(client) {
    const call = client.call(TestService.method.fullDuplexCall);
    call.send({ responseParameters: [{ size: 31_415 }], payload: zeros(27_182) });
    assert.equal(sizeOf(await call.next()), 31_415);
    call.cancel();
    assert.equal((await call.ended).code, "CANCELLED");
  },

  status_code_and_message: (client) => endsAsAsked(client, "test status message"),

  special_status_message: (client) =>
    endsAsAsked(client, "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"),

  async unimplemented_method(client) {
    const call = client.call(TestService.method.unimplementedCall);
    call.send({});
    assert.equal((await call.ended).code, "UNIMPLEMENTED");
  },

  async unimplemented_service(client) {
    const call = client.call(UnimplementedService.method.unimplementedCall);
    call.send({});
    assert.equal((await call.ended).code, "UNIMPLEMENTED");
  },

  async custom_metadata(client) {
    const unary = client.call(TestService.method.unaryCall, { withMetadata: true });
    unary.send({ responseSize: 314_159, payload: zeros(271_828) });
    assert.equal(sizeOf(await unary.next()), 314_159);
    assertEchoed(await endsWell(unary));

    const stream = client.call(TestService.method.fullDuplexCall, { withMetadata: true });
    stream.send({ responseParameters: [{ size: 314_159 }], payload: zeros(271_828) });
    stream.end();
    assert.equal(sizeOf(await stream.next()), 314_159);
    assertEchoed(await endsWell(stream));
  },
};

async function emptyUnary(client: InteropClient): Promise<void> {
  const call = client.call(TestService.method.emptyCall);
  call.send({});
  assert.notEqual(await call.next(), undefined);
  await endsWell(call);
}

/** Nothing more comes, and the status is OK. */
async function endsWell(call: InteropCall): Promise<Ended> {
  assert.equal(await call.next(), undefined);
  const ended = await call.ended;
  assert.equal(ended.code, "OK", ended.message);
  return ended;
}

async function endsAsAsked(client: InteropClient, message: string): Promise<void> {
  const responseStatus = { code: 2, message };
  for (const method of [TestService.method.unaryCall, TestService.method.fullDuplexCall]) {
    const call = client.call(method);
    call.send({ responseStatus });
    call.end();
    const ended = await call.ended;
    assert.deepEqual([ended.code, ended.message], ["UNKNOWN", message]);
  }
}

function assertEchoed({ initial, trailing }: Ended): void {
  assert.equal(initial, initialEntry.value);
  assert.deepEqual(trailing, trailingEntry.value);
}

function zeros(size: number): { readonly body: Uint8Array } {
  return { body: new Uint8Array(size) };
}

function sizeOf(response: MessageShape<DescMessage> | undefined): number | undefined {
  const { payload } = (response ?? {}) as Partial<SimpleResponse | StreamingOutputCallResponse>;
  return payload?.body.length;
}

const pairs = [
  [27_182, 31_415],
  [8, 9],
  [1_828, 2_653],
  [45_904, 58_979],
] as const;
