// Each peer × each case, over real TLS and with real programs; what each end saw is asserted and printed.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { CredentialName, Credentials } from "./credentials.ts";
import { makeCredentials } from "./credentials.ts";
import { callWithOurs, serveOurs } from "./ours.ts";
import type { OurServer, Protocol } from "./ours.ts";
import { cached, needs } from "./peers.ts";
import type { Expected, Peer, Settings } from "./peers.ts";
import { goPeers } from "./peers-go.ts";
import { pythonPeers } from "./peers-python.ts";
import { nodePeers } from "./peers-node.ts";
import { toolPeers } from "./peers-tools.ts";
import { runProgram, startServer } from "./programs.ts";
import type { ServerProgram } from "./programs.ts";

/** What a client that our server refuses reads, in its own protocol. */
const toldBy: Readonly<Record<Protocol, (code: string) => RegExp>> = {
  grpc: (code) => new RegExp(`^error: UNAUTHENTICATED: ${code}: .+$`, "im"),
  http: (code) => new RegExp(`^error: 403 ${code}: .+$`, "m"),
};

const clientCases: Readonly<
  Record<string, { readonly identity: CredentialName | undefined; readonly code?: string }>
> = {
  accepted: { identity: "client" },
  "no client certificate": { identity: undefined, code: "NO_CLIENT_CERTIFICATE" },
  "wrong CA": { identity: "stranger", code: "CERTIFICATE_AUTHORITY_INVALID" },
  expired: { identity: "expired", code: "CERTIFICATE_EXPIRED" },
  revoked: { identity: "revoked", code: "CERTIFICATE_REVOKED" },
  "not admitted": { identity: "other", code: "NOT_ADMITTED" },
};

const serverCases: Readonly<
  Record<string, { readonly identity: CredentialName; readonly code: string }>
> = {
  "wrong name": { identity: "elsewhere", code: "CERTIFICATE_HOSTNAME_MISMATCH" },
  "server of a wrong CA": { identity: "stranger", code: "CERTIFICATE_AUTHORITY_INVALID" },
  "expired server": { identity: "expired-server", code: "CERTIFICATE_EXPIRED" },
  "revoked server": { identity: "revoked-server", code: "CERTIFICATE_REVOKED" },
};

const widest = 110;
const lackOfStreams = needs(cached("go", "grpc-streams"), "Go");
const peers: readonly Peer[] = [...goPeers, ...pythonPeers, ...nodePeers, ...toolPeers];
const rows: (readonly string[])[] = [];
let credentials: Credentials;
let server: OurServer;
let elsewhere: OurServer;

before(async () => {
  credentials = await makeCredentials();
  server = await serveOurs(credentials, "server");
  elsewhere = await serveOurs(credentials, "elsewhere");
});

after(async () => {
  await server.close();
  await elsewhere.close();
  await credentials.remove();
  printTable(rows);
});

for (const peer of peers) {
  const lacking = peer.lacks();
  if (lacking !== undefined) {
    test(`${peer.name}: skipped`, { skip: lacking });
    continue;
  }
  if (peer.client !== undefined) clientRows(peer, peer.client);
  if (peer.server !== undefined) serverRows(peer, peer.server);
}

test("grpc-go makes calls of all four shapes", { skip: lackOfStreams ?? false }, async () => {
  const settings = settingsOf("client", server.ports.grpc);
  const { output } = await runProgram([cached("go", "grpc-streams")], { env: { ...settings } });
  assert.deepEqual(output.split("\n"), [
    "unary: 1048576 bytes",
    "server stream: 3 messages, 3145728 bytes",
    "client stream: 3145728 bytes arrived",
    "duplex: 3 messages in turn, 0 more",
  ]);
});

/** The peer calls our server. */
function clientRows(peer: Peer, client: NonNullable<Peer["client"]>): void {
  describe(`${peer.name} calls us`, () => {
    for (const [name, { identity, code }] of Object.entries(clientCases)) {
      test(name, async () => {
        const refusal = client.refusal ?? toldBy[peer.protocol];
        await call(name, {
          identity,
          to: server,
          theySee: code === undefined ? client.ok : refusal(code),
          weSee: code === undefined ? identityOf(identity) : exactly(`refused: ${code}`),
        });
      });
    }
    test("wrong name", async () => {
      await call("wrong name", {
        identity: "client",
        to: elsewhere,
        theySee: client.wrongName,
        weSee: client.wrongNameSeen,
      });
    });
  });

  async function call(
    what: string,
    options: {
      readonly identity: CredentialName | undefined;
      readonly to: OurServer;
      readonly theySee: RegExp;
      readonly weSee: RegExp;
    },
  ): Promise<void> {
    const { identity, to, theySee, weSee } = options;
    to.forget();
    const settings = settingsOf(identity, to.ports[peer.protocol]);
    const { output, exitCode } = await runProgram(client.argv(settings), {
      env: { ...settings },
      input: client.input ?? "",
    });
    const saw = await to.saw();
    const told = theySee.exec(output)?.[0] ?? output;
    rows.push([`${peer.name} → handfast`, what, told, saw]);
    assert.match(output, theySee);
    assert.match(saw, weSee);
    const failed = exitCode !== 0;
    assert.ok(client.exitCode === "meaningless" || failed === (what !== "accepted"));
  }
}

