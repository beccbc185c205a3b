import { readFileSync } from "node:fs";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";

// The echo service on bare node:http2, without protobuf: bytes in, the same bytes out, in one write.
// node serve-node-http2.ts CERT KEY

const [certFile = "", keyFile = ""] = process.argv.slice(2);
const server = http2.createSecureServer({
  cert: readFileSync(certFile),
  key: readFileSync(keyFile),
  minVersion: "TLSv1.3",
  settings: { maxConcurrentStreams: 1_000, initialWindowSize: 1_048_576 },
});
server.on("session", (session) => session.setLocalWindowSize(1_048_576));
server.on("stream", (stream: http2.ServerHttp2Stream, headers) => {
  const isStream = headers[":path"]?.endsWith("/Stream") ?? false;
  const parts: Buffer[] = [];
  stream.on("wantTrailers", () => stream.sendTrailers(trailers));
  stream.on("error", () => {});
  if (isStream) {
    stream.respond(head, { waitForTrailers: true });
    stream.pipe(stream);
    return;
  }
  stream.on("data", (part: Buffer) => parts.push(part));
  stream.on("end", () => {
    stream.respond(head, { waitForTrailers: true });
    stream.end(parts.length === 1 ? parts[0] : Buffer.concat(parts));
  });
});
server.listen(0, "127.0.0.1", () => console.log((server.address() as AddressInfo).port));

const head = { ":status": 200, "content-type": "application/grpc" };
const trailers = { "grpc-status": "0" };
