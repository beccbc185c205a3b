// Both sides of the interoperability cases on grpc-js: plain, with its own credentials, and adapted.
import { fromBinary, toBinary, create } from "@bufbuild/protobuf";
import type {
  DescMessage,
  DescMethod,
  DescService,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import {
  Client,
  Metadata,
  Server,
  ServerCredentials,
  credentials as channelCredentials,
  status as statuses,
} from "@grpc/grpc-js";
import type {
  ChannelCredentials,
  ClientDuplexStream,
  ServerDuplexStream,
  ServerReadableStream,
  ServerUnaryCall,
  ServerWritableStream,
  ServiceDefinition,
  StatusObject,
  UntypedServiceImplementation,
  sendUnaryData,
} from "@grpc/grpc-js";
import type {
  SimpleRequest,
  SimpleResponse,
  StreamingInputCallRequest,
  StreamingInputCallResponse,
  StreamingOutputCallRequest,
} from "../../src/gen/grpc/testing/test_pb.ts";
import {
  grpcChannelCredentials,
  grpcServerCredentials,
  serveGrpcJs,
} from "../../src/grpc-js/index.ts";
import { TestService } from "../../src/testing/index.ts";
import { aliceIdentity, authority, bankIdentity, runtime } from "../fixtures.ts";
import { createPipe, initialEntry, trailingEntry } from "./call.ts";
import type {
  Ended,
  InteropCall,
  InteropCallOptions,
  InteropClient,
  InteropRequest,
} from "./call.ts";

type Any = MessageShape<DescMessage>;

/** A service of protobuf-es as grpc-js wants it defined. */
export function definitionOf(service: DescService): ServiceDefinition {
  return Object.fromEntries(
    service.methods.map((method) => [
      method.localName,
      {
        path: `/${service.typeName}/${method.name}`,
        requestStream:
          method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming",
        responseStream:
          method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming",
        requestSerialize: writer(method.input),
        requestDeserialize: reader(method.input),
        responseSerialize: writer(method.output),
        responseDeserialize: reader(method.output),
      },
    ]),
  );
}

/** A server that the cases can call. */
export interface InteropServer extends AsyncDisposable {
  readonly target: string;
}

/** grpc-js as it is, with its own mutual TLS. */
export async function servePlainJs(): Promise<InteropServer> {
  const server = interopServer();
  const credentials = ServerCredentials.createSsl(
    Buffer.from(authority.bundlePem),
    [
      {
        cert_chain: Buffer.from(bankIdentity.certificateChainPem),
        private_key: Buffer.from(bankIdentity.privateKeyPem),
      },
    ],
    true,
  );
  const port = await bindJs(server, credentials);
  return {
    target: `localhost:${port}`,
    [Symbol.asyncDispose]: () => Promise.resolve(server.forceShutdown()),
  };
}

/** grpc-js served by serveGrpcJs. */
export async function serveAdaptedJs(): Promise<InteropServer> {
  const tls = await runtime(bankIdentity);
  const server = interopServer();
  const listener = await serveGrpcJs(server, tls.mtls, { host: "localhost", port: 0 });
  if (!("port" in listener.address)) throw new TypeError("expected a TCP address");
  return {
    target: `localhost:${listener.address.port}`,
    async [Symbol.asyncDispose]() {
      const closed = listener.close();
      server.forceShutdown();
      await closed;
      await tls.mtls.close();
    },
  };
}

/** grpc-js that binds by itself, with grpcServerCredentials. */
export async function serveCredentialedJs(): Promise<InteropServer> {
  const tls = await runtime(bankIdentity);
  const server = interopServer();
  const port = await bindJs(server, grpcServerCredentials(tls.mtls));
  return {
    target: `localhost:${port}`,
    async [Symbol.asyncDispose]() {
      server.forceShutdown();
      await tls.mtls.close();
    },
  };
}

/** Binds a server of grpc-js to a free port of localhost. */
export function bindJs(server: Server, credentials: ServerCredentials): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync("localhost:0", credentials, (error, port) =>
      error === null ? resolve(port) : reject(error),
    );
  });
}

/** grpc-js as it is, with its own mutual TLS. */
export function dialPlainJs(target: string): Promise<InteropClient> {
  const credentials = channelCredentials.createSsl(
    Buffer.from(authority.bundlePem),
    Buffer.from(aliceIdentity.privateKeyPem),
    Buffer.from(aliceIdentity.certificateChainPem),
  );
  return Promise.resolve(dial(target, credentials, () => Promise.resolve()));
}

/** grpc-js with grpcChannelCredentials. */
export async function dialAdaptedJs(target: string): Promise<InteropClient> {
  const tls = await runtime(aliceIdentity);
  return dial(target, grpcChannelCredentials(tls.mtls), () => tls.mtls.close());
}

function dial(
  target: string,
  credentials: ChannelCredentials,
  close: () => Promise<void>,
): InteropClient {
  const client = new Client(target, credentials);
  return {
    call: (method, options = {}) => callJs(client, method, options),
    async [Symbol.asyncDispose]() {
      client.close();
      await close();
    },
  };
}

