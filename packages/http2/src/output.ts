/**
 * The bytes a connection has to send, gathered in one place so that a turn costs one write however many
 * streams it serves. What has been taken is not written to again before the driver gives it back: the
 * next bytes go behind it in the same slab, or into another slab when this one is full. Slabs that have
 * come back whole are used again, so a driver that gives back what it has sent makes two or three serve
 * for ever; one that does not costs allocations, nothing else.
 */
export class Output {
  /** The current slab. Readers must read it again after {@link reserve}, which may replace it. */
  bytes: Uint8Array = empty;
  /** Where the bytes that have not been taken begin. */
  start: number = 0;
  /** Where they end; writers move it. */
  end: number = 0;
  #slab: Slab = { bytes: empty, lent: 0 };
  /** Slabs of which pieces are lent, or that wait to be used again. */
  #others: Slab[] = [];
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
    this.#slab.lent += 1;
    return bytes.subarray(start, end);
  }

  /** Takes back what was taken: nobody reads it any more. */
  giveBack(taken: Uint8Array): void {
    const isOf = ({ bytes }: Slab): boolean => bytes.buffer === taken.buffer;
    const slab = isOf(this.#slab) ? this.#slab : this.#others.find(isOf);
    if (slab === undefined || slab.lent === 0) {
      return;
    }
    slab.lent -= 1;
    if (slab.lent === 0 && slab === this.#slab && this.start === this.end) {
      this.start = 0;
      this.end = 0;
    }
  }

  /** Lets go of all memory while nothing is gathered. */
  shrink(): void {
    if (this.start === this.end) {
      this.#adopt({ bytes: empty, lent: 0 });
      this.#others = [];
      this.#slabSize = smallestSlab;
    }
  }

  #makeRoom(length: number): void {
    const waiting = this.bytes.subarray(this.start, this.end);
    const needed = waiting.length + length;
    if (this.#slab.lent === 0 && needed <= this.bytes.length) {
      this.bytes.copyWithin(0, this.start, this.end);
      this.start = 0;
      this.end = waiting.length;
      return;
    }
    // Slabs double with what is sent, so that a quiet connection keeps little and a busy one copies little.
    while (this.#slabSize < needed * 2 && this.#slabSize < largestSlab) {
      this.#slabSize *= 2;
    }
    const slab = this.#spareSlab(Math.max(this.#slabSize, needed));
    slab.bytes.set(waiting);
    this.#adopt(slab);
    this.end = waiting.length;
  }

  /** A slab to go on in: one that has come back, or a new one. The current one joins the others. */
  #spareSlab(length: number): Slab {
    const index = this.#others.findIndex(({ bytes, lent }) => lent === 0 && bytes.length >= length);
    const [spare = { bytes: new Uint8Array(length), lent: 0 }] =
      index === -1 ? [] : this.#others.splice(index, 1);
    const isUseful = ({ bytes }: Slab): boolean => bytes.length >= length;
    this.#others = [...this.#others, this.#slab].filter(isUseful).slice(-mostOthers);
    return spare;
  }

  #adopt(slab: Slab): void {
    this.#slab = slab;
    this.bytes = slab.bytes;
    this.start = 0;
    this.end = 0;
  }
}

interface Slab {
  readonly bytes: Uint8Array;
  /** Pieces that were taken and not given back. */
  lent: number;
}

const empty = new Uint8Array(0);
const smallestSlab = 2_048;
const largestSlab = 262_144;
const mostOthers = 2;
