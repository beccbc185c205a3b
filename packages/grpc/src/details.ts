import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { anyPack, anyUnpack, durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
import type { Any } from "@bufbuild/protobuf/wkt";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "./gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "./gen/google/rpc/status_pb.ts";

/** Why a call failed, for programs: google.rpc.ErrorInfo. */
export interface ErrorInfo {
  /** UPPER_SNAKE_CASE, unique within the domain. */
  readonly reason: string;
  /** Who defines the reason: "bank.example.com". */
  readonly domain: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** One field that is wrong: google.rpc.BadRequest.FieldViolation. */
export interface FieldViolation {
  /** The path of the field as in the proto file: "entries[1].amount". */
  readonly field: string;
  readonly description: string;
}

/** What carries google.rpc details; a GrpcError does. */
export interface WithDetails {
  readonly details: readonly Any[];
}

/** Makes a google.rpc.ErrorInfo detail. */
export function errorInfo(info: ErrorInfo): Any {
  return anyPack(
    ErrorInfoSchema,
    create(ErrorInfoSchema, { ...info, metadata: { ...info.metadata } }),
  );
}

/** Makes a google.rpc.BadRequest detail. */
export function badRequest(violations: readonly FieldViolation[]): Any {
  return anyPack(
    BadRequestSchema,
    create(BadRequestSchema, {
      fieldViolations: violations.map((violation) => ({ ...violation })),
    }),
  );
}

/** Makes a google.rpc.RetryInfo detail: not before `delayMs` milliseconds from now. */
export function retryInfo(options: { readonly delayMs: number }): Any {
  return anyPack(
    RetryInfoSchema,
    create(RetryInfoSchema, { retryDelay: durationFromMs(Math.ceil(options.delayMs)) }),
  );
}

/** The first ErrorInfo of an error, or undefined. */
export function readErrorInfo(error: WithDetails): Required<ErrorInfo> | undefined {
  const info = unpack(error, ErrorInfoSchema);
  return info && { reason: info.reason, domain: info.domain, metadata: info.metadata };
}

/** The field violations of an error; empty if it carries none. */
export function readBadRequest(error: WithDetails): readonly FieldViolation[] {
  const request = unpack(error, BadRequestSchema);
  return (request?.fieldViolations ?? []).map(({ field, description }) => ({ field, description }));
}

/** How long to wait before trying again, or undefined if the error does not say. */
export function readRetryInfo(error: WithDetails): { readonly delayMs: number } | undefined {
  const delay = unpack(error, RetryInfoSchema)?.retryDelay;
  return delay && { delayMs: durationMs(delay) };
}

/** Encodes details as the value of `grpc-status-details-bin`; undefined if there are none. */
export function encodeStatusDetails(
  status: { readonly status: number; readonly message: string } & WithDetails,
): Uint8Array | undefined {
  if (status.details.length === 0) return undefined;
  const message = { code: status.status, message: status.message, details: [...status.details] };
  return toBinary(StatusSchema, create(StatusSchema, message));
}

/** Reads the details out of a `grpc-status-details-bin` value; bytes that do not parse have none. */
export function decodeStatusDetails(bytes: Uint8Array | undefined): readonly Any[] {
  if (bytes === undefined) return [];
  try {
    return fromBinary(StatusSchema, bytes).details;
  } catch {
    return [];
  }
}

function unpack<Desc extends DescMessage>(
  error: WithDetails,
  schema: Desc,
): MessageShape<Desc> | undefined {
  for (const detail of error.details) {
    try {
      const message = anyUnpack(detail, schema);
      if (message !== undefined) return message;
    } catch {
      continue;
    }
  }
  return undefined;
}
