import assert from "node:assert/strict";
import { test } from "node:test";
import { createFileRegistry, create, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { compilePolicy, parsePolicy } from "@handfast/policy";
import { GrpcError, createClient } from "../src/index.ts";
import { ServerReflection } from "../src/gen/grpc/reflection/v1/reflection_pb.ts";
import type {
  ServerReflectionRequest,
  ServerReflectionResponse,
} from "../src/gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as Alpha } from "../src/gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { collect, dial, failure, serve } from "./fixtures.ts";

type Question = Exclude<ServerReflectionRequest["messageRequest"], { case: undefined }>;

async function ask(
  options: Parameters<typeof serve>[0],
  questions: readonly Question[],
): Promise<ServerReflectionResponse["messageResponse"][]> {
  await using bank = await serve({ reflection: true, ...options });
  await using alice = await dial(bank.target);
  const client = createClient(ServerReflection, { tls: alice.tls.mtls, target: bank.target });
  const requests = questions.map((messageRequest) => ({ messageRequest }) as const);
  const responses = await collect(client.serverReflectionInfo(requests as never));
  client.close();
  return responses.map(({ messageResponse }) => messageResponse);
}

test("reflection is off unless asked for", async () => {
  await using bank = await serve();
  await using alice = await dial(bank.target);
  const client = createClient(ServerReflection, { tls: alice.tls.mtls, target: bank.target });
  const error = await failure(collect(client.serverReflectionInfo([])));
  assert.equal(error instanceof GrpcError && error.code, "UNIMPLEMENTED");
  client.close();
});

test("reflection tells the services, and files from which a client can be made", async () => {
  const [services, bySymbol, byName, unknown] = await ask({}, [
    { case: "listServices", value: "" },
    { case: "fileContainingSymbol", value: "grpc.testing.TestService.UnaryCall" },
    { case: "fileByFilename", value: "grpc/testing/test.proto" },
    { case: "fileContainingSymbol", value: "grpc.testing.Nothing" },
  ]);
  assert.ok(services?.case === "listServicesResponse");
  assert.deepEqual(
    services.value.service.map(({ name }) => name),
    [
      "grpc.health.v1.Health",
      "grpc.reflection.v1.ServerReflection",
      "grpc.reflection.v1alpha.ServerReflection",
      "grpc.testing.TestService",
    ],
  );
  assert.ok(bySymbol?.case === "fileDescriptorResponse");
  assert.deepEqual(byName, bySymbol);
  const file = bySymbol.value.fileDescriptorProto.map((bytes) =>
    fromBinary(FileDescriptorProtoSchema, bytes),
  );
  const registry = createFileRegistry(create(FileDescriptorSetSchema, { file }));
  assert.equal(
    registry.getService("grpc.testing.TestService")?.method["unaryCall"]?.name,
    "UnaryCall",
  );
  assert.ok(unknown?.case === "errorResponse");
  assert.equal(unknown.value.errorCode, 5);
});

test("S43 a caller is told only of services of which he may call something", async () => {
  const allow_rules = [
    { name: "reflection", request: { paths: ["/grpc.reflection.v1.ServerReflection/*"] } },
    { name: "one", request: { paths: ["/grpc.health.v1.Health/Check"] } },
  ];
  const policy = compilePolicy(parsePolicy(JSON.stringify({ name: "test", allow_rules })));
  const [services, hidden, shown] = await ask({ policy }, [
    { case: "listServices", value: "" },
    { case: "fileContainingSymbol", value: "grpc.testing.TestService" },
    { case: "fileContainingSymbol", value: "grpc.health.v1.Health" },
  ]);
  assert.ok(services?.case === "listServicesResponse");
  assert.deepEqual(
    services.value.service.map(({ name }) => name),
    ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"],
  );
  assert.equal(hidden?.case, "errorResponse");
  assert.equal(shown?.case, "fileDescriptorResponse");
});

test("the older name answers the same", async () => {
  await using bank = await serve({ reflection: true });
  await using alice = await dial(bank.target);
  const client = createClient(Alpha, { tls: alice.tls.mtls, target: bank.target });
  const requests = [{ messageRequest: { case: "listServices", value: "" } } as const];
  const [response] = await collect(client.serverReflectionInfo(requests));
  assert.equal(response?.messageResponse.case, "listServicesResponse");
  client.close();
});
