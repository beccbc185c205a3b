/**
 * The bytes a connection has to send, gathered in one place so that a turn costs one write however many
 * streams it serves. What has been taken is never written to again: the next bytes go behind it in the
 * same slab, or in a new slab once the old one is full. So a taken view stays valid for as long as
 * the driver holds it, and nobody hands buffers back.
 */
export class Output {
  /** The slab. Readers of `bytes` must read it again after {@link reserve}, which may replace it. */
  bytes: Uint8Array = empty;
  /** Where the bytes that have not been taken begin. */
  start: number = 0;
  /** Where they end; writers move it. */
  end: number = 0;
  #slabSize: number = smallestSlab;

  /** Octets waiting to be taken. */
  get size(): number {
    return this.end - this.start;
  }

  /** Makes room for `length` more octets and returns `end`, where they go. */
  reserve(length: number): number {
    if (this.end + length > this.bytes.length) {
      this.#replaceSlab(length);
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
    const taken = bytes.subarray(start, end);
    this.start = end;
    if (taken.length * 2 < this.#slabSize && this.#slabSize > smallestSlab) {
      this.#slabSize >>= 1;
    }
    if (bytes.length - end < smallestRemainder) {
      this.bytes = empty;
      this.start = 0;
      this.end = 0;
    }
    return taken;
  }

  /** Slabs grow with what one turn sends, so that an idle connection keeps little and a busy one copies little. */
  #replaceSlab(length: number): void {
    const waiting = this.size;
    const needed = waiting + length;
    let size = this.#slabSize;
    while (size < needed * 2 && size < largestSlab) {
      size *= 2;
    }
    this.#slabSize = size;
    const slab = new Uint8Array(Math.max(size, needed));
    slab.set(this.bytes.subarray(this.start, this.end));
    this.bytes = slab;
    this.start = 0;
    this.end = waiting;
  }
}

const empty = new Uint8Array(0);
const smallestSlab = 2_048;
const largestSlab = 262_144;
const smallestRemainder = 256;
