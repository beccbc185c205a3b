// grpc.health.v1.Health/Check without generated code: the request may be empty, the answer is one number.
import type { MethodDefinition } from "@grpc/grpc-js";

/** What a server says of its health; 1 is SERVING. */
export interface HealthStatus {
  readonly status: number;
}

export const health: { readonly check: MethodDefinition<object, HealthStatus> } = {
  check: {
    path: "/grpc.health.v1.Health/Check",
    requestStream: false,
    responseStream: false,
    requestSerialize: () => Buffer.alloc(0),
    requestDeserialize: () => ({}),
    responseSerialize: ({ status }: HealthStatus) => Buffer.from([0x08, status]),
    responseDeserialize: (bytes: Buffer): HealthStatus => ({ status: bytes[1] ?? 0 }),
  },
};
