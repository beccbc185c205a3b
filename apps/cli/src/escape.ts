/**
 * Text from certificates, servers and files as a terminal may show it: control, C1 and bidi
 * characters and whatever else has no shape of its own are written as `\u{…}` (security.md S64).
 */
export function escapeText(text: string): string {
  return text.replaceAll(shapeless, (character) => {
    return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
  });
}

/** JSON of a value, in which the same characters are JSON's own `\u` escapes. */
export function escapeJson(value: unknown, { lines }: { lines: boolean }): string {
  const json = JSON.stringify(value, undefined, lines ? 2 : undefined);
  return json.replaceAll(shapelessButLineFeed, (character) =>
    Array.from({ length: character.length }, (_, index) => {
      return `\\u${character.charCodeAt(index).toString(16).padStart(4, "0")}`;
    }).join(""),
  );
}

const shapeless = /[\p{C}\p{Zl}\p{Zp}]/gu;

/** JSON.stringify writes line feeds of its own between its lines, and none inside a string. */
const shapelessButLineFeed = /(?!\n)[\p{C}\p{Zl}\p{Zp}]/gu;
