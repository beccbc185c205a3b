// Run by http-environment.test.ts in a process of its own: tries each adapter, alone, with the certificates of
// a CA that is not trusted, and prints what became of it.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { argv, stdout } from "node:process";

import { createTestAuthority } from "@handfast/x509/testing";
import type { TestIdentity } from "@handfast/x509/testing";

import { TlsError } from "../src/index.ts";
import { authority, runtime } from "./fixtures.ts";
import {
  bareServer,
  get,
  getHttp2,
  http1Servers,
  http2Client,
  http2Servers,
  httpClients,
  plainClient,
  serverIdentity,
} from "./http-fixtures.ts";

const directory = argv[2] ?? "";
const stranger: TestIdentity = {
  ...createTestAuthority().issue(),
  certificateChainPem: readFileSync(join(directory, "cert.pem"), "utf8"),
  privateKeyPem: readFileSync(join(directory, "key.pem"), "utf8"),
};
const unsafe = { dangerouslyAllowUnsafeEnvironment: true };
const results: Record<string, string | undefined> = {};

await using strangeServer = await bareServer(stranger);
const strangePort = Number(new URL(strangeServer.url).port);
// The control: what the environment makes of clients that leave it to Node's defaults.
results["Node's defaults"] = await get({ port: strangePort }).then(
  ({ body }) => body,
  (error: unknown) => String(error),
);
const served = strangeServer.requests();

await using caller = await runtime(authority.issue({ name: "alice" }), unsafe);
for (const [name, ask] of Object.entries(httpClients)) {
  results[name] = await ask(caller.mtls, strangeServer.url).then(
    () => "accepted",
    (error: Error) => codeOf(error) ?? codeOf(error.cause),
  );
}
results["requests of refused clients"] = String(strangeServer.requests() - served);

let requests = 0;
for (const [name, serve] of Object.entries(http1Servers)) {
  await using bank = await runtime(serverIdentity, unsafe);
  await using server = await serve(bank.mtls, () => requests++);
  const { headers } = await get({ port: server.port }, plainClient(stranger));
  results[name] = String(headers["handfast-refusal"]);
}
for (const [name, serve] of Object.entries(http2Servers)) {
  await using bank = await runtime(serverIdentity, unsafe);
  await using server = await serve(bank.mtls, () => requests++);
  const client = http2Client(server.port, stranger);
  client.on("goaway", (_code, _last, text?: Buffer) => {
    results[name] = text?.toString().split(":", 1)[0];
  });
  await getHttp2(client).catch(() => {});
}
results["requests served"] = String(requests);
stdout.write(JSON.stringify(results));

function codeOf(error: unknown): string | undefined {
  return error instanceof TlsError ? error.refusal?.code : undefined;
}
