import { gunzip } from "node:zlib";
import type { EngineStatus } from "../engine.ts";
import { statusNumbers } from "../status.ts";

/** What a reader tells. Nothing follows `end` or `broken`. */
export interface MessageReaderEvents {
  message(bytes: Uint8Array): void;
  /** There was no message left to read. */
  end(): void;
  /** What arrived cannot be read, or must not be. */
  broken(fault: EngineStatus): void;
  /** So many octets were worked off: the peer may send as many more. */
  consumed(octets: number): void;
}

/** What a reader keeps to. */
export interface MessageReaderOptions {
  /** "request" or "response", for the texts of faults. */
  readonly subject: "request" | "response";
  /** Bounds each message as it was sent and as it inflates. */
  readonly maxMessageBytes: number;
  /** The value of `grpc-encoding`; undefined if there was none. */
  readonly encoding: string | undefined;
}

/**
 * Cuts the bytes of one direction of a call into messages (gRPC over HTTP/2, "Length-Prefixed-Message"),
 * each only when it is asked for. Until then nothing is looked at, inflated or reported as consumed, so
 * that the peer's window holds it back, and a call that is refused costs no more than that (S40). While
 * a message is asked for, its bytes are consumed as they come, or none larger than the window would arrive.
 */
export class MessageReader {
  readonly #options: MessageReaderOptions;
  readonly #events: MessageReaderEvents;
  #pieces: Uint8Array[] = [];
  #size = 0;
  /** Of `#size`, the octets that were reported as consumed. */
  #credited = 0;
  #wanted = false;
  #inflating = false;
  #ended = false;
  #over = false;

  constructor(options: MessageReaderOptions, events: MessageReaderEvents) {
    this.#options = options;
    this.#events = events;
  }

  /** Whether nothing is held and nothing is on its way to be delivered. */
  get isEmpty(): boolean {
    return this.#size === 0 && !this.#inflating;
  }

  /** Asks for the next message, or the end. */
  read(): void {
    this.#wanted = true;
    this.#advance();
  }

  /** Takes bytes that arrived. */
  push(bytes: Uint8Array): void {
    if (this.#over || bytes.length === 0) return;
    this.#pieces.push(bytes);
    this.#size += bytes.length;
    this.#advance();
  }

  /** No more bytes come. */
  finish(): void {
    this.#ended = true;
    this.#advance();
  }

  /** Lets go of everything; nothing is told any more. */
  drop(): void {
    this.#over = true;
    this.#wanted = false;
    this.#pieces = [];
    this.#size = 0;
  }

  #advance(): void {
    if (!this.#wanted || this.#over || this.#inflating) return;
    const length = this.#messageLength();
    const needed = length === undefined ? prefixLength : prefixLength + length;
    if (length !== undefined && length > this.#options.maxMessageBytes) {
      this.#refuse(length);
    } else if (length === undefined || this.#size < needed) {
      this.#credit(this.#size);
      if (this.#ended) this.#end();
    } else {
      this.#deliver(needed);
    }
  }

  #end(): void {
    if (this.#size > 0) {
      this.#break("INTERNAL", `the ${this.#options.subject} stream ended within a message`);
      return;
    }
    this.drop();
    this.#events.end();
  }

  /** What the prefix says; undefined while it is not all there. */
  #messageLength(): number | undefined {
    if (this.#size < prefixLength) return undefined;
    if (this.#pieces[0]!.length < prefixLength) this.#pieces = [join(this.#pieces, this.#size)];
    const prefix = this.#pieces[0]!;
    return prefix[1]! * 2 ** 24 + ((prefix[2]! << 16) | (prefix[3]! << 8) | prefix[4]!);
  }

  #deliver(needed: number): void {
    this.#credit(needed);
    this.#credited -= needed;
    const framed = this.#take(needed);
    const flag = framed[0]!;
    const bytes = framed.subarray(prefixLength);
    const { encoding } = this.#options;
    if (flag === 0) {
      this.#tell(bytes);
    } else if (flag !== 1) {
      this.#break("INTERNAL", `a message has the flag ${flag}, expected 0 or 1`);
    } else if (encoding === undefined || encoding === "identity") {
      this.#break("INTERNAL", "a message is marked as compressed, and there is no grpc-encoding");
    } else {
      this.#inflate(bytes);
    }
  }

  #inflate(bytes: Uint8Array): void {
    this.#inflating = true;
    const maxOutputLength = Math.max(1, this.#options.maxMessageBytes);
    gunzip(bytes, { maxOutputLength }, (error: NodeJS.ErrnoException | null, inflated) => {
      this.#inflating = false;
      if (this.#over) return;
      if (error === null) {
        this.#tell(inflated);
      } else if (error.code === "ERR_BUFFER_TOO_LARGE") {
        this.#refuse("inflated");
      } else {
        this.#break("INTERNAL", "a message could not be inflated: it is not gzip");
      }
    });
  }

  #tell(message: Uint8Array): void {
    this.#wanted = false;
    this.#events.message(message);
  }

  #refuse(length: number | "inflated"): void {
    const { subject, maxMessageBytes } = this.#options;
    const what = length === "inflated" ? "that was inflated" : `of ${length} bytes`;
    const text = `${subject} message ${what} is larger than the limit of ${maxMessageBytes}`;
    this.#break("RESOURCE_EXHAUSTED", text);
  }

  #break(code: "INTERNAL" | "RESOURCE_EXHAUSTED", message: string): void {
    this.drop();
    this.#events.broken({ status: statusNumbers[code], message, details: undefined });
  }

  #credit(upTo: number): void {
    if (upTo <= this.#credited) return;
    const octets = upTo - this.#credited;
    this.#credited = upTo;
    this.#events.consumed(octets);
  }

  #take(length: number): Uint8Array {
    const [first] = this.#pieces;
    this.#size -= length;
    if (first!.length === length) {
      this.#pieces.shift();
      return first!;
    }
    if (first!.length > length) {
      this.#pieces[0] = first!.subarray(length);
      return first!.subarray(0, length);
    }
    const taken = new Uint8Array(length);
    let at = 0;
    let used = 0;
    while (at < length) {
      const piece = this.#pieces[used]!;
      const part = piece.subarray(0, length - at);
      taken.set(part, at);
      at += part.length;
      if (part.length < piece.length) this.#pieces[used] = piece.subarray(part.length);
      else used += 1;
    }
    this.#pieces.splice(0, used);
    return taken;
  }
}

/** The prefix of a message: whether it is compressed, and its length. */
export function messagePrefix(length: number, compressed: boolean): Uint8Array {
  return Uint8Array.of(
    compressed ? 1 : 0,
    length >>> 24,
    (length >>> 16) & 0xff,
    (length >>> 8) & 0xff,
    length & 0xff,
  );
}

function join(pieces: readonly Uint8Array[], size: number): Uint8Array {
  const joined = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    joined.set(piece, at);
    at += piece.length;
  }
  return joined;
}

const prefixLength = 5;
