import type { BlockKind, HeadBlock } from "./head.ts";

/**
 * Remembers blocks of one connection that always decode to the same (S37: their decoding neither read nor
 * wrote the dynamic table), so that a repeated head, encoded once by its sender, costs a comparison
 * of octets. What it gives out is shared between streams and therefore immutable.
 */
export class HeadMemo {
  #slots: (Slot | undefined)[] | undefined;

  /** The block that these octets decode to, if it is remembered. */
  find(kind: BlockKind, bytes: Uint8Array, from: number, to: number): HeadBlock | undefined {
    const slot = this.#slots?.[slotOf(to - from)];
    if (slot === undefined || slot.kind !== kind || slot.bytes.length !== to - from) {
      return undefined;
    }
    const remembered = slot.bytes;
    // From the end, where blocks that begin alike differ.
    for (let index = remembered.length - 1; index >= 0; index -= 1) {
      if (remembered[index] !== bytes[from + index]) {
        return undefined;
      }
    }
    slot.misses = 0;
    return slot.block;
  }

  /** Offers a block for remembering; a place that is in use is left for one that proves more useful. */
  offer(kind: BlockKind, octets: Uint8Array, block: HeadBlock): void {
    if (octets.length > longestBlock) {
      return;
    }
    this.#slots ??= Array.from({ length: slotCount }, () => undefined);
    const index = slotOf(octets.length);
    const slot = this.#slots[index];
    if (slot !== undefined && slot.misses < mostMisses) {
      slot.misses += 1;
      return;
    }
    this.#slots[index] = { kind, bytes: Uint8Array.from(octets), block, misses: 0 };
  }
}

interface Slot {
  readonly kind: BlockKind;
  readonly bytes: Uint8Array;
  readonly block: HeadBlock;
  /** Offers of other blocks since it was last found. */
  misses: number;
}

function slotOf(length: number): number {
  return length & (slotCount - 1);
}

const slotCount = 8;
const mostMisses = 16;
const longestBlock = 1_024;
