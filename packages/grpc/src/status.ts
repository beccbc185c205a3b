/**
 * The gRPC status codes by name, as the protocol numbers them
 * (https://github.com/grpc/grpc/blob/master/doc/statuscodes.md).
 */
export const statusNumbers = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

/** A status by its name. */
export type StatusName = keyof typeof statusNumbers;

/** A status that is not OK: what a GrpcError may carry. */
export type GrpcErrorCode = Exclude<StatusName, "OK">;

/** The name of a status number; a number outside 0 to 16 is UNKNOWN, as the protocol says. */
export function statusName(number: number): StatusName {
  return names[number] ?? "UNKNOWN";
}

const names: readonly StatusName[] = Object.keys(statusNumbers) as StatusName[];
