/** Bytes from hexadecimal text; spaces are for the reader. */
export function bytes(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex.replaceAll(" ", ""), "hex"));
}

/** The hexadecimal of ASCII text. */
export function hexOf(text: string): string {
  return Buffer.from(text, "latin1").toString("hex");
}
