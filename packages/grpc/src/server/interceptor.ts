import type { GrpcError } from "../errors.ts";
import type { Next } from "../intercept.ts";
import type { OpenCall, ServerCall } from "./call.ts";

/**
 * Runs around a call, whatever its shape. `next()` runs what is listed after it and the handler; it
 * resolves when the call has come to its end with OK and rejects with the GrpcError it ended with. Not
 * calling it keeps the handler from running; throwing ends the call.
 */
export type ServerInterceptor = (call: ServerCall, next: Next) => Promise<void>;

/** Why a call goes no further; undefined if it does. */
export type GateOutcome = GrpcError | undefined;

/**
 * Looks at a call before anything of its body is read. Rate limits and policy decisions are gates, so that a
 * refused call costs no more than its head (security.md S40).
 */
export type Gate = (call: OpenCall) => GateOutcome | Promise<GateOutcome>;
