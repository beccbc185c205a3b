// Servers of grpc-js that bind by themselves, with our credentials.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import http2 from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { Server, ServerInterceptingCall } from "@grpc/grpc-js";
import type {
  ServerOptions,
  ServerUnaryCall,
  ServerWritableStream,
  sendUnaryData,
} from "@grpc/grpc-js";
import { matching, spiffeId } from "@handfast/tls";
import type { MutualTlsOptions, VerifiedPeer } from "@handfast/tls";
import { createTestAuthority } from "@handfast/x509/testing";
import { compilePolicy, parsePolicy } from "@handfast/policy";
import { GrpcError } from "../src/index.ts";
import { grpcServerCredentials, peerOf, policyInterceptor } from "../src/grpc-js/index.ts";
import { TestService } from "../src/testing/index.ts";
import { bindJs, definitionOf } from "./interop/grpc-js.ts";
import { authority, bankIdentity, collect, dial, failure, runtime } from "./fixtures.ts";
import type { Runtime } from "./fixtures.ts";

type Any = MessageShape<DescMessage>;

interface JsServed extends AsyncDisposable {
  readonly server: Server;
  readonly tls: Runtime;
  readonly target: string;
  readonly peers: (VerifiedPeer | undefined)[];
}

/** A grpc-js server that knows nothing of us but its credentials. */
async function serveJs(
  options: {
    readonly tlsOptions?: Partial<MutualTlsOptions>;
    readonly serverOptions?: ServerOptions;
  } = {},
): Promise<JsServed> {
  const tls = await runtime(bankIdentity, options.tlsOptions);
  const server = new Server(options.serverOptions);
  const peers: (VerifiedPeer | undefined)[] = [];
  server.addService(definitionOf(TestService), {
    emptyCall(call: ServerUnaryCall<Any, Any>, respond: sendUnaryData<object>) {
      peers.push(peerOf(call));
      respond(null, {});
    },
    streamingOutputCall(call: ServerWritableStream<Any, object>) {
      peers.push(peerOf(call));
      call.write({});
    },
  });
  const port = await bindJs(server, grpcServerCredentials(tls.mtls));
  return {
    server,
    tls,
    target: `localhost:${port}`,
    peers,
    async [Symbol.asyncDispose]() {
      server.forceShutdown();
      await tls.mtls.close();
    },
  };
}

/** A rule that a test changes, and the news that it has. */
function changing(): {
  readonly tlsOptions: Partial<MutualTlsOptions>;
  revoke(serialNumber: string): void;
  ban(identity: string): void;
} {
  const revoked = new Set<string>();
  const banned = new Set<string | undefined>();
  let changed = (): void => undefined;
  return {
    tlsOptions: {
      admit: matching(({ identity }) => !banned.has(identity)),
      graceMs: 60_000,
      revocation: {
        description: "a test",
        undetermined: "refuse",
        open(hooks) {
          changed = hooks.changed;
          return Promise.resolve({
            judge: (path) =>
              path.map((certificate) =>
                revoked.has(certificate.serialNumber.toString())
                  ? { status: "revoked", certificate }
                  : { status: "unrevoked" },
              ),
            uncovered: () => 0,
            reload: () => Promise.resolve("unchanged"),
            close: () => undefined,
          });
        },
      },
    },
    revoke(serialNumber) {
      revoked.add(serialNumber);
      changed();
    },
    ban(identity) {
      banned.add(identity);
      changed();
    },
  };
}

test("grpcServerCredentials: a server that binds by itself knows its verified peers, each his own", async () => {
  await using bank = await serveJs({
    serverOptions: { interceptors: [(_method, call) => new ServerInterceptingCall(call)] },
  });
  await using alice = await dial(bank.target);
  await using bob = await dial(bank.target, { identity: authority.issue({ name: "bob" }) });
  for (const { client } of [alice, bob, alice]) await client.emptyCall({});
  const stream = bob.client.streamingOutputCall({});
  await stream.next();
  await stream.return?.(undefined);
  assert.deepEqual(
    bank.peers.map((peer) => peer?.identity),
    ["alice", "bob", "alice", "bob"].map((name) => `spiffe://handfast.test/${name}`),
  );
});

test("grpcServerCredentials: a stranger reads why in his own status, and reaches no handler", async () => {
  await using bank = await serveJs();
  await using mallory = await dial(bank.target, {
    identity: createTestAuthority().issue({ name: "alice" }),
  });
  const error = await failure(mallory.client.emptyCall({}));
  assert.ok(error instanceof GrpcError);
  assert.deepEqual(
    [error.code, error.refusal?.code],
    ["UNAUTHENTICATED", "CERTIFICATE_AUTHORITY_INVALID"],
  );
  assert.deepEqual(bank.peers, []);
});

