/** What a string of a rule matches. */
export interface Pattern {
  /** `present`: anything but the empty string; the others compare with `literal`. */
  readonly kind: "exact" | "prefix" | "suffix" | "present";
  readonly literal: string;
}

/**
 * Reads a pattern of gRFC A43: `*` anything that is not empty, `abc*` a prefix, `*abc` a suffix, else
 * the string itself. The star at the end is looked at first, so `*abc*` is the prefix `*abc`; a star
 * anywhere else is a star.
 */
export function parsePattern(text: string): Pattern {
  if (text === "*") return { kind: "present", literal: "" };
  if (text.endsWith("*")) return { kind: "prefix", literal: text.slice(0, -1) };
  if (text.startsWith("*")) return { kind: "suffix", literal: text.slice(1) };
  return { kind: "exact", literal: text };
}

/** The text that {@link parsePattern} reads as this pattern. */
export function formatPattern({ kind, literal }: Pattern): string {
  switch (kind) {
    case "present":
      return "*";
    case "prefix":
      return `${literal}*`;
    case "suffix":
      return `*${literal}`;
    case "exact":
      return literal;
  }
}

/** Whether a pattern matches a value. */
export function matches({ kind, literal }: Pattern, value: string): boolean {
  switch (kind) {
    case "present":
      return value !== "";
    case "prefix":
      return value.startsWith(literal);
    case "suffix":
      return value.endsWith(literal);
    case "exact":
      return value === literal;
  }
}

/** Whether everything that `narrow` matches is matched by `wide` too. */
export function covers(wide: Pattern, narrow: Pattern): boolean {
  switch (wide.kind) {
    case "present":
      return narrow.kind === "present" || narrow.literal !== "";
    case "exact":
      return narrow.kind === "exact" && narrow.literal === wide.literal;
    case "prefix":
      return (
        (narrow.kind === "exact" || narrow.kind === "prefix") &&
        narrow.literal.startsWith(wide.literal)
      );
    case "suffix":
      return (
        (narrow.kind === "exact" || narrow.kind === "suffix") &&
        narrow.literal.endsWith(wide.literal)
      );
  }
}

/** Lower case of ASCII letters alone: other letters have lower cases that collide with these. */
export function lowerAscii(text: string): string {
  return /[A-Z]/.test(text) ? text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase()) : text;
}
