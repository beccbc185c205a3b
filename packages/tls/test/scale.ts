// Many live sessions: a server in this process, its peers in processes of their own (open files are limited
// per process). One is revoked by a file, or half of them lose their CA; what that costs is measured.
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";

import { issueCrl } from "@handfast/x509";
import { createTestAuthority } from "@handfast/x509/testing";
import type { TestAuthority, TestIdentity } from "@handfast/x509/testing";

import { crlFromDirectory, matching, trustFromFile } from "../src/index.ts";
import type { Protocol } from "../src/index.ts";
import { portOf, runtime } from "./fixtures.ts";

/** What a process of clients is told. */
export type PeersJob =
  | {
      readonly type: "open";
      readonly port: number;
      readonly bundlePem: string;
      readonly file: string;
    }
  | { readonly type: "ask" };

/** What it answers. Times are of the wall clock, which all processes share. */
export type PeersReport =
  | { readonly type: "open"; readonly count: number }
  | {
      readonly type: "closed";
      readonly sessions: readonly { readonly index: number; readonly at: number }[];
    }
  | { readonly type: "answered"; readonly count: number };

export interface Scale {
  readonly sessions: number;
  readonly processes: number;
  readonly algorithm?: "ecdsa-p256" | "ml-dsa-65";
}

/** What a change did to the sessions. */
export interface Outcome {
  /** Who was cut, by number, and how long after the change its end saw it. */
  readonly cut: readonly { readonly peer: number; readonly afterMs: number }[];
  /** How many of the others answered afterwards. */
  readonly answered: number;
  /** From the change to the verdict on the last session. */
  readonly passMs: number;
  /** From the change to the last socket that the server has cut. */
  readonly cutMs: number;
  /** The CPU time of the server's thread until then: what it would take with a processor to itself. */
  readonly cpuMs: number;
  /** The 99th percentile of the server's event loop delay meanwhile; other programs lengthen it. */
  readonly loopDelayP99Ms: number;
  /** The CPU time of the longest turn of the server's event loop: its own doing alone. */
  readonly longestTurnMs: number;
}

/** A server with sessions of that number, every second one under a CA of its own that can be dropped. */
export interface Crowd extends AsyncDisposable {
  readonly live: number;
  /** Puts a CRL in place that lists this peer, and waits until it is cut and all are judged. */
  revoke(peer: number): Promise<Outcome>;
  /** Puts a bundle in place without the CA of the odd peers, and waits until they are cut and all are judged. */
  dropCa(): Promise<Outcome>;
}