test("grpcServerCredentials: a rotated certificate is shown to the next connection, and no call fails", async () => {
  const renewed = authority.issue({ name: "localhost" });
  let now = bankIdentity;
  await using bank = await serveJs({
    tlsOptions: {
      identity: {
        description: "changing",
        read: () =>
          Promise.resolve({
            certificateChain: now.certificateChainPem,
            privateKey: now.privateKeyPem,
          }),
      },
    },
  });
  await using early = await dial(bank.target);
  await early.client.emptyCall({});
  now = renewed;
  await bank.tls.mtls.reload();
  await using late = await dial(bank.target);
  await late.client.emptyCall({});
  await early.client.emptyCall({});
  const serials = [early, late].map(({ tls }) =>
    tls.events
      .map((event) =>
        event.type === "handshake" ? event.peer?.serialNumber.toString() : undefined,
      )
      .find((serial) => serial !== undefined),
  );
  assert.deepEqual(
    serials,
    [bankIdentity, renewed].map(({ certificate }) => certificate.serialNumber.toString()),
  );
});

test("grpcServerCredentials: a revoked client's open call ends with the reason, and it starts no other", async () => {
  const rules = changing();
  await using bank = await serveJs({ tlsOptions: rules.tlsOptions });
  const identity = authority.issue({ name: "carol" });
  await using carol = await dial(bank.target, { identity });
  await using alice = await dial(bank.target);
  const stream = carol.client.streamingOutputCall({});
  await stream.next();
  rules.revoke(identity.certificate.serialNumber.toString());
  for (const work of [() => collect(stream), () => carol.client.emptyCall({})]) {
    const error = await failure(work());
    assert.ok(error instanceof GrpcError);
    assert.deepEqual([error.code, error.refusal?.code], ["UNAUTHENTICATED", "CERTIFICATE_REVOKED"]);
  }
  await alice.client.emptyCall({});
  assert.equal(bank.peers.length, 2);
});

test("grpcServerCredentials: S11 who is no longer admitted keeps his call for the grace, and starts no other", async () => {
  const rules = changing();
  await using bank = await serveJs({ tlsOptions: rules.tlsOptions });
  await using alice = await dial(bank.target);
  const stream = alice.client.streamingOutputCall({});
  await stream.next();
  rules.ban("spiffe://handfast.test/alice");
  const error = await failure(alice.client.emptyCall({}));
  assert.ok(error instanceof GrpcError);
  assert.deepEqual([error.code, error.refusal?.code], ["UNAUTHENTICATED", "NOT_ADMITTED"]);
  assert.equal(bank.peers.length, 1);
  const [session] = bank.tls.mtls.sessions();
  assert.equal(session?.peer?.identity, "spiffe://handfast.test/alice");
  await stream.return?.(undefined);
});

test("grpcServerCredentials: on a Unix socket nobody is known, and no call starts", async () => {
  await using bank = await serveJs();
  const path = join(tmpdir(), `handfast-${randomUUID()}.sock`);
  await new Promise<void>((resolve, reject) => {
    bank.server.bindAsync(`unix:${path}`, grpcServerCredentials(bank.tls.mtls), (error) =>
      error === null ? resolve() : reject(error),
    );
  });
  await using alice = await dial(`unix:${path}`, {
    expect: spiffeId("spiffe://handfast.test/localhost"),
  });
  const error = await failure(alice.client.emptyCall({}));
  assert.ok(error instanceof GrpcError);
  assert.deepEqual([error.code, error.message], ["UNAUTHENTICATED", "not admitted"]);
  assert.deepEqual(bank.peers, []);
});

test("grpcServerCredentials: policyInterceptor decides the calls, also where a header beside is odd (S39)", async () => {
  const policy = compilePolicy(
    parsePolicy(
      JSON.stringify({
        name: "test",
        deny_rules: [{ name: "debug", request: { headers: [{ key: "x-debug", values: ["*"] }] } }],
        allow_rules: [{ name: "alice", source: { principals: ["spiffe://handfast.test/alice"] } }],
      }),
    ),
  );
  await using bank = await serveJs({
    serverOptions: { interceptors: [policyInterceptor(policy)] },
  });
  await using alice = await dial(bank.target);
  await using bob = await dial(bank.target, { identity: authority.issue({ name: "bob" }) });
  await alice.client.emptyCall({});
  const debug = { headers: { "x-debug": "1" } };
  for (const work of [() => bob.client.emptyCall({}), () => alice.client.emptyCall({}, debug)]) {
    const error = await failure(work());
    assert.equal(error instanceof GrpcError && error.code, "PERMISSION_DENIED");
  }
  // A header that our own client does not send must not hide the others from the policy.
  const { socket } = await alice.tls.mtls.dial({
    host: "localhost",
    port: Number(bank.target.split(":")[1]),
  });
  const session = http2.connect("https://localhost", { createConnection: () => socket });
  const stream = session.request({
    ":method": "POST",
    ":path": "/grpc.testing.TestService/EmptyCall",
    "content-type": "application/grpc",
    te: "trailers",
    "x-debug": "1",
    "x-note": " outer",
  });
  stream.resume().end(Buffer.alloc(5));
  const [head] = (await once(stream, "response")) as [Record<string, string>];
  assert.equal(head["grpc-status"], "7");
  const closed = once(session, "close");
  session.close();
  await closed;
  assert.equal(bank.peers.length, 1);
});
