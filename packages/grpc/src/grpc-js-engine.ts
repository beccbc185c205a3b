/**
 * The first engine: @grpc/grpc-js, driven through its connection injector on the server and through
 * channel credentials of our own on the client. Nothing else in this package knows grpc-js, but the
 * adapters for programs that use it themselves. Parts of what is used here are internal to grpc-js
 * (marked below), so its version is pinned exactly.
 */
import {
  Channel,
  ChannelCredentials,
  Server,
  ServerCredentials,
  ServerInterceptingCall,
  experimental,
  status,
} from "@grpc/grpc-js";
import type {
  Metadata as JsMetadata,
  ServerInterceptingCallInterface,
  StatusObject,
} from "@grpc/grpc-js";
import type {
  EngineChannel,
  EngineClientCall,
  EngineConnection,
  EngineLimits,
  EngineServerCall,
  EngineServerListener,
  EngineStatus,
  ServerEngine,
} from "./engine.ts";
import type { SecuringCredentials } from "./grpc-js/channel-credentials.ts";
import { asBuffer, fromJs, toJs } from "./grpc-js/metadata.ts";
import { Metadata } from "./metadata.ts";

/** Creates the server's side. */
export function createGrpcJsServerEngine(limits: EngineLimits): ServerEngine {
  const server = new Server({
    "grpc.enable_channelz": 0,
    "grpc.max_concurrent_streams": limits.maxConcurrentStreams,
    "grpc.max_receive_message_length": limits.maxReceiveMessageBytes,
    "grpc.max_send_message_length": -1,
  });
  return {
    register(path) {
      server.register(path, unused, asBuffer, asBuffer, "bidi");
    },
    accept(socket, onCall): EngineConnection {
      // One injector per connection: which call belongs to which peer is then never looked up.
      const take = (
        method: { readonly path: string },
        call: ServerInterceptingCallInterface,
      ): TakenCall => new TakenCall(call, () => takeCall(method.path, call, onCall));
      const injector = server.createConnectionInjector(
        experimental.createServerCredentialsWithInterceptors(ServerCredentials.createInsecure(), [
          take,
        ]),
      );
      injector.injectConnection(socket);
      const drain = (): void => {
        socket.off("close", drain);
        injector.destroy();
      };
      socket.once("close", drain);
      return { drain };
    },
  };
}

/** What grpc-js would run its handler on; it hands the call to us instead and runs nothing. */
class TakenCall extends ServerInterceptingCall {
  readonly #take: () => void;

  constructor(call: ServerInterceptingCallInterface, take: () => void) {
    super(call);
    this.#take = take;
  }

  override start(): void {
    this.#take();
  }
}

function takeCall(
  path: string,
  call: ServerInterceptingCallInterface,
  onCall: (call: EngineServerCall) => void,
): void {
  let listener: EngineServerListener | undefined;
  let finished = false;
  let sentByEngine: EngineStatus | undefined;
  // grpc-js ends calls by itself (limits, deadlines); this is where it can be seen how. Internal.
  const sendStatus = call.sendStatus.bind(call);
  call.sendStatus = (status) => {
    if (!finished)
      sentByEngine = { status: status.code, message: status.details, details: undefined };
    sendStatus(status);
  };
  call.start({
    onReceiveMetadata(headers) {
      const metadata = fromJs(headers);
      if (metadata === undefined) {
        call.sendStatus({
          code: internal,
          details: "a request header has bytes that may not travel",
        });
        return;
      }
      const deadline = Number(call.getDeadline());
      onCall({
        path,
        headers: metadata,
        deadline: Number.isFinite(deadline) ? deadline : undefined,
        start(its) {
          listener = its;
        },
        read: () => call.startRead(),
        sendHeaders: (responseHeaders) => call.sendMetadata(toJs(responseHeaders)),
        send: (message, written) => call.sendMessage(asBuffer(message), written),
        finish(status, trailers) {
          finished = true;
          call.sendStatus({
            code: status.status,
            details: status.message,
            metadata: trailersToJs(status, trailers),
          });
        },
      });
    },
    onReceiveMessage: (message: Buffer) => listener?.onMessage(message),
    onReceiveHalfClose: () => listener?.onEnd(),
    onCancel() {
      if (!finished) listener?.onGone(sentByEngine);
    },
  });
}

