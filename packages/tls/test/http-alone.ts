// Run by http-environment.test.ts in a process of its own: tries each adapter, alone, with the certificates of
// a CA that is not trusted, and prints what became of it. With a third argument the bundle's file turns empty,
// blank or is cut short after the start.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { createSecureServer } from "node:http2";
import { join } from "node:path";
import { argv, stdout } from "node:process";

import { createTestAuthority } from "@handfast/x509/testing";
import type { TestIdentity } from "@handfast/x509/testing";

import { TlsError, trustFromFile } from "../src/index.ts";
import type { MutualTls } from "../src/index.ts";
import { authority, recorder, runtime } from "./fixtures.ts";
import {
  bareServer,
  get,
  getHttp2,
  http1Servers,
  http2Client,
  http2Servers,
  httpClients,
  plainClient,
  rawConnection,
  readAll,
  serverIdentity,
} from "./http-fixtures.ts";

const directory = argv[2] ?? "";
const brokenBundles = {
  empty: "",
  blank: " \n\t\n",
  truncated: authority.bundlePem.slice(0, -40),
} as const;
const stranger: TestIdentity = {
  ...createTestAuthority().issue(),
  certificateChainPem: readFileSync(join(directory, "cert.pem"), "utf8"),
  privateKeyPem: readFileSync(join(directory, "key.pem"), "utf8"),
};
const unsafe = { dangerouslyAllowUnsafeEnvironment: true };
const results: Record<string, string | undefined> = {};
const bundleFile = join(directory, "ca.pem");
const brokenBundle = brokenBundles[argv[3] as keyof typeof brokenBundles];

/** A runtime, whose bundle has turned bad since it started, if that is tried. */
async function begin(identity: TestIdentity): Promise<Awaited<ReturnType<typeof runtime>>> {
  if (brokenBundle === undefined) return runtime(identity, unsafe);
  await writeFile(bundleFile, authority.bundlePem);
  const begun = await runtime(identity, { ...unsafe, trust: trustFromFile(bundleFile) });
  await writeFile(bundleFile, brokenBundle);
  const { trust } = await begun.mtls.reload();
  if (typeof trust !== "object") throw new Error(`the bundle came into use: ${trust}`);
  return begun;
}

if (brokenBundle !== undefined) {
  await writeFile(bundleFile, brokenBundle);
  const begun = runtime(serverIdentity, { ...unsafe, trust: trustFromFile(bundleFile) });
  results["at the start"] = await begun.then(
    () => "started",
    (error: unknown) => (error instanceof TlsError ? error.code : String(error)),
  );
}

await using strangeServer = await bareServer(stranger);
const strangePort = Number(new URL(strangeServer.url).port);
// The control: what the environment makes of clients that leave it to Node's defaults.
results["Node's defaults"] = await get({ port: strangePort }).then(
  ({ body }) => body,
  (error: unknown) => String(error),
);
const served = strangeServer.requests();

await using caller = await begin(authority.issue({ name: "alice" }));
for (const [name, ask] of Object.entries(httpClients)) {
  results[name] = await ask(caller.mtls, strangeServer.url).then(
    () => "accepted",
    (error: Error) => codeOf(error) ?? codeOf(error.cause),
  );
}
results["requests of refused clients"] = String(strangeServer.requests() - served);

let requests = 0;
for (const [name, serve] of Object.entries(http1Servers)) {
  await using bank = await begin(serverIdentity);
  await using server = await serve(bank.mtls, () => requests++);
  const { headers } = await get({ port: server.port }, plainClient(stranger));
  results[name] = String(headers["handfast-refusal"]);
}
for (const [name, serve] of Object.entries(http2Servers)) {
  await using bank = await begin(serverIdentity);
  await using server = await serve(bank.mtls, () => requests++);
  const client = http2Client(server.port, stranger);
  client.on("goaway", (_code, _last, text?: Buffer) => {
    results[name] = text?.toString().split(":", 1)[0];
  });
  await getHttp2(client).catch(() => {});
}
results["foreign server"] = await foreign((await begin(serverIdentity)).mtls);
results["requests served"] = String(requests);
stdout.write(JSON.stringify(results));

/** What a server of node:http2 with our options, which does nothing else, makes of the stranger. */
async function foreign(mtls: MutualTls): Promise<string> {
  const { serverOptions, contextOptions } = mtls.foreignServer(recorder());
  const server = createSecureServer({ ...serverOptions, ...contextOptions() });
  server.on("session", () => requests++);
  server.listen(0, "localhost");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const socket = await rawConnection(port, stranger, ["h2"]);
  const said = await readAll(socket);
  server.close();
  await mtls.close();
  return /^no (\w+)/.exec(said)?.[1] ?? said;
}

function codeOf(error: unknown): string | undefined {
  return error instanceof TlsError ? error.refusal?.code : undefined;
}
