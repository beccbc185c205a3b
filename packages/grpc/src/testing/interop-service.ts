import { create } from "@bufbuild/protobuf";
import { GrpcError } from "../errors.ts";
import { PayloadSchema } from "../gen/grpc/testing/test_pb.ts";
import type {
  EchoStatus,
  Payload,
  ResponseParameters,
  TestService,
} from "../gen/grpc/testing/test_pb.ts";
import type { ServerCall } from "../server/call.ts";
import type { ServiceHandlers } from "../server/handlers.ts";
import { statusName } from "../status.ts";

/**
 * Serves grpc.testing.TestService as the interoperability tests want it: `server.add(TestService,
 * interopHandlers)`. It echoes the two metadata entries that the custom metadata case sends.
 */
export const interopHandlers: ServiceHandlers<typeof TestService> = {
  emptyCall: () => ({}),
  unaryCall(request, call) {
    echoMetadata(call);
    throwIfAsked(request.responseStatus);
    return { payload: zeros(request.responseSize) };
  },
  async *streamingOutputCall(request, call) {
    echoMetadata(call);
    throwIfAsked(request.responseStatus);
    for (const parameters of request.responseParameters)
      yield await response(parameters, call.signal);
  },
  async streamingInputCall(requests, call) {
    echoMetadata(call);
    let size = 0;
    for await (const { payload } of requests) size += payload?.body.length ?? 0;
    return { aggregatedPayloadSize: size };
  },
  async *fullDuplexCall(requests, call) {
    echoMetadata(call);
    for await (const request of requests) {
      throwIfAsked(request.responseStatus);
      for (const parameters of request.responseParameters)
        yield await response(parameters, call.signal);
    }
  },
  unimplementedCall() {
    throw new GrpcError("UNIMPLEMENTED", "served by nobody");
  },
};

function echoMetadata({ requestHeaders, responseHeaders, responseTrailers }: ServerCall): void {
  const initial = requestHeaders.get(initialName);
  if (initial !== undefined) responseHeaders.set(initialName, initial);
  const trailing = requestHeaders.getBinary(trailingName);
  if (trailing !== undefined) responseTrailers.setBinary(trailingName, trailing);
}

function throwIfAsked(status: EchoStatus | undefined): void {
  if (status === undefined || status.code === 0) return;
  const code = statusName(status.code);
  throw new GrpcError(code === "OK" ? "UNKNOWN" : code, status.message);
}

async function response(
  { size, intervalUs }: ResponseParameters,
  signal: AbortSignal,
): Promise<{ readonly payload: Payload }> {
  if (intervalUs > 0) await pause(intervalUs / 1_000, signal);
  return { payload: zeros(size) };
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

function zeros(size: number): Payload {
  return create(PayloadSchema, { body: new Uint8Array(size) });
}

const initialName = "x-grpc-test-echo-initial";
const trailingName = "x-grpc-test-echo-trailing-bin";
