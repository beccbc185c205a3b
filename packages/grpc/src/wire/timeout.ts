/**
 * Reads a `grpc-timeout` value ("250m") as milliseconds; undefined if it is not one. At most eight
 * digits and one unit, as the protocol says; a timeout under a millisecond is 0.
 */
export function parseTimeout(text: string): number | undefined {
  const match = pattern.exec(text);
  if (match === null) return undefined;
  const unit = units.find(({ letter }) => letter === match[2]);
  return unit && Math.floor(Number(match[1]) * unit.ms);
}

/**
 * Writes milliseconds as a `grpc-timeout` value, in the finest unit that eight digits hold, rounded up
 * so that a call is never given less than it asked for. Negative is "0m".
 */
export function formatTimeout(milliseconds: number): string {
  const rest = Math.max(0, milliseconds);
  for (const { letter, ms } of [milli, second, minute, hour]) {
    const amount = Math.ceil(rest / ms);
    if (amount <= maxAmount) return `${amount}${letter}`;
  }
  return `${maxAmount}H`;
}

const pattern = /^(\d{1,8})([HMSmun])$/;
const maxAmount = 99_999_999;

interface Unit {
  readonly letter: string;
  readonly ms: number;
}

const hour: Unit = { letter: "H", ms: 3_600_000 };
const minute: Unit = { letter: "M", ms: 60_000 };
const second: Unit = { letter: "S", ms: 1_000 };
const milli: Unit = { letter: "m", ms: 1 };
const units: readonly Unit[] = [
  hour,
  minute,
  second,
  milli,
  { letter: "u", ms: 0.001 },
  { letter: "n", ms: 0.000_001 },
];
