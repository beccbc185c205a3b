/**
 * The bytes a connection has to send, gathered in one place so that a turn costs one write however many
 * streams it serves. What has been taken is not written to again before the driver gives it back: the
 * next bytes go behind it in the same slab, or into a new slab when the old one is full. A driver that
 * gives back what it has sent lets one slab serve for ever; one that does not costs allocations, nothing
 * else.
 */
export class Output {
  /** The slab. Readers of `bytes` must read it again after {@link reserve}, which may replace it. */
  bytes: Uint8Array = empty;
  /** Where the bytes that have not been taken begin. */
  start: number = 0;
  /** Where they end; writers move it. */
  end: number = 0;
  /** Pieces of this slab that were taken and not given back. */
  #lent: number = 0;
  #slabSize: number = smallestSlab;

  /** Octets waiting to be taken. */
  get size(): number {
    return this.end - this.start;
  }

  /** Makes room for `length` more octets and returns `end`, where they go. */
  reserve(length: number): number {
    if (this.end + length > this.bytes.length) {
      this.#makeRoom(length);
    }
    return this.end;
  }

  /** Appends octets. */
  append(source: Uint8Array): void {
    const at = this.reserve(source.length);
    this.bytes.set(source, at);
    this.end = at + source.length;
  }

  /** Everything gathered since the last call, or undefined if there is nothing. */
  take(): Uint8Array | undefined {
    const { bytes, start, end } = this;
    if (start === end) {
      return undefined;
    }
    this.start = end;
    this.#lent += 1;
    return bytes.subarray(start, end);
  }

  /** Takes back what was taken: nobody reads it any more. */
  giveBack(taken: Uint8Array): void {
    if (taken.buffer !== this.bytes.buffer || this.#lent === 0) {
      return;
    }
    this.#lent -= 1;
    if (this.#lent === 0 && this.start === this.end) {
      this.start = 0;
      this.end = 0;
    }
  }

  /** Lets go of the slab while nothing is gathered. */
  shrink(): void {
    if (this.start === this.end) {
      this.#adopt(empty);
      this.#slabSize = smallestSlab;
    }
  }

  #makeRoom(length: number): void {
    const waiting = this.size;
    const needed = waiting + length;
    if (this.#lent === 0 && needed <= this.bytes.length) {
      this.bytes.copyWithin(0, this.start, this.end);
      this.start = 0;
      this.end = waiting;
      return;
    }
    // Slabs double with what is sent, so that a quiet connection keeps little and a busy one copies little.
    while (this.#slabSize < needed * 2 && this.#slabSize < largestSlab) {
      this.#slabSize *= 2;
    }
    const slab = new Uint8Array(Math.max(this.#slabSize, needed));
    slab.set(this.bytes.subarray(this.start, this.end));
    this.#adopt(slab);
    this.end = waiting;
  }

  #adopt(slab: Uint8Array): void {
    this.bytes = slab;
    this.start = 0;
    this.end = 0;
    this.#lent = 0;
  }
}

const empty = new Uint8Array(0);
const smallestSlab = 2_048;
const largestSlab = 262_144;
