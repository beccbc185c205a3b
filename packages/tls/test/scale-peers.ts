// Many clients in one process: each holds a mutual TLS session with its own certificate, by bare node:tls.
// Talks with scale.ts by messages.
import { readFile } from "node:fs/promises";
import { connect } from "node:tls";
import type { TLSSocket } from "node:tls";

import type { PeersJob, PeersReport } from "./scale.ts";

const sockets = new Map<number, TLSSocket>();
let port = 0;
let bundlePem = "";

process.on("message", (message: PeersJob) => {
  if (message.type === "open") void open(message);
  else askAll();
});
process.on("disconnect", () => process.exit());

function tell(report: PeersReport): void {
  // Whoever asked may be gone.
  process.send?.(report, undefined, undefined, () => {});
}

/** Tells of closed sessions a few at a time: to read one message each would be work for whoever is measured. */
function tellClosed(index: number): void {
  if (closed.push({ index, at: Date.now() }) > 1) return;
  setTimeout(() => tell({ type: "closed", sessions: closed.splice(0) }), TELL_MS);
}

/** Opens every session, a few at a time, and reports when each server has answered. */
async function open(job: Extract<PeersJob, { type: "open" }>): Promise<void> {
  ({ port, bundlePem } = job);
  const left = (JSON.parse(await readFile(job.file, "utf8")) as Credentials[]).entries();
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (const [index, credentials] of left) await openOne(index, credentials);
    }),
  );
  tell({ type: "open", count: sockets.size });
}

function openOne(
  index: number,
  { certificateChainPem, privateKeyPem }: Credentials,
): Promise<void> {
  const socket = connect({
    host: "127.0.0.1",
    servername: "localhost",
    port,
    ca: [bundlePem],
    cert: certificateChainPem,
    key: privateKeyPem,
    ALPNProtocols: ["h2"],
  });
  sockets.set(index, socket);
  socket.on("error", () => {});
  socket.once("close", () => {
    sockets.delete(index);
    tellClosed(index);
  });
  return new Promise((resolve) => {
    socket.once("data", () => resolve());
    socket.once("close", () => resolve());
  });
}

/** Sends a byte on each session and counts those that answer; who is cut instead does not. */
function askAll(): void {
  let waiting = sockets.size;
  let answered = 0;
  if (waiting === 0) tell({ type: "answered", count: 0 });
  const settle = (): void => {
    waiting--;
    if (waiting === 0) tell({ type: "answered", count: answered });
  };
  for (const socket of sockets.values()) {
    const onData = (): void => {
      answered++;
      socket.off("close", settle);
      settle();
    };
    socket.once("data", onData);
    socket.once("close", settle);
    socket.write("?");
  }
}

interface Credentials {
  readonly certificateChainPem: string;
  readonly privateKeyPem: string;
}

const closed: { readonly index: number; readonly at: number }[] = [];
const AT_ONCE = 16;
const TELL_MS = 20;
