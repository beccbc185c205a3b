import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { systemNetwork } from "../src/index.ts";
import { listenWith } from "./support/acme.ts";

const [A, TXT, AAAA] = [1, 16, 28];

/** A DNS server that answers from a table, `NAME TYPE` to records or a response code; gives its address. */
async function dnsServer(
  context: TestContext,
  table: ReadonlyMap<string, readonly Buffer[] | number>,
): Promise<{ address: string; asked: string[] }> {
  const asked: string[] = [];
  const socket = createSocket("udp4", (query, from) => {
    let end = 12;
    const labels = [];
    for (let length = query[end] ?? 0; length > 0; length = query[end] ?? 0) {
      labels.push(query.toString("latin1", end + 1, end + 1 + length));
      end += 1 + length;
    }
    const type = query.readUInt16BE(end + 1);
    const key = `${labels.join(".")} ${type}`;
    asked.push(key);
    const found = table.get(key) ?? 3; // no such name
    const records = typeof found === "number" ? [] : found;
    const header = Buffer.from(query.subarray(0, 12));
    header.writeUInt16BE(0x8180 + (typeof found === "number" ? found : 0), 2);
    header.writeUInt16BE(records.length, 6);
    header.writeUInt32BE(0, 8);
    const answers = records.map((data) => {
      const fixed = Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 0, 0, data.length]);
      return Buffer.concat([fixed, data]);
    });
    const question = query.subarray(12, end + 5);
    socket.send(Buffer.concat([header, question, ...answers]), from.port, from.address);
  });
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  context.after(() => socket.close());
  return { address: `127.0.0.1:${socket.address().port}`, asked };
}

test("names are resolved by the resolver that was named, each type of record once", async (context) => {
  const text = (...pieces: string[]) =>
    Buffer.concat(pieces.map((piece) => Buffer.from([piece.length, ...Buffer.from(piece)])));
  const { address, asked } = await dnsServer(
    context,
    new Map<string, readonly Buffer[] | number>([
      [`api.bank.example ${A}`, [Buffer.from([192, 0, 2, 1]), Buffer.from([192, 0, 2, 2])]],
      [`api.bank.example ${AAAA}`, [Buffer.from("20010db8000000000000000000000001", "hex")]],
      [`four.bank.example ${A}`, [Buffer.from([192, 0, 2, 4])]],
      [`four.bank.example ${AAAA}`, []],
      [`broken.bank.example ${A}`, 2],
      [`broken.bank.example ${AAAA}`, 2],
      [`_acme-challenge.bank.example ${TXT}`, [text("one", "piece"), text("another")]],
    ]),
  );
  const network = systemNetwork({ resolvers: [address] });
  assert.deepEqual(await network.addresses("api.bank.example"), [
    "2001:db8::1",
    "192.0.2.1",
    "192.0.2.2",
  ]);
  assert.deepEqual(asked.toSorted(), [`api.bank.example ${A}`, `api.bank.example ${AAAA}`]);
  assert.deepEqual(await network.addresses("four.bank.example"), ["192.0.2.4"]);
  assert.deepEqual(await network.addresses("nobody.bank.example"), []);
  await assert.rejects(network.addresses("broken.bank.example"), { code: "ESERVFAIL" });
  assert.deepEqual(await network.texts("_acme-challenge.bank.example"), ["onepiece", "another"]);
  assert.deepEqual(await network.texts("_acme-challenge.nobody.example"), []);
});

test("localhost is what DNS says, and not the hosts file", async (context) => {
  const { address } = await dnsServer(context, new Map());
  assert.deepEqual(
    await systemNetwork({ resolvers: [address] }).addresses("localhost.bank.example"),
    [],
  );
});

test("a connection goes to the address that was given, and is given up with the signal", async (context) => {
  const network = systemNetwork();
  const port = await listenWith(
    context,
    createServer((socket) => socket.end("here")),
  );
  const to = { address: "127.0.0.1", port };
  const socket = await network.connect({ ...to, signal: AbortSignal.timeout(5_000) });
  const chunks = await socket.toArray();
  assert.equal(Buffer.concat(chunks as Buffer[]).toString(), "here");
  await assert.rejects(network.connect({ ...to, signal: AbortSignal.abort() }), {
    name: "AbortError",
  });
  await assert.rejects(
    network.connect({ address: "127.0.0.1", port: 1, signal: AbortSignal.timeout(5_000) }),
    { code: "ECONNREFUSED" },
  );
  assert.ok(network.ownAddresses().includes("127.0.0.1"));
});
