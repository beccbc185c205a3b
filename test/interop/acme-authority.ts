// An authority online with ACME, in a world where every name leads to this machine: its validator resolves names to
// one public address, and connections to that address, port 80 or 443, end at the local listeners of the clients.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import {
  authorityHome,
  createAcme,
  createAuthority,
  createAuthorityService,
  initAuthorityHome,
  keysFromDirectory,
  openSqliteStore,
} from "@handfast/ca";
import type { AcmeEvent, Authority, ExternalAccountKey } from "@handfast/ca";
import { certificatesToPem } from "@handfast/x509";

/** An ACME server that clients of others talk to over TLS. */
export interface AcmeAuthority {
  readonly authority: Authority;
  /** Where its directory is. */
  readonly directoryUrl: string;
  /** What its own certificate is verified by. */
  readonly rootsFile: string;
  readonly folder: string;
  readonly events: readonly AcmeEvent[];
  /** Where the challenges of port 80 and 443 lead to. */
  readonly challengePorts: { http: number; tls: number };
  /** The TXT records of a name. */
  readonly texts: Map<string, () => Promise<readonly string[]>>;
  externalAccount(...names: string[]): Promise<ExternalAccountKey>;
}

/** Starts the authority; it ends with the test. */
export async function startAcmeAuthority(context: TestContext): Promise<AcmeAuthority> {
  const folder = await mkdtemp(join(tmpdir(), "handfast-acme-"));
  context.after(() => rm(folder, { recursive: true, force: true }));
  const home = join(folder, "home");
  await initAuthorityHome(home, { trustDomain: "handfast.internal", requester: "local:test" });
  const place = authorityHome(home);
  const store = openSqliteStore({ path: place.store, missing: "fail" });
  const keys = keysFromDirectory(place.directory);
  const authority = await createAuthority({ store, keys });
  context.after(() => authority.close());

  const challengePorts = { http: await freePort(), tls: await freePort() };
  const texts: AcmeAuthority["texts"] = new Map();
  const events: AcmeEvent[] = [];
  const service = await createAuthorityService({
    authority,
    names: ["localhost"],
    enrolment: { host: "127.0.0.1", port: 0 },
    authorityListener: { host: "127.0.0.1", port: 0 },
    acme: (enrolmentUrl) =>
      createAcme({
        authority,
        store,
        keys,
        url: `${enrolmentUrl}/acme`,
        onEvent: (event) => events.push(event),
        network: {
          addresses: async () => [publicAddress],
          texts: async (name) => (await texts.get(name)?.()) ?? [],
          ownAddresses: () => [],
          async connect({ port, signal }) {
            const to = port === 80 ? challengePorts.http : challengePorts.tls;
            const socket = connect({ host: "127.0.0.1", port: to, signal });
            await new Promise((resolve, reject) => {
              socket.once("connect", resolve);
              socket.once("error", reject);
            });
            return socket;
          },
        },
      }),
  });
  context.after(() => service.shutdown());
  const rootsFile = join(folder, "roots.pem");
  await writeFile(rootsFile, certificatesToPem(await authority.roots()));
  return {
    authority,
    directoryUrl: `${service.enrolmentUrl}/acme/directory`,
    rootsFile,
    folder,
    events,
    challengePorts,
    texts,
    externalAccount: (...names) =>
      authority.createExternalAccount({ names, requester: "local:test" }),
  };
}

/** A port that nobody listens on now, for a client that cannot be asked which one it took. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (typeof address === "object" && address !== null) return address.port;
  throw new Error("no port was given");
}

const publicAddress = "93.184.215.14";
