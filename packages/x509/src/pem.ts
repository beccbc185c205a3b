import { X509Error } from "./errors.ts";

/** One PEM block: its label (`CERTIFICATE`, `PRIVATE KEY`, …) and what it encodes. */
export interface PemBlock {
  readonly label: string;
  readonly der: Uint8Array;
}

/** Writes one PEM block (RFC 7468 strict form: 64 columns, one line feed per line). */
export function encodePem(label: string, der: Uint8Array): string {
  const base64 = Buffer.from(der.buffer, der.byteOffset, der.byteLength).toString("base64");
  let text = `${BEGIN}${label}${DASHES}\n`;
  for (let at = 0; at < base64.length; at += COLUMNS) text += `${base64.slice(at, at + COLUMNS)}\n`;
  return `${text}${END}${label}${DASHES}\n`;
}

/**
 * Reads all PEM blocks of a text, in order; text around the blocks is skipped (RFC 7468 section 2).
 * A block that is cut off, nested, mislabelled or not canonical base64 fails the whole text.
 * Text without any block gives an empty list.
 * @throws X509Error PEM_MALFORMED
 */
export function decodePem(pem: string | Uint8Array): PemBlock[] {
  const text = typeof pem === "string" ? pem : latin1(pem);
  const blocks: PemBlock[] = [];
  let end = 0;
  for (;;) {
    const begin = text.indexOf(BEGIN, end);
    const stray = text.indexOf(END, end);
    if (stray >= 0 && (begin < 0 || stray < begin)) throw broken("has an END line without BEGIN");
    if (begin < 0) return blocks;
    if (begin > 0 && !isLineStart(text, begin)) throw broken("has a BEGIN in the middle of a line");
    const labelEnd = text.indexOf(DASHES, begin + BEGIN.length);
    const label = labelEnd < 0 ? "" : text.slice(begin + BEGIN.length, labelEnd);
    if (!LABEL.test(label)) throw broken("has a BEGIN line without a label");
    const bodyStart = labelEnd + DASHES.length;
    const bodyEnd = text.indexOf(DASHES, bodyStart);
    const closing = `${END}${label}${DASHES}`;
    if (bodyEnd < 0) throw broken(`ends inside a ${label} block`);
    if (!text.startsWith(closing, bodyEnd) || !isLineStart(text, bodyEnd)) {
      throw broken(`has a ${label} block that is not closed by its own END line`);
    }
    blocks.push({ label, der: decodeBase64(text.slice(bodyStart, bodyEnd), label) });
    end = bodyEnd + closing.length;
  }
}

function decodeBase64(body: string, label: string): Uint8Array {
  if (body.includes(":")) {
    throw new X509Error("PEM_MALFORMED", `PEM ${label} block has header lines`, {
      hint: "blocks with Proc-Type or DEK-Info are an old format: convert the key to PKCS #8",
    });
  }
  const tail = checkBase64(Buffer.from(body, "utf8"), label);
  const der = Buffer.from(body, "base64");
  // The bits that the last group does not use must be zero.
  if (der.subarray(der.length - (der.length % 3 || 3)).toString("base64") !== tail) {
    throw notBase64(label);
  }
  return new Uint8Array(der.buffer, der.byteOffset, der.byteLength);
}

/**
 * Demands base64 with nothing but white space between its letters, in groups of four, padded at the
 * end only; gives the last group. (Node's decoder skips what it does not know.)
 */
function checkBase64(body: Uint8Array, label: string): string {
  let letters = 0;
  let padding = 0;
  // By index: an iterator takes ten times as long, and revocation lists are large.
  for (let at = 0; at < body.length; at++) {
    const kind = base64Kinds[body[at] as number];
    if (kind === LETTER && padding === 0) letters++;
    else if (kind === PADDING) padding++;
    else if (kind !== SPACE) throw notBase64(label);
  }
  if (letters === 0 || padding > 2 || (letters + padding) % 4 !== 0) throw notBase64(label);
  return lastGroup(body);
}

function lastGroup(body: Uint8Array): string {
  let group = "";
  for (let at = body.length - 1; group.length < 4; at--) {
    const octet = body[at] as number;
    if (base64Kinds[octet] !== SPACE) group = String.fromCharCode(octet) + group;
  }
  return group;
}

function notBase64(label: string): X509Error {
  return broken(`has a ${label} block that is not canonical base64`);
}

function isLineStart(text: string, at: number): boolean {
  const before = text[at - 1];
  return before === "\n" || before === "\r" || before === "\uFEFF" || text.slice(0, at) === BOM;
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}

function broken(problem: string): X509Error {
  return new X509Error("PEM_MALFORMED", `PEM text ${problem}`);
}

const BEGIN = "-----BEGIN ";
const END = "-----END ";
const DASHES = "-----";
const LABEL = /^[A-Z0-9]+(?:[ -][A-Z0-9]+)*$/;
const COLUMNS = 64;
const SPACE = 1;
const LETTER = 2;
const PADDING = 3;
/** What each octet is in a PEM body; 0 is for what must not be there. */
const base64Kinds = new Uint8Array(256);
for (const octet of Buffer.from(" \t\r\n")) base64Kinds[octet] = SPACE;
for (const octet of Buffer.from(
  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
)) {
  base64Kinds[octet] = LETTER;
}
base64Kinds[0x3d] = PADDING;
/** A UTF-8 byte order mark, read as Latin-1. */
const BOM = "\u00EF\u00BB\u00BF";
