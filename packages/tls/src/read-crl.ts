import { once } from "node:events";
import { Worker } from "node:worker_threads";

import { crlFromParts, parseCrl } from "@handfast/x509";
import type { Certificate, Crl, CrlParts } from "@handfast/x509";

/** What the worker is given. */
export interface CrlJob {
  readonly bytes: Uint8Array;
  readonly issuers: readonly Uint8Array[];
}

export type CrlAnswer = { readonly parts: CrlParts } | { readonly reason: string };

/**
 * Parses a CRL and verifies it under those of the issuers that may have signed it; a large one in another
 * thread, so that no connection waits for it (S4). `crl.verify(issuer)` answers from memory afterwards.
 *
 * @throws X509Error CRL_MALFORMED
 */
export async function readCrl(bytes: Uint8Array, issuers: readonly Certificate[]): Promise<Crl> {
  if (bytes.length <= MAIN_THREAD_BYTES) {
    const crl = parseCrl(bytes);
    for (const issuer of issuers) crl.verify(issuer);
    return crl;
  }
  const worker = new Worker(workerFile);
  try {
    worker.postMessage({ bytes, issuers: issuers.map(({ der }) => der) } satisfies CrlJob);
    const [answer] = (await once(worker, "message")) as [CrlAnswer];
    if ("reason" in answer) throw new Error(answer.reason);
    return crlFromParts(answer.parts);
  } finally {
    void worker.terminate();
  }
}

/** Above this, a CRL is never parsed or verified on the main thread. */
export const MAIN_THREAD_BYTES: number = 1024 * 1024;

const workerFile = new URL(
  import.meta.url.endsWith(".ts") ? "./crl-worker.ts" : "./crl-worker.js",
  import.meta.url,
);
