// Where floods come from: a process of its own that talks with flood.ts by messages.
import { randomBytes } from "node:crypto";
import { connect as connectNet } from "node:net";
import type { Socket } from "node:net";
import { connect as connectTls } from "node:tls";

import type { FloodJob, FloodReport } from "./flood.ts";

process.on("message", (job: FloodJob) => {
  const work = job.kind === "silent" ? beSilent(job) : connectAtRate(job);
  void work.then((report) => process.send?.(report, undefined, undefined, ignore));
});
process.on("disconnect", () => process.exit());

/** Connects from one address and says nothing; what stays open stays so until this process ends. */
async function beSilent({ port, count }: FloodJob): Promise<FloodReport> {
  const started = performance.now();
  await Promise.all(
    Array.from({ length: count }, () => over(rawSocket(port, "127.0.0.2"), ["connect"])),
  );
  return { connections: count, seconds: (performance.now() - started) / 1000 };
}

/** Begins connections at a rate, from many addresses in turn, and waits until each is refused. */
async function connectAtRate({ kind, port, count, ...job }: FloodJob): Promise<FloodReport> {
  const { perSecond = 1000, strangers = [], bundlePem = "" } = job;
  const started = performance.now();
  let begun = 0;
  const connectOne = async (): Promise<void> => {
    while (begun < count) {
      const number = begun++;
      const lateMs = performance.now() - started - (number * 1000) / perSecond;
      if (lateMs < 0) await new Promise((resolve) => setTimeout(resolve, -lateMs));
      const raw = rawSocket(port, `127.0.1.${1 + (number % SOURCES)}`);
      if (kind === "garbage") {
        raw.end(garbage(number));
        await over(raw, []);
        continue;
      }
      const stranger = strangers[number % strangers.length];
      const socket = connectTls({
        socket: raw,
        servername: "localhost",
        ca: [bundlePem],
        cert: stranger?.certificateChainPem,
        key: stranger?.privateKeyPem,
        ALPNProtocols: ["http/1.1"],
      });
      socket.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
      // Some are told why, and could stay for a while; the others are closed.
      await over(socket, ["data"]);
      socket.destroy();
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, connectOne));
  return { connections: count, seconds: (performance.now() - started) / 1000 };
}

/** Noise, plain HTTP, a TLS record that lies about its length, half a hello, by turns. */
function garbage(number: number): Buffer {
  switch (number % 4) {
    case 0:
      return randomBytes(512);
    case 1:
      return Buffer.from("GET / HTTP/1.1\r\n\r\n");
    case 2:
      return Buffer.concat([Buffer.from("1603014000", "hex"), randomBytes(256)]);
    default:
      return Buffer.concat([Buffer.from("16030100f0010000ec0303", "hex"), randomBytes(240)]);
  }
}

function rawSocket(port: number, localAddress: string): Socket {
  return connectNet({ host: "127.0.0.1", port, localAddress });
}

/** When one of the events has come, or the socket has closed. */
function over(socket: Socket, events: readonly string[]): Promise<void> {
  return new Promise((resolve) => {
    socket.on("error", ignore);
    socket.resume();
    for (const event of [...events, "close"]) socket.once(event, () => resolve());
  });
}

function ignore(): void {}

const SOURCES = 40;
const AT_ONCE = 128;
