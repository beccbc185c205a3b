import { gzip } from "node:zlib";
import { encodeHeaderBlock, fieldValue } from "@handfast/http2";
import type { RequestHead, ServerConnection } from "@handfast/http2";
import type { EngineServerCall, EngineServerListener, EngineStatus } from "../engine.ts";
import { Metadata } from "../metadata.ts";
import { statusNumbers } from "../status.ts";
import { appendMetadata, appendStatus } from "./header-fields.ts";
import { MessageReader, messagePrefix } from "./message-reader.ts";
import type { MessageReaderEvents } from "./message-reader.ts";

/** What a stream needs of its connection. */
export interface StreamHost {
  readonly connection: ServerConnection;
  readonly maxReceiveMessageBytes: number;
  readonly compression: "identity" | "gzip";
  /** Has the output written at the end of the turn. */
  wake(): void;
}

/** The head of a request, understood. */
export interface CallHead {
  readonly path: string;
  readonly headers: Metadata;
  readonly deadline: number | undefined;
}

/** A call on one stream of a server. What comes late, for a stream that has ended, does nothing. */
export class ServerStream implements EngineServerCall, MessageReaderEvents {
  readonly path: string;
  readonly headers: Metadata;
  readonly deadline: number | undefined;
  readonly #id: number;
  readonly #host: StreamHost;
  readonly #reader: MessageReader;
  readonly #compresses: boolean;
  #listener: EngineServerListener | undefined;
  #headSent = false;
  #finished = false;
  #gone = false;
  #written: (() => void) | undefined;

  constructor(id: number, head: RequestHead, call: CallHead & { readonly host: StreamHost }) {
    this.path = call.path;
    this.headers = call.headers;
    this.deadline = call.deadline;
    this.#id = id;
    this.#host = call.host;
    this.#compresses =
      call.host.compression === "gzip" &&
      acceptsGzip(fieldValue(head.fields, "grpc-accept-encoding"));
    this.#reader = new MessageReader(
      {
        subject: "request",
        maxMessageBytes: call.host.maxReceiveMessageBytes,
        encoding: fieldValue(head.fields, "grpc-encoding"),
      },
      this,
    );
  }

  start(listener: EngineServerListener): void {
    this.#listener = listener;
  }

  read(): void {
    this.#reader.read();
  }

  sendHeaders(headers: Metadata): void {
    if (this.#gone || this.#finished) return;
    const fields: string[] = this.#compresses ? ["grpc-encoding", "gzip"] : [];
    appendMetadata(fields, headers);
    this.#host.connection.sendHead(
      this.#id,
      fields.length === 0 ? responseHead : [responseHead, fields],
    );
    this.#headSent = true;
    this.#host.wake();
  }

  send(message: Uint8Array, written: () => void): void {
    if (!this.#compresses || message.length < leastWorthCompressing) {
      this.#sendFramed(message, false, written);
      return;
    }
    gzip(message, (error, deflated) => {
      if (error === null) this.#sendFramed(deflated, true, written);
      else this.#sendFramed(message, false, written);
    });
  }

  finish(status: EngineStatus, trailers: Metadata): void {
    if (this.#gone || this.#finished) return;
    this.#finished = true;
    this.#written = undefined;
    try {
      this.#sendStatus(status, trailers);
    } catch {
      // The peer takes no list of that size.
      this.#sendStatus(tooLargeTrailers, new Metadata());
    }
    this.#stopReading();
  }

  release(): void {
    if (!this.#gone) return;
    this.#host.connection.release(this.#id);
    this.#host.wake();
  }

  message(bytes: Uint8Array): void {
    this.#listener?.onMessage(bytes);
  }

  end(): void {
    this.#listener?.onEnd();
  }

  broken(fault: EngineStatus): void {
    this.#fail(fault);
  }

  consumed(octets: number): void {
    this.#host.connection.consume(this.#id, octets);
    this.#host.wake();
  }

  /** Bytes of the body arrived. */
  receive(bytes: Uint8Array, end: boolean): void {
    this.#reader.push(bytes);
    if (end) this.#reader.finish();
  }

  /** The stream was cut. */
  cut(): void {
    this.#gone = true;
    this.#written = undefined;
    this.#reader.drop();
    if (this.#finished || this.#listener === undefined) this.release();
    else this.#listener.onGone(undefined);
  }

  /** There is room for another message. */
  drained(): void {
    const written = this.#written;
    this.#written = undefined;
    written?.();
  }

  #sendFramed(message: Uint8Array, compressed: boolean, written: () => void): void {
    if (this.#gone || this.#finished) return;
    this.#written = written;
    const prefix = messagePrefix(message.length, compressed);
    const hasRoom = this.#host.connection.sendData(this.#id, [prefix, message]);
    this.#host.wake();
    if (hasRoom) this.drained();
  }

  #sendStatus(status: EngineStatus, trailers: Metadata): void {
    const { connection } = this.#host;
    const fields: string[] = [];
    appendStatus(fields, status);
    appendMetadata(fields, trailers);
    const isPlainOk = status.status === 0 && fields.length === 2;
    if (this.#headSent) connection.sendTrailers(this.#id, isPlainOk ? okTrailers : fields);
    else connection.sendHead(this.#id, [responseHead, fields], { end: true });
    this.#host.wake();
  }

  /** Ends the call for what the client sent. */
  #fail(fault: EngineStatus): void {
    if (this.#gone || this.#finished) return;
    this.finish(fault, new Metadata());
    this.#listener?.onGone(fault);
  }

  /** The answer is complete: whatever else of the request comes is dropped unseen. */
  #stopReading(): void {
    this.#reader.drop();
    this.#host.connection.discard(this.#id);
    this.#host.wake();
  }
}

/** Refuses a stream with a status and nothing else; no call comes of it. */
export function refuseStream(host: StreamHost, id: number, status: EngineStatus): void {
  const { connection } = host;
  const fields: string[] = [];
  appendStatus(fields, status);
  connection.sendHead(id, [responseHead, fields], { end: true });
  connection.discard(id);
  host.wake();
}

/** Answers what is no gRPC with a status of HTTP. */
export function refuseRequest(host: StreamHost, id: number, code: number): void {
  const { connection } = host;
  connection.sendHead(id, [":status", String(code)], { end: true });
  connection.discard(id);
  host.wake();
}

function acceptsGzip(list: string | undefined): boolean {
  return list?.split(",").some((name) => name.trim() === "gzip") ?? false;
}

const responseHead = encodeHeaderBlock(
  Object.entries({
    ":status": "200",
    "content-type": "application/grpc+proto",
    "grpc-accept-encoding": "identity,gzip",
  }).flat(),
);
const okTrailers = encodeHeaderBlock(["grpc-status", "0"]);
const tooLargeTrailers: EngineStatus = {
  status: statusNumbers.RESOURCE_EXHAUSTED,
  message: "the trailers are larger than the client accepts",
  details: undefined,
};
const leastWorthCompressing = 1_024;
