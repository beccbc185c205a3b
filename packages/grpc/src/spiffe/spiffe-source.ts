import { setTimeout as delay } from "node:timers/promises";
import type { IdentitySource, TrustSource } from "@handfast/tls";
import { createClient } from "../client/client.ts";
import { GrpcError } from "../errors.ts";
import { SpiffeWorkloadAPI } from "../gen/spiffe/workloadapi_pb.ts";
import type { X509SVIDResponse } from "../gen/spiffe/workloadapi_pb.ts";
import type { GrpcErrorCode } from "../status.ts";
import { parseEndpoint } from "./endpoint.ts";
import { UnusableUpdate, readUpdate } from "./workload-update.ts";
import type { WorkloadUpdate } from "./workload-update.ts";

/** How the Workload API is asked. */
export interface SpiffeSourceOptions {
  /** `unix:///absolute/path` or `tcp://127.0.0.1:PORT`; SPIFFE_ENDPOINT_SOCKET of the environment if absent. */
  readonly endpoint?: string;
  /** Which of several identities to use: the first with this hint; the first of all if absent. */
  readonly hint?: string;
  /** How long a start waits for the first answer; 30,000 ms if absent. */
  readonly firstAnswerMs?: number;
  /** The pause after a failure grows by this with each further one, up to thirty times it; 1,000 ms if absent. */
  readonly backOffStepMs?: number;
  readonly onEvent?: (event: SpiffeEvent) => void;
}

/** What happens between the Workload API and us. */
export type SpiffeEvent =
  | { readonly type: "updated"; readonly spiffeId: string }
  /** An answer that cannot be used; what was there before stays. */
  | { readonly type: "discarded"; readonly reason: string }
  /** The stream ended; it is opened again after `retryInMs`. What was there before stays. */
  | {
      readonly type: "unavailable";
      readonly code: GrpcErrorCode;
      readonly reason: string;
      readonly retryInMs: number;
    }
  /** The agent said that asking again is no use (INVALID_ARGUMENT, CANCELLED); `mtls.reload()` asks again. */
  | { readonly type: "stopped"; readonly code: GrpcErrorCode; readonly reason: string };

/** An identity and the trust that goes with it, for `createMutualTls`. */
export interface SpiffeSource {
  readonly identity: IdentitySource;
  readonly trust: TrustSource;
  /** Ends the stream; done by itself when the runtime that watches the sources closes. */
  close(): void;
}

/**
 * Identity and trust from the SPIFFE Workload API, as SPIRE's agent serves it: the agent pushes each new
 * certificate and bundle, and they are put to use without a restart. When the agent is away, refuses
 * (PERMISSION_DENIED) or sends what cannot be used, the last good ones stay in use until they expire.
 *
 * Whoever can replace the socket decides who we are and whom we trust: its directory must be the agent's.
 *
 * @throws {TypeError} for an endpoint that is none. Reading rejects with a GrpcError when no answer came in time.
 */
