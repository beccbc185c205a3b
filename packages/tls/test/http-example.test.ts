// The example of examples/node-https, run as its README says.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { env, execPath } from "node:process";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { promisify } from "node:util";

import { createTestAuthority } from "@handfast/x509/testing";

const example = join(import.meta.dirname, "../../../examples/node-https");

test("the HTTPS example prints what its README shows, and ends when it is told to", async () => {
  const directory = await mkdtemp(join(tmpdir(), "handfast-example-"));
  try {
    const authority = createTestAuthority({ trustDomain: "handfast.internal" });
    const settings = async (name: string): Promise<NodeJS.ProcessEnv> => {
      const identity = authority.issue({ name, dns: ["localhost"] });
      const put = async (file: string, text: string): Promise<string> => {
        await writeFile(join(directory, file), text, { mode: 0o600 });
        return join(directory, file);
      };
      return {
        PATH: env["PATH"],
        CA_FILE: await put("ca.crt", authority.bundlePem),
        CERT_FILE: await put(`${name}.crt`, identity.certificateChainPem),
        KEY_FILE: await put(`${name}.key`, identity.privateKeyPem),
      };
    };
    const run = (script: string): string[] => [
      "--conditions=@handfast/source",
      join(example, script),
    ];

    const server = spawn(execPath, run("server.ts"), {
      env: { ...(await settings("server")), PORT: "0" },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = (await once(createInterface(server.stdout), "line")) as [string];
    const port = /^serving on https:\/\/localhost:(\d+)\/$/.exec(line)?.[1];
    assert.ok(port !== undefined, line);

    const { stdout } = await promisify(execFile)(execPath, run("client.ts"), {
      env: { ...(await settings("client")), PORT: port },
    });
    const readme = await readFile(join(example, "README.md"), "utf8");
    assert.match(stdout, /^fetch: 200 hello spiffe:/);
    assert.ok(readme.includes(`\n${stdout}\`\`\``), stdout);

    server.kill("SIGTERM");
    const [code] = (await once(server, "exit")) as [number];
    assert.equal(code, 0);
  } finally {
    await rm(directory, { recursive: true });
  }
});
