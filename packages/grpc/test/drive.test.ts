import assert from "node:assert/strict";
import { Duplex } from "node:stream";
import { test } from "node:test";
import { createConnection } from "@handfast/http2";
import type { ClientConnection, ServerConnection } from "@handfast/http2";
import { drive } from "../src/wire/drive.ts";

// The driver on a socket whose peer reads when the test says so.

const head = [":method", "POST", ":scheme", "https", ":path", "/x", ":authority", "bank.test"];
/** The first answer is more than a socket takes at once. */
const largeThenSmall = (id: number): Uint8Array => new Uint8Array(id === 1 ? 100_000 : 10);

test("a server that shuts down ends the socket only when its last answer is out", async () => {
  const { socket, server, ask, turn } = await startServer();
  socket.stall();
  ask();
  server.shutdown(performance.now());
  await turn();
  assert.ok(socket.writableNeedDrain, "the first answer fills the socket");
  ask();
  // With the answer to the shutdown's ping nothing keeps the machine open, and the second answer waits.
  socket.arrive(socket.answerPings());
  await turn();
  assert.equal(server.phase, "closed");
  assert.ok(!socket.writableEnded, "there is more to write");
  await socket.readAll();
  assert.equal(countData(socket.written), 100_010);
  assert.ok(socket.writableFinished);
});

test("nothing is written after the peer has ended its side", async () => {
  const { socket, server, ask } = await startServer();
  const before = socket.written.length;
  ask();
  socket.push(null);
  await socket.readAll();
  assert.equal(server.phase, "closed");
  assert.equal(socket.written.length, before, "Node would fail the socket with EPIPE");
  assert.ok(socket.writableFinished);
});

test("a large answer is sent from one piece of memory, however often the socket is full", async () => {
  const { socket, ask } = await startServer(() => new Uint8Array(200_000));
  ask();
  await socket.readAll();
  // By now the slab is as large as it gets.
  socket.slabs.clear();
  ask();
  ask();
  await socket.readAll();
  assert.equal(countData(socket.written), 3 * 200_000);
  assert.equal(socket.slabs.size, 1);
});

test("a peer that has read nothing for five seconds after the end is left, one that goes on is not", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { socket, abort, turn } = await startServer();
  abort();
  await turn();
  await socket.readAll();
  for (let seconds = 0; seconds < 28; seconds += 4) {
    t.mock.timers.tick(4_000);
    assert.ok(!socket.destroyed, `alive after ${seconds} s`);
    socket.arrive(new Uint8Array(9));
    await turn();
  }
  t.mock.timers.tick(2_000);
  assert.ok(socket.destroyed, "thirty seconds are the most");

  const silent = await startServer();
  silent.abort();
  await silent.turn();
  t.mock.timers.tick(4_999);
  assert.ok(!silent.socket.destroyed);
  t.mock.timers.tick(1);
  assert.ok(silent.socket.destroyed);
});

/** A socket that keeps what is written until it is read. */
class SlowSocket extends Duplex {
  written: Buffer = Buffer.alloc(0);
  /** The memory that the written octets came from. */
  readonly slabs: Set<ArrayBufferLike> = new Set();
  #pending: (() => void) | undefined;
  #reads = true;

  constructor() {
    super({ allowHalfOpen: true, autoDestroy: false });
  }

  override _read(): void {
    // `arrive` pushes.
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: () => void): void {
    this.written = Buffer.concat([this.written, chunk]);
    this.slabs.add(chunk.buffer);
    if (this.#reads) setImmediate(done);
    else this.#pending = done;
  }

  /** The peer sends octets. */
  arrive(octets: Uint8Array): void {
    this.push(octets);
  }

  /** The peer reads no more. */
  stall(): void {
    this.#reads = false;
  }

  /** The peer reads again, until nothing comes any more. */
  async readAll(): Promise<void> {
    this.#reads = true;
    this.#pending?.();
    for (let turns = 0; turns < 20; turns += 1) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Acknowledgements of all pings that were written. */
  answerPings(): Uint8Array {
    return Buffer.concat(
      framesOf(this.written)
        .filter(({ type, flags }) => type === 6 && flags === 0)
        .map(({ payload }) => Buffer.concat([Buffer.from([0, 0, 8, 6, 1, 0, 0, 0, 0]), payload])),
    );
  }
}

/** A server that answers each request at once, and a client machine that makes octets for it. */
async function startServer(answer = largeThenSmall): Promise<{
  socket: SlowSocket;
  server: ServerConnection;
  ask(): void;
  abort(): void;
  turn(): Promise<void>;
}> {
  const socket = new SlowSocket();
  const server: ServerConnection = createConnection<number>({
    role: "server",
    now: performance.now(),
    events: {
      onRequest: (id) => {
        server.respond(id, { head: [":status", "200"], data: answer(id) });
        return id;
      },
      onData: () => {},
      onTrailers: () => {},
      onReset: (id) => server.release(id),
      onClose: () => {},
    },
  });
  const client: ClientConnection<undefined> = createConnection<undefined>({
    role: "client",
    now: 0,
    events: {
      onResponse: () => {},
      onData: () => {},
      onTrailers: () => {},
      onReset: () => {},
      onClose: () => {},
    },
  });
  const turn = (): Promise<void> =>
    new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  const driver = drive(socket, server);
  socket.arrive(client.takeOutput(0)!);
  await turn();
  return {
    socket,
    server,
    ask: () => {
      client.request(head, { call: undefined, end: true });
      socket.arrive(client.takeOutput(0)!);
    },
    abort: () => {
      server.abort();
      driver.wake();
    },
    turn,
  };
}

interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly payload: Buffer;
}

function framesOf(octets: Buffer): Frame[] {
  const frames: Frame[] = [];
  for (let at = 0; at + 9 <= octets.length;) {
    const length = octets.readUIntBE(at, 3);
    const payload = octets.subarray(at + 9, at + 9 + length);
    frames.push({ type: octets[at + 3]!, flags: octets[at + 4]!, payload });
    at += 9 + length;
  }
  return frames;
}

function countData(octets: Buffer): number {
  return framesOf(octets)
    .filter(({ type }) => type === 0)
    .reduce((sum, { payload }) => sum + payload.length, 0);
}
