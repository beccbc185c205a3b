import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import tls from "node:tls";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { BytesValueSchema } from "@bufbuild/protobuf/wkt";
import type { BytesValue } from "@bufbuild/protobuf/wkt";
import { createConnection, encodeHeaderBlock } from "@handfast/http2";
import type { ServerConnection } from "@handfast/http2";
import { drive } from "../../packages/http2/test/driver.ts";
import type { Driver } from "../../packages/http2/test/driver.ts";

// The echo service on the machine, with protobuf and an asynchronous handler: what a gRPC server on it
// cannot do without, and nothing else. node serve-handfast.ts CERT KEY

interface Call {
  readonly id: number;
  readonly isStream: boolean;
  /** A message that has not arrived whole. */
  partial: Uint8Array | undefined;
  filled: number;
}

const [certFile = "", keyFile = ""] = process.argv.slice(2);
const server = tls.createServer({
  cert: readFileSync(certFile),
  key: readFileSync(keyFile),
  ALPNProtocols: ["h2"],
  minVersion: "TLSv1.3",
  noDelay: true,
});
server.on("secureConnection", (socket) => {
  let driver: Driver | undefined;
  const connection: ServerConnection = createConnection<Call>({
    role: "server",
    now: performance.now(),
    settings: { maxConcurrentStreams: 1_000 },
    limits: { copyBelow: 0 },
    events: {
      onRequest: (id, head) => {
        const isStream = head.path.endsWith("/Stream");
        if (isStream) {
          connection.sendHead(id, responseHead);
        }
        return { id, isStream, partial: undefined, filled: 0 };
      },
      onData: (call, bytes, end) => {
        receive(call, bytes);
        if (end && call.isStream) {
          connection.sendTrailers(call.id, responseTrailers);
        }
      },
      onTrailers: () => {},
      onReset: (call) => connection.release(call.id),
      onClose: () => {},
    },
  });
  driver = drive(socket, connection);

  /** Cuts messages out of what arrives; each is five octets of prefix and its body. */
  function receive(call: Call, bytes: Uint8Array): void {
    let rest = bytes;
    while (rest.length > 0) {
      if (call.partial === undefined) {
        const length = 5 + ((rest[1]! << 24) | (rest[2]! << 16) | (rest[3]! << 8) | rest[4]!);
        if (rest.length >= length) {
          connection.consume(call.id, length);
          void answer(call, rest.subarray(5, length));
          rest = rest.subarray(length);
          continue;
        }
        call.partial = Buffer.allocUnsafeSlow(length);
        call.filled = 0;
      }
      const piece = rest.subarray(0, call.partial.length - call.filled);
      call.partial.set(piece, call.filled);
      call.filled += piece.length;
      connection.consume(call.id, piece.length);
      rest = rest.subarray(piece.length);
      if (call.filled === call.partial.length) {
        void answer(call, call.partial.subarray(5));
        call.partial = undefined;
      }
    }
  }

  async function answer(call: Call, message: Uint8Array): Promise<void> {
    const response = await handle(fromBinary(BytesValueSchema, message));
    const body = toBinary(BytesValueSchema, response);
    const data = [prefixOf(body.length), body];
    if (call.isStream) {
      connection.sendData(call.id, data);
    } else {
      connection.respond(call.id, { head: responseHead, data, trailers: responseTrailers });
    }
    driver?.wake();
  }
});
server.listen(0, "127.0.0.1", () => console.log((server.address() as AddressInfo).port));

async function handle(request: BytesValue): Promise<BytesValue> {
  return create(BytesValueSchema, { value: request.value });
}

function prefixOf(length: number): Uint8Array {
  return Uint8Array.of(0, length >>> 24, length >>> 16, length >>> 8, length);
}

const responseHead = encodeHeaderBlock([":status", "200", "content-type", "application/grpc"]);
const responseTrailers = encodeHeaderBlock(["grpc-status", "0"]);
