// No setting of the process changes what the HTTP adapters refuse.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { env, execPath } from "node:process";
import { after, before, test } from "node:test";
import { promisify } from "node:util";

import { createTestAuthority } from "@handfast/x509/testing";

const run = promisify(execFile);
let directory = "";
const path = (name: string): string => join(directory, name);

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "handfast-http-"));
  const stranger = createTestAuthority({ commonName: "Stranger CA" });
  const identity = stranger.issue({ name: "localhost" });
  await writeFile(path("extra.pem"), stranger.bundlePem);
  await writeFile(path("cert.pem"), identity.certificateChainPem);
  await writeFile(path("key.pem"), identity.privateKeyPem, { mode: 0o600 });
});
after(() => rm(directory, { recursive: true }));

/** What each adapter, alone, made of a stranger's certificates in such a process. */
async function tryAll(
  settings: Record<string, string>,
  ...bundle: readonly string[]
): Promise<Record<string, string>> {
  const script = join(import.meta.dirname, "http-alone.ts");
  const { stdout } = await run(
    execPath,
    ["--conditions=@handfast/source", "--no-warnings", script, directory, ...bundle],
    { env: { PATH: env["PATH"], ...settings } },
  );
  return JSON.parse(stdout) as Record<string, string>;
}

const REFUSED = "CERTIFICATE_AUTHORITY_INVALID";
const allRefused = {
  "undici.request": REFUSED,
  "undici.fetch": REFUSED,
  "Node's own fetch": REFUSED,
  "https.request": REFUSED,
  "requests of refused clients": "0",
  "http.Server": REFUSED,
  "Express 5": REFUSED,
  "Fastify 5": REFUSED,
  "http2 with streams": REFUSED,
  "http2 with requests": REFUSED,
  "foreign server": REFUSED,
  "requests served": "0",
};

for (const [name, settings] of [
  ["NODE_EXTRA_CA_CERTS", () => ({ NODE_EXTRA_CA_CERTS: path("extra.pem") })],
  ["NODE_TLS_REJECT_UNAUTHORIZED=0", () => ({ NODE_TLS_REJECT_UNAUTHORIZED: "0" })],
] as const) {
  test(`S16, S25: with ${name} each adapter, alone, refuses strangers that Node would take`, async () => {
    const { "Node's defaults": control, ...adapters } = await tryAll(settings());
    assert.equal(control, "served");
    assert.deepEqual(adapters, allRefused);
  });
}

for (const bundle of ["empty", "blank", "truncated"]) {
  test(`S16: a bundle that turns ${bundle} gives no adapter the roots that Node would fall back to`, async () => {
    const settings = { NODE_EXTRA_CA_CERTS: path("extra.pem") };
    const {
      "Node's defaults": control,
      "at the start": start,
      ...adapters
    } = await tryAll(settings, bundle);
    assert.equal(control, "served");
    assert.equal(start, "TRUST_INVALID");
    assert.deepEqual(adapters, allRefused);
  });
}
