import type { ServerCall } from "@handfast/grpc";

/** A call that no wire carried, for tests of handlers as functions. Keeps the trailers it was given. */
export interface FakeCall {
  readonly call: ServerCall;
  readonly trailers: Map<string, string>;
  readonly end: AbortController;
}

/** A fake call of a peer with this identity; undefined is a certificate that gives none. */
export function fakeCall(method: string, identity: string | undefined): FakeCall {
  const trailers = new Map<string, string>();
  const end = new AbortController();
  const call: unknown = {
    method,
    peer: { identity },
    signal: end.signal,
    responseTrailers: trailers,
  };
  return { call: call as ServerCall, trailers, end };
}
