// A service and its client, written for @grpc/grpc-js: nothing in this file knows of Handfast.
import { Client, Server } from "@grpc/grpc-js";
import type { ChannelCredentials, ServerUnaryCall, sendUnaryData } from "@grpc/grpc-js";

const hello = {
  path: "/example.v1.Greeter/Hello",
  requestStream: false,
  responseStream: false,
  requestSerialize: (text: string): Buffer => Buffer.from(text),
  requestDeserialize: (bytes: Buffer): string => bytes.toString(),
  responseSerialize: (text: string): Buffer => Buffer.from(text),
  responseDeserialize: (bytes: Buffer): string => bytes.toString(),
} as const;

/** A server that greets its callers by what their certificates say. */
export function createGreeter(): Server {
  const server = new Server();
  server.addService(
    { hello },
    {
      hello(call: ServerUnaryCall<string, string>, answer: sendUnaryData<string>) {
        const certificate = call.getAuthContext()?.sslPeerCertificate;
        const name = certificate?.subjectaltname?.match(/URI:([^,]*)/)?.[1] ?? "stranger";
        answer(null, `hello ${name}, certificate ${certificate?.serialNumber.toLowerCase()}`);
      },
    },
  );
  return server;
}

/** Asks to be greeted, and gives the answer, or the error in words. */
export function createGreeted(
  target: string,
  credentials: ChannelCredentials,
): () => Promise<string> {
  const client = new Client(target, credentials, { "grpc.max_reconnect_backoff_ms": 1_000 });
  return () =>
    new Promise((resolve) => {
      const { path, requestSerialize, responseDeserialize } = hello;
      const options = { deadline: Date.now() + 5_000 };
      client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        "hello",
        options,
        (error, answer) => {
          resolve(error === null ? (answer ?? "") : `error ${error.code}: ${error.details}`);
        },
      );
    });
}
