import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { DescMessage, DescMethod, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { GrpcError } from "../errors.ts";
import type { OpenCall } from "./call.ts";
import type { MethodHandler } from "./handlers.ts";
import { intercept } from "../intercept.ts";
import type { MessageTaps } from "../intercept.ts";
import type { Gate, ServerInterceptor } from "./interceptor.ts";

/** A method and what serves it. */
export interface Route {
  readonly path: string;
  readonly method: DescMethod;
  readonly handler: MethodHandler<DescMethod>;
}

/** What stands between a call and its handler. */
export interface Passage {
  readonly gates: readonly Gate[];
  readonly interceptors: readonly ServerInterceptor[];
  /** Told of what was thrown that is no GrpcError. */
  fault(call: OpenCall, thrown: unknown): void;
}

/** Takes a call through gates and interceptors to its handler, and to its status. Never rejects. */
export async function serveCall(call: OpenCall, route: Route, passage: Passage): Promise<void> {
  try {
    for (const gate of passage.gates) {
      const outcome = gate(call);
      const refused = outcome instanceof Promise ? await call.orAborted(outcome) : outcome;
      if (refused !== undefined) throw refused;
    }
    await intercept(passage.interceptors, call, (taps) => invoke(call, route, taps));
    call.finish(undefined);
  } catch (thrown) {
    if (thrown instanceof GrpcError) {
      call.finish(thrown);
      return;
    }
    passage.fault(call, thrown);
    call.finish(new GrpcError("INTERNAL", internalText, { cause: thrown }));
  } finally {
    call.workDone();
  }
}

function invoke(call: OpenCall, route: Route, taps: readonly MessageTaps[]): Promise<void> {
  const { input, output } = route.method;
  const receive = (bytes: Uint8Array): MessageShape<DescMessage> => {
    const message = decode(input, bytes);
    for (const tap of taps) tap.request?.(message);
    return message;
  };
  const send = (init: MessageInitShape<DescMessage>): Promise<void> => {
    const message = create(output, init);
    for (const tap of taps) tap.response?.(message);
    return call.send(toBinary(output, message));
  };
  // The kinds of handler differ in type only by what they take and give: one message or many.
  switch (route.method.methodKind) {
    case "unary": {
      const handler = route.handler as MethodHandler<DescMethod & { methodKind: "unary" }>;
      return onlyRequest(call, receive).then((request) => answer(handler(request, call)));
    }
    case "server_streaming": {
      const handler = route.handler as MethodHandler<
        DescMethod & { methodKind: "server_streaming" }
      >;
      return onlyRequest(call, receive).then((request) => stream(handler(request, call)));
    }
    case "client_streaming": {
      const handler = route.handler as MethodHandler<
        DescMethod & { methodKind: "client_streaming" }
      >;
      return answer(handler(requests(call, receive), call));
    }
    case "bidi_streaming": {
      const handler = route.handler as MethodHandler<DescMethod & { methodKind: "bidi_streaming" }>;
      return stream(handler(requests(call, receive), call));
    }
  }

  async function answer(
    response: MessageInitShape<DescMessage> | Promise<MessageInitShape<DescMessage>>,
  ): Promise<void> {
    const init = response instanceof Promise ? await call.whileWorking(response) : response;
    call.throwIfOver();
    await send(init);
  }

  /** Sends what the handler yields, each when there is room for it. */
  async function stream(responses: AsyncIterable<MessageInitShape<DescMessage>>): Promise<void> {
    const iterator = responses[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await call.whileWorking(iterator.next());
        if (next.done === true) return;
        await send(next.value);
      }
    } catch (thrown) {
      // A handler that is waiting for something learns of the end from its signal; nobody waits for it.
      const returned = iterator.return?.();
      if (returned !== undefined) call.whileWorking(returned).then(undefined, () => undefined);
      throw thrown;
    }
  }
}

/** The one request of a unary or server-streaming call. */
async function onlyRequest(
  call: OpenCall,
  receive: (bytes: Uint8Array) => MessageShape<DescMessage>,
): Promise<MessageShape<DescMessage>> {
  const bytes = await call.read();
  if (bytes === undefined) {
    throw new GrpcError("UNIMPLEMENTED", "the call has no request message, one was expected");
  }
  const request = receive(bytes);
  if ((await call.read()) !== undefined) {
    throw new GrpcError("UNIMPLEMENTED", "the call has several request messages, one was expected");
  }
  return request;
}

async function* requests(
  call: OpenCall,
  receive: (bytes: Uint8Array) => MessageShape<DescMessage>,
): AsyncGenerator<MessageShape<DescMessage>> {
  for (;;) {
    const bytes = await call.read();
    if (bytes === undefined) return;
    yield receive(bytes);
  }
}

function decode(schema: DescMessage, bytes: Uint8Array): MessageShape<DescMessage> {
  try {
    return fromBinary(schema, bytes);
  } catch (cause) {
    throw new GrpcError("INTERNAL", `the message is no valid ${schema.typeName}`, { cause });
  }
}

/** All that a caller learns of a fault. */
const internalText = "internal error";
