import { createDecipheriv, createHmac } from "node:crypto";

/** What a server said in its handshake, as far as it was heard. */
export interface OverheardHandshake {
  /** Whether it answered in TLS at all, up to a ServerHello. */
  readonly serverHello: boolean;
  /** Its certificates as they were sent, leaf first, DER. */
  readonly certificates: readonly Uint8Array[];
  /** Undefined if it asked for no certificate of ours. */
  readonly certificateRequest: CertificateRequest | undefined;
}

/** A server's CertificateRequest. */
export interface CertificateRequest {
  /** DER names of the CAs it would like our certificate to be of; empty if it names none. */
  readonly authorities: readonly Uint8Array[];
}

/**
 * Reads a server's handshake off the bytes it sent: what Node's API does not tell a client is whether a
 * certificate was asked for and of which CAs, and nothing at all of a handshake that failed. TLS 1.2 says it
 * in the clear (RFC 5246, 7.4); for TLS 1.3 `serverSecret` is SERVER_HANDSHAKE_TRAFFIC_SECRET of that very
 * connection (RFC 8446, 7.1), which its own socket told and which never leaves memory. Never throws: it stops
 * at the first thing it does not understand.
 */
export function readServerHandshake(
  received: Uint8Array,
  serverSecret: Uint8Array | undefined,
): OverheardHandshake {
  const heard: {
    serverHello: boolean;
    certificates: Uint8Array[];
    certificateRequest: CertificateRequest | undefined;
  } = { serverHello: false, certificates: [], certificateRequest: undefined };
  try {
    let tls13 = false;
    for (const { type, body } of messages(Buffer.from(received), serverSecret)) {
      if (type === SERVER_HELLO) {
        heard.serverHello = true;
        tls13 = isTls13(body);
      }
      if (type === CERTIFICATE) heard.certificates = readCertificates(body, tls13);
      if (type === CERTIFICATE_REQUEST) heard.certificateRequest = readRequest(body, tls13);
    }
  } catch {
    // Cut short, or not what it claims to be: what was understood until there is the answer.
  }
  return heard;
}

interface Message {
  readonly type: number;
  readonly body: Buffer;
}

/** The handshake messages, those of protected records too where the secret is known. */
function* messages(received: Buffer, secret: Uint8Array | undefined): Generator<Message> {
  let pending = Buffer.alloc(0);
  let open: ((record: Buffer, body: Buffer) => Buffer) | undefined;
  for (let at = 0; at + RECORD_HEADER <= received.length;) {
    const end = at + RECORD_HEADER + received.readUInt16BE(at + 3);
    if (end > received.length) return;
    const header = received.subarray(at, at + RECORD_HEADER);
    const body = received.subarray(at + RECORD_HEADER, end);
    const type = header.readUInt8(0);
    at = end;
    // Compatibility, and in TLS 1.2 the end of what is said in the clear, but for a Finished nobody needs.
    if (type === CHANGE_CIPHER_SPEC) continue;
    if (type === HANDSHAKE) pending = Buffer.concat([pending, body]);
    else if (type === APPLICATION_DATA && open !== undefined) {
      const plain = open(header, body);
      if (plain === handshakeOver) return;
      pending = Buffer.concat([pending, plain]);
    } else return;
    while (pending.length >= 4) {
      const length = pending.readUIntBE(1, 3);
      if (pending.length < 4 + length) break;
      const message = { type: pending.readUInt8(0), body: pending.subarray(4, 4 + length) };
      pending = pending.subarray(4 + length);
      yield message;
      if (message.type === FINISHED) return;
      if (message.type === SERVER_HELLO && secret !== undefined && isTls13(message.body)) {
        open = recordOpener(secret, suiteOf(message.body));
      }
    }
  }
}