/** What the four kinds of call of grpc-js have in common, and what only some have. */
interface JsCall extends Pick<ClientDuplexStream<InteropRequest, Any>, "cancel"> {
  on(event: "metadata", listener: (metadata: Metadata) => void): unknown;
  on(event: "status", listener: (status: StatusObject) => void): unknown;
  on(event: "data", listener: (message: Any) => void): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
  write?(request: InteropRequest): unknown;
  end?(): unknown;
}

function callJs(
  client: Client,
  method: DescMethod,
  { deadlineMs = 30_000, withMetadata = false }: InteropCallOptions,
): InteropCall {
  const path = `/${method.parent.typeName}/${method.name}`;
  const write = writer(method.input);
  const read = reader(method.output);
  const metadata = new Metadata();
  if (withMetadata) {
    metadata.set(initialEntry.name, initialEntry.value);
    metadata.set(trailingEntry.name, Buffer.from(trailingEntry.value));
  }
  const options = { deadline: Date.now() + deadlineMs };
  const responses = createPipe<Any>();
  const ended = Promise.withResolvers<Ended>();
  const answered = (_error: unknown, response?: Any): void => {
    if (response !== undefined) responses.push(response);
  };
  let call: JsCall | undefined;
  if (method.methodKind === "bidi_streaming") {
    watch(client.makeBidiStreamRequest(path, write, read, metadata, options));
  } else if (method.methodKind === "client_streaming") {
    watch(client.makeClientStreamRequest(path, write, read, metadata, options, answered));
  }
  return {
    send(request) {
      if (method.methodKind === "unary") {
        watch(client.makeUnaryRequest(path, write, read, request, metadata, options, answered));
      } else if (method.methodKind === "server_streaming") {
        watch(client.makeServerStreamRequest(path, write, read, request, metadata, options));
      } else {
        call?.write?.(request);
      }
    },
    end() {
      if (method.methodKind !== "unary" && method.methodKind !== "server_streaming") call?.end?.();
    },
    next: () => responses.next(),
    cancel: () => call?.cancel(),
    ended: ended.promise,
  };

  function watch(begun: JsCall): void {
    call = begun;
    let initial: string | undefined;
    begun.on("metadata", (received) => {
      initial = received.get(initialEntry.name)[0]?.toString();
    });
    begun.on("data", (message) => responses.push(message));
    // What an error says, the status says too.
    begun.on("error", () => undefined);
    begun.on("status", ({ code, details, metadata: trailers }) => {
      const [bytes] = trailers.get(trailingEntry.name);
      responses.end();
      ended.resolve({
        code: statuses[code],
        message: details,
        initial,
        trailing: bytes instanceof Buffer ? [...bytes] : undefined,
      });
    });
  }
}

/** The service of the cases, written for grpc-js. */
function interopServer(): Server {
  const server = new Server();
  const { unimplementedCall: _nobody, ...served } = definitionOf(TestService);
  const handlers: UntypedServiceImplementation = {
    emptyCall: (_call: unknown, respond: sendUnaryData<object>) => respond(null, {}),
    unaryCall(
      call: ServerUnaryCall<SimpleRequest, Partial<SimpleResponse>>,
      respond: sendUnaryData<object>,
    ) {
      const trailers = echo(call);
      const { responseStatus, responseSize } = call.request;
      if (responseStatus === undefined) respond(null, payload(responseSize), trailers);
      else respond({ code: responseStatus.code, details: responseStatus.message });
    },
    streamingInputCall(
      call: ServerReadableStream<StreamingInputCallRequest, StreamingInputCallResponse>,
      respond: sendUnaryData<object>,
    ) {
      let aggregatedPayloadSize = 0;
      call.on("data", (request: StreamingInputCallRequest) => {
        aggregatedPayloadSize += request.payload?.body.length ?? 0;
      });
      call.on("end", () => respond(null, { aggregatedPayloadSize }));
    },
    streamingOutputCall(call: ServerWritableStream<StreamingOutputCallRequest, object>) {
      for (const { size } of call.request.responseParameters) call.write(payload(size));
      call.end();
    },
    fullDuplexCall(call: ServerDuplexStream<StreamingOutputCallRequest, object>) {
      const trailers = echo(call);
      call.on("data", ({ responseParameters, responseStatus }: StreamingOutputCallRequest) => {
        for (const { size } of responseParameters) call.write(payload(size));
        if (responseStatus === undefined) return;
        call.emit("error", { code: responseStatus.code, details: responseStatus.message });
      });
      call.on("end", () => call.end(trailers));
    },
  };
  server.addService(served, handlers);
  return server;
}

function echo(call: {
  readonly metadata: Metadata;
  sendMetadata(initial: Metadata): void;
}): Metadata {
  const initial = new Metadata();
  const trailers = new Metadata();
  for (const value of call.metadata.get(initialEntry.name)) initial.add(initialEntry.name, value);
  for (const value of call.metadata.get(trailingEntry.name)) {
    trailers.add(trailingEntry.name, value);
  }
  call.sendMetadata(initial);
  return trailers;
}

function payload(size: number): object {
  return { payload: { body: new Uint8Array(size) } };
}

function writer(schema: DescMessage): (init: MessageInitShape<DescMessage>) => Buffer {
  return (init) => Buffer.from(toBinary(schema, create(schema, init)));
}

function reader(schema: DescMessage): (bytes: Buffer) => Any {
  return (bytes) => fromBinary(schema, bytes);
}
