// A plain http.Server over mutual TLS: the same for Express, with http.createServer(app).
import { createServer } from "node:http";
import { env } from "node:process";

import { memberOf, mutualTlsFromEnv, peerOf } from "@handfast/tls";

const transport = await mutualTlsFromEnv(env, {
  admit: memberOf("handfast.internal"),
  onEvent(event) {
    if (event.type === "handshake" && event.refusal !== undefined) {
      console.log(`refused: ${event.refusal.code}: ${event.refusal.message}`);
    }
  },
});
if (transport.mode !== "mutual-tls")
  throw new Error("this example is about TLS: unset TLS_ENABLED");
const { mtls, host, port } = transport;

const server = createServer((request, response) => {
  response.end(`hello ${peerOf(request)?.identity ?? "stranger"}\n`);
});
const listener = await mtls.serveHttp(server, { host, port });
console.log(
  `serving on https://${host}:${"port" in listener.address ? listener.address.port : ""}/`,
);

process.once("SIGTERM", () => {
  // Idle connections end at once, requests in flight are finished first.
  void listener.close().then(() => mtls.close());
});
