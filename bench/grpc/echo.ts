// The echo service of the benchmark, for whatever serves or calls it. Its description is made here, since
// code generated for a benchmark would be in everybody's way.
import { create, createFileRegistry, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { DescService } from "@bufbuild/protobuf";
import {
  BytesValueSchema,
  FileDescriptorProtoSchema,
  file_google_protobuf_wrappers,
} from "@bufbuild/protobuf/wkt";
import type { BytesValue } from "@bufbuild/protobuf/wkt";

const type = ".google.protobuf.BytesValue";
const registry = createFileRegistry(
  create(FileDescriptorProtoSchema, {
    name: "bench/v1/echo.proto",
    package: "bench.v1",
    syntax: "proto3",
    dependency: ["google/protobuf/wrappers.proto"],
    service: [
      {
        name: "Echo",
        method: [
          { name: "Unary", inputType: type, outputType: type },
          {
            name: "Stream",
            inputType: type,
            outputType: type,
            clientStreaming: true,
            serverStreaming: true,
          },
        ],
      },
    ],
  }),
  () => file_google_protobuf_wrappers,
);

/** bench.v1.Echo: `Unary` and `Stream` answer each message with the same. */
export const Echo: DescService = found();

function found(): DescService {
  const service = registry.getService("bench.v1.Echo");
  if (service === undefined) throw new Error("bench.v1.Echo is not in its own file");
  return service;
}

/** A method as grpc-js and nice-grpc want it defined. */
interface EchoMethod<Streams extends boolean> {
  readonly path: string;
  readonly requestStream: Streams;
  readonly responseStream: Streams;
  requestSerialize(message: BytesValue): Buffer;
  requestDeserialize(bytes: Uint8Array): BytesValue;
  responseSerialize(message: BytesValue): Buffer;
  responseDeserialize(bytes: Uint8Array): BytesValue;
}

const write = (message: BytesValue): Buffer => Buffer.from(toBinary(BytesValueSchema, message));
const read = (bytes: Uint8Array): BytesValue => fromBinary(BytesValueSchema, bytes);
const codec = {
  requestSerialize: write,
  requestDeserialize: read,
  responseSerialize: write,
  responseDeserialize: read,
};

/** The same service as grpc-js and nice-grpc want it. */
export const echoDefinition: { unary: EchoMethod<false>; stream: EchoMethod<true> } = {
  unary: { path: "/bench.v1.Echo/Unary", requestStream: false, responseStream: false, ...codec },
  stream: { path: "/bench.v1.Echo/Stream", requestStream: true, responseStream: true, ...codec },
};

/** What every server answers with. */
export function echo({ value }: BytesValue): BytesValue {
  return create(BytesValueSchema, { value });
}

/** A message of so many octets. */
export function messageOf(size: number): BytesValue {
  return create(BytesValueSchema, { value: new Uint8Array(size) });
}
