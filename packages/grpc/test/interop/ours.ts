// The interoperability cases' client on our own client.
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { GrpcError, Metadata, createClient } from "../../src/index.ts";
import type { CallOptions, UnaryMethod } from "../../src/index.ts";
import { TestService, UnimplementedService } from "../../src/testing/index.ts";
import { aliceIdentity, runtime } from "../fixtures.ts";
import { createPipe, initialEntry, trailingEntry } from "./call.ts";
import type { Ended, InteropCallOptions, InteropClient, InteropRequest } from "./call.ts";

/** Dials a server with our client, over our mutual TLS. */
export async function dialOurs(target: string): Promise<InteropClient> {
  const tls = await runtime(aliceIdentity);
  const clients = [TestService, UnimplementedService].map((service) => ({
    service,
    client: createClient(service, { tls: tls.mtls, target }),
  }));
  return {
    call(method, options = {}) {
      const found = clients.find(({ service }) => service === method.parent);
      const requests = createPipe<InteropRequest>();
      const responses = createPipe<MessageShape<DescMessage>>();
      const abort = new AbortController();
      const seen: { -readonly [Key in keyof Ended]?: Ended[Key] } = {};
      const callOptions = optionsOf(options, { signal: abort.signal, seen });
      const function_ = found?.client[method.localName as keyof typeof found.client];
      const ended = run().then(
        () => ({ ...none, ...seen, code: "OK" }),
        (error: unknown) => {
          responses.end();
          if (!(error instanceof GrpcError)) throw error;
          return { ...none, ...seen, code: error.code, message: error.message };
        },
      );
      return {
        send: (request) => requests.push(request),
        end: () => requests.end(),
        next: () => responses.next(),
        cancel: () => abort.abort(),
        ended,
      };

      async function run(): Promise<void> {
        const { methodKind } = method;
        const streamsOut = methodKind === "client_streaming" || methodKind === "bidi_streaming";
        const input = streamsOut ? requests : ((await requests.next()) ?? {});
        // Which of the four shapes it is, the method says; types cannot follow.
        const result = (function_ as unknown as UnaryMethod<DescMessage, DescMessage>)(
          input as InteropRequest,
          callOptions,
        );
        if (Symbol.asyncIterator in result) {
          const many = result as unknown as AsyncIterable<MessageShape<DescMessage>>;
          for await (const response of many) responses.push(response);
        } else {
          responses.push(await result);
        }
        responses.end();
      }
    },
    async [Symbol.asyncDispose]() {
      for (const { client } of clients) client.close();
      await tls.mtls.close();
    },
  };
}

function optionsOf(
  { deadlineMs, withMetadata = false }: InteropCallOptions,
  {
    signal,
    seen,
  }: {
    readonly signal: AbortSignal;
    readonly seen: { -readonly [Key in keyof Ended]?: Ended[Key] };
  },
): CallOptions {
  const headers = new Metadata();
  if (withMetadata) {
    headers.set(initialEntry.name, initialEntry.value);
    headers.setBinary(trailingEntry.name, Uint8Array.from(trailingEntry.value));
  }
  return {
    signal,
    headers,
    ...(deadlineMs !== undefined && { deadlineMs }),
    onHeaders(received) {
      seen.initial = received.get(initialEntry.name);
    },
    onTrailers(received) {
      const bytes = received.getBinary(trailingEntry.name);
      seen.trailing = bytes && [...bytes];
    },
  };
}

const none: Ended = { code: "", message: "", initial: undefined, trailing: undefined };
