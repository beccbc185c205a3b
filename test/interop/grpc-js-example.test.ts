// examples/node-grpc-js, step by step as its README says, with the real command and the real programs.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { env, execPath } from "node:process";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { promisify } from "node:util";

const example = join(import.meta.dirname, "../../examples/node-grpc-js");

/** A program that runs, and what it prints. */
interface Running {
  readonly process: ChildProcess;
  /** The first line from now on that matches. */
  next(pattern: RegExp): Promise<RegExpExecArray>;
}

test(
  "the grpc-js example renews, is cut from a revoked certificate, and is told why it is refused",
  { timeout: 60_000 },
  async () => {
    const readme = await readFile(join(example, "README.md"), "utf8");
    const home = await mkdtemp(join(tmpdir(), "handfast-example-"));
    const programs: ChildProcess[] = [];
    const handfast = async (args: string): Promise<void> => {
      const [beginning = ""] = args.split("@");
      assert.ok(readme.includes(`npx handfast ${beginning}`), args);
      const command = join(import.meta.dirname, "../../apps/cli/bin/handfast.js");
      const argv = ["--conditions=@handfast/source", command, ...args.replace("@", "").split(" ")];
      await promisify(execFile)(execPath, argv, {
        env: { PATH: env["PATH"], HANDFAST_HOME: home },
      });
    };
    const start = (script: string, name: string, port: string): Running => {
      const certs = join(home, "certs");
      const process = spawn(execPath, ["--conditions=@handfast/source", join(example, script)], {
        env: {
          PATH: env["PATH"],
          PORT: port,
          CA_FILE: join(certs, "ca.crt"),
          CERT_FILE: join(certs, `${name}.crt`),
          KEY_FILE: join(certs, `${name}.key`),
          ...(name === "server" && { CRL_DIR: join(home, "ca", "crl") }),
        },
        stdio: ["ignore", "pipe", "inherit"],
      });
      programs.push(process);
      return { process, next: follow(process) };
    };
    const printed = (line: string): void => {
      const shown = line.replace(/certificate ([0-9a-f]{2,})$/, "certificate ");
      assert.ok(readme.includes(shown), line);
    };
    try {
      await handfast("init");
      await handfast("issue server client --local --layout flat");
      const server = start("server.ts", "server", "0");
      const [, port = ""] = await server.next(/^serving on localhost:(\d+)$/);
      const client = start("client.ts", "client", port);
      const [greeting, first = ""] = await client.next(/^hello \S+, certificate ([0-9a-f]+)$/);
      printed(greeting);

      const rotated = server.next(/^new identity$/);
      await handfast("renew server client --layout flat");
      await rotated;

      const cut = server.next(/^cut: CERTIFICATE_REVOKED$/);
      const again = client.next(/^hello \S+, certificate (?<serial>[0-9a-f]+)$/);
      await handfast(`revoke @${first} --only-this`);
      await cut;
      assert.notEqual((await again).groups?.["serial"], first);

      const refused = client.next(/^error 16: CERTIFICATE_REVOKED: .*$/);
      await handfast("revoke client");
      printed((await refused)[0]);

      const ended = once(server.process, "exit");
      client.process.kill();
      server.process.kill("SIGTERM");
      assert.deepEqual(await ended, [0, null]);
    } finally {
      for (const process of programs) process.kill("SIGKILL");
      await rm(home, { recursive: true });
    }
  },
);

/** Reads the lines of a program; each wait sees those that come after it was begun, or came just before. */
function follow(process: ChildProcess): Running["next"] {
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  if (process.stdout === null) throw new TypeError("expected a pipe");
  createInterface(process.stdout).on("line", (line) => {
    lines.push(line);
    for (const look of waiting) look();
  });
  let seen = 0;
  return (pattern) => {
    let at = seen;
    return new Promise((resolve) => {
      const look = (): void => {
        for (; at < lines.length; at++) {
          const match = pattern.exec(lines[at] ?? "");
          if (match === null) continue;
          seen = Math.max(seen, at + 1);
          waiting.delete(look);
          resolve(match);
          return;
        }
      };
      waiting.add(look);
      look();
    });
  };
}
