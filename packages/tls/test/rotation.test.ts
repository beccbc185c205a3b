// Certificates, keys and bundles change under load, in every order in which tools write files. The number of
// changes per order is HANDFAST_ROTATIONS, 2 by default; `npm run test:slow` does 100.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, readlink, rename, rm, symlink, unlink, writeFile, mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TLSSocket } from "node:tls";

import { createTestAuthority } from "@handfast/x509/testing";
import type { TestAuthority } from "@handfast/x509/testing";

import { identityFromFiles, trustFromFile } from "../src/index.ts";
import type { MutualTls, Protocol } from "../src/index.ts";
import { addressOf, runtime } from "./fixtures.ts";

const rotations = Number(process.env["HANDFAST_ROTATIONS"] ?? "2");
const streams = 50;

/** One state of the three files. */
interface Files {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

/** A way of replacing files, and whether it needs the directory to be laid out in its own way. */
type Write = (folder: string, files: Files) => Promise<void>;

const replace = async (path: string, text: string): Promise<void> => {
  await writeFile(`${path}.new`, text, { mode: 0o600 });
  await rename(`${path}.new`, path);
};
const overwrite = (path: string, text: string): Promise<void> =>
  writeFile(path, text, { mode: 0o600 });
const recreate = async (path: string, text: string): Promise<void> => {
  await unlink(path);
  await writeFile(path, text, { mode: 0o600 });
};

const inOrder =
  (write: typeof replace, ...names: readonly (keyof Files)[]): Write =>
  async (folder, files) => {
    for (const name of names) await write(join(folder, name), files[name]);
  };

let swaps = 0;
const orders: Readonly<Record<string, Write>> = {
  "by rename, certificate first": inOrder(replace, "cert", "key", "ca"),
  "by rename, key first": inOrder(replace, "key", "cert", "ca"),
  "truncate and write, certificate first": inOrder(overwrite, "cert", "key", "ca"),
  "truncate and write, bundle and key first": inOrder(overwrite, "ca", "key", "cert"),
  "delete and recreate": inOrder(recreate, "key", "ca", "cert"),
  "garbage in between": async (folder, files) => {
    for (const name of ["cert", "key", "ca"] as const) {
      await overwrite(join(folder, name), "-----BEGIN CERTIFICATE-----\ngarbage");
      await overwrite(join(folder, name), "");
      await overwrite(join(folder, name), files[name]);
    }
  },
  "by a directory symlink, as Kubernetes does": async (folder, files) => {
    const fresh = `..data_${++swaps}`;
    await mkdir(join(folder, fresh));
    for (const name of ["cert", "key", "ca"] as const) {
      await writeFile(join(folder, fresh, name), files[name], { mode: 0o600 });
    }
    const old = await readlink(join(folder, "..data"));
    await symlink(fresh, join(folder, "..data.new"));
    await rename(join(folder, "..data.new"), join(folder, "..data"));
    await rm(join(folder, old), { recursive: true });
  },
};

for (const [order, write] of Object.entries(orders)) {
  test(`no call fails while certificate, key and CA are replaced ${order}`, async (context) => {
    const started = performance.now();
    const folder = await mkdtemp(join(tmpdir(), "handfast-rotation-"));
    const roots = [createTestAuthority({ commonName: "Root 0" })];
    const bundle = (): string => roots.map(({ bundlePem }) => bundlePem).join("");
    try {
      await layOut(folder, filesOf(roots.at(-1), "localhost", bundle()), order);
      const sources = {
        identity: identityFromFiles({
          certFile: join(folder, "cert"),
          keyFile: join(folder, "key"),
        }),
        trust: trustFromFile(join(folder, "ca")),
      };
      const first = roots[0]?.issue({ name: "localhost" });
      assert.ok(first !== undefined);
      await using bank = await runtime(first, {
        ...sources,
        // Fifty callers come anew at each change, all from one address, as fast as the machine can.
        limits: { perSourcePerSecond: 1e6, perSourceBurst: 1e6 },
      });
      await using caller = await runtime(first, sources);
      const listener = await bank.mtls.listen(
        { host: "localhost", port: 0 },
        { h2: echo, clientCertificates: "required" },
      );

      const load = startLoad(caller.mtls, addressOf(listener));
      for (let change = 1; change <= rotations; change++) {
        // The new root is trusted beside the old one before anything is issued by it; then the old one goes.
        const next = createTestAuthority({ commonName: `Root ${change}` });
        const current = roots.at(-1);
        roots.push(next);
        await write(folder, filesOf(current, "localhost", bundle()));
        await settled(bank.mtls, caller.mtls, (mtls) => mtls.trust.anchors.length === 2);
        const identity = filesOf(next, "localhost", bundle());
        await write(folder, identity);
        await settled(
          bank.mtls,
          caller.mtls,
          (mtls) => mtls.identity?.certificateChainPem === identity.cert,
        );
        await load.turn();
        load.assertNoFailure();
        assert.equal(bank.mtls.trust.anchors.length, 2);
        roots.shift();
        await load.reconnect();
        await write(folder, { ...identity, ca: bundle() });
        await settled(bank.mtls, caller.mtls, (mtls) => mtls.trust.anchors.length === 1);
      }
      const { calls, connections, failures, versions } = await load.stop();
      const seconds = (performance.now() - started) / 1000;
      context.diagnostic(
        `${rotations} changes, ${calls} calls over ${connections} connections, ${failures.length} failed, ${seconds.toFixed(1)} s`,
      );
      assert.deepEqual(failures, []);
      assert.ok(calls >= streams * rotations);
      assert.deepEqual([...versions], ["TLSv1.3"]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
}

function filesOf(authority: TestAuthority | undefined, name: string, ca: string): Files {
  const identity = authority?.issue({ name });
  assert.ok(identity !== undefined);
  return { cert: identity.certificateChainPem, key: identity.privateKeyPem, ca };
}

async function layOut(folder: string, files: Files, order: string): Promise<void> {
  const names = ["cert", "key", "ca"] as const;
  if (!order.includes("symlink")) {
    for (const name of names) await writeFile(join(folder, name), files[name], { mode: 0o600 });
    return;
  }
  await mkdir(join(folder, "..data_0"));
  for (const name of names) {
    await writeFile(join(folder, "..data_0", name), files[name], { mode: 0o600 });
    await symlink(join("..data", name), join(folder, name));
  }
  await symlink("..data_0", join(folder, "..data"));
}

/** Both ends have seen the change; reload() looks now instead of waiting for an event. */
async function settled(
  server: MutualTls,
  client: MutualTls,
  there: (mtls: MutualTls) => boolean,
): Promise<void> {
  for (const mtls of [server, client]) {
    for (let tries = 0; !there(mtls); tries++) {
      assert.ok(tries < 100, "the change was never seen");
      await mtls.reload();
    }
  }
}

/** Fifty callers, each on its connection, a new one now and then; a failed call is recorded. */
function startLoad(
  mtls: MutualTls,
  address: { host: string; port: number },
): {
  turn(): Promise<void>;
  reconnect(): Promise<void>;
  /** Ends a test that has failed, rather than to go on without its callers. */
  assertNoFailure(): void;
  stop(): Promise<{
    calls: number;
    connections: number;
    failures: unknown[];
    versions: Set<string>;
  }>;
} {
  let running = true;
  let calls = 0;
  let connections = 0;
  let epoch = 0;
  const failures: unknown[] = [];
  const versions = new Set<string>();
  const turns = Array<number>(streams).fill(0);
  const epochs = Array<number>(streams).fill(0);
  const waiting = new Set<() => void>();

  async function caller(index: number): Promise<void> {
    let socket: TLSSocket | undefined;
    try {
      while (running) {
        const wanted = epoch;
        if (socket === undefined || epochs[index] !== wanted) {
          socket?.destroy();
          ({ socket } = await mtls.dial(address));
          connections++;
          versions.add(socket.getProtocol() ?? "");
        }
        const answer = once(socket, "data");
        socket.write(`call ${index}`);
        assert.equal(String((await answer)[0]), `call ${index}`);
        calls++;
        turns[index] = (turns[index] ?? 0) + 1;
        epochs[index] = wanted;
        for (const wake of waiting) wake();
      }
    } catch (thrown) {
      failures.push(thrown);
    }
    socket?.destroy();
  }

  /** Until every caller has done what `done` asks of it, or one has failed. */
  const until = (done: () => boolean): Promise<void> =>
    new Promise((resolve) => {
      const look = (): void => {
        if (!done() && failures.length === 0) return;
        waiting.delete(look);
        resolve();
      };
      waiting.add(look);
    });

  const callers = turns.map((_, index) => caller(index));
  return {
    turn() {
      const before = [...turns];
      return until(() => turns.every((turn, index) => turn > (before[index] ?? 0)));
    },
    reconnect() {
      const wanted = ++epoch;
      return until(() => epochs.every((reached) => reached >= wanted));
    },
    assertNoFailure: () => assert.deepEqual(failures, []),
    async stop() {
      running = false;
      await Promise.all(callers);
      return { calls, connections, failures, versions };
    },
  };
}

const echo: Protocol = {
  accept(socket) {
    socket.on("data", (bytes: Buffer) => socket.write(bytes));
    return { drain() {}, activity: () => ({ callsInFlight: 0 }) };
  },
  refuse: (socket) => void socket.destroy(),
};
