// The gRPC interoperability cases over mutual TLS: ours with ours, ours with plain grpc-js in both
// directions, and grpc-js on both sides of our adapters.
import { describe, test } from "node:test";
import type { InteropClient } from "./interop/call.ts";
import { interopCases } from "./interop/cases.ts";
import {
  dialAdaptedJs,
  dialPlainJs,
  serveAdaptedJs,
  serveCredentialedJs,
  servePlainJs,
} from "./interop/grpc-js.ts";
import type { InteropServer } from "./interop/grpc-js.ts";
import { dialOurs } from "./interop/ours.ts";
import { serve } from "./fixtures.ts";

interface Pair {
  readonly name: string;
  serve(): Promise<InteropServer>;
  dial(target: string): Promise<InteropClient>;
}

const pairs: readonly Pair[] = [
  { name: "our client, our server", serve, dial: dialOurs },
  { name: "our client, plain grpc-js", serve: servePlainJs, dial: dialOurs },
  { name: "plain grpc-js, our server", serve, dial: dialPlainJs },
  {
    name: "grpc-js by grpcChannelCredentials, grpc-js by serveGrpcJs",
    serve: serveAdaptedJs,
    dial: dialAdaptedJs,
  },
  {
    name: "our client, grpc-js by grpcServerCredentials",
    serve: serveCredentialedJs,
    dial: dialOurs,
  },
];

for (const pair of pairs) {
  describe(`interop, ${pair.name}`, () => {
    for (const [name, run] of Object.entries(interopCases)) {
      test(name, async () => {
        await using server = await pair.serve();
        await using client = await pair.dial(server.target);
        await run(client);
      });
    }
  });
}
