import { FilesError } from "./errors.ts";

/**
 * Takes a name from outside (a command line, a certificate, a server) as one segment of a path.
 *
 * Allowed are 1 to 200 bytes of UTF-8 without slash, backslash, colon or control, format and
 * bidirectional characters; no dot or dash in front, no space at either end. So `../x`, `/etc/x`,
 * `-rf`, `.ssh`, `C:x` and the empty name are refused.
 *
 * @throws {FilesError} FILE_NAME_INVALID
 */
export function parsePathSegment(name: string): string {
  const problem = problemOf(name);
  if (problem === undefined) return name;
  throw new FilesError("FILE_NAME_INVALID", `the name ${JSON.stringify(name)} ${problem}`);
}

function problemOf(name: string): string | undefined {
  if (name === "") return "is empty";
  if (!name.isWellFormed()) return "is not well-formed text";
  if (Buffer.byteLength(name) > maxNameBytes) return `is longer than ${maxNameBytes} bytes`;
  if (/[/\\:]/.test(name)) return "contains a slash, a backslash or a colon";
  if (/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(name)) return "contains a control or format character";
  if (/^[.-]/.test(name)) return "begins with a dot or a dash";
  if (name.trim() !== name) return "begins or ends with a space";
  return undefined;
}

const maxNameBytes = 200;
