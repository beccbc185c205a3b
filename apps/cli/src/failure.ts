import type { Output } from "./output.ts";

/** Wrong use of the command: exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
  readonly code = "USAGE";
  readonly hint: string;

  constructor(message: string, hint: string) {
    super(message);
    this.hint = hint;
  }
}

/** A command that ran and whose answer is no: exit code 1, and what it had to say is said already. */
export class AnsweredNo extends Error {
  override readonly name = "AnsweredNo";
}

/** Says what failed on stderr, with --json on stdout too; the exit code to end with. */
export function reportFailure(
  error: unknown,
  { output, json }: { output: Output; json: boolean },
): number {
  if (error instanceof AnsweredNo) return 1;
  const { code, message, hint } = describe(error);
  output.note(`error: ${message}`);
  if (hint !== undefined) output.note(`hint: ${hint}`);
  if (json) output.json({ error: { code, message, ...(hint === undefined ? {} : { hint }) } });
  return error instanceof UsageError ? 2 : 1;
}

/** The typed errors of the packages carry a code and a hint; anything else is a fault of ours. */
export function describe(error: unknown): { code: string; message: string; hint?: string } {
  if (!(error instanceof Error)) return { code: "INTERNAL", message: String(error) };
  const { code, hint } = error as { code?: unknown; hint?: unknown };
  if (typeof code === "string" && typeof hint === "string") {
    return { code, message: error.message, hint };
  }
  return {
    code: "INTERNAL",
    message: `unexpected ${error.name}: ${error.message}`,
    hint: "this is a fault in handfast: please report it with the command you ran",
  };
}
