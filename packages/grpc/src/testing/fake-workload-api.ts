import type { MessageInitShape } from "@bufbuild/protobuf";
import { GrpcError } from "../errors.ts";
import { SpiffeWorkloadAPI } from "../gen/spiffe/workloadapi_pb.ts";
import type { X509SVIDResponseSchema } from "../gen/spiffe/workloadapi_pb.ts";
import { allowEveryAdmittedPeer } from "../interceptors/authorise.ts";
import { createServer } from "../server/server.ts";
import type { ServerCall } from "../server/call.ts";
import type { GrpcErrorCode } from "../status.ts";

/** What an agent says: everything a workload is entitled to, or why it gets nothing. */
export type WorkloadAnswer =
  | MessageInitShape<typeof X509SVIDResponseSchema>
  | { readonly refuse: GrpcErrorCode; readonly message: string };

/** A SPIFFE Workload API for tests, with the behaviour of SPIRE's agent on its stream. It attests nobody. */
export interface FakeWorkloadApi extends AsyncDisposable {
  /** For SPIFFE_ENDPOINT_SOCKET. */
  readonly endpoint: string;
  /** How many streams were opened so far, the refused ones too. */
  readonly opened: number;
  /** Says this on every open stream, and first on each new one. A refusal ends the streams. */
  say(answer: WorkloadAnswer): void;
}

/** Serves the Workload API on a Unix socket. A call without the security header is INVALID_ARGUMENT, as SPIRE has it. */
export async function createFakeWorkloadApi(
  path: string,
  first: WorkloadAnswer,
): Promise<FakeWorkloadApi> {
  let answer = first;
  let changed = Promise.withResolvers<void>();
  let opened = 0;

  async function* answers(
    call: ServerCall,
  ): AsyncGenerator<MessageInitShape<typeof X509SVIDResponseSchema>> {
    opened += 1;
    if (call.requestHeaders.get("workload.spiffe.io") !== "true") {
      throw new GrpcError("INVALID_ARGUMENT", "security header missing from request");
    }
    const ended = new Promise<void>((resolve) => {
      call.signal.addEventListener("abort", () => resolve(), { once: true });
    });
    while (!call.signal.aborted) {
      const next = changed.promise;
      if ("refuse" in answer) throw new GrpcError(answer.refuse, answer.message);
      yield answer;
      await Promise.race([next, ended]);
    }
  }

  const server = createServer({
    dangerouslyPlaintext: true,
    policy: allowEveryAdmittedPeer(),
    unauthenticatedPeers: "ask-policy",
  });
  server.add(SpiffeWorkloadAPI, { fetchX509SVID: (_request, call) => answers(call) });
  await server.listen({ path });
  return {
    endpoint: `unix://${path}`,
    get opened() {
      return opened;
    },
    say(next) {
      answer = next;
      changed.resolve();
      changed = Promise.withResolvers();
    },
    [Symbol.asyncDispose]: () => server.shutdown({ graceMs: 0 }),
  };
}
