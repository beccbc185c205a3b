// What the online authority does in a second, on SQLite: durable issuances through enrolment (gRPC over TLS,
// token, request, certificate, transaction), by 1 client and by 16, beside what the same process signs when it
// does nothing else; and OCSP responses over plain HTTP, kept ones and such that are signed when asked for.
// The client half runs in this process; what each costs is also told as the number that a second of the
// server's CPU time is enough for, which other programs on the machine disturb less.
//   npm run bench:ca -- [--rounds 3] [--issuances 1500] [--audit]
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createClient } from "@handfast/grpc";
import type { Client } from "@handfast/grpc";
import { createMutualTls, nobody, noIdentity, noRevocation, trustFromMemory } from "@handfast/tls";
import {
  createName,
  createOcspRequest,
  createRequest,
  generateKeyPair,
  parseCertificatesPem,
  parseSerialNumber,
} from "@handfast/x509";
import { Enrolment } from "../packages/ca/src/gen/handfast/ca/v1/ca_pb.ts";
import type { Answer, Question } from "./ca/server.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    issuances: { type: "string", default: "1500" },
    audit: { type: "boolean", default: false },
  },
});
const rounds = Number(values.rounds);
const issuances = Number(values.issuances);
const folder = mkdtempSync(join(tmpdir(), "handfast-bench-"));
const child = fork(
  new URL("ca/server.ts", import.meta.url),
  [folder, values.audit ? "audit" : ""],
  { execArgv: ["--conditions=@handfast/source"] },
);
const figures = new Map<string, number[]>();

try {
  const served = (await told()) as Extract<Answer, { url: string }>;
  const client = await enrolmentClient(served);
  await enrolments(client, { count: 200, clients: 16 });
  for (let round = 0; round < rounds; round++) {
    const raw = (await ask({ ask: "signatures", ms: 1_000 })) as Extract<
      Answer,
      { perCpuSecond: number }
    >;
    note("raw P-256 signatures", raw.perSecond);
    note("raw P-256 signatures, in a second of CPU time", raw.perCpuSecond);
    for (const clients of [1, 16, 64]) {
      const count = clients === 1 ? issuances / 5 : issuances;
      const { rate, cpuMs } = await enrolments(client, { count, clients });
      note(`durable issuances, ${clients} at a time`, rate);
      note(`  in a second of the server's CPU time, ${clients} at a time`, 1_000 / cpuMs);
    }
  }
  const requests = await ocspRequests(Math.min(10_000, rounds * issuances * 2));
  const signed = await ocsp(served.ocspUrl, { requests, total: requests.length });
  note("OCSP responses, signed when asked for", signed.rate);
  note("  in a second of the server's CPU time, signed", 1_000 / signed.cpuMs);
  for (let round = 0; round < rounds; round++) {
    const kept = await ocsp(served.ocspUrl, { requests: requests.slice(0, 500), total: 30_000 });
    note("OCSP responses, kept", kept.rate);
    note("  in a second of the server's CPU time, kept", 1_000 / kept.cpuMs);
  }
  client.close();
  report();
} finally {
  child.disconnect();
  await once(child, "exit");
  rmSync(folder, { recursive: true, force: true });
}
process.exit(0);

async function told(): Promise<Answer> {
  const [answer] = (await once(child, "message")) as [Answer];
  return answer;
}

function ask(question: Question): Promise<Answer> {
  const answer = told();
  child.send(question);
  return answer;
}

async function enrolmentClient({
  url,
  rootsPem,
}: {
  readonly url: string;
  readonly rootsPem: string;
}): Promise<Client<typeof Enrolment>> {
  const tls = await createMutualTls({
    identity: noIdentity(),
    trust: trustFromMemory(rootsPem),
    revocation: noRevocation(),
    admit: nobody(),
  });
  return createClient(Enrolment, { target: new URL(url).host, tls, retry: "never" });
}

/** So many enrolments with tokens and requests made before, by so many clients at once on one connection. */
async function enrolments(
  client: Client<typeof Enrolment>,
  { count, clients }: { readonly count: number; readonly clients: number },
): Promise<{ rate: number; cpuMs: number }> {
  const { tokens } = (await ask({ ask: "tokens", count })) as { tokens: readonly string[] };
  const requests = tokens.map((token) => {
    const { privateKey } = generateKeyPair();
    return { token, certificateRequest: createRequest({ subject: createName([]), privateKey }) };
  });
  return measured(count, async () => {
    let next = 0;
    const worker = async (): Promise<void> => {
      for (let request = requests[next++]; request !== undefined; request = requests[next++]) {
        await client.enrol(request);
      }
    };
    await Promise.all(Array.from({ length: clients }, worker));
  });
}

