// Our ACME client at a foreign authority: pebble, the test server of those who wrote the protocol. It refuses good
// nonces now and then, and takes its time, to see whether clients can bear it.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { createAcmeClient, solveByDns, solveByHttp, solveByTlsAlpn } from "@handfast/ca";
import type { AcmeClient, ChallengeSolver } from "@handfast/ca";
import { certificatesToPem, encodePrivateKey, generateKeyPair } from "@handfast/x509";
import { createTestAuthority } from "@handfast/x509/testing";
import { freePort } from "./acme-authority.ts";
import { cached, needs } from "./peers.ts";
import { startServer } from "./programs.ts";

const pebble = cached("go", "pebble");
const dnsServer = cached("go", "pebble-challtestsrv");
const skip = needs(pebble, "pebble") ?? needs(dnsServer, "pebble-challtestsrv");

/** pebble, and a DNS server that knows every name, on this machine. */
interface Foreign {
  readonly httpPort: number;
  readonly tlsPort: number;
  readonly dns: ChallengeSolver;
  client(solvers: readonly ChallengeSolver[]): AcmeClient;
}

async function startForeign(context: TestContext): Promise<Foreign> {
  const folder = await mkdtemp(join(tmpdir(), "handfast-pebble-"));
  context.after(() => rm(folder, { recursive: true, force: true }));
  const port = async () => String(await freePort());
  const [listen, management, names, commands] = await Promise.all([port(), port(), port(), port()]);
  const [httpPort, tlsPort] = await Promise.all([freePort(), freePort()]);
  const authority = createTestAuthority();
  const { certificate, privateKey } = authority.issue({ dns: ["localhost"] });
  const externalAccount = { keyId: "handfast", macKey: randomBytes(32).toString("base64url") };
  await writeFile(join(folder, "cert.pem"), certificatesToPem([certificate]));
  await writeFile(join(folder, "key.pem"), encodePrivateKey(privateKey), { mode: 0o600 });
  const config = {
    listenAddress: `127.0.0.1:${listen}`,
    managementListenAddress: `127.0.0.1:${management}`,
    certificate: join(folder, "cert.pem"),
    privateKey: join(folder, "key.pem"),
    httpPort,
    tlsPort,
    ocspResponderURL: "",
    retryAfter: { authz: 1, order: 1 },
    externalAccountBindingRequired: true,
    externalAccountMACKeys: { [externalAccount.keyId]: externalAccount.macKey },
  };
  await writeFile(join(folder, "pebble.json"), JSON.stringify({ pebble: config }));
  const named = `-dnsserver=127.0.0.1:${names} -management=127.0.0.1:${commands}`;
  const nothingElse = "-defaultIPv6= -http01= -https01= -tlsalpn01= -doh=";
  const resolver = await startServer([dnsServer, ...`${named} ${nothingElse}`.split(" ")], {
    listening: /Starting management server on .*:(\d+)/,
  });
  context.after(() => resolver.end());
  const configured = ["-config", join(folder, "pebble.json")];
  const server = await startServer(
    [pebble, "-strict", `-dnsserver=127.0.0.1:${names}`, ...configured],
    {
      listening: /ACME directory available at: https:\/\/.*:(\d+)\/dir/,
      env: { PEBBLE_VA_NOSLEEP: "1" },
    },
  );
  context.after(() => server.end());
  const command = async (path: string, body: Record<string, string>) => {
    const url = `http://127.0.0.1:${commands}/${path}`;
    const answer = await fetch(url, { method: "POST", body: JSON.stringify(body) });
    assert.equal(answer.status, 200);
  };
  return {
    httpPort,
    tlsPort,
    dns: solveByDns({
      present: ({ name, value }) => command("set-txt", { host: `${name}.`, value }),
      remove: ({ name }) => command("clear-txt", { host: `${name}.` }),
    }),
    client: (solvers) =>
      createAcmeClient({
        directoryUrl: `https://localhost:${listen}/dir`,
        roots: [certificatesToPem([authority.certificate])],
        accountKey: generateKeyPair().privateKey,
        externalAccount,
        contact: ["ops@bank.example"],
        agreeToTerms: true,
        solvers,
      }),
  };
}

test(
  "our client obtains by each challenge from pebble, renews when it says, and revokes",
  { skip },
  async (context) => {
    const { client, httpPort, tlsPort, dns } = await startForeign(context);
    const host = "127.0.0.1";
    const name = "api.bank.example";
    const byHttp = client([solveByHttp({ host, port: httpPort })]);
    const { certificate } = await byHttp.obtain({ names: [name, "www.bank.example"] });
    assert.deepEqual(certificate.subjectAltNames.dns.toSorted(), [name, "www.bank.example"]);

    const window = await byHttp.renewalWindow(certificate);
    assert.ok(window && window.start < window.end && window.end < certificate.notAfter);
    const next = await byHttp.obtain({
      names: [name],
      replaces: certificate,
      keyAlgorithm: "rsa-2048",
    });
    assert.notEqual(next.certificate.serialNumber, certificate.serialNumber);
    await byHttp.revoke(next.certificate, { reason: 4 });

    const byTls = client([solveByTlsAlpn({ host, port: tlsPort })]);
    assert.equal((await byTls.obtain({ names: [name] })).chain.length, 2);
    const byDns = client([dns]);
    const wildcard = await byDns.obtain({ names: ["*.bank.example"] });
    assert.deepEqual(wildcard.certificate.subjectAltNames.dns, ["*.bank.example"]);
  },
);
