// What tests of gRPC need: the service of the interoperability tests, served.
export { TestService, UnimplementedService } from "../gen/grpc/testing/test_pb.ts";
export { interopHandlers } from "./interop-service.ts";
export { createFakeWorkloadApi } from "./fake-workload-api.ts";
export type { FakeWorkloadApi, WorkloadAnswer } from "./fake-workload-api.ts";
