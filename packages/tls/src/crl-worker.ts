// Reads and verifies one large CRL off the main thread: the message is a CrlJob, the answer a CrlAnswer.
import { parentPort } from "node:worker_threads";

import { parseCertificate, parseCrl } from "@handfast/x509";
import type { CrlParts } from "@handfast/x509";

import { reasonOf } from "./errors.ts";
import type { CrlAnswer, CrlJob } from "./read-crl.ts";

parentPort?.once("message", ({ bytes, issuers }: CrlJob) => {
  const answer = work(bytes, issuers);
  parentPort?.postMessage(answer, "parts" in answer ? buffersOf(answer.parts) : []);
});

function work(bytes: Uint8Array, issuers: readonly Uint8Array[]): CrlAnswer {
  try {
    const crl = parseCrl(bytes);
    for (const issuer of issuers) crl.verify(parseCertificate(issuer));
    return { parts: crl.parts() };
  } catch (thrown) {
    return { reason: reasonOf(thrown) };
  }
}

/** What need not be copied into the other thread: buffers that hold nothing else. */
function buffersOf({ der, index }: CrlParts): ArrayBuffer[] {
  return [der, index.table, index.tags].flatMap(({ buffer, byteLength }) =>
    buffer instanceof ArrayBuffer && buffer.byteLength === byteLength ? [buffer] : [],
  );
}
