import type {
  DescMessage,
  DescMethod,
  DescService,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import type { Metadata, MetadataValue } from "../metadata.ts";

/** What may be said of a single call. */
export interface CallOptions {
  /** Gives the call up when it aborts. */
  readonly signal?: AbortSignal;
  /** How long to wait, in place of the client's default; `Infinity` for ever. */
  readonly deadlineMs?: number;
  readonly headers?: Metadata | Readonly<Record<string, MetadataValue>>;
  /** Whether to wait while no connection can be made, until the deadline; fails at once if absent. */
  readonly waitForReady?: boolean;
  /** Called when the response headers arrive. */
  onHeaders?(headers: Metadata): void;
  /** Called when the call has ended, with OK or not. */
  onTrailers?(trailers: Metadata): void;
}

/** One message out, one back. */
export type UnaryMethod<I extends DescMessage, O extends DescMessage> = (
  request: MessageInitShape<I>,
  options?: CallOptions,
) => Promise<MessageShape<O>>;

/** One message out, a stream back. The call starts when it is iterated, and is given up on `break`. */
export type ServerStreamingMethod<I extends DescMessage, O extends DescMessage> = (
  request: MessageInitShape<I>,
  options?: CallOptions,
) => AsyncIterableIterator<MessageShape<O>>;

/** A stream out, one message back. */
export type ClientStreamingMethod<I extends DescMessage, O extends DescMessage> = (
  requests: Outgoing<I>,
  options?: CallOptions,
) => Promise<MessageShape<O>>;

/** A stream out, a stream back. The call starts when it is iterated, and is given up on `break`. */
export type BidiStreamingMethod<I extends DescMessage, O extends DescMessage> = (
  requests: Outgoing<I>,
  options?: CallOptions,
) => AsyncIterableIterator<MessageShape<O>>;

/** The messages of an outgoing stream; read only as fast as the server takes them. */
export type Outgoing<I extends DescMessage> =
  | AsyncIterable<MessageInitShape<I>>
  | Iterable<MessageInitShape<I>>;

/** The function that calls a method, by its kind. */
export type ClientMethod<Method extends DescMethod> = MethodKinds<
  Method["input"],
  Method["output"]
>[Method["methodKind"]];

/** A function for each method of a service, by its camelCase name. */
export type ClientMethods<Service extends DescService> = {
  readonly [Name in keyof Service["method"]]: ClientMethod<Service["method"][Name]>;
};

interface MethodKinds<I extends DescMessage, O extends DescMessage> {
  readonly unary: UnaryMethod<I, O>;
  readonly server_streaming: ServerStreamingMethod<I, O>;
  readonly client_streaming: ClientStreamingMethod<I, O>;
  readonly bidi_streaming: BidiStreamingMethod<I, O>;
}
