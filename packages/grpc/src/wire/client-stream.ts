import { errorCodeName, errorCodes, fieldValue, fieldValues } from "@handfast/http2";
import type { Fields, ResponseHead, StreamReset } from "@handfast/http2";
import type {
  EngineClientCall,
  EngineClientListener,
  EngineOutcome,
  EngineRequest,
  EngineStatus,
} from "../engine.ts";
import { Metadata } from "../metadata.ts";
import { statusNumbers } from "../status.ts";
import type { StatusName } from "../status.ts";
import { appendMetadata, readMetadata, readTrailers } from "./header-fields.ts";
import { MessageReader, messagePrefix } from "./message-reader.ts";
import type { Link } from "./subchannel.ts";
import { formatTimeout } from "./timeout.ts";

/** What a call needs of its channel. */
export interface CallHost {
  readonly authority: string;
  readonly scheme: "http" | "https";
  readonly maxReceiveMessageBytes: number;
  /** Has the call opened on a link when there is one; it has asked for it since it has something to send. */
  place(call: ClientStream): void;
  /** The call has ended or was given up, and needs no link any more. */
  forget(call: ClientStream): void;
}

interface Sending {
  readonly bytes: readonly [prefix: Uint8Array, message: Uint8Array];
  written: (() => void) | undefined;
}

/**
 * A call of a client: first without a stream, while its channel connects, then on one. If the server says
 * that it has not looked at it, it goes once more from the start, on another.
 */
export class ClientStream implements EngineClientCall {
  readonly waitForReady: boolean;
  readonly whateverHealth: boolean;
  readonly #request: EngineRequest;
  readonly #listener: EngineClientListener;
  readonly #host: CallHost;
  #link: Link | undefined;
  #id = 0;
  #over = false;
  /** Messages that were sent and would be sent again; undefined once there is no going back. */
  #replay: Sending[] | undefined = [];
  #replayBytes = 0;
  #halfClosed = false;
  #reader: MessageReader | undefined;
  #readWanted = false;
  #outcome: EngineOutcome | undefined;
  #waiting: Sending | undefined;
  #repeated = false;
  #deadlineTimer: NodeJS.Timeout | undefined;

