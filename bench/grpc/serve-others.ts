// The echo service on other libraries, with bare mutual TLS: node serve-others.ts FOLDER LIBRARY
import { readFileSync } from "node:fs";
import { createSecureServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import type { ServerDuplexStream, ServerUnaryCall, sendUnaryData } from "@grpc/grpc-js";
import { createServer } from "nice-grpc";
import type { BytesValue } from "@bufbuild/protobuf/wkt";
import { Echo, echo, echoDefinition } from "./echo.ts";

const [folder = "", library = ""] = process.argv.slice(2);
const read = (name: string): Buffer => readFileSync(join(folder, name));
const [ca, cert, key] = [read("ca.pem"), read("server.pem"), read("server-key.pem")];
const credentials = ServerCredentials.createSsl(ca, [{ cert_chain: cert, private_key: key }], true);
const channelOptions = {
  "grpc.max_receive_message_length": 8_388_608,
  "grpc.max_concurrent_streams": 1_000,
};
console.log(await serve());

function serve(): Promise<number> {
  switch (library) {
    case "grpc-js":
      return serveGrpcJs();
    case "nice-grpc":
      return serveNice();
    case "connect":
      return serveConnect();
    default:
      throw new TypeError(`no library ${library}`);
  }
}

function serveGrpcJs(): Promise<number> {
  const server = new Server(channelOptions);
  server.addService(echoDefinition, {
    unary(call: ServerUnaryCall<BytesValue, BytesValue>, answer: sendUnaryData<BytesValue>) {
      void Promise.resolve(echo(call.request)).then((response) => answer(null, response));
    },
    stream(call: ServerDuplexStream<BytesValue, BytesValue>) {
      call.on("data", (request: BytesValue) => call.write(echo(request)));
      call.on("end", () => call.end());
    },
  });
  return new Promise((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", credentials, (error, port) =>
      error === null ? resolve(port) : reject(error),
    );
  });
}

async function serveNice(): Promise<number> {
  const server = createServer(channelOptions);
  server.add(echoDefinition, {
    unary: async (request: BytesValue) => echo(request),
    async *stream(requests: AsyncIterable<BytesValue>) {
      for await (const request of requests) yield echo(request);
    },
  });
  return server.listen("127.0.0.1:0", credentials);
}

function serveConnect(): Promise<number> {
  const handler = connectNodeAdapter({
    readMaxBytes: 8_388_608,
    routes: (router) =>
      router.service(Echo, {
        unary: async (request: BytesValue) => echo(request),
        async *stream(requests: AsyncIterable<BytesValue>) {
          for await (const request of requests) yield echo(request);
        },
      } as never),
  });
  const server = createSecureServer(
    { ca: [ca], cert, key, requestCert: true, settings: { maxConcurrentStreams: 1_000 } },
    handler,
  );
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port));
  });
}
