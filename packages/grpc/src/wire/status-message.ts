/**
 * Encodes the text of a status for the `grpc-message` trailer: UTF-8, every byte outside 0x20 to 0x7e
 * and the percent sign itself as %XX (gRPC over HTTP/2, "Percent-Encoded"). Outer spaces are encoded too,
 * since an HTTP field may not have them.
 */
export function encodeStatusMessage(text: string): string {
  if (plain.test(text)) return text;
  const bytes = new TextEncoder().encode(text);
  const last = bytes.length - 1;
  let encoded = "";
  for (const [at, byte] of bytes.entries()) {
    const outerSpace = byte === space && (at === 0 || at === last);
    encoded +=
      byte < space || byte > tilde || byte === percent || outerSpace
        ? `%${byte.toString(16).toUpperCase().padStart(2, "0")}`
        : String.fromCharCode(byte);
  }
  return encoded;
}

/** Decodes a `grpc-message`; a percent sign that starts no escape stays as it is, as the protocol asks. */
export function decodeStatusMessage(text: string): string {
  if (!text.includes("%")) return text;
  const bytes: number[] = [];
  for (let at = 0; at < text.length; at++) {
    const pair = escape.exec(text.slice(at, at + 3));
    if (pair === null) {
      bytes.push(...new TextEncoder().encode(text.charAt(at)));
    } else {
      bytes.push(Number.parseInt(pair[1] ?? "", 16));
      at += 2;
    }
  }
  return new TextDecoder().decode(Uint8Array.from(bytes));
}

const plain = /^(?! )[\x20-\x24\x26-\x7e]*(?<! )$/;
const escape = /^%([0-9A-Fa-f]{2})/;
const space = 0x20;
const percent = 0x25;
const tilde = 0x7e;
