import { AssertionError } from "node:assert";
import { printable } from "./printable.ts";
import { UsageError } from "./settings.ts";

/** Runs the body of a program; what it throws is written as `error:` and `hint:`, and sets the exit code. */
export async function runAsProgram(body: () => Promise<void>): Promise<void> {
  try {
    await body();
  } catch (error) {
    process.stderr.write(describeFailure(error));
    process.exitCode = error instanceof UsageError ? 2 : 1;
  }
}

/** The lines that tell a person what went wrong and what to do. */
export function describeFailure(error: unknown): string {
  const { message, hint } = failureOf(error);
  return `error: ${printable(message)}\n${hint === undefined ? "" : `hint: ${printable(hint)}\n`}`;
}

function failureOf(error: unknown): { message: string; hint: string | undefined } {
  if (!(error instanceof Error)) return { message: String(error), hint: undefined };
  if (error instanceof UsageError)
    return { message: error.message, hint: "--help lists the flags" };
  // The reason that the other end gave, or ours for refusing it, says more than the status.
  if ("refusal" in error && isRefusal(error.refusal)) {
    const { code, by, message, hint } = error.refusal;
    const who = by === "peer" ? "the server refused us" : "we refused the server";
    return { message: `${who}: ${code}: ${message}`, hint };
  }
  if (error instanceof AssertionError)
    return { message: firstLine(error.message), hint: undefined };
  const hint = "hint" in error && typeof error.hint === "string" ? error.hint : undefined;
  const code = "code" in error && typeof error.code === "string" ? `${error.code}: ` : "";
  return { message: code + error.message, hint };
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0] ?? "";
}

interface Refusal {
  readonly code: string;
  readonly by: "us" | "peer";
  readonly message: string;
  readonly hint: string;
}

function isRefusal(value: unknown): value is Refusal {
  return typeof value === "object" && value !== null && "code" in value && "by" in value;
}
