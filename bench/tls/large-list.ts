// A revocation list of a million entries comes into use in a running server: how long that takes, what it
// holds up, what it weighs. A process of its own, so that the memory is that of this work alone.
//   argv: the folder of the lists, the bundle, certificate and key, the list to put in place, a serial number
import { rename } from "node:fs/promises";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import {
  anyTrustedPeer,
  createMutualTls,
  crlFromDirectory,
  identityFromFiles,
  trustFromFile,
} from "@handfast/tls";

/** What it told. */
export interface LargeListReport {
  readonly loadMs: number;
  readonly longestDelayMs: number;
  /** Of the JavaScript heap and the buffers beside it. */
  readonly heldBytes: number;
}

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

const [folder = ".", list = ""] = process.argv.slice(2);
const mtls = await createMutualTls({
  identity: identityFromFiles({
    certFile: join(folder, "server.crt"),
    keyFile: join(folder, "server.key"),
  }),
  trust: trustFromFile(join(folder, "ca.crt")),
  revocation: crlFromDirectory(join(folder, "crls"), { undetermined: "refuse" }),
  admit: anyTrustedPeer(),
});
const before = held();
const delay = monitorEventLoopDelay({ resolution: 5 });
delay.enable();
const started = performance.now();
await rename(list, join(folder, "crls", "root.crl"));
const { revocation } = await mtls.reload();
const loadMs = performance.now() - started;
delay.disable();
if (revocation !== "replaced") throw new Error("the list did not come into use");
process.send?.({
  loadMs,
  longestDelayMs: delay.max / 1e6,
  heldBytes: held() - before,
} satisfies LargeListReport);
await mtls.close();

function held(): number {
  // Twice: buffers are freed after the collection that found them unused.
  collectGarbage();
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