  constructor(request: EngineRequest, listener: EngineClientListener, host: CallHost) {
    this.waitForReady = request.waitForReady;
    this.whateverHealth = request.whateverHealth ?? false;
    this.#request = request;
    this.#listener = listener;
    this.#host = host;
    this.#armDeadline();
    // What is sent in the same breath goes out with the head.
    queueMicrotask(() => {
      if (!this.#over) host.place(this);
    });
  }

  read(): void {
    if (this.#over) return;
    if (this.#reader === undefined) {
      this.#readWanted = true;
      if (this.#outcome !== undefined) this.#tellOutcome();
    } else {
      this.#reader.read();
    }
  }

  send(message: Uint8Array, written: () => void): void {
    if (this.#over) {
      written();
      return;
    }
    const sending: Sending = { bytes: [messagePrefix(message.length, false), message], written };
    this.#remember(sending, message.length);
    if (this.#link === undefined) this.#waiting = sending;
    else this.#write(sending, false);
  }

  halfClose(): void {
    if (this.#over || this.#halfClosed) return;
    this.#halfClosed = true;
    if (this.#link === undefined) return;
    this.#link.connection.sendData(this.#id, nothing, { end: true });
    this.#link.driver.wake();
  }

  cancel(): void {
    this.#end(bare(statusOf("CANCELLED", "cancelled by this side")));
  }

  /** No connection could be made. */
  unreachable(cause: unknown): void {
    const reason = cause instanceof Error ? cause.message : "the connection was closed";
    const text = `cannot connect to ${this.#host.authority}: ${reason}`;
    this.#end({ ...statusOf("UNAVAILABLE", text), trailers: new Metadata(), cause });
  }

  /** Opens the stream; false if the link has no room for it now. */
  open(link: Link): boolean {
    const messages = this.#replay ?? [];
    const [only] = messages;
    const isWhole = messages.length === 1 && this.#halfClosed;
    let id: number;
    try {
      id = link.connection.request(this.#head(), {
        call: this,
        ...(isWhole && { data: only!.bytes, end: true }),
        ...(messages.length === 0 && this.#halfClosed && { end: true }),
      });
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      this.#end(bare(statusOf("RESOURCE_EXHAUSTED", text)));
      return true;
    }
    if (id === 0) return false;
    this.#link = link;
    this.#id = id;
    this.#waiting = undefined;
    if (isWhole) this.#wasWritten(only!);
    else {
      for (const [at, sending] of messages.entries()) {
        this.#write(sending, this.#halfClosed && at === messages.length - 1);
      }
    }
    link.driver.wake();
    return true;
  }

  /** The head of the response arrived. */
  answered(head: ResponseHead, end: boolean): void {
    this.#replay = undefined;
    const fault = faultOf(head);
    if (end) {
      this.#finish(head.fields, fault);
      return;
    }
    if (fault !== undefined) {
      this.#end(bare(fault));
      return;
    }
    const link = this.#link!;
    const id = this.#id;
    this.#reader = new MessageReader(
      {
        subject: "response",
        maxMessageBytes: this.#host.maxReceiveMessageBytes,
        encoding: fieldValue(head.fields, "grpc-encoding"),
      },
      {
        message: (bytes) => {
          this.#listener.onMessage(bytes);
          this.#tellIfRead();
        },
        end: () => this.#tellOutcome(),
        broken: (broken) => this.#brokenBy(broken),
        consumed: (octets) => {
          link.connection.consume(id, octets);
          link.driver.wake();
        },
      },
    );
    this.#listener.onHeaders(readMetadata(head.fields) ?? new Metadata());
    if (this.#readWanted) this.read();
  }

  /** Bytes of the response arrived. */
  receive(bytes: Uint8Array, end: boolean): void {
    this.#reader?.push(bytes);
    if (end) this.#finish([], statusOf("INTERNAL", "the response ended without a status"));
  }

  /** The trailers arrived. */
  ended(fields: Fields): void {
    this.#finish(fields, undefined);
  }

  /** The stream was cut. */
  cut(reset: StreamReset): void {
    if (this.#over || this.#outcome !== undefined) return;
    const link = this.#link;
    this.#link = undefined;
    if (reset.unprocessed && !this.#repeated && this.#replay !== undefined) {
      this.#repeated = true;
      this.#host.place(this);
      return;
    }
    this.#link = link;
    this.#end(bare(this.#statusOfReset(reset)), true);
  }

  /** There is room for another message. */
  drained(): void {
    const sending = this.#waiting;
    this.#waiting = undefined;
    if (sending !== undefined) this.#wasWritten(sending);
  }

  #head(): Fields {
    const { path, deadline, headers, previousAttempts } = this.#request;
    const { scheme, authority } = this.#host;
    const fields = [":method", "POST", ":scheme", scheme, ":path", path, ":authority", authority];
    fields.push(...commonFields);
    if (Number.isFinite(deadline)) {
      fields.push("grpc-timeout", formatTimeout(deadline - Date.now()));
    }
    if (previousAttempts > 0) fields.push("grpc-previous-rpc-attempts", String(previousAttempts));
    appendMetadata(fields, headers);
    return fields;
  }

  #remember(sending: Sending, length: number): void {
    if (this.#replay === undefined) return;
    this.#replayBytes += length;
    this.#replay.push(sending);
    // A long stream is not kept; it goes once.
    if (this.#link !== undefined && this.#replayBytes > mostReplayBytes) this.#replay = undefined;
  }

  #write(sending: Sending, end: boolean): void {
    const link = this.#link!;
    const hasRoom = link.connection.sendData(this.#id, sending.bytes, end ? { end } : {});
    link.driver.wake();
    if (hasRoom || end) this.#wasWritten(sending);
    else this.#waiting = sending;
  }

  #wasWritten(sending: Sending): void {
    const { written } = sending;
    sending.written = undefined;
    written?.();
  }

  /** The response is complete; its status is told when its messages have been read. */
  #finish(fields: Fields, fault: EngineStatus | undefined): void {
    if (this.#over) return;
    const { status, trailers } = readTrailers(fields);
    const given = status ?? fault ?? statusOf("UNKNOWN", "the response has no status");
    this.#outcome = { ...given, trailers, cause: undefined };
    this.#leaveStream();
    this.#reader?.finish();
    this.#tellIfRead();
  }

  #tellIfRead(): void {
    if (this.#outcome !== undefined && (this.#reader?.isEmpty ?? true)) this.#tellOutcome();
  }

  /** An error that the server gave says more than a message that it therefore cut. */
  #brokenBy(fault: EngineStatus): void {
    if (this.#outcome !== undefined && this.#outcome.status !== 0) this.#tellOutcome();
    else this.#end(bare(fault));
  }

  #tellOutcome(): void {
    if (this.#outcome !== undefined) this.#end(this.#outcome, true);
  }

  /** A server that answers before our side has ended wants no more of it. */
  #leaveStream(): void {
    if (this.#halfClosed) return;
    this.#link?.connection.reset(this.#id, errorCodes.NO_ERROR);
    this.#link?.driver.wake();
  }

  #end(outcome: EngineOutcome, streamGone = false): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#deadlineTimer);
    if (!streamGone) {
      this.#link?.connection.reset(this.#id, errorCodes.CANCEL);
      this.#link?.driver.wake();
    }
    this.#reader?.drop();
    this.#host.forget(this);
    const waiting = this.#waiting;
    const unsent = this.#replay ?? [];
    this.#replay = undefined;
    this.#link = undefined;
    this.#listener.onStatus(outcome);
    if (waiting !== undefined) this.#wasWritten(waiting);
    for (const sending of unsent) this.#wasWritten(sending);
  }

  #statusOfReset({ code, by, reason }: StreamReset): EngineStatus {
    if (by === "connection") return statusOf("UNAVAILABLE", `the connection was lost: ${reason}`);
    if (this.#request.deadline <= Date.now()) return deadlineExceeded;
    const who = by === "peer" ? "the server" : "this side";
    const text = `${who} reset the stream with ${errorCodeName(code)}`;
    return statusOf(statusOfCode[code] ?? "INTERNAL", text);
  }

  #armDeadline(): void {
    const rest = this.#request.deadline - Date.now();
    // Longer delays than this fire at once, and no call lives for 24 days.
    if (!Number.isFinite(rest) || rest > maxTimerMs) return;
    this.#deadlineTimer = setTimeout(() => this.#end(bare(deadlineExceeded)), Math.max(0, rest));
  }
}

/** What is wrong with a response as such; gRPC's mapping where HTTP refuses. */
function faultOf({ status, fields }: ResponseHead): EngineStatus | undefined {
  if (status !== 200) {
    return statusOf(statusOfHttp[status] ?? "UNKNOWN", `the server answered with HTTP ${status}`);
  }
  const types = fieldValues(fields, "content-type");
  if (types.length !== 1 || !types[0]!.startsWith("application/grpc")) {
    return statusOf("UNKNOWN", "the answer is no gRPC: its content-type is another");
  }
  const encoding = fieldValue(fields, "grpc-encoding");
  return encoding === undefined || encoding === "identity" || encoding === "gzip"
    ? undefined
    : statusOf("INTERNAL", "the message encoding is unknown: expected identity or gzip");
}

/** An outcome of which the server said nothing more. */
function bare(status: EngineStatus): EngineOutcome {
  return { ...status, trailers: new Metadata(), cause: undefined };
}

function statusOf(code: StatusName, message: string): EngineStatus {
  return { status: statusNumbers[code], message, details: undefined };
}

const nothing = new Uint8Array(0);
const maxTimerMs = 2 ** 31 - 1;
const mostReplayBytes = 262_144;
const deadlineExceeded = statusOf(
  "DEADLINE_EXCEEDED",
  "the deadline passed before the call was done",
);
const commonFields = Object.entries({
  te: "trailers",
  "content-type": "application/grpc+proto",
  "user-agent": "grpc-node-handfast/0.1.0",
  "grpc-accept-encoding": "identity,gzip",
}).flat();
/** gRPC over HTTP/2, "Errors"; what is not listed is INTERNAL. */
const statusOfCode: Readonly<Record<number, StatusName>> = {
  [errorCodes.REFUSED_STREAM]: "UNAVAILABLE",
  [errorCodes.CANCEL]: "CANCELLED",
  [errorCodes.ENHANCE_YOUR_CALM]: "RESOURCE_EXHAUSTED",
  [errorCodes.INADEQUATE_SECURITY]: "PERMISSION_DENIED",
};
/** gRPC's "HTTP to gRPC Status Code Mapping", and 431, which our own engine sends. */
const statusOfHttp: Readonly<Record<number, StatusName>> = {
  400: "INTERNAL",
  401: "UNAUTHENTICATED",
  403: "PERMISSION_DENIED",
  404: "UNIMPLEMENTED",
  429: "UNAVAILABLE",
  431: "RESOURCE_EXHAUSTED",
  502: "UNAVAILABLE",
  503: "UNAVAILABLE",
  504: "UNAVAILABLE",
};
