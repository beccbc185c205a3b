/** The UUID in lower case, or undefined if the text is none (RFC 9562, section 4; not the nil UUID). */
export function parseUuid(text: string): string | undefined {
  const uuid = text.toLowerCase();
  return uuidPattern.test(uuid) && uuid !== nilUuid ? uuid : undefined;
}

/**
 * A UUID of version 7 (RFC 9562, section 5.7): it sorts by time, so that rows which are keyed by it are
 * appended rather than strewn over the index.
 *
 * @param milliseconds since 1970
 * @param random 10 bytes
 */
export function timeOrderedUuid(milliseconds: number, random: Uint8Array): string {
  if (random.length !== 10) throw new TypeError("timeOrderedUuid takes 10 random bytes");
  const bytes = Buffer.alloc(16);
  bytes.writeUIntBE(milliseconds, 0, 6);
  bytes.set(random, 6);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x70, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const nilUuid = "00000000-0000-0000-0000-000000000000";
