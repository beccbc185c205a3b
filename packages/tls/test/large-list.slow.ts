// A revocation list of a million entries in a running server: what it weighs.
import assert from "node:assert/strict";
import { mkdtemp, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import { issueCrl, parseSerialNumber } from "@handfast/x509";

import { crlFromDirectory } from "../src/index.ts";
import { authority, runtime } from "./fixtures.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

test("a list of 1,000,000 entries is held in at most twice its file", async (context) => {
  const folder = await mkdtemp(join(tmpdir(), "handfast-large-"));
  const file = join(folder, "root.crl");
  await writeFile(file, listOf(1, 1));
  await writeFile(`${folder}.crl`, listOf(1_000_000, 2));
  await using bank = await runtime(authority.issue({ name: "localhost" }), {
    revocation: crlFromDirectory(folder, { undetermined: "refuse" }),
  });
  const before = held();
  await rename(`${folder}.crl`, file);
  assert.equal((await bank.mtls.reload()).revocation, "replaced");
  const { size } = await stat(file);
  const ratio = (held() - before) / size;
  context.diagnostic(`${(size / 1e6).toFixed(0)} MB, held ${ratio.toFixed(2)} times`);
  assert.ok(ratio <= 2, `held ${ratio.toFixed(2)} times`);
  await rm(folder, { recursive: true });
});

function listOf(entries: number, number: number): Uint8Array {
  const revokedAt = new Date(Date.now() - 60_000);
  return issueCrl({
    issuer: authority,
    entries: Array.from({ length: entries }, (_, index) => ({
      serialNumber: parseSerialNumber((0x40_0000_0000 + index).toString(16)),
      revokedAt,
    })),
    number,
    thisUpdate: revokedAt,
    nextUpdate: new Date(Date.now() + 3_600_000),
  });
}

/** The JavaScript heap and the buffers beside it. */
function held(): number {
  // Twice: buffers are freed after the collection that found them unused.
  collectGarbage();
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
