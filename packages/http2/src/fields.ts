/**
 * Header fields, flat: name, value, name, value. Names are lower case, values are ASCII
 * (0x20 to 0x7e, no outer spaces); a name may come more than once. Lists that the machine decoded are
 * frozen.
 */
export type Fields = readonly string[];

/** The first value of a name, or undefined. */
export function fieldValue(fields: Fields, name: string): string | undefined {
  for (let index = 0; index < fields.length; index += 2) {
    if (fields[index] === name) {
      return fields[index + 1];
    }
  }
  return undefined;
}

/** Every value of a name, in order. */
export function fieldValues(fields: Fields, name: string): string[] {
  const values: string[] = [];
  for (let index = 0; index < fields.length; index += 2) {
    if (fields[index] === name) {
      values.push(fields[index + 1]!);
    }
  }
  return values;
}

/**
 * What a name means to RFC 9113 section 8, found once per name and kept beside it in the HPACK tables,
 * so that a repeated field costs no second look. Together with the two bits below it makes the `traits`
 * of a field.
 */
export const fieldKinds = {
  regular: 0,
  method: 1,
  scheme: 2,
  path: 3,
  authority: 4,
  status: 5,
  otherPseudo: 6,
  connectionSpecific: 7,
  te: 8,
  contentLength: 9,
  host: 10,
} as const;

/** The bits of `traits` that hold the kind. */
export const kindMask = 0xf;
/** The name is empty or has an octet that section 8.2.1 (or RFC 9110 section 5.1) forbids. */
export const badName = 0x10;
/** The value has an octet outside 0x20 to 0x7e, or outer white space (S39). */
export const badValue = 0x20;

/** RFC 7541 section 4.1: what a field counts for beside its octets. */
export const fieldOverhead = 32;

/** The kind of a name that is valid. */
export function nameKind(name: string): number {
  return (
    specialNames.get(name) ??
    (name.charCodeAt(0) === colon ? fieldKinds.otherPseudo : fieldKinds.regular)
  );
}

/** Traits of octets that are a field's name: {@link badName} or 0. */
export function nameTraits(bytes: Uint8Array, start: number, end: number): number {
  if (start === end) {
    return badName;
  }
  let position = bytes[start] === colon && end - start > 1 ? start + 1 : start;
  for (; position < end; position += 1) {
    if ((octetClasses[bytes[position]!]! & nameOctet) === 0) {
      return badName;
    }
  }
  return 0;
}

/** Traits of octets that are a field's value: {@link badValue} or 0. */
export function valueTraits(bytes: Uint8Array, start: number, end: number): number {
  for (let position = start; position < end; position += 1) {
    if ((octetClasses[bytes[position]!]! & valueOctet) === 0) {
      return badValue;
    }
  }
  return end > start && (bytes[start] === space || bytes[end - 1] === space) ? badValue : 0;
}

/**
 * Checks fields the application gives.
 *
 * @throws TypeError if a name or value could not be sent
 */
export function checkFields(fields: Fields): void {
  for (let index = 0; index < fields.length; index += 2) {
    const name = fields[index]!;
    const value = fields[index + 1];
    if (value === undefined) {
      throw new TypeError(`fields: the last name, ${JSON.stringify(name)}, has no value`);
    }
    if (!isValidName(name)) {
      throw new TypeError(
        `field name: expected a lower-case token, found ${JSON.stringify(name.slice(0, 64))}`,
      );
    }
    if (!isValidValue(value)) {
      throw new TypeError(
        `field ${name}: expected a value of printable ASCII without outer spaces`,
      );
    }
  }
}

function isValidName(name: string): boolean {
  const first = name.charCodeAt(0) === colon ? 1 : 0;
  for (let index = first; index < name.length; index += 1) {
    if (((octetClasses[name.charCodeAt(index)] ?? 0) & nameOctet) === 0) {
      return false;
    }
  }
  return name.length > first;
}

function isValidValue(value: string): boolean {
  for (let index = 0; index < value.length; index += 1) {
    if (((octetClasses[value.charCodeAt(index)] ?? 0) & valueOctet) === 0) {
      return false;
    }
  }
  return value.charCodeAt(0) !== space && value.charCodeAt(value.length - 1) !== space;
}

const colon = 0x3a;
const space = 0x20;

const nameOctet = 1;
const valueOctet = 2;

const octetClasses: Uint8Array = Uint8Array.from({ length: 256 }, (_, octet) => {
  const isName = /^[!#$%&'*+\-.^_`|~0-9a-z]$/.test(String.fromCharCode(octet));
  const isValue = octet >= 0x20 && octet <= 0x7e;
  return (isName ? nameOctet : 0) | (isValue ? valueOctet : 0);
});

const specialNames: ReadonlyMap<string, number> = new Map([
  [":method", fieldKinds.method],
  [":scheme", fieldKinds.scheme],
  [":path", fieldKinds.path],
  [":authority", fieldKinds.authority],
  [":status", fieldKinds.status],
  // RFC 9113 section 8.2.2.
  ["connection", fieldKinds.connectionSpecific],
  ["proxy-connection", fieldKinds.connectionSpecific],
  ["keep-alive", fieldKinds.connectionSpecific],
  ["transfer-encoding", fieldKinds.connectionSpecific],
  ["upgrade", fieldKinds.connectionSpecific],
  ["te", fieldKinds.te],
  ["content-length", fieldKinds.contentLength],
  ["host", fieldKinds.host],
]);
