// A server that ends the handshake by an alert: whose refusal it is, and which.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { test } from "node:test";

import { TlsError } from "../src/index.ts";
import type { RefusalCode } from "../src/index.ts";
import { authority, runtime } from "./fixtures.ts";

// RFC 8446, 6: the number of each alert.
const alerts: readonly [string, number, RefusalCode][] = [
  ["unexpected_message", 10, "UNEXPECTED_MESSAGE"],
  ["bad_record_mac", 20, "DECRYPTION_FAILED"],
  ["record_overflow", 22, "DECRYPTION_FAILED"],
  ["handshake_failure", 40, "KEY_EXCHANGE_FAILURE"],
  ["bad_certificate", 42, "CERTIFICATE_VERIFICATION_FAILED"],
  ["unsupported_certificate", 43, "CERTIFICATE_VERIFICATION_FAILED"],
  ["certificate_revoked", 44, "CERTIFICATE_REVOKED"],
  ["certificate_expired", 45, "CERTIFICATE_EXPIRED"],
  ["certificate_unknown", 46, "CERTIFICATE_VERIFICATION_FAILED"],
  ["illegal_parameter", 47, "UNEXPECTED_MESSAGE"],
  ["unknown_ca", 48, "CERTIFICATE_AUTHORITY_INVALID"],
  ["access_denied", 49, "NOT_ADMITTED"],
  ["decode_error", 50, "UNEXPECTED_MESSAGE"],
  ["decrypt_error", 51, "SIGNATURE_VERIFICATION_FAILED"],
  ["protocol_version", 70, "PROTOCOL_VERSION_UNSUPPORTED"],
  ["insufficient_security", 71, "CIPHER_SUITE_MISMATCH"],
  ["internal_error", 80, "UNKNOWN_FAILURE"],
  ["inappropriate_fallback", 86, "INAPPROPRIATE_FALLBACK"],
  ["user_canceled", 90, "PEER_CONNECTION_CLOSED"],
  ["missing_extension", 109, "UNEXPECTED_MESSAGE"],
  ["unrecognized_name", 112, "CERTIFICATE_HOSTNAME_MISMATCH"],
  ["certificate_required", 116, "NO_CLIENT_CERTIFICATE"],
  ["no_application_protocol", 120, "NO_APPLICATION_PROTOCOL"],
];

for (const [name, number, code] of alerts) {
  test(`the alert ${name} is the peer's refusal ${code}`, async () => {
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", () => socket.end(new Uint8Array([21, 3, 3, 0, 2, 2, number])));
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    await using caller = await runtime(authority.issue({ name: "alice" }));
    await assert.rejects(caller.mtls.dial({ host: "127.0.0.1", port }), (error: unknown) => {
      assert.ok(error instanceof TlsError);
      assert.deepEqual([error.refusal?.code, error.refusal?.by], [code, "peer"]);
      return true;
    });
    server.close();
  });
}
