/** How long to wait before connecting again, as gRPC's connection back-off document has it. */
export interface BackOff {
  /** The wait after one more failure, in milliseconds: 1 s, then 1.6 times the last, at most 120 s, give or take a fifth. */
  next(): number;
  /** What was tried has worked. */
  reset(): void;
}

/** Creates a back-off; `random` gives 0 to 1, evenly. */
export function createBackOff(random: () => number = Math.random): BackOff {
  let base = initialMs;
  return {
    next() {
      const wait = base * (0.8 + 0.4 * random());
      base = Math.min(largestMs, base * factor);
      return wait;
    },
    reset() {
      base = initialMs;
    },
  };
}

const initialMs = 1_000;
const factor = 1.6;
const largestMs = 120_000;
