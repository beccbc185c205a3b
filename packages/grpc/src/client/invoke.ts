import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { DescMessage, DescMethod, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { EngineChannel } from "../engine.ts";
import { GrpcError } from "../errors.ts";
import { Metadata } from "../metadata.ts";
import { intercept } from "../intercept.ts";
import type { MessageTaps } from "../intercept.ts";
import { startAttempt } from "./call.ts";
import type { Attempt, ClientCall } from "./call.ts";
import type { ClientInterceptor } from "./interceptor.ts";
import type { CallOptions, Outgoing } from "./method-types.ts";

/** What all calls of a client have in common. */
export interface Invoker {
  readonly channel: EngineChannel;
  readonly target: string;
  readonly deadlineMs: number;
  readonly maxSendMessageBytes: number;
  readonly interceptors: readonly ClientInterceptor[];
}

type Message = MessageShape<DescMessage>;

/** A call that answers with one message. */
export async function callForOne(
  invoker: Invoker,
  method: DescMethod,
  requests: Outgoing<DescMessage>,
  options: CallOptions = {},
): Promise<Message> {
  let response: Message | undefined;
  await run(invoker, method, options, async (attempt, codec) => {
    void pump(attempt, requests, codec);
    for (let bytes = await attempt.next(); bytes !== undefined; bytes = await attempt.next()) {
      if (response !== undefined) {
        attempt.cancel();
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
  requests: Outgoing<DescMessage>,
  options: CallOptions = {},
): AsyncGenerator<Message, undefined> {
  const started = Promise.withResolvers<{ attempt: Attempt; codec: Codec } | undefined>();
  const ended = run(invoker, method, options, async (attempt, codec) => {
    void pump(attempt, requests, codec);
    started.resolve({ attempt, codec });
  });
  ended.then(() => started.resolve(undefined), started.reject);
  const exchange = await started.promise;
  try {
    for (;;) {
      const bytes = await exchange?.attempt.next();
      if (exchange === undefined || bytes === undefined) break;
      yield exchange.codec.decode(bytes);
    }
    await ended;
  } finally {
    exchange?.attempt.cancel();
    await ended.catch(() => undefined);
  }
}

interface Codec {
  encode(init: MessageInitShape<DescMessage>): Uint8Array;
  decode(bytes: Uint8Array): Message;
}

/** Runs a call through the interceptors; rejects with the error it ended with. */
async function run(
  invoker: Invoker,
  method: DescMethod,
  options: CallOptions,
  exchange: (attempt: Attempt, codec: Codec) => Promise<void>,
): Promise<void> {
  const deadline = Date.now() + (options.deadlineMs ?? invoker.deadlineMs);
  const headers = new Metadata();
  if (options.headers instanceof Metadata) headers.merge(options.headers);
  else if (options.headers !== undefined) headers.merge(new Metadata(options.headers));
  const call: ClientCall = {
    method: `/${method.parent.typeName}/${method.name}`,
    descriptor: method,
    target: invoker.target,
    deadline: Number.isFinite(deadline) ? new Date(deadline) : undefined,
    requestHeaders: headers,
  };
  await intercept(invoker.interceptors, call, async (taps) => {
    const attempt = startAttempt(invoker.channel, {
      path: call.method,
      headers,
      deadline,
      waitForReady: options.waitForReady ?? false,
      target: invoker.target,
      signal: options.signal,
      onHeaders: (received) => options.onHeaders?.(received),
    });
    try {
      await exchange(attempt, codecOf(method, taps, invoker.maxSendMessageBytes));
    } catch (thrown) {
      attempt.cancel();
      throw thrown;
    }
    const { error, trailers } = await attempt.ended;
    options.onTrailers?.(trailers);
    if (error !== undefined) throw error;
  });
}

/** Sends the requests, each when there is room for it. What goes wrong with them ends the call. */
async function pump(
  attempt: Attempt,
  requests: Outgoing<DescMessage>,
  codec: Codec,
): Promise<void> {
  try {
    for await (const request of requests) {
      if (attempt.over) return;
      await attempt.send(codec.encode(request));
    }
    attempt.halfClose();
  } catch (thrown) {
    attempt.fail(thrown);
  }
}

function codecOf(method: DescMethod, taps: readonly MessageTaps[], maxBytes: number): Codec {
  const { input, output } = method;
  return {
    encode(init) {
      const message = create(input, init);
      for (const tap of taps) tap.request?.(message);
      const bytes = toBinary(input, message);
      if (bytes.length <= maxBytes) return bytes;
      const text = `request message of ${bytes.length} bytes is larger than the limit of ${maxBytes}`;
      throw new GrpcError("RESOURCE_EXHAUSTED", text);
    },
    decode(bytes) {
      const message = decode(output, bytes);
      for (const tap of taps) tap.response?.(message);
      return message;
    },
  };
}

function decode(schema: DescMessage, bytes: Uint8Array): Message {
  try {
    return fromBinary(schema, bytes);
  } catch (cause) {
    throw new GrpcError("INTERNAL", `the response is no valid ${schema.typeName}`, { cause });
  }
}
