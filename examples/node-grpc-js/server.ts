// The greeter over mutual TLS that renews itself, looks at revocation lists and tells whom it refuses.
import { env } from "node:process";

import { grpcServerCredentials } from "@handfast/grpc/grpc-js";
import { memberOf, mutualTlsFromEnv } from "@handfast/tls";
import { createGreeter } from "./greeter.ts";

const transport = await mutualTlsFromEnv(env, {
  admit: memberOf("handfast.internal"),
  onEvent(event) {
    if (event.type === "source-replaced") console.log(`new ${event.source}`);
    if (event.type === "session-cut") console.log(`cut: ${event.refusal.code}`);
    if (event.type === "handshake" && event.refusal !== undefined) {
      console.log(`refused: ${event.refusal.code}`);
    }
  },
});
if (transport.mode !== "mutual-tls") {
  throw new Error("this example is about TLS: unset TLS_ENABLED");
}
const { mtls, host, port } = transport;

const server = createGreeter();
// Before: ServerCredentials.createSsl(ca, [{ private_key, cert_chain }], true)
const credentials = grpcServerCredentials(mtls);
server.bindAsync(`${host}:${port}`, credentials, (error, bound) => {
  if (error !== null) throw error;
  console.log(`serving on ${host}:${bound}`);
});

process.once("SIGTERM", () => {
  server.tryShutdown(() => void mtls.close());
});
