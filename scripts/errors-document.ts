// Makes docs/errors.md and docs/troubleshooting.md of the tables in the packages, so that the two cannot disagree.
//   node --conditions=@handfast/source scripts/errors-document.ts
import { writeFileSync } from "node:fs";

import { caErrors } from "@handfast/ca";
import { filesErrors } from "@handfast/files";
import { grpcErrors } from "@handfast/grpc";
import { policyErrors } from "@handfast/policy";
import { refusals, tlsErrors } from "@handfast/tls";
import { ailments } from "@handfast/tls/doctor";
import { x509Errors } from "@handfast/x509";

interface Entry {
  readonly message: string;
  readonly hint: string;
  readonly status: number;
  readonly public: boolean;
}

const packages: readonly (readonly [string, Readonly<Record<string, Entry>>])[] = [
  ["@handfast/tls", tlsErrors],
  ["@handfast/grpc", grpcErrors],
  ["@handfast/policy", policyErrors],
  ["@handfast/ca", caErrors],
  ["@handfast/x509", x509Errors],
  ["@handfast/files", filesErrors],
];

/** The text of docs/errors.md. */
export function errorsDocument(): string {
  const tables = packages.map(([name, table]) =>
    [
      `## ${name}`,
      "",
      "| code | what it means | what to do | gRPC status | told to the peer |",
      "| --- | --- | --- | --- | --- |",
      ...Object.entries(table).map(([code, entry]) =>
        row(
          `\`${code}\``,
          entry.message,
          entry.hint,
          String(entry.status),
          entry.public ? "yes" : "no",
        ),
      ),
    ].join("\n"),
  );
  const reasons = [
    "## Refusals",
    "",
    "Why a handshake failed: `error.refusal.code` of a `TlsError`, the trailer or header `handfast-refusal` of a",
    "refused call, and the handshake event. The result is what `grpc.tls.handshake.result` counts (gRFC A118).",
    "",
    "| code | what the peer reads | what to do | result | gRPC status |",
    "| --- | --- | --- | --- | --- |",
    ...Object.entries(refusals).map(([code, entry]) =>
      row(`\`${code}\``, entry.sentence, entry.hint, entry.result, String(entry.status)),
    ),
  ].join("\n");
  return [
    "# Errors",
    "Each package throws one class of error; its `code` is one of the table, its `hint` says what to do. " +
      "The message says what was expected and what arrived. Made by `npm run docs:errors`.",
    reasons,
    ...tables,
    "",
  ].join("\n\n");
}

/** The text of docs/troubleshooting.md. */
export function troubleshootingDocument(): string {
  const codes = Object.keys(ailments) as (keyof typeof ailments)[];
  const sections = groups.map(([title, first], index) => {
    const next = groups[index + 1]?.[1];
    const own = codes.slice(
      codes.indexOf(first),
      next === undefined ? undefined : codes.indexOf(next),
    );
    return [`## ${title}`, ...own.map(ailment)].join("\n\n");
  });
  return [
    "# Troubleshooting",
    "What `handfast doctor` knows, by what is wrong. Search this page for the text that your program printed. " +
      "`handfast doctor HOST:PORT` finds out which it is by handshaking as a client would; " +
      "`handfast doctor --files` looks at one side's files, `handfast doctor --listen HOST:PORT` is a server that " +
      "says of each client what is wrong. Made by `npm run docs:errors`.",
    ...sections,
    "",
  ].join("\n\n");
}

function ailment(code: keyof typeof ailments): string {
  const { means, seenAs, mend } = ailments[code];
  const placed = mend.replaceAll(/\{([a-z]+)\}/g, (_, word: string) => word.toUpperCase());
  return [
    `### ${code}`,
    `${means.charAt(0).toUpperCase()}${means.slice(1)}.`,
    `- Seen as: ${seenAs.map((text) => `\`${text}\``).join(", ")}\n- Mend it: ${placed}.`,
  ].join("\n\n");
}

const groups: readonly (readonly [string, keyof typeof ailments])[] = [
  ["Reaching the server", "HOST_UNKNOWN"],
  ["Agreeing on TLS", "TLS_VERSION"],
  ["The server's certificate", "NO_TRUST"],
  ["The client's certificate", "CERTIFICATE_NOT_ASKED_FOR"],
  ["Files on this side", "FILE_UNREADABLE"],
];

function row(...cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}

if (import.meta.main) {
  writeFileSync("docs/errors.md", errorsDocument());
  writeFileSync("docs/troubleshooting.md", troubleshootingDocument());
}