/** We call the peer's server. */
function serverRows(peer: Peer, program: NonNullable<Peer["server"]>): void {
  describe(`we call ${peer.name}`, () => {
    let theirs: ServerProgram;
    before(async () => {
      theirs = await startTheirs(program, "server");
    });
    after(() => theirs.end());
    const { accepted, noCertificate, wrongAuthority, expired, revoked } = program;
    const cases = {
      accepted: { identity: "client", expected: accepted },
      "no client certificate": { identity: undefined, expected: noCertificate },
      "wrong CA": { identity: "stranger", expected: wrongAuthority },
      expired: { identity: "expired", expected: expired },
      ...(revoked && { revoked: { identity: "revoked", expected: revoked } as const }),
    } as const;
    for (const [name, { identity, expected }] of Object.entries(cases)) {
      test(name, () => call(name, { identity, expected, theirs }));
    }
    for (const [name, { identity, code }] of Object.entries(serverCases)) {
      test(name, async () => {
        const other = await startTheirs(program, identity);
        const expected = { us: exactly(`refused: ${code}`), peer: program.refusedByUs };
        try {
          await call(name, { identity: "client", expected, theirs: other });
        } finally {
          await other.end();
        }
      });
    }
  });

  async function call(
    what: string,
    options: {
      readonly identity: CredentialName | undefined;
      readonly expected: Expected;
      readonly theirs: ServerProgram;
    },
  ): Promise<void> {
    const { identity, expected, theirs } = options;
    const { port } = theirs;
    const since = theirs.lines.length;
    const told = await callWithOurs(credentials, { protocol: peer.protocol, port, identity });
    const line = expected.peer && (await theirs.said(expected.peer, since));
    const said = (line && expected.peer?.exec(line)?.[0]) ?? "(says nothing)";
    rows.push([`handfast → ${peer.name}`, what, told, said]);
    assert.match(told, expected.us);
    assert.equal(told.startsWith("ok: "), what === "accepted");
    const reached = theirs.lines.slice(since).some((text) => text.startsWith("accepted: "));
    assert.ok(what === "accepted" || !reached, "a refused client reached a handler");
  }
}

async function startTheirs(
  program: NonNullable<Peer["server"]>,
  identity: CredentialName,
): Promise<ServerProgram> {
  const settings = { ...settingsOf(identity, 0), CRL_DIR: credentials.crlDirectory };
  return startServer(program.argv(settings), {
    env: settings,
    ...(program.listening === undefined ? {} : { listening: program.listening }),
  });
}

function settingsOf(identity: CredentialName | undefined, port: number): Settings {
  const common = { HOST: "localhost", PORT: String(port), CA_FILE: credentials.caFile };
  if (identity === undefined) return common;
  const { certFile, keyFile } = credentials.of(identity);
  return { ...common, CERT_FILE: certFile, KEY_FILE: keyFile };
}

function identityOf(name: CredentialName | undefined): RegExp {
  return exactly(`accepted: spiffe://handfast.internal/${name}`);
}

function exactly(text: string): RegExp {
  return new RegExp(`^${text.replaceAll(/[.\\/]/g, "\\$&")}$`);
}

function printTable(table: readonly (readonly string[])[]): void {
  const all = [["peer", "case", "the client saw", "the server saw"], ...table];
  const widths = [0, 1, 2, 3].map((column) =>
    Math.max(...all.map((row) => Math.min(row[column]?.length ?? 0, widest))),
  );
  for (const row of all) {
    const cells = row.map((cell, column) => cut(cell).padEnd(widths[column] ?? 0));
    console.log(cells.join("  ").trimEnd());
  }
}

function cut(text: string): string {
  const line = text.replaceAll(/\s+/g, " ");
  return line.length > widest ? `${line.slice(0, widest - 1)}…` : line;
}
