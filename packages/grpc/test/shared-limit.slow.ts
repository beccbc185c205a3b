// The shared rate limits in a real PostgreSQL, and in a real Valkey or Redis where one is installed.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import net from "node:net";
import { after, test } from "node:test";
import pg from "pg";
import { startPostgres } from "../../../test/support/postgres.ts";
import { sharedLimitsInPostgres, sharedLimitsInValkey } from "../src/index.ts";
import type { SharedBucket, SharedBuckets } from "../src/index.ts";

const slow: SharedBucket = { key: "slow", costMs: 1_000_000, toleranceMs: 10_000_000 };
const fast: SharedBucket = { key: "fast", costMs: 10, toleranceMs: 10 };

/** What holds for every store, asked by two instances. */
async function assertShared(first: SharedBuckets, second: SharedBuckets): Promise<void> {
  const waits = await Promise.all(
    Array.from({ length: 60 }, (_, at) => (at % 2 === 0 ? first : second).take(slow)),
  );
  assert.equal(waits.filter((wait) => wait === 0).length, 10, "the burst, and not one more");
  for (const wait of waits) assert.ok(wait >= 0 && wait <= 1_000_000, String(wait));
  const late = await first.take(slow);
  assert.ok(late > 990_000 && late <= 1_000_000, String(late));
  assert.equal(await second.take({ ...slow, key: "another" }), 0);

  let passed = 0;
  const start = performance.now();
  while (passed < 5) if ((await first.take(fast)) === 0) passed += 1;
  const took = performance.now() - start;
  // Five calls of 10 ms each, the first of which does not wait.
  assert.ok(took >= 38, `${took} ms`);
}

const postgres = await startPostgres();

test(
  "PostgreSQL: two instances share a bucket, to the last call",
  { skip: postgres.skip },
  async () => {
    assert.ok(postgres.skip === false);
    const connectionString = await postgres.database();
    const pools = [new pg.Pool({ connectionString }), new pg.Pool({ connectionString })] as const;
    // A connection that is still closing when the server ends says so.
    for (const pool of pools) pool.on("error", () => undefined);
    const [first, second] = [sharedLimitsInPostgres(pools[0]), sharedLimitsInPostgres(pools[1])];
    await first.take({ ...slow, key: "to make the table" });
    await assertShared(first, second);
    for (const pool of pools) await pool.end();
  },
);

const valkey = ["valkey-server", "redis-server"]
  .flatMap((name) => [`/usr/bin/${name}`, `/usr/local/bin/${name}`])
  .find((path) => existsSync(path));

test(
  "Valkey: two instances share a bucket, to the last call",
  { skip: valkey === undefined ? "neither valkey-server nor redis-server is installed" : false },
  async () => {
    const port = await freePort();
    const server = spawn(
      valkey ?? "",
      ["--port", String(port), "--save", "", "--bind", "127.0.0.1"],
      {
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    after(() => server.kill());
    for await (const chunk of server.stdout) {
      if (String(chunk).includes("eady to accept connections")) break;
    }
    const sockets = [net.connect(port, "127.0.0.1"), net.connect(port, "127.0.0.1")] as const;
    const [first, second] = sockets.map((socket) => sharedLimitsInValkey(evaluateOn(socket)));
    assert.ok(first !== undefined && second !== undefined);
    await assertShared(first, second);
    for (const socket of sockets) socket.destroy();
    server.kill();
    await once(server, "exit");
  },
);

/** EVAL in RESP, one command at a time answered in order: as much of a client as this takes. */
function evaluateOn(socket: net.Socket): Parameters<typeof sharedLimitsInValkey>[0] {
  const waiting: ((answer: string) => void)[] = [];
  let received = "";
  socket.setEncoding("latin1");
  socket.on("data", (chunk: string) => {
    received += chunk;
    for (;;) {
      const [whole, answer] = /^\$\d+\r\n([^\r]*)\r\n/.exec(received) ?? [];
      if (whole === undefined) return;
      received = received.slice(whole.length);
      waiting.shift()?.(answer ?? "");
    }
  });
  return (script, key, values) => {
    const words = ["EVAL", script, "1", key, ...values];
    const encoded = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join("");
    socket.write(`*${words.length}\r\n${encoded}`);
    return new Promise((resolve) => waiting.push(resolve));
  };
}

async function freePort(): Promise<number> {
  const server = net.createServer();
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
