import { ailments } from "./ailments.ts";
import type { AilmentCode } from "./ailments.ts";

/** Something that is wrong, or soon will be. */
export interface Finding {
  readonly code: AilmentCode;
  /** `error`: it does not work, or is not safe. `warning`: it works for now, or not for everybody. */
  readonly severity: "error" | "warning";
  /** `likely` and `possible` where the other side gave no reason. */
  readonly certainty: "certain" | "likely" | "possible";
  /** What is wrong, with what was expected and what arrived. May hold foreign text: escape it. */
  readonly message: string;
  /** What mends it, with the command. Holds nothing that the other side chose. */
  readonly mend: string;
  /** What other programs say of it. */
  readonly seenAs: readonly string[];
}

/** What is known beyond the code. */
export interface FindingDetails {
  readonly severity?: Finding["severity"];
  readonly certainty?: Finding["certainty"];
  /** Behind what the ailment means. */
  readonly detail?: string;
  /** For the words in braces; only ever what the user gave, never what a peer sent. */
  readonly words?: Readonly<Record<string, string | number | undefined>>;
}

/** Makes a finding of the table's text. */
export function finding(code: AilmentCode, details: FindingDetails = {}): Finding {
  const { means, mend, seenAs } = ailments[code];
  return {
    code,
    severity: details.severity ?? "error",
    certainty: details.certainty ?? "certain",
    message: details.detail === undefined ? means : `${means}: ${details.detail}`,
    mend: fill(mend, details.words ?? {}),
    seenAs,
  };
}

/** Errors before warnings, the certain before the likely, then in the order in which they were found. */
export function byLikelihood(findings: readonly Finding[]): readonly Finding[] {
  const seen = new Set<string>();
  return findings
    .filter(({ code, message }) => !seen.has(code + message) && seen.add(code + message))
    .sort((a, b) => rank(a) - rank(b));
}

function rank({ severity, certainty }: Finding): number {
  return (severity === "error" ? 0 : 10) + certainties.indexOf(certainty);
}

/** Commands are pasted into shells: what a shell could read otherwise stays a placeholder. */
function fill(text: string, words: Readonly<Record<string, string | number | undefined>>): string {
  return text.replaceAll(/\{([a-z]+)\}/g, (_, name: string) => {
    const word = String(words[name] ?? "");
    return /^[\w.:/@+~][\w.:/@+~-]*$/.test(word) ? word : name.toUpperCase();
  });
}

const certainties = ["certain", "likely", "possible"] as const;