/** Makes the certificates, the server and its peers, and opens all sessions. */
export async function createCrowd(scale: Scale): Promise<Crowd> {
  const { sessions, algorithm = "ecdsa-p256" } = scale;
  const directory = await mkdtemp(join(tmpdir(), "handfast-scale-"));
  const staying = createAuthority("Staying", algorithm);
  const leaving = createAuthority("Leaving", algorithm);
  const identities = Array.from({ length: sessions }, (_, peer) =>
    // Longer than the 24.8 days that a timer can wait (S12).
    (peer % 2 === 0 ? staying : leaving).issuing.issue({
      name: `peer-${peer}`,
      notAfter: new Date(Date.now() + 30 * DAY),
    }),
  );
  const crls = join(directory, "crls");
  await mkdir(crls);
  for (const { root, issuing } of [staying, leaving]) {
    await writeFile(join(crls, `${root.certificate.fingerprint}.crl`), crlOf(root, 1));
    await writeFile(join(crls, `${issuing.certificate.fingerprint}.crl`), crlOf(issuing, 1));
  }
  const bundle = join(directory, "ca.crt");
  await writeFile(bundle, staying.root.bundlePem + leaving.root.bundlePem);

  const ends = countEnds();
  let judged = 0;
  let judgedAll = { at: 0, count: Number.POSITIVE_INFINITY, tell: (): void => {} };
  const bank = await runtime(staying.issuing.issue({ name: "localhost" }), {
    trust: trustFromFile(bundle),
    revocation: crlFromDirectory(crls, { undetermined: "refuse" }),
    // Counts the verdicts that end in admission.
    admit: matching(() => {
      if (++judged === judgedAll.count) judgedAll.tell();
      return true;
    }),
    limits: { perSourcePerSecond: 1e6, perSourceBurst: 1e6, pendingHandshakes: 8192 },
  });
  const listener = await bank.mtls.listen(
    { host: "127.0.0.1", port: 0 },
    { h2: echo(ends.ended), clientCertificates: "required" },
  );

  const closed: { peer: number; at: number }[] = [];
  const wake = new Set<() => void>();
  const processes = await Promise.all(
    Array.from({ length: scale.processes }, async (_, process_) => {
      const file = join(directory, `peers-${process_}.json`);
      const own = identities.filter((_identity, peer) => peer % scale.processes === process_);
      await writeFile(file, JSON.stringify(own.map(credentialsOf)), { mode: 0o600 });
      const child = fork(join(import.meta.dirname, "scale-peers.ts"), [], { execArgv: [] });
      child.on("message", (report: PeersReport) => {
        if (report.type !== "closed") return;
        for (const { index, at } of report.sessions) {
          closed.push({ peer: index * scale.processes + process_, at });
        }
        for (const look of wake) look();
      });
      const job: PeersJob = {
        type: "open",
        port: portOf(listener),
        bundlePem: staying.root.bundlePem,
        file,
      };
      const opened = report(child, "open");
      child.send(job);
      await opened;
      return child;
    }),
  );

  /** Makes a change and waits for its whole effect. */
  async function measure(change: () => Promise<void>, expectCut: number): Promise<Outcome> {
    const before = closed.length;
    const remaining = bank.mtls.sessions().length - expectCut;
    const passed = new Promise<void>((resolve) => {
      judgedAll = {
        at: 0,
        count: judged + remaining,
        tell: () => {
          judgedAll.at = Date.now();
          resolve();
        },
      };
    });
    const cutAll = ends.expect(expectCut);
    const delay = monitorEventLoopDelay({ resolution: 5 });
    delay.enable();
    const turns = watchTurns();
    const started = Date.now();
    await change();
    const last = await cutAll;
    const cpuMs = turns.busy();
    await Promise.all([passed, until(() => closed.length >= before + expectCut)]);
    delay.disable();
    const longestTurnMs = turns.stop();
    const answers = await Promise.all(
      processes.map((child) => {
        const answer = report(child, "answered");
        child.send({ type: "ask" } satisfies PeersJob);
        return answer;
      }),
    );
    return {
      cut: closed.slice(before).map(({ peer, at }) => ({ peer, afterMs: at - started })),
      answered: answers.reduce((sum, answer) => sum + ("count" in answer ? answer.count : 0), 0),
      passMs: judgedAll.at - started,
      cutMs: last - started,
      cpuMs,
      loopDelayP99Ms: delay.percentile(99) / 1e6,
      longestTurnMs,
    };
  }

  async function until(holds: () => boolean): Promise<void> {
    await new Promise<void>((resolve) => {
      const look = (): void => {
        if (!holds()) return;
        wake.delete(look);
        resolve();
      };
      wake.add(look);
      look();
    });
  }

  return {
    get live() {
      return bank.mtls.sessions().length;
    },
    revoke: (peer) => {
      const { issuing } = peer % 2 === 0 ? staying : leaving;
      return measure(async () => {
        const bytes = crlOf(issuing, 2, identities[peer]);
        await writeFile(join(directory, "new.crl"), bytes);
        const target = join(crls, `${issuing.certificate.fingerprint}.crl`);
        await rename(join(directory, "new.crl"), target);
      }, 1);
    },
    dropCa: () => {
      const odd = bank.mtls
        .sessions()
        .filter(
          ({ peer }) => peer?.chain.at(-1)?.fingerprint === leaving.root.certificate.fingerprint,
        );
      return measure(() => writeFile(bundle, staying.root.bundlePem), odd.length);
    },
    async [Symbol.asyncDispose]() {
      for (const child of processes) child.disconnect();
      await bank.mtls.close();
      await rm(directory, { recursive: true });
    },
  };
}

/** Revokes one session and asserts that it alone is cut, within a second. */
export async function assertRevocationCutsOne(scale: Scale): Promise<Outcome> {
  await using crowd = await createCrowd(scale);
  assert.equal(crowd.live, scale.sessions, "all sessions are open");
  const outcome = await crowd.revoke(7);
  assert.deepEqual(
    outcome.cut.map(({ peer }) => peer),
    [7],
  );
  assert.ok(
    (outcome.cut[0]?.afterMs ?? Infinity) < 1000,
    `cut after ${outcome.cut[0]?.afterMs} ms`,
  );
  assert.equal(outcome.answered, scale.sessions - 1, "nobody else is disturbed");
  assert.equal(crowd.live, scale.sessions - 1);
  return outcome;
}

