import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";

import { readServerHandshake } from "../src/doctor/overheard-handshake.ts";

/** A record with one handshake message. */
function message(type: number, body: readonly number[]): number[] {
  const length = body.length + 4;
  return [
    22,
    3,
    3,
    length >> 8,
    length & 255,
    type,
    0,
    body.length >> 8,
    body.length & 255,
    ...body,
  ];
}

test("whatever a server sends, hearing it throws nothing and ends", () => {
  const anything = fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 200 });
  const records = fc
    .array(fc.tuple(fc.constantFrom(2, 11, 13, 20, 25), anything), { maxLength: 5 })
    .map((parts) => parts.flatMap(([type, body]) => message(type, body)));
  const secret = fc.option(fc.uint8Array({ minLength: 32, maxLength: 48 }), { nil: undefined });
  fc.assert(
    fc.property(fc.oneof(anything, records), secret, (bytes, key) => {
      const heard = readServerHandshake(Uint8Array.from(bytes), key);
      assert.ok(heard.certificates.length < 100);
    }),
  );
});

test("a TLS 1.2 request for a certificate is heard, with the names in it", () => {
  const name = [48, 3, 1, 1, 1];
  const request = [1, 64, 0, 2, 4, 3, 0, name.length + 2, 0, name.length, ...name];
  const heard = readServerHandshake(Uint8Array.from(message(13, request)), undefined);
  assert.deepEqual(
    heard.certificateRequest?.authorities.map((der) => [...der]),
    [name],
  );
  const none = readServerHandshake(Uint8Array.from(message(13, [1, 64, 0, 0, 0, 0])), undefined);
  assert.deepEqual(none.certificateRequest?.authorities, []);
});
