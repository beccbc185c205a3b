/** One thing that is measured; asynchronous ones are awaited. */
export interface Contender {
  readonly name: string;
  readonly run: () => unknown;
  /** Runs per round; fewer for slow ones. */
  readonly batch: number;
}

/**
 * Measures contenders side by side: each round gives every one its turn, so that a busy moment of
 * the machine hits all of them. Gives the median time of one run in microseconds, by name.
 */
export async function measure(
  contenders: readonly Contender[],
  rounds: number,
): Promise<ReadonlyMap<string, number>> {
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
  return new Map([...samples].map(([name, all]) => [name, median(all)]));
}

/** CPU time of this thread, so that other work on the machine does not show. */
export function cpuMicros(): number {
  const { system, user } = process.threadCpuUsage();
  return user + system;
}

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