/** What a channel of this engine is made of. */
export interface GrpcJsChannelOptions {
  /** As gRPC writes targets: "dns:///host:port", "ipv4:…", "unix:…". */
  readonly target: string;
  readonly credentials: SecuringCredentials | "plaintext";
  readonly limits: Pick<EngineLimits, "maxReceiveMessageBytes">;
  readonly loadBalancing: "pick_first" | "round_robin";
}

/** Creates a channel. Channels of equal target, credentials and options share their connections. */
export function createGrpcJsChannel(options: GrpcJsChannelOptions): EngineChannel {
  const { credentials } = options;
  const channel = new Channel(
    options.target,
    credentials === "plaintext" ? ChannelCredentials.createInsecure() : credentials,
    {
      "grpc.enable_channelz": 0,
      "grpc.enable_http_proxy": 0,
      "grpc.service_config_disable_resolution": 1,
      "grpc.service_config": JSON.stringify({
        loadBalancingConfig: [{ [options.loadBalancing]: {} }],
      }),
      "grpc.max_receive_message_length": options.limits.maxReceiveMessageBytes,
      "grpc.max_send_message_length": -1,
    },
  );
  return {
    close: () => channel.close(),
    start(request, listener): EngineClientCall {
      const call = channel.createCall(request.path, request.deadline, null, null, undefined);
      let answered = false;
      let written: (() => void) | undefined;
      const headers = toJs(request.headers, { waitForReady: request.waitForReady });
      if (request.previousAttempts > 0) {
        headers.set("grpc-previous-rpc-attempts", String(request.previousAttempts));
      }
      call.start(headers, {
        onReceiveMetadata(received) {
          answered = true;
          listener.onHeaders(fromJs(received) ?? new Metadata());
        },
        onReceiveMessage: (message: Buffer) => listener.onMessage(message),
        onReceiveStatus(status) {
          const unanswered = !answered && status.code === unavailable;
          const cause = unanswered ? failureBehind(status, credentials) : undefined;
          listener.onStatus({ ...statusFromJs(status), cause });
          written?.();
        },
      });
      return {
        read: () => call.startRead(),
        halfClose: () => call.halfClose(),
        cancel: () => call.cancelWithStatus(cancelled, "cancelled by this side"),
        send(message, done) {
          written = once(done);
          call.sendMessageWithContext({ callback: written }, asBuffer(message));
        },
      };
    },
  };
}

/** grpc-js keeps of a failed connection only its text; the error with that text is the cause. */
function failureBehind(
  { details }: StatusObject,
  credentials: SecuringCredentials | "plaintext",
): unknown {
  const failure = credentials === "plaintext" ? undefined : credentials.lastFailure;
  return failure instanceof Error && details.includes(failure.message) ? failure : undefined;
}

function statusFromJs(status: StatusObject): EngineStatus & { readonly trailers: Metadata } {
  const [details] = status.metadata.get(detailsTrailer);
  status.metadata.remove(detailsTrailer);
  return {
    status: status.code,
    message: status.details,
    details: Buffer.isBuffer(details) ? details : undefined,
    trailers: fromJs(status.metadata) ?? new Metadata(),
  };
}

function trailersToJs({ details }: EngineStatus, trailers: Metadata): JsMetadata {
  const metadata = toJs(trailers);
  if (details !== undefined) metadata.set(detailsTrailer, asBuffer(details));
  return metadata;
}

function once(done: () => void): () => void {
  let called = false;
  return () => {
    if (!called) done();
    called = true;
  };
}

function unused(): void {}

const detailsTrailer = "grpc-status-details-bin";
const { CANCELLED: cancelled, INTERNAL: internal, UNAVAILABLE: unavailable } = status;
