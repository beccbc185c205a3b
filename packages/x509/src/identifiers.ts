import { hash } from "node:crypto";
import { X509Error } from "./errors.ts";

declare const fingerprintBrand: unique symbol;
declare const serialNumberBrand: unique symbol;

/** SHA-256 of a certificate's DER: 64 lower-case hexadecimal digits. */
export type Fingerprint = string & { readonly [fingerprintBrand]: true };

/** A certificate serial number: lower-case hexadecimal of even length without leading zero octets. */
export type SerialNumber = string & { readonly [serialNumberBrand]: true };

/**
 * Reads a serial number from hexadecimal text; colons, capitals and leading zeros are accepted.
 * @throws X509Error SERIAL_NUMBER_INVALID if it is not 1 to 20 octets (RFC 5280 4.1.2.2) or is zero
 */
export function parseSerialNumber(text: string): SerialNumber {
  const digits = text.replaceAll(":", "").toLowerCase();
  const minimal = digits.replace(/^0+/, "");
  if (!/^[0-9a-f]+$/.test(digits) || minimal === "" || minimal.length > 40 || overflows(minimal)) {
    throw new X509Error(
      "SERIAL_NUMBER_INVALID",
      `serial number must be 1 to 20 octets in hexadecimal and greater than zero`,
    );
  }
  return evenHex(minimal) as SerialNumber;
}

/**
 * Reads a SHA-256 fingerprint from hexadecimal text; colons and capitals are accepted.
 * @throws X509Error FINGERPRINT_INVALID
 */
export function parseFingerprint(text: string): Fingerprint {
  const digits = text.replaceAll(":", "").toLowerCase();
  if (!/^[0-9a-f]{64}$/.test(digits)) {
    throw new X509Error("FINGERPRINT_INVALID", "fingerprint must be 64 hexadecimal digits");
  }
  return digits as Fingerprint;
}

/** The SHA-256 fingerprint of an encoding. */
export function fingerprintOf(der: Uint8Array): Fingerprint {
  return hash("sha256", der, "hex") as Fingerprint;
}

/** The serial number in the content octets of a positive INTEGER (already checked). */
export function serialNumberOf(content: Uint8Array): SerialNumber {
  const start = content.length > 1 && content[0] === 0 ? 1 : 0;
  return hex(content.subarray(start)) as SerialNumber;
}

/** The octets of a serial number, without a sign octet. */
export function serialNumberBytes(serialNumber: SerialNumber): Uint8Array {
  return Uint8Array.from(Buffer.from(serialNumber, "hex"));
}

/** Lower-case hexadecimal. */
export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
}

function evenHex(digits: string): string {
  return digits.length % 2 === 0 ? digits : `0${digits}`;
}

/** Twenty octets with the top bit set would need a twenty-first for the sign. */
function overflows(minimal: string): boolean {
  return minimal.length === 40 && minimal >= "8";
}
