// What is published, installed elsewhere from its tarballs, does what each README shows.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { readDocument } from "../../scripts/documents/markdown.ts";
import { packAll } from "../../scripts/pack.ts";
import type { Packed } from "../../scripts/pack.ts";

let project = "";
let packed: readonly Packed[] = [];
let ports: readonly [number, number] = [0, 0];

/** What each README's example prints. */
const prints: Readonly<Record<string, RegExp>> = {
  "@handfast/x509": /^2 \d+\n$/,
  "@handfast/files": /^$/,
  "@handfast/policy": /^true customers\n$/,
  "@handfast/http2": /^first 200\nfirst hello\nfirst x-done yes\n$/,
  "@handfast/ca": /^$/,
  "@handfast/tls": /spiffe:\/\/handfast\.internal\/server\n/,
  "@handfast/grpc": /^10 1\n$/,
};

describe("the published packages", () => {
  before(async () => {
    ports = [await freePort(), await freePort()];
    project = mkdtempSync(join(tmpdir(), "handfast-pack-"));
    packed = packAll(join(project, "tarballs"));
    writeFileSync(join(project, "package.json"), '{ "private": true, "type": "module" }\n');
    const { devDependencies } = JSON.parse(readFileSync("package.json", "utf8")) as {
      devDependencies: Record<string, string>;
    };
    const versions = ["typescript", "@types/node"].map(
      (name) => `${name}@${devDependencies[name]}`,
    );
    const words = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"];
    execFileSync("npm", [...words, ...packed.map(({ tarball }) => tarball), ...versions], {
      cwd: project,
      stdio: "pipe",
      timeout: 300_000,
    });
  });
  after(() => rmSync(project, { recursive: true, force: true }));

  test("hold what is built, the README and the licence, and nothing else", () => {
    for (const { name, tarball } of packed) {
      const files = execFileSync("tar", ["-tzf", tarball], { encoding: "utf8" }).split("\n");
      const others = files.filter(
        (file) =>
          file !== "" && !/^package\/(dist\/|bin\/|package\.json$|README\.md$|LICENSE$)/.test(file),
      );
      assert.deepEqual(others, [], name);
      assert.ok(files.includes("package/LICENSE"), name);
      assert.ok(!files.some((file) => /\.tsbuildinfo$|\/test\//.test(file)), name);
      const manifest = readFileSync(join(project, "node_modules", name, "package.json"), "utf8");
      assert.doesNotMatch(manifest, /@handfast\/source/);
    }
  });

  test("show READMEs whose code compiles against what is installed", () => {
    const names: string[] = [];
    for (const { name, folder } of packed) {
      for (const { language, text, line } of readDocument(join(folder, "README.md")).blocks) {
        if (language !== "ts") continue;
        const file = `readme/${name.replace(/^@.*\//, "")}-${line}.ts`;
        write(file, text);
        names.push(name);
      }
    }
    assert.deepEqual(
      packed.map(({ name }) => name).filter((name) => !names.includes(name)),
      ["handfast"],
      "every package but the command shows code",
    );
    const compilerOptions = {
      target: "es2025",
      lib: ["es2025", "esnext.disposable"],
      types: ["node"],
      module: "nodenext",
      strict: true,
      noEmit: true,
    };
    write("tsconfig.json", JSON.stringify({ compilerOptions, include: ["readme"] }));
    const { stdout, status } = spawnSync("npx", ["tsc", "-p", "."], {
      cwd: project,
      encoding: "utf8",
    });
    assert.equal(status, 0, stdout);
  });

  test("bring the command", () => {
    assert.match(run("npx", ["handfast", "--version"]), /^\d+\.\d+\.\d+\n$/);
    run("npx", ["handfast", "init"]);
    const flat = ["--local", "--layout", "flat", "--out", "certs"];
    run("npx", ["handfast", "issue", "server", "alice", ...flat]);
    assert.deepEqual(readdirSync(join(project, "certs")).toSorted(), [
      "alice.crt",
      "alice.key",
      "ca.crt",
      "server.crt",
      "server.key",
    ]);
    assert.match(run("npx", ["handfast", "verify", "certs/server.crt"]), /accepted as a server/);
  });

  for (const [name, says] of Object.entries(prints)) {
    test(`${name}: the README's example runs`, () => {
      const { folder = "" } = packed.find((one) => one.name === name) ?? {};
      const [block] = readDocument(join(folder, "README.md")).blocks.filter(
        ({ language }) => language === "ts",
      );
      const file = `run/${name.replace(/^@.*\//, "")}.ts`;
      write(file, placed(block?.text ?? ""));
      write("policy.json", "{}");
      const program = drivers[name]?.(file) ?? file;
      assert.match(run(process.execPath, [program]), says);
    });
  }
});

/** A README speaks of hosts and folders of a real machine. */
function placed(text: string): string {
  return text
    .replaceAll("/var/lib/handfast", join(project, "authority"))
    .replaceAll("bank.internal:8443", `localhost:${ports[0]}`)
    .replaceAll('"bank.internal", port: 8443', `"localhost", port: ${ports[1]}`)
    .replaceAll("0.0.0.0", "localhost")
    .replaceAll("port: 8443", `port: ${ports[0]}`);
}

/** Examples that need somebody on the other side. */
const drivers: Readonly<Record<string, (file: string) => string>> = {
  "@handfast/tls": (file) => {
    write(
      "run/tls-server.ts",
      `import { createServer } from "node:http2";
       import { createMutualTls, identityFromFiles, memberOf, noRevocation, trustFromFile } from "@handfast/tls";
       const mtls = await createMutualTls({
         identity: identityFromFiles({ certFile: "certs/server.crt", keyFile: "certs/server.key" }),
         trust: trustFromFile("certs/ca.crt"),
         revocation: noRevocation(),
         admit: memberOf("handfast.internal"),
       });
       await mtls.serveHttp(createServer(), { host: "localhost", port: ${ports[1]} });
       await import("./${file.replace("run/", "")}");
       await mtls.close();`,
    );
    return "run/tls-server.ts";
  },
  "@handfast/grpc": (file) => {
    write(
      "run/grpc-both.ts",
      `import { anyTrustedPeer, createMutualTls, identityFromFiles, noRevocation, trustFromFile } from "@handfast/tls";
       import { serveAndCall } from "./${file.replace("run/", "")}";
       const runtime = (name: string) => createMutualTls({
         identity: identityFromFiles({ certFile: \`certs/\${name}.crt\`, keyFile: \`certs/\${name}.key\` }),
         trust: trustFromFile("certs/ca.crt"),
         revocation: noRevocation(),
         admit: anyTrustedPeer(),
       });
       const [bank, alice] = [await runtime("server"), await runtime("alice")];
       await serveAndCall(bank, alice);
       await bank.close();
       await alice.close();`,
    );
    return "run/grpc-both.ts";
  },
};

function write(file: string, text: string): void {
  mkdirSync(dirname(join(project, file)), { recursive: true });
  writeFileSync(join(project, file), text);
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "localhost");
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, "close");
  return port;
}

/** Runs a program in the project, with nothing of ours in its environment. @throws Error with what it said */
function run(program: string, words: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(program, words, {
    cwd: project,
    encoding: "utf8",
    timeout: 120_000,
    env: {
      PATH: `${dirname(process.execPath)}:${process.env["PATH"] ?? ""}`,
      HOME: process.env["HOME"] ?? "",
      HANDFAST_HOME: join(project, "home"),
    },
  });
  if (status !== 0) throw new Error(`${program} ${words.join(" ")}: ${stdout}${stderr}`);
  return stdout;
}