/**
 * Takes the CA of half of the sessions out of the bundle and asserts that these are cut, within a second if the
 * server has a processor to itself: thousands of clients on the same machine take theirs at the same moment.
 */
export async function assertDroppedCaCutsItsOwn(scale: Scale): Promise<Outcome> {
  await using crowd = await createCrowd(scale);
  assert.equal(crowd.live, scale.sessions, "all sessions are open");
  const outcome = await crowd.dropCa();
  assert.equal(outcome.cut.length, scale.sessions / 2);
  assert.deepEqual(
    outcome.cut.filter(({ peer }) => peer % 2 === 0),
    [],
  );
  assert.ok(outcome.cpuMs < 1000, `cut after ${outcome.cpuMs} ms of CPU`);
  assert.equal(outcome.answered, scale.sessions / 2, "nobody else is disturbed");
  return outcome;
}

/** One line of figures. */
export function describeOutcome({ sessions, algorithm }: Scale, outcome: Outcome): string {
  const { cut, passMs, cutMs, cpuMs, loopDelayP99Ms, longestTurnMs } = outcome;
  const seen = Math.max(...cut.map(({ afterMs }) => afterMs));
  return (
    `${sessions} sessions (${algorithm ?? "ecdsa-p256"}): ${cut.length} cut, the last after ${cutMs} ms ` +
    `(${cpuMs.toFixed(0)} ms of CPU), seen by its peer after ${seen} ms; ` +
    `all judged after ${passMs} ms; event loop delay p99 ${loopDelayP99Ms.toFixed(1)} ms, ` +
    `longest turn ${longestTurnMs.toFixed(1)} ms of CPU`
  );
}

/** Counts the sessions that the server has ended. */
function countEnds(): { ended(): void; expect(count: number): Promise<number> } {
  let left = 0;
  let tell: (at: number) => void = () => {};
  return {
    ended: () => void (--left === 0 && tell(Date.now())),
    /** Resolves with the time at which so many more have been ended. */
    expect(count) {
      left = count;
      return new Promise((resolve) => (tell = resolve));
    },
  };
}

/**
 * Watches the event loop of this thread: the CPU time, in ms, of its longest turn, and of all turns together
 * until now but those in which nothing was done except to watch.
 */
function watchTurns(): { busy(): number; stop(): number } {
  let longest = 0;
  let busy = 0;
  let last = process.threadCpuUsage();
  const turn = (): void => {
    const { user, system } = process.threadCpuUsage(last);
    longest = Math.max(longest, user + system);
    if (user + system > IDLE_TURN_MICROS) busy += user + system;
    last = process.threadCpuUsage();
    next = setImmediate(turn);
  };
  let next = setImmediate(turn);
  return {
    busy: () => busy / 1000,
    stop() {
      clearImmediate(next);
      return longest / 1000;
    },
  };
}

/** Says something at once, and then whatever it hears, while the peer is admitted. */
function echo(ended: () => void): Protocol {
  return {
    accept(socket, _peer, session) {
      socket.once("close", ended);
      socket.write("!");
      socket.on("data", (bytes: Buffer) => void (session.admitted() && socket.write(bytes)));
      return { drain() {}, activity: () => ({ callsInFlight: 0 }) };
    },
    refuse: (socket) => void socket.destroy(),
  };
}

function createAuthority(
  name: string,
  algorithm: "ecdsa-p256" | "ml-dsa-65",
): { root: TestAuthority; issuing: TestAuthority } {
  const root = createTestAuthority({ algorithm, commonName: `${name} Root` });
  return { root, issuing: root.intermediate({ commonName: `${name} Issuing` }) };
}

function crlOf(issuer: TestAuthority, number: number, revoked?: TestIdentity): Uint8Array {
  return issueCrl({
    issuer,
    entries:
      revoked === undefined
        ? []
        : [{ serialNumber: revoked.certificate.serialNumber, revokedAt: new Date() }],
    number,
    thisUpdate: new Date(Date.now() - 60_000),
    nextUpdate: new Date(Date.now() + DAY),
  });
}

function credentialsOf({ certificateChainPem, privateKeyPem }: TestIdentity): {
  certificateChainPem: string;
  privateKeyPem: string;
} {
  return { certificateChainPem, privateKeyPem };
}

async function report(child: ChildProcess, type: PeersReport["type"]): Promise<PeersReport> {
  for (;;) {
    const [message] = (await once(child, "message")) as [PeersReport];
    if (message.type === type) return message;
  }
}

const IDLE_TURN_MICROS = 100;
const DAY = 24 * 3600_000;
