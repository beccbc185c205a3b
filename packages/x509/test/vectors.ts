import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { LimboTestcase } from "../../../bench/limbo.ts";

const folder = process.env["HANDFAST_VECTORS"];

/** Why tests that read the vectors are skipped; false where they are present. */
export const withoutVectors: string | false =
  folder !== undefined && existsSync(join(folder, "rfc9881"))
    ? false
    : "HANDFAST_VECTORS does not name the folder of the test vectors";

/** The files of the RFC 9881 examples whose names match. */
export function rfc9881(pattern: RegExp): { name: string; text: string }[] {
  if (folder === undefined || withoutVectors !== false) return [];
  const examples = join(folder, "rfc9881");
  return readdirSync(examples)
    .filter((name) => pattern.test(name))
    .map((name) => ({ name, text: readFileSync(join(examples, name), "utf8") }));
}

/** The cases of x509-limbo. */
export function limboSuite(): readonly LimboTestcase[] {
  if (folder === undefined || withoutVectors !== false) return [];
  const limbo = JSON.parse(readFileSync(join(folder, "limbo.json"), "utf8")) as {
    testcases: LimboTestcase[];
  };
  return limbo.testcases;
}

/** Every distinct certificate of x509-limbo, as PEM. */
export function limboCertificates(): string[] {
  return [
    ...new Set(
      limboSuite().flatMap((each) => [
        ...each.trusted_certs,
        ...each.untrusted_intermediates,
        each.peer_certificate,
      ]),
    ),
  ];
}
