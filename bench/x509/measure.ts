/** One thing that is measured; asynchronous ones are awaited. */
export interface Contender {
  readonly name: string;
  readonly run: () => unknown;
  /** Runs per round; fewer for slow ones. */
  readonly batch: number;
}

/** What came out, by name of contender. */
export interface Medians {
  /** The median time of one run, in microseconds. */
  micros(name: string): number;
  /** How many runs of `name` fit into one of `reference`: the median of what each round says. */
  speed(name: string, reference: string): number;
}

/**
 * Measures contenders side by side: each round gives every one its turn, so that a slow moment of
 * the machine hits all of them, and speeds are compared within a round.
 */
export async function measure(contenders: readonly Contender[], rounds: number): Promise<Medians> {
  const samples = new Map<string, number[]>(contenders.map(({ name }) => [name, []]));
  for (let round = -WARM_UP_ROUNDS; round < rounds; round++) {
    for (const { batch, name, run } of contenders) {
      const started = cpuMicros();
      for (let i = 0; i < batch; i++) {
        const result = run();
        if (result instanceof Promise) await result;
      }
      const micros = (cpuMicros() - started) / batch;
      // The first rounds are for the compiler.
      if (round >= 0) samples.get(name)?.push(micros);
    }
  }
  const of = (name: string): readonly number[] => samples.get(name) ?? [];
  return {
    micros: (name) => median(of(name)),
    speed: (name, reference) => {
      const own = of(name);
      return median(of(reference).map((micros, round) => micros / (own[round] ?? Number.NaN)));
    },
  };
}

/** CPU time of this thread, so that other work on the machine does not show. */
export function cpuMicros(): number {
  const { system, user } = process.threadCpuUsage();
  return user + system;
}

/** The middle of the values. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** Prints one line: what, how many a second, and how that compares. */
export function print(name: string, micros: number, remark = ""): void {
  const rate = (1e6 / micros).toLocaleString("en", { maximumFractionDigits: 0 });
  console.log(
    `  ${name.padEnd(38)} ${rate.padStart(9)} /s   ${micros.toFixed(1).padStart(9)} µs   ${remark}`,
  );
}

const WARM_UP_ROUNDS = 8;