async function ocspRequests(limit: number): Promise<readonly Buffer[]> {
  const { issuer, serialNumbers } = (await ask({ ask: "certificates", limit })) as {
    issuer: string;
    serialNumbers: readonly string[];
  };
  const [certificate] = parseCertificatesPem(issuer);
  if (certificate === undefined) throw new Error("there is no issuer");
  return serialNumbers.map((text) => {
    const about = { serialNumber: parseSerialNumber(text) } as typeof certificate;
    const der = createOcspRequest({ certificate: about, issuer: certificate });
    const path = `/ocsp/${encodeURIComponent(Buffer.from(der).toString("base64"))}`;
    return Buffer.from(`GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
  });
}

/** So many requests over sixteen connections, eight in a row on each, answers counted by their heads. */
async function ocsp(
  url: string,
  { requests, total }: { readonly requests: readonly Buffer[]; readonly total: number },
): Promise<{ rate: number; cpuMs: number }> {
  const { port } = new URL(url);
  const sockets = await Promise.all(
    Array.from({ length: 16 }, async () => {
      const socket = connect({ host: "127.0.0.1", port: Number(port), noDelay: true });
      await once(socket, "connect");
      return socket;
    }),
  );
  let sent = 0;
  const run = await measured(total, () =>
    Promise.all(sockets.map((socket) => converse(socket, () => next()))),
  );
  for (const socket of sockets) socket.destroy();
  return run;

  function next(): Buffer | undefined {
    return sent < total ? requests[sent++ % requests.length] : undefined;
  }
}

function converse(socket: Socket, next: () => Buffer | undefined): Promise<void> {
  const inFlight = 8;
  return new Promise((resolve, reject) => {
    let waiting = 0;
    const fill = (free: number): void => {
      const batch: Buffer[] = [];
      for (let request = free > 0 ? next() : undefined; request !== undefined;) {
        batch.push(request);
        request = batch.length < free ? next() : undefined;
      }
      waiting += batch.length;
      if (batch.length > 0) socket.write(Buffer.concat(batch));
      else if (waiting === 0) resolve();
    };
    socket.on("data", (chunk: Buffer) => {
      const text = chunk.toString("latin1");
      const answers = text.split("HTTP/1.1 ").length - 1;
      if (answers !== text.split("HTTP/1.1 200").length - 1) reject(new Error(text.slice(0, 200)));
      waiting -= answers;
      fill(inFlight - waiting);
    });
    socket.once("error", reject);
    fill(inFlight);
  });
}

async function measured(
  count: number,
  run: () => Promise<unknown>,
): Promise<{ rate: number; cpuMs: number }> {
  const { cpuMs: before } = (await ask({ ask: "cpu" })) as { cpuMs: number };
  const start = performance.now();
  await run();
  const rate = (count / (performance.now() - start)) * 1_000;
  const { cpuMs: after } = (await ask({ ask: "cpu" })) as { cpuMs: number };
  return { rate, cpuMs: (after - before) / count };
}

function note(name: string, figure: number): void {
  figures.set(name, [...(figures.get(name) ?? []), figure]);
}

function report(): void {
  const load = loadavg()[0]?.toFixed(1);
  console.log(
    `${cpus().length} cores, load ${load}, audit ${values.audit ? "on" : "off"}, medians`,
  );
  const raw = {
    wall: median("raw P-256 signatures"),
    cpu: median("raw P-256 signatures, in a second of CPU time"),
  };
  for (const name of figures.keys()) {
    const figure = median(name);
    const digits = figure < 10 ? 3 : 0;
    const of = name.startsWith("  in") ? raw.cpu : raw.wall;
    const ratio = name.startsWith("raw") ? "" : `  ${(figure / of).toFixed(3)} of raw`;
    const all = (figures.get(name) ?? []).map((one) => one.toFixed(digits)).join(" ");
    console.log(`${name.padEnd(56)} ${figure.toFixed(digits).padStart(8)}${ratio}  (${all})`);
  }
}

function median(name: string): number {
  const sorted = (figures.get(name) ?? []).toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
