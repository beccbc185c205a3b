// The echo service on @handfast/grpc: node serve-handfast.ts FOLDER FEATURE,FEATURE,…
import { join } from "node:path";
import { createServer } from "@handfast/grpc";
import type { ServerOptions } from "@handfast/grpc";
import {
  createMutualTls,
  identityFromFiles,
  memberOf,
  noRevocation,
  trustFromFile,
} from "@handfast/tls";
import type { BytesValue } from "@bufbuild/protobuf/wkt";
import { Echo, echo } from "./echo.ts";
import { policyOf, telemetryOf } from "./features.ts";

const [folder = "", list = ""] = process.argv.slice(2);
const features = new Set(list.split(","));
const rateLimit: ServerOptions["rateLimit"] = {
  rules: [{ methods: ["*"], perSecond: 10_000_000, burst: 10_000_000 }],
};
const mtls = await createMutualTls({
  identity: identityFromFiles({
    certFile: join(folder, "server.pem"),
    keyFile: join(folder, "server-key.pem"),
  }),
  trust: trustFromFile(join(folder, "ca.pem")),
  revocation: noRevocation(),
  admit: memberOf("handfast.test"),
});
const server = createServer({
  tls: mtls,
  policy: await policyOf(features, folder),
  limits: { maxConcurrentStreams: 1_000, maxReceiveMessageBytes: 8_388_608 },
  ...(features.has("rateLimit") && { rateLimit }),
  ...telemetryOf(features),
});
server.add(Echo, {
  unary: async (request: BytesValue) => echo(request),
  async *stream(requests: AsyncIterable<BytesValue>) {
    for await (const request of requests) yield echo(request);
  },
} as never);
const address = await server.listen({ host: "127.0.0.1", port: 0 });
console.log("port" in address ? address.port : "");
