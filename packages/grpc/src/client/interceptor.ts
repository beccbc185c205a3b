import type { Next } from "../intercept.ts";
import type { ClientCall } from "./call.ts";

/**
 * Runs around a client's call, whatever its shape and however many attempts it takes. `next()` runs what
 * is listed after it and the call; it resolves when the call has ended with OK and rejects with the
 * GrpcError it ended with. Throwing without calling it fails the call before anything is sent.
 */
export type ClientInterceptor = (call: ClientCall, next: Next) => Promise<void>;
