// Floods of connections that come to nothing, and what a good client feels of them. The flood comes from a
// process of its own; the server, with its default limits, and the good client are in this one.
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import { connect as connectNet } from "node:net";
import type { Socket } from "node:net";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import { createTestAuthority } from "@handfast/x509/testing";

import { peerOf } from "../src/index.ts";
import type { TlsEvent } from "../src/index.ts";
import { authority, portOf, runtime } from "./fixtures.ts";

/** What the other process is to do. */
export interface FloodJob {
  /** `silent`: from 127.0.0.2, and open to the end. `garbage`, `strangers`: from forty addresses, at a rate. */
  readonly kind: "silent" | "garbage" | "strangers";
  readonly port: number;
  readonly count: number;
  readonly perSecond?: number;
  readonly bundlePem?: string;
  /** Certificates of a CA that the server does not trust. */
  readonly strangers?: readonly {
    readonly certificateChainPem: string;
    readonly privateKeyPem: string;
  }[];
}

export interface FloodReport {
  readonly connections: number;
  readonly seconds: number;
}

/** What a flood did. */
export interface Flooded {
  readonly connections: number;
  readonly perSecond: number;
  /** Connections that the server refused, by code. */
  readonly refused: ReadonlyMap<string, number>;
  /** The good client's calls, each on a connection of its own, before the flood and during it. */
  readonly calmMs: readonly number[];
  readonly floodedMs: readonly number[];
  /** What is held after the flood beyond what was held before it, both after a garbage collection. */
  readonly heapGrowthBytes: number;
  readonly rssGrowthBytes: number;
}

/** Serves a good client before and during a flood. */
export async function flood(
  job: Pick<FloodJob, "kind" | "count" | "perSecond">,
  { calls }: { calls: number },
): Promise<Flooded> {
  const refused = new Map<string, number>();
  const count = (event: TlsEvent): void => {
    if (event.type !== "handshake" || event.refusal === undefined) return;
    refused.set(event.refusal.code, (refused.get(event.refusal.code) ?? 0) + 1);
  };
  await using bank = await runtime(authority.issue({ name: "localhost" }), { onEvent: count });
  await using caller = await runtime(authority.issue({ name: "alice" }), { onEvent: () => {} });
  const listener = await bank.mtls.serveHttp(
    createServer((request, response) => void response.end(peerOf(request)?.identity)),
    { host: "0.0.0.0", port: 0 },
  );
  const port = portOf(listener);
  const stranger = createTestAuthority({ commonName: "Stranger" });
  const full: FloodJob = {
    ...job,
    port,
    bundlePem: authority.bundlePem,
    strangers: Array.from({ length: 100 }, (_, n) => {
      const { certificateChainPem, privateKeyPem } = stranger.issue({ name: `stranger-${n}` });
      return { certificateChainPem, privateKeyPem };
    }),
  };
  const source = fork(join(import.meta.dirname, "flood-source.ts"), [], { execArgv: [] });
  const send = async (task: FloodJob): Promise<FloodReport> => {
    source.send(task);
    return ((await once(source, "message")) as [FloodReport])[0];
  };
  /** No faster than a source may connect for long. */
  const callOnce = async (): Promise<number> => {
    const pause = new Promise((resolve) => setTimeout(resolve, CALL_EVERY_MS));
    const took = await call(caller.mtls, port);
    await pause;
    return took;
  };
  try {
    // What is made once and kept is made before the first look at the memory.
    if (job.kind !== "silent") await send({ ...full, count: Math.min(job.count, 300) });
    const calmMs: number[] = [];
    for (let n = 0; n < calls; n++) calmMs.push(await callOnce());
    refused.clear();
    const before = memory();
    const floodedMs: number[] = [];
    let report: FloodReport | undefined;
    const flooding = send(full).then((done) => (report = done));
    // The silent ones last as long as their process does; the others are over when all have been sent.
    if (job.kind === "silent") await flooding;
    while (job.kind === "silent" ? floodedMs.length < calls : report === undefined)
      floodedMs.push(await callOnce());
    const { connections, seconds } = await flooding;
    const after = memory();
    return {
      connections,
      perSecond: connections / seconds,
      refused: new Map(refused),
      calmMs,
      floodedMs,
      heapGrowthBytes: after.heapUsed - before.heapUsed,
      rssGrowthBytes: after.rss - before.rss,
    };
  } finally {
    source.disconnect();
  }
}

/**
 * Calls of the good client, each of which was answered, took less than a second: all of them, or every second
 * one where the flood burns all the CPU there is. Nothing is left in memory.
 */
export function assertServed(
  { floodedMs, heapGrowthBytes, rssGrowthBytes, connections }: Flooded,
  { heapBytes, percent = 100 }: { heapBytes: number; percent?: number },
): void {
  assert.ok(floodedMs.length > 0);
  const slowest = Number(percentile(floodedMs, percent));
  assert.ok(slowest < 1000, `p${percent} of the calls is ${slowest} ms`);
  assert.ok(
    heapGrowthBytes < heapBytes,
    `${heapGrowthBytes} bytes of heap more after ${connections} connections`,
  );
  // Generous: allocators keep what they have been given, and 100 connections at a time need 10 MiB.
  assert.ok(
    rssGrowthBytes < RSS_BYTES,
    `${rssGrowthBytes} bytes resident more after ${connections} connections`,
  );
}

/** One line of figures. */
export function describeFlood(flooded: Flooded): string {
  const { connections, perSecond, refused, calmMs, floodedMs } = flooded;
  const mb = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
  const codes = [...refused].map(([code, count]) => `${count} ${code}`).join(", ");
  return (
    `${connections} connections at ${perSecond.toFixed(0)}/s, refused: ${codes}; ` +
    `a good call (new connection) p50 ${percentile(calmMs, 50)} -> ${percentile(floodedMs, 50)} ms, ` +
    `p99 ${percentile(calmMs, 99)} -> ${percentile(floodedMs, 99)} ms (${floodedMs.length} calls); ` +
    `heap ${mb(flooded.heapGrowthBytes)}, rss ${mb(flooded.rssGrowthBytes)} more afterwards`
  );
}

/** One request on a connection of its own, from 127.0.0.1. @returns how long it took. */
async function call(
  mtls: Awaited<ReturnType<typeof runtime>>["mtls"],
  port: number,
): Promise<number> {
  const started = performance.now();
  const raw: Socket = connectNet({ host: "127.0.0.1", port, localAddress: "127.0.0.1" });
  await once(raw, "connect");
  const { socket } = await mtls.dial({ socket: raw, host: "localhost" }, { alpn: ["http/1.1"] });
  socket.write("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  let text = "";
  for await (const chunk of socket) text += String(chunk);
  assert.match(text, /^HTTP\/1\.1 200 [^]*spiffe:\/\/handfast\.test\/alice/);
  return performance.now() - started;
}

function memory(): NodeJS.MemoryUsage {
  collectGarbage();
  return process.memoryUsage();
}

function percentile(values: readonly number[], percent: number): string {
  const sorted = values.toSorted((a, b) => a - b);
  const index = Math.min(sorted.length - 1, Math.floor((sorted.length * percent) / 100));
  return (sorted[index] ?? Number.NaN).toFixed(1);
}

const CALL_EVERY_MS = 30;
const RSS_BYTES = 96 * 1024 * 1024;
setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;
