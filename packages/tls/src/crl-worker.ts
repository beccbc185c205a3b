// Reads and verifies one large CRL off the main thread: the message is a CrlJob, the answer a CrlAnswer.
import { parentPort } from "node:worker_threads";

import { parseCertificate, parseCrl } from "@handfast/x509";

import { reasonOf } from "./errors.ts";
import type { CrlAnswer, CrlJob } from "./read-crl.ts";

parentPort?.once("message", ({ bytes, issuers }: CrlJob) => {
  parentPort?.postMessage(work(bytes, issuers));
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