/** Opens protected records in order (RFC 8446, 5.2 and 5.3). */
function recordOpener(
  secret: Uint8Array,
  suite: number,
): ((header: Buffer, body: Buffer) => Buffer) | undefined {
  const parameters = suites[suite];
  if (parameters === undefined) return undefined;
  const { cipher, hash, keyBytes } = parameters;
  const key = expandLabel(secret, { label: "key", length: keyBytes, hash });
  const iv = expandLabel(secret, { label: "iv", length: 12, hash });
  let sequence = 0;
  return (header, body) => {
    const nonce = Buffer.from(iv);
    nonce.writeUInt32BE((nonce.readUInt32BE(8) ^ sequence++) >>> 0, 8);
    const decipher = createDecipheriv(cipher as "aes-128-gcm", key, nonce);
    decipher.setAAD(header);
    decipher.setAuthTag(body.subarray(-TAG_BYTES));
    const padded = Buffer.concat([decipher.update(body.subarray(0, -TAG_BYTES)), decipher.final()]);
    let end = padded.length;
    while (end > 0 && padded[end - 1] === 0) end--;
    return padded[end - 1] === HANDSHAKE ? padded.subarray(0, end - 1) : handshakeOver;
  };
}

/** HKDF-Expand-Label with an empty context, for one block of output (RFC 8446, 7.1). */
function expandLabel(
  secret: Uint8Array,
  { label, length, hash }: { label: string; length: number; hash: string },
): Buffer {
  const full = Buffer.from(`tls13 ${label}`);
  const info = Buffer.concat([
    Buffer.from([length >> 8, length & 0xff, full.length]),
    full,
    Buffer.from([0, 1]),
  ]);
  return createHmac(hash, secret).update(info).digest().subarray(0, length);
}

/** The extension supported_versions of a ServerHello says TLS 1.3 (RFC 8446, 4.2.1). */
function isTls13(hello: Buffer): boolean {
  const sessionEnd = 35 + hello.readUInt8(34);
  return (
    extensionsOf(hello, sessionEnd + 3)
      .get(SUPPORTED_VERSIONS)
      ?.readUInt16BE(0) === 0x0304
  );
}

function suiteOf(hello: Buffer): number {
  return hello.readUInt16BE(35 + hello.readUInt8(34));
}

function extensionsOf(bytes: Buffer, at: number): Map<number, Buffer> {
  const found = new Map<number, Buffer>();
  if (at + 2 > bytes.length) return found;
  for (let next = at + 2; next + 4 <= bytes.length;) {
    const end = next + 4 + bytes.readUInt16BE(next + 2);
    found.set(bytes.readUInt16BE(next), bytes.subarray(next + 4, end));
    next = end;
  }
  return found;
}

function readCertificates(body: Buffer, tls13: boolean): Uint8Array[] {
  const certificates: Uint8Array[] = [];
  let at = (tls13 ? 1 + body.readUInt8(0) : 0) + 3;
  while (at + 3 <= body.length) {
    const end = at + 3 + body.readUIntBE(at, 3);
    certificates.push(body.subarray(at + 3, end));
    at = tls13 ? end + 2 + body.readUInt16BE(end) : end;
  }
  return certificates;
}

function readRequest(body: Buffer, tls13: boolean): CertificateRequest {
  if (tls13) {
    const extensions = extensionsOf(body, 1 + body.readUInt8(0));
    const named = extensions.get(CERTIFICATE_AUTHORITIES);
    return { authorities: named === undefined ? [] : readNames(named, 2) };
  }
  const schemes = 1 + body.readUInt8(0);
  return { authorities: readNames(body, schemes + 2 + body.readUInt16BE(schemes) + 2) };
}

function readNames(bytes: Buffer, from: number): Uint8Array[] {
  const names: Uint8Array[] = [];
  for (let at = from; at + 2 <= bytes.length;) {
    const end = at + 2 + bytes.readUInt16BE(at);
    names.push(bytes.subarray(at + 2, end));
    at = end;
  }
  return names;
}

const handshakeOver = Buffer.alloc(0);
const suites: Readonly<Record<number, { cipher: string; hash: string; keyBytes: number }>> = {
  0x1301: { cipher: "aes-128-gcm", hash: "sha256", keyBytes: 16 },
  0x1302: { cipher: "aes-256-gcm", hash: "sha384", keyBytes: 32 },
  0x1303: { cipher: "chacha20-poly1305", hash: "sha256", keyBytes: 32 },
};
const RECORD_HEADER = 5;
const TAG_BYTES = 16;
const CHANGE_CIPHER_SPEC = 20;
const HANDSHAKE = 22;
const APPLICATION_DATA = 23;
const SERVER_HELLO = 2;
const CERTIFICATE = 11;
const CERTIFICATE_REQUEST = 13;
const FINISHED = 20;
const SUPPORTED_VERSIONS = 43;
const CERTIFICATE_AUTHORITIES = 47;
