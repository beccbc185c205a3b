// ACME clients of others obtain, renew and revoke certificates from our authority.
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { Agent } from "node:https";
import { join } from "node:path";
import { test } from "node:test";
import { parseCertificatesPem } from "@handfast/x509";
import acme from "acme-client";
import { startAcmeAuthority } from "./acme-authority.ts";
import type { AcmeAuthority } from "./acme-authority.ts";
import { onPath } from "./peers.ts";
import { runProgram } from "./programs.ts";

/** Runs a client and expects it to succeed. */
async function run(argv: readonly string[], env: Record<string, string>): Promise<string> {
  const { exitCode, output } = await runProgram(argv, { env, timeoutMs: 120_000 });
  assert.equal(exitCode, 0, output);
  return output;
}

/** The certificates of ACME in the inventory, newest first. */
async function inventory({ authority }: AcmeAuthority) {
  return authority.find({ profile: "acme" });
}

/** certbot in a folder of its own; none of the paths has a space. */
function certbotOf({ folder, directoryUrl, rootsFile }: AcmeAuthority) {
  const own = join(folder, "client");
  return (...texts: string[]): Promise<string> =>
    run(
      words(
        "certbot",
        ...texts,
        `--non-interactive --server ${directoryUrl}`,
        `--config-dir ${own} --work-dir ${own} --logs-dir ${own}`,
      ),
      { REQUESTS_CA_BUNDLE: rootsFile },
    );
}

function words(...texts: readonly string[]): readonly string[] {
  return texts.join(" ").split(" ");
}

async function leafOf(file: string) {
  const [leaf, issuing] = parseCertificatesPem(await readFile(file, "utf8"));
  assert.ok(leaf && issuing, "a leaf and the certificate above it");
  return leaf;
}

test(
  "certbot obtains by http-01, renews and revokes",
  { skip: onPath("certbot") },
  async (context) => {
    const server = await startAcmeAuthority(context);
    const { keyId, macKey } = await server.externalAccount("api.bank.example");
    // As `handfast ca eab create --out` writes it: the secret is in no argument.
    const file = join(server.folder, "eab.ini");
    await writeFile(file, `eab-kid = ${keyId}\neab-hmac-key = ${macKey}\n`, { mode: 0o600 });
    const certbot = certbotOf(server);
    const port = server.challengePorts.http;
    await certbot(
      `certonly --standalone --http-01-port ${port} --domain api.bank.example`,
      `--agree-tos --email ops@bank.example --config ${file}`,
    );
    const live = join(server.folder, "client", "live", "api.bank.example");
    const first = await leafOf(join(live, "fullchain.pem"));
    assert.deepEqual(first.subjectAltNames.dns, ["api.bank.example"]);

    await certbot("renew --force-renewal --no-random-sleep-on-renew");
    const second = await leafOf(join(live, "fullchain.pem"));
    assert.notEqual(second.serialNumber, first.serialNumber);

    const certificate = join(live, "cert.pem");
    await certbot(
      `revoke --cert-path ${certificate} --reason keycompromise --no-delete-after-revoke`,
    );
    const [newest, older] = await inventory(server);
    assert.equal(newest?.serialNumber, second.serialNumber);
    assert.equal(newest.revocation?.reason, "keyCompromise");
    assert.equal(older?.revocation, undefined);
    await certbot("unregister");
    assert.equal(server.events.at(-1)?.type, "account-deactivated");
  },
);

test("certbot obtains a wildcard by dns-01", { skip: onPath("certbot") }, async (context) => {
  const server = await startAcmeAuthority(context);
  const { keyId, macKey } = await server.externalAccount(".bank.example");
  const record = join(server.folder, "txt");
  const hook = join(server.folder, "hook.sh");
  const script = `#!/bin/sh\nprintf %s "$CERTBOT_VALIDATION" >"${record}"\n`;
  await writeFile(hook, script, { mode: 0o700 });
  server.texts.set("_acme-challenge.bank.example", async () => [await readFile(record, "utf8")]);
  await certbotOf(server)(
    `certonly --manual --preferred-challenges dns --manual-auth-hook ${hook} --domain *.bank.example`,
    `--agree-tos --email ops@bank.example --eab-kid ${keyId} --eab-hmac-key ${macKey}`,
  );
  const [issued] = await inventory(server);
  assert.deepEqual(
    issued?.names.map(({ value }) => value),
    ["*.bank.example"],
  );
});

