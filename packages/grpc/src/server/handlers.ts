import type {
  DescMessage,
  DescMethod,
  DescService,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import type { ServerCall } from "./call.ts";

/** One message in, one out. */
export type UnaryHandler<I extends DescMessage, O extends DescMessage> = (
  request: MessageShape<I>,
  call: ServerCall,
) => Promise<MessageInitShape<O>> | MessageInitShape<O>;

/** One message in, a stream out: usually an async generator. It is read only as fast as the client reads. */
export type ServerStreamingHandler<I extends DescMessage, O extends DescMessage> = (
  request: MessageShape<I>,
  call: ServerCall,
) => AsyncIterable<MessageInitShape<O>>;

/** A stream in, one message out. The stream is read only as fast as the handler iterates. */
export type ClientStreamingHandler<I extends DescMessage, O extends DescMessage> = (
  requests: AsyncIterable<MessageShape<I>>,
  call: ServerCall,
) => Promise<MessageInitShape<O>>;

/** A stream in, a stream out. */
export type BidiStreamingHandler<I extends DescMessage, O extends DescMessage> = (
  requests: AsyncIterable<MessageShape<I>>,
  call: ServerCall,
) => AsyncIterable<MessageInitShape<O>>;

/** The handler that a method asks for, by its kind. */
export type MethodHandler<Method extends DescMethod> = HandlerKinds<
  Method["input"],
  Method["output"]
>[Method["methodKind"]];

/** A handler for each method of a service, by its camelCase name. */
export type ServiceHandlers<Service extends DescService> = {
  readonly [Name in keyof Service["method"]]: MethodHandler<Service["method"][Name]>;
};

interface HandlerKinds<I extends DescMessage, O extends DescMessage> {
  readonly unary: UnaryHandler<I, O>;
  readonly server_streaming: ServerStreamingHandler<I, O>;
  readonly client_streaming: ClientStreamingHandler<I, O>;
  readonly bidi_streaming: BidiStreamingHandler<I, O>;
}
