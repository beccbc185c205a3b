import type { DescMessage, DescMethod, MessageInitShape } from "@bufbuild/protobuf";
import type { EngineChannel } from "../engine.ts";
import { GrpcError } from "../errors.ts";
import { intercept } from "../intercept.ts";
import type { AnyMessage } from "../intercept.ts";
import { Metadata } from "../metadata.ts";
import type { ClientTelemetry } from "../telemetry/client-telemetry.ts";
import { startAttempt } from "./attempt.ts";
import { codecOf } from "./codec.ts";
import type { Codec } from "./codec.ts";
import { sendOnce, sendStream } from "./exchange.ts";
import type { Exchange } from "./exchange.ts";
import type { ClientCall, ClientInterceptor } from "./interceptor.ts";
import type { CallOptions, Outgoing } from "./method-types.ts";
import type { AttemptEnd, RetryRules } from "./retry.ts";

/** What all calls of a client have in common. */
export interface Invoker {
  readonly channel: ClientChannel;
  readonly target: string;
  readonly deadlineMs: number;
  readonly maxSendMessageBytes: number;
  readonly interceptors: readonly ClientInterceptor[];
  readonly retry: RetryRules;
  readonly telemetry: ClientTelemetry | undefined;
  /** Whether its calls go to servers that say they do not serve, too. Default false. */
  readonly whateverHealth?: boolean;
}

/** A channel that knows what it shows of itself. */
export interface ClientChannel extends EngineChannel {
  /** Changes when new connections would be made with another certificate or trust. */
  readonly generation: number;
}

/** The requests of a call: one message, which may be sent again, or a stream. */
export type Requests =
  | { readonly one: MessageInitShape<DescMessage> }
  | { readonly many: Outgoing<DescMessage> };

/** A call that answers with one message. */
export async function callForOne(
  invoker: Invoker,
  method: DescMethod,
  requests: Requests,
  options: CallOptions = {},
): Promise<AnyMessage> {
  let response: AnyMessage | undefined;
  await run({ invoker, method, requests, options }, async (exchange, codec) => {
    for (let bytes = await exchange.next(); bytes !== undefined; bytes = await exchange.next()) {
      if (response !== undefined) {
        throw new GrpcError("UNIMPLEMENTED", "the server sent several messages, one was expected");
      }
      response = codec.decode(bytes);
    }
  });
  if (response === undefined) {
    throw new GrpcError("UNIMPLEMENTED", "the server sent no message, one was expected");
  }
  return response;
}

/** A call that answers with a stream; it starts when it is first asked for a message. */
export async function* callForMany(
  invoker: Invoker,
  method: DescMethod,
  requests: Requests,
  options: CallOptions = {},
): AsyncGenerator<AnyMessage, undefined> {
  const started = Promise.withResolvers<{ exchange: Exchange; codec: Codec } | undefined>();
  const ended = run({ invoker, method, requests, options }, async (exchange, codec) => {
    started.resolve({ exchange, codec });
  });
  // An interceptor may end the call before it starts, with an error or without.
  ended.then(() => started.resolve(undefined), started.reject);
  const call = await started.promise;
  try {
    for (let bytes = await call?.exchange.next(); bytes !== undefined;) {
      const message = call?.codec.decode(bytes);
      if (message !== undefined) yield message;
      bytes = await call?.exchange.next();
    }
    await ended;
  } finally {
    call?.exchange.cancel();
    await ended.catch(() => undefined);
  }
}

interface Running {
  readonly invoker: Invoker;
  readonly method: DescMethod;
  readonly requests: Requests;
  readonly options: CallOptions;
}

/** Runs a call through the interceptors; rejects with the error it ended with. */
async function run(
  running: Running,
  read: (exchange: Exchange, codec: Codec) => Promise<void>,
): Promise<void> {
  const { invoker, method, options } = running;
  const deadline = Date.now() + (options.deadlineMs ?? invoker.deadlineMs);
  const call: ClientCall = {
    method: `/${method.parent.typeName}/${method.name}`,
    descriptor: method,
    target: invoker.target,
    deadline: Number.isFinite(deadline) ? new Date(deadline) : undefined,
    requestHeaders: headersOf(options),
  };
  await intercept(invoker.interceptors, call, async (taps) => {
    const codec = codecOf(method, taps, invoker.maxSendMessageBytes);
    const exchange = start(running, call, { deadline, codec });
    try {
      await read(exchange, codec);
    } catch (thrown) {
      exchange.cancel();
      throw thrown;
    }
    const { error, trailers } = await exchange.ended;
    options.onTrailers?.(trailers);
    if (error !== undefined) throw error;
  });
}

function start(
  { invoker, method, requests, options }: Running,
  call: ClientCall,
  { deadline, codec }: { readonly deadline: number; readonly codec: Codec },
): Exchange {
  const { channel, retry } = invoker;
  const { signal } = options;
  const attempt = (
    previousAttempts: number,
    onHeaders: () => void,
  ): ReturnType<typeof startAttempt> =>
    startAttempt(channel, {
      path: call.method,
      headers: call.requestHeaders,
      deadline,
      waitForReady: options.waitForReady ?? false,
      whateverHealth: invoker.whateverHealth ?? false,
      previousAttempts,
      target: invoker.target,
      telemetry: invoker.telemetry,
      signal,
      onHeaders(received) {
        onHeaders();
        options.onHeaders?.(received);
      },
    });
  if ("many" in requests)
    return sendStream(
      attempt(0, () => undefined),
      requests.many,
      codec,
    );

  const { message, bytes } = codec.encode(requests.one);
  const repeatable = retry.mayRepeat(method, message);
  let generation = channel.generation;
  let renewed = false;
  return sendOnce(bytes, {
    signal,
    begin: attempt,
    waitAfter(end: AttemptEnd, attempts) {
      // Refused for its certificate, the call ran nowhere: with another certificate it may go again, once.
      const refused = end.error?.code === "UNAUTHENTICATED" && end.error.refusal !== undefined;
      if (refused && !renewed && channel.generation !== generation) {
        renewed = true;
        generation = channel.generation;
        return 0;
      }
      const waitMs = retry.waitAfter(end, attempts);
      if (!repeatable || waitMs === undefined) return undefined;
      return Date.now() + waitMs < deadline ? waitMs : undefined;
    },
  });
}

function headersOf({ headers }: CallOptions): Metadata {
  const own = new Metadata();
  if (headers !== undefined) {
    own.merge(headers instanceof Metadata ? headers : new Metadata(headers));
  }
  return own;
}
