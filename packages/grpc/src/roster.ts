/** What can stand in a roster; in one at a time. `place` is the roster's business. */
export interface Listed {
  /** -1 while it stands in none. */
  place: number;
}

/**
 * What is open at the moment, where that changes with every call: an array that is written in place, where a Set
 * makes itself a new table every so many changes.
 */
export class Roster<Item extends Listed> {
  readonly #items: Item[] = [];

  get size(): number {
    return this.#items.length;
  }

  add(item: Item): void {
    item.place = this.#items.push(item) - 1;
  }

  /** Without effect on what does not stand in it. */
  delete(item: Item): void {
    const { place } = item;
    if (place < 0) return;
    const last = this.#items.pop()!;
    item.place = -1;
    if (last === item) return;
    this.#items[place] = last;
    last.place = place;
  }

  /** Those that stand in it now; it may change meanwhile. */
  [Symbol.iterator](): Iterator<Item> {
    return this.#items.slice().values();
  }
}