export function spiffeSource(options: SpiffeSourceOptions = {}): SpiffeSource {
  const endpoint = options.endpoint ?? process.env["SPIFFE_ENDPOINT_SOCKET"];
  if (endpoint === undefined) {
    throw new TypeError(
      "SPIFFE endpoint: expected `endpoint`, or SPIFFE_ENDPOINT_SOCKET to be set",
    );
  }
  const { hint, firstAnswerMs = 30_000, backOffStepMs = 1000, onEvent } = options;
  const target = parseEndpoint(endpoint);
  const watchers = new Set<() => void>();
  let latest: WorkloadUpdate | undefined;
  let lastFailure: GrpcError | undefined;
  let running: AbortController | undefined;
  let arrivals: PromiseWithResolvers<void> = Promise.withResolvers();

  /** Rejects when the agent says that asking again is no use. */
  async function follow(signal: AbortSignal): Promise<void> {
    for (let failures = 1; !signal.aborted; failures += 1) {
      const { good, failure } = await listen(signal);
      if (signal.aborted) return;
      const { code, message: reason } = failure;
      if (code === "INVALID_ARGUMENT" || code === "CANCELLED") throw failure;
      lastFailure = failure;
      if (good) failures = 1;
      const retryInMs = backOffStepMs * Math.min(failures, 30);
      onEvent?.({ type: "unavailable", code, reason, retryInMs });
      await delay(retryInMs, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Follows one stream to its end: whether anything useful came, and what ended it. */
  async function listen(signal: AbortSignal): Promise<{ good: boolean; failure: GrpcError }> {
    // A channel of its own: its back-off is for servers, and slower than what SPIFFE asks for.
    const client = createClient(SpiffeWorkloadAPI, {
      target,
      dangerouslyPlaintext: true,
      retry: "never",
    });
    const options = { headers: securityHeader, deadlineMs: Number.POSITIVE_INFINITY, signal };
    let good = false;
    try {
      for await (const response of client.fetchX509SVID({}, options)) {
        good = take(response) || good;
      }
      return { good, failure: new GrpcError("UNAVAILABLE", "the agent ended the stream") };
    } catch (thrown) {
      if (!(thrown instanceof GrpcError)) throw thrown;
      return { good, failure: thrown };
    } finally {
      client.close();
    }
  }

  function take(response: X509SVIDResponse): boolean {
    try {
      latest = readUpdate(response, hint);
    } catch (thrown) {
      if (!(thrown instanceof UnusableUpdate)) throw thrown;
      lastFailure = new GrpcError("INTERNAL", thrown.message, { cause: thrown });
      onEvent?.({ type: "discarded", reason: thrown.message });
      return false;
    }
    onEvent?.({ type: "updated", spiffeId: latest.spiffeId });
    arrivals.resolve();
    for (const changed of watchers) changed();
    return true;
  }

  function start(): void {
    if (running !== undefined) return;
    const controller = new AbortController();
    running = controller;
    if (latest === undefined) arrivals = Promise.withResolvers();
    // A start that waits hears of it from read; nobody else waits for this promise.
    arrivals.promise.catch(() => undefined);
    const { reject } = arrivals;
    follow(controller.signal).then(
      () => reject(new GrpcError("CANCELLED", "the SPIFFE source was closed")),
      (thrown: unknown) => {
        if (running === controller) running = undefined;
        if (thrown instanceof GrpcError) {
          onEvent?.({ type: "stopped", code: thrown.code, reason: thrown.message });
        }
        reject(thrown);
      },
    );
  }

  function stop(): void {
    running?.abort();
    running = undefined;
  }

  async function read(): Promise<WorkloadUpdate> {
    // A reload that was under way when its runtime closed starts nothing.
    if (latest === undefined || watchers.size > 0) start();
    if (latest === undefined) await withTimeout(arrivals.promise, firstAnswerMs);
    if (latest !== undefined) return latest;
    stop();
    const because =
      lastFailure === undefined ? "" : `: ${lastFailure.code}: ${lastFailure.message}`;
    throw new GrpcError(
      lastFailure?.code ?? "DEADLINE_EXCEEDED",
      `the Workload API at ${endpoint} gave no identity within ${firstAnswerMs} ms${because}`,
      { hint: "is the agent up, and is there a registration entry for this process?" },
    );
  }

  function watch(changed: () => void): () => void {
    watchers.add(changed);
    start();
    // What arrived after the first read and before this was told to nobody.
    queueMicrotask(() => {
      if (watchers.has(changed)) changed();
    });
    return () => {
      watchers.delete(changed);
      if (watchers.size === 0) stop();
    };
  }

  const description = `SPIFFE Workload API at ${endpoint}`;
  return {
    identity: {
      description: `identity of the ${description}`,
      read: async () => (await read()).identity,
      watch,
    },
    trust: {
      description: `trust bundles of the ${description}`,
      read: async () => (await read()).trust,
      watch,
    },
    close: stop,
  };
}

async function withTimeout(work: Promise<void>, timeoutMs: number): Promise<void> {
  const timer = new AbortController();
  const waited = delay(timeoutMs, undefined, { signal: timer.signal }).catch(() => undefined);
  await Promise.race([work, waited]).finally(() => timer.abort());
}

/** Proves to the agent that no web page was tricked into asking (SPIFFE Workload Endpoint, section 5). */
const securityHeader = { "workload.spiffe.io": "true" };
