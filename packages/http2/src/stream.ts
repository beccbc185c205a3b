import { ReceiveWindow } from "./flow-control.ts";
import type { Headers } from "./header-block.ts";

/** Something a stream has been told to send and could not yet: headers, or data. */
export interface QueuedItem {
  readonly headers: Headers | undefined;
  readonly data: Uint8Array | undefined;
  /** Whether END_STREAM goes with it. */
  readonly end: boolean;
}

/**
 * All the machine keeps of a live stream. Records are used again for later streams, so nothing outside
 * the machine holds one: the application names streams by number, which are never used again, and a
 * number that no live record carries is a stream of the past.
 */
export class Stream {
  id: number = 0;
  /** What the application attached. */
  call: unknown = undefined;

  // Receiving.
  /** A final head has arrived. */
  headReceived: boolean = false;
  /** END_STREAM has arrived. */
  remoteEnded: boolean = false;
  /** The application wants no more of the body. */
  discarding: boolean = false;
  /** The response answers HEAD: a content-length says nothing about the body. */
  answersHead: boolean = false;
  /** Octets the peer's content-length still promises, or -1 if it made no promise. */
  bodyLeft: number = -1;
  /** Octets handed to the application and not consumed. */
  unconsumed: number = 0;
  readonly receiveWindow: ReceiveWindow = new ReceiveWindow();

  // Sending.
  /** A final head has been given. */
  headGiven: boolean = false;
  /** The end has been given; nothing may be added. */
  endGiven: boolean = false;
  /** END_STREAM has gone into the output. */
  localEnded: boolean = false;
  sendWindow: number = 0;
  readonly queue: QueuedItem[] = [];
  /** Octets of the queue's first item that have been sent. */
  queueOffset: number = 0;
  /** Octets of data in the queue. */
  queued: number = 0;
  /** `sendData` said false: the application waits for the drain event. */
  awaitsDrain: boolean = false;
  /** When the queue was found not to move; -1 if it moved since the last look. */
  stalledSince: number = -1;
  /** Whether it stands in a {@link StreamList}, and its neighbour there. */
  listed: boolean = false;
  next: Stream | undefined = undefined;

  /** Makes the record ready for a stream. */
  open(id: number, receiveWindow: number, sendWindow: number): void {
    this.id = id;
    this.call = undefined;
    this.headReceived = false;
    this.remoteEnded = false;
    this.discarding = false;
    this.answersHead = false;
    this.bodyLeft = -1;
    this.unconsumed = 0;
    this.receiveWindow.reset(receiveWindow);
    this.headGiven = false;
    this.endGiven = false;
    this.localEnded = false;
    this.sendWindow = sendWindow;
    this.queueOffset = 0;
    this.queued = 0;
    this.awaitsDrain = false;
    this.stalledSince = -1;
  }

  /** Forgets the stream, so that the record holds on to nothing. */
  clear(): void {
    this.id = 0;
    this.call = undefined;
    if (this.queue.length > 0) {
      this.queue.length = 0;
    }
    this.queued = 0;
  }
}

/** A queue of streams that may have something to send; a stream stands in it once. */
export class StreamList {
  #head: Stream | undefined;
  #tail: Stream | undefined;

  get isEmpty(): boolean {
    return this.#head === undefined;
  }

  /** Adds at the end, unless the stream stands in a list already. */
  push(stream: Stream): void {
    if (stream.listed) {
      return;
    }
    stream.listed = true;
    if (this.#tail === undefined) {
      this.#head = stream;
    } else {
      this.#tail.next = stream;
    }
    this.#tail = stream;
  }

  /** Takes the first, which may have been closed meanwhile. */
  shift(): Stream | undefined {
    const stream = this.#head;
    if (stream !== undefined) {
      this.#head = stream.next;
      if (this.#head === undefined) {
        this.#tail = undefined;
      }
      stream.next = undefined;
      stream.listed = false;
    }
    return stream;
  }
}

/**
 * Remembers the last streams that ended, to tell what a late frame means: on a stream we reset it is
 * on its way still and is ignored; on one that ended properly it is an error. Older ones are forgotten.
 */
export class RecentStreams {
  readonly #capacity: number;
  #ids: Int32Array | undefined;
  #next: number = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  add(id: number): void {
    this.#ids ??= new Int32Array(this.#capacity);
    this.#ids[this.#next] = id;
    this.#next = this.#next + 1 === this.#capacity ? 0 : this.#next + 1;
  }

  has(id: number): boolean {
    return this.#ids?.includes(id) ?? false;
  }
}
