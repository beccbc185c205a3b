import { SpanStatusCode, TraceFlags, propagation, trace } from "@opentelemetry/api";
import type { Attributes, Context, Span, TextMapGetter, TextMapSetter } from "@opentelemetry/api";
import type { DescMethod } from "@bufbuild/protobuf";
import type { GrpcError } from "../errors.ts";
import type { Metadata, ReadonlyMetadata } from "../metadata.ts";
import type { TelemetryOptions } from "./instruments.ts";

/** The name of a method as spans and metrics have it: "bank.v1.BankService/Deposit". */
export function methodName({ parent, name }: DescMethod): string {
  return `${parent.typeName}/${name}`;
}

/** What a span says of its method. */
export function spanAttributes({ parent, name }: DescMethod): Attributes {
  return { "rpc.system": "grpc", "rpc.service": parent.typeName, "rpc.method": name };
}

/** Ends the span of a call with its status. */
export function endSpan(span: Span, error: GrpcError | undefined): void {
  span.setAttribute("rpc.grpc.status_code", error?.status ?? 0);
  if (error !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: error.code });
  span.end();
}

/** The context that a peer's headers carry, with its wish to be sampled obeyed or not. */
export function contextFrom(
  parent: Context,
  headers: ReadonlyMetadata,
  peerSampling: TelemetryOptions["peerSampling"],
): Context {
  const extracted = propagation.extract(parent, headers, getter);
  const remote = trace.getSpanContext(extracted);
  if (remote === undefined || peerSampling === "obey") return extracted;
  const ratio = peerSampling?.ratio ?? defaultRatio;
  const sampled = Number.parseInt(remote.traceId.slice(-13), 16) < ratio * 16 ** 13;
  const traceFlags = sampled ? TraceFlags.SAMPLED : TraceFlags.NONE;
  return trace.setSpanContext(extracted, { ...remote, traceFlags });
}

/** Writes a context into the headers of a call. */
export function contextInto(headers: Metadata, context: Context): void {
  propagation.inject(context, headers, setter);
}

const getter: TextMapGetter<ReadonlyMetadata> = {
  keys: (headers) => [...headers.names()],
  get: (headers, name) => (name.endsWith("-bin") ? undefined : headers.get(name)),
};
const setter: TextMapSetter<Metadata> = {
  set: (headers, name, value) => headers.set(name, value),
};
const defaultRatio = 0.01;