test(
  "lego obtains by http-01 and tls-alpn-01, renews and revokes",
  { skip: onPath("lego") },
  async (context) => {
    const server = await startAcmeAuthority(context);
    const { keyId, macKey } = await server.externalAccount(".bank.example");
    const folder = join(server.folder, "client");
    const { http, tls } = server.challengePorts;
    const lego = (text: string) =>
      run(
        words(
          `lego --server ${server.directoryUrl} --path ${folder} --accept-tos --email ops@bank.example`,
          `--eab --kid ${keyId} --hmac ${macKey} ${text}`,
        ),
        { LEGO_CA_CERTIFICATES: server.rootsFile },
      );
    await lego(`--domains api.bank.example --http --http.port 127.0.0.1:${http} run`);
    const file = join(folder, "certificates", "api.bank.example.crt");
    const first = await leafOf(file);

    const renew = "renew --days 1000 --no-random-sleep";
    await lego(`--domains api.bank.example --http --http.port 127.0.0.1:${http} ${renew}`);
    const second = await leafOf(file);
    assert.notEqual(second.serialNumber, first.serialNumber);
    await lego(`--domains www.bank.example --tls --tls.port 127.0.0.1:${tls} run`);

    await lego("--domains api.bank.example revoke");
    const states = (await inventory(server)).map(({ names, revocation }) => [
      names[0]?.value,
      revocation?.reason,
    ]);
    assert.deepEqual(states, [
      ["www.bank.example", undefined],
      ["api.bank.example", "unspecified"],
      ["api.bank.example", undefined],
    ]);
    const ways = server.events.filter((event) => event.type === "challenge-validated");
    assert.deepEqual(
      ways.map(({ challenge }) => challenge),
      ["http-01", "http-01", "tls-alpn-01"],
    );
  },
);

test("the npm acme-client obtains, renews with another account key, and revokes", async (context) => {
  const server = await startAcmeAuthority(context);
  const { keyId, macKey } = await server.externalAccount("api.bank.example");
  const ca = await readFile(server.rootsFile, "utf8");
  acme.axios.defaults.httpsAgent = new Agent({ ca });
  const answers = new Map<string, string>();
  const web = createServer((request, response) => {
    response.end(answers.get(request.url ?? ""));
  });
  await new Promise<void>((resolve) =>
    web.listen(server.challengePorts.http, "127.0.0.1", resolve),
  );
  context.after(() => web.close());

  const client = new acme.Client({
    directoryUrl: server.directoryUrl,
    accountKey: await acme.crypto.createPrivateRsaKey(),
    externalAccountBinding: { kid: keyId, hmacKey: macKey },
  });
  const obtain = async () => {
    const [, csr] = await acme.crypto.createCsr({ commonName: "api.bank.example" });
    return client.auto({
      csr,
      email: "ops@bank.example",
      termsOfServiceAgreed: true,
      skipChallengeVerification: true,
      challengePriority: ["http-01"],
      challengeCreateFn: async (_authorization, { token }, keyAuthorization) => {
        answers.set(`/.well-known/acme-challenge/${token}`, keyAuthorization);
      },
      challengeRemoveFn: async (_authorization, { token }) => {
        answers.delete(`/.well-known/acme-challenge/${token}`);
      },
    });
  };
  const first = await obtain();
  await client.updateAccountKey(await acme.crypto.createPrivateEcdsaKey());
  const second = await obtain();
  assert.notEqual(second, first);
  await client.revokeCertificate(second, { reason: 4 });
  const [newest, older] = await inventory(server);
  assert.deepEqual(
    [newest?.revocation?.reason, older?.revocation?.reason],
    ["superseded", undefined],
  );
});
