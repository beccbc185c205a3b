import { readFileSync } from "node:fs";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { BytesValueSchema } from "@bufbuild/protobuf/wkt";
import type { BytesValue } from "@bufbuild/protobuf/wkt";
import * as grpc from "@grpc/grpc-js";

// The echo service on grpc-js. node serve-grpc-js.ts CERT KEY

const [certFile = "", keyFile = ""] = process.argv.slice(2);
const decode = (bytes: Buffer): BytesValue => fromBinary(BytesValueSchema, bytes);
const encode = (message: BytesValue): Buffer => Buffer.from(toBinary(BytesValueSchema, message));
const method = {
  requestSerialize: encode,
  requestDeserialize: decode,
  responseSerialize: encode,
  responseDeserialize: decode,
};
const server = new grpc.Server({
  "grpc.max_receive_message_length": 8_388_608,
  "grpc.max_concurrent_streams": 1_000,
});
server.addService(
  {
    Unary: { path: "/bench.v1.Echo/Unary", requestStream: false, responseStream: false, ...method },
    Stream: { path: "/bench.v1.Echo/Stream", requestStream: true, responseStream: true, ...method },
  },
  {
    Unary: (
      call: grpc.ServerUnaryCall<BytesValue, BytesValue>,
      answer: grpc.sendUnaryData<BytesValue>,
    ) => {
      void handle(call.request).then((response) => answer(null, response));
    },
    Stream: (call: grpc.ServerDuplexStream<BytesValue, BytesValue>) => {
      call.on("data", (request: BytesValue) => call.write(request));
      call.on("end", () => call.end());
    },
  },
);
const credentials = grpc.ServerCredentials.createSsl(null, [
  { cert_chain: readFileSync(certFile), private_key: readFileSync(keyFile) },
]);
server.bindAsync("127.0.0.1:0", credentials, (_, port) => console.log(port));

async function handle(request: BytesValue): Promise<BytesValue> {
  return create(BytesValueSchema, { value: request.value });
}
