import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { createConnection, encodeHeaderBlock } from "@handfast/http2";
import type { ClientConnection, Fields, ServerConnection } from "@handfast/http2";

// The machine alone: no socket, no TLS. What it costs to read and answer, per call and per octet.

/** One line of results. */
export interface MachineFigure {
  readonly name: string;
  readonly perSecond: string;
  readonly cost: string;
}

/** Runs all measurements; `milliseconds` each. */
export function measureMachine(milliseconds: number): MachineFigure[] {
  return [
    unaryCalls("small unary calls, client and server, 64 in flight", milliseconds, {
      inFlight: 64,
    }),
    unaryCalls("the same with deadline and two metadata entries", milliseconds, {
      inFlight: 64,
      metadata: true,
    }),
    unaryCalls("the same, heads compressed against the table as grpc-go does", milliseconds, {
      inFlight: 64,
      indexed: true,
    }),
    unaryCalls("small unary calls, one at a time", milliseconds, { inFlight: 1 }),
    bulk("1 MiB bodies, client to server", milliseconds),
  ];
}

/** Memory that a connection and a stream hold. */
export function measureMemory(): { readonly name: string; readonly octets: number }[] {
  const connections = 500;
  const streams = 100;
  const links: Link[] = [];
  const idle = heapGrowth(() => {
    for (let count = 0; count < connections; count += 1) {
      links.push(connect({ onServerData: () => {}, onClientEnd: () => {} }));
    }
  });
  const open = heapGrowth(() => {
    for (const link of links) {
      for (let count = 0; count < streams; count += 1) {
        link.client.request(requestHead, { call: { id: 0 } });
      }
      link.turn();
    }
  });
  return [
    { name: "memory of an idle connection, both ends", octets: idle / connections },
    { name: "memory of an open stream, both ends", octets: open / connections / streams },
  ];
}

function heapGrowth(action: () => void): number {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const held = (): number => {
    // What the first finds dead is freed by the second.
    collect();
    collect();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const before = held();
  action();
  return held() - before;
}

interface Call {
  id: number;
}

interface Link {
  readonly client: ClientConnection<Call>;
  readonly server: ServerConnection;
  /** Lets both ends say what they have to say. Returns octets moved. */
  turn(): number;
}

function unaryCalls(
  name: string,
  milliseconds: number,
  load: { readonly inFlight: number; readonly metadata?: boolean; readonly indexed?: boolean },
): MachineFigure {
  let answered = 0;
  const message = new Uint8Array(30);
  const prefix = Uint8Array.of(0, 0, 0, 0, 30);
  const link: Link = connect({
    onServerData: (call, end) => {
      if (end) {
        link.server.respond(call.id, {
          head: responseHead,
          data: [prefix, message],
          trailers: responseTrailers,
        });
      }
    },
    onClientEnd: () => {
      answered += 1;
    },
  });
  let sequence = 0;
  const elapsed = repeat(milliseconds, () => {
    for (let count = 0; count < load.inFlight; count += 1) {
      sequence += 1;
      const fields: Fields =
        load.metadata === true
          ? [
              "grpc-timeout",
              `${90_000 + (sequence % 1_000)}u`,
              "x-tenant",
              "acme",
              "x-trace",
              `t${sequence}`,
            ]
          : [];
      const head = load.indexed === true ? requestHead.fields : requestHead;
      link.client.request(load.metadata === true ? [requestHead, fields] : head, {
        call: { id: 0 },
        data: [prefix, message],
        end: true,
      });
    }
    link.turn();
  });
  // HEADERS and DATA one way, HEADERS, DATA and HEADERS the other.
  const frames = (answered * 5) / (elapsed / 1_000);
  return {
    name,
    perSecond: `${Math.round(frames).toLocaleString("en")} frames/s`,
    cost: `${((elapsed * 1_000) / answered).toFixed(2)} µs per call, both ends`,
  };
}

function bulk(name: string, milliseconds: number): MachineFigure {
  const body = new Uint8Array(1_048_576);
  let octets = 0;
  const link: Link = connect({
    onServerData: (call, end, length) => {
      octets += length;
      link.server.consume(call.id, length);
      if (end) {
        link.server.respond(call.id, { head: responseHead });
      }
    },
    onClientEnd: () => {},
  });
  const elapsed = repeat(milliseconds, () => {
    link.client.request(requestHead, { call: { id: 0 }, data: body, end: true });
    for (let moved = link.turn(); moved > 0; moved = link.turn()) {
      // Until both are quiet.
    }
  });
  const perSecond = octets / (elapsed / 1_000);
  return {
    name,
    perSecond: `${(perSecond / 1e9).toFixed(2)} GB/s`,
    cost: `${((elapsed * 1_000) / (octets / 1_048_576)).toFixed(0)} µs per MiB, both ends`,
  };
}

function connect(events: {
  readonly onServerData: (call: Call, end: boolean, length: number) => void;
  readonly onClientEnd: () => void;
}): Link {
  const nothing = (): void => {};
  const settings = { maxConcurrentStreams: 1_000 };
  const limits = { copyBelow: 0 };
  const server = createConnection<Call>({
    role: "server",
    now: 0,
    settings,
    limits,
    events: {
      onRequest: (id) => ({ id }),
      onData: (call, bytes, end) => events.onServerData(call, end, bytes.length),
      onTrailers: nothing,
      onReset: nothing,
      onClose: ({ error }) => fail(error),
    },
  });
  const client = createConnection<Call>({
    role: "client",
    now: 0,
    settings,
    limits,
    events: {
      onResponse: (_call, _head, end) => (end ? events.onClientEnd() : undefined),
      onData: (_call, _bytes, end) => (end ? events.onClientEnd() : undefined),
      onTrailers: () => events.onClientEnd(),
      onReset: nothing,
      onClose: ({ error }) => fail(error),
    },
  });
  let now = 0;
  const turn = (): number => {
    let moved = 0;
    now += 0.05;
    for (let round = 0; round < 2; round += 1) {
      const toServer = client.takeOutput(now);
      if (toServer !== undefined) {
        moved += toServer.length;
        server.receive(toServer, now);
        client.giveBack(toServer);
      }
      const toClient = server.takeOutput(now);
      if (toClient !== undefined) {
        moved += toClient.length;
        client.receive(toClient, now);
        server.giveBack(toClient);
      }
    }
    return moved;
  };
  turn();
  // Let go of the memory to send from, as a quiet second would.
  now += 2_000;
  server.tick(now);
  client.tick(now);
  return { client, server, turn };
}

/** Repeats an action for about so long; returns the milliseconds of processor time that it took. */
function repeat(milliseconds: number, action: () => void): number {
  const start = performance.now();
  const before = process.cpuUsage();
  while (performance.now() - start < milliseconds) {
    for (let count = 0; count < 16; count += 1) {
      action();
    }
  }
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000;
}

function fail(error: Error | undefined): void {
  throw error ?? new Error("the connection closed");
}

const requestHead = encodeHeaderBlock([
  ":method",
  "POST",
  ":scheme",
  "https",
  ":path",
  "/bench.v1.Echo/Unary",
  ":authority",
  "localhost:8443",
  "content-type",
  "application/grpc",
  "te",
  "trailers",
  "user-agent",
  "handfast-bench",
]);
const responseHead = encodeHeaderBlock([":status", "200", "content-type", "application/grpc"]);
const responseTrailers = encodeHeaderBlock(["grpc-status", "0"]);
