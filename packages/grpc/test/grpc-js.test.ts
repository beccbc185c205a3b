// Programs that use grpc-js themselves, over our mutual TLS; and grpc-js against us, case by case.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TLSSocket } from "node:tls";
import { fromBinary, toBinary, create } from "@bufbuild/protobuf";
import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import {
  Client as JsClient,
  Metadata as JsMetadata,
  Server as JsServer,
  ServerInterceptingCall,
  status as statuses,
} from "@grpc/grpc-js";
import type {
  ServerUnaryCall,
  ServerWritableStream,
  ServiceError,
  sendUnaryData,
} from "@grpc/grpc-js";
import { matching, peerRefusal, serverName, spiffeId } from "@handfast/tls";
import type { MutualTls, MutualTlsOptions, Protocol, VerifiedPeer } from "@handfast/tls";
import { createTestAuthority } from "@handfast/x509/testing";
import { compilePolicy, parsePolicy } from "@handfast/policy";
import { GrpcError, createClient } from "../src/index.ts";
import type { DecisionEvent } from "../src/index.ts";
import {
  grpcChannelCredentials,
  peerOf,
  policyInterceptor,
  serveGrpcJs,
} from "../src/grpc-js/index.ts";
import { TestService } from "../src/testing/index.ts";
import { SimpleRequestSchema, SimpleResponseSchema } from "../src/gen/grpc/testing/test_pb.ts";
import { definitionOf } from "./interop/grpc-js.ts";
import { aliceIdentity, bankIdentity, collect, dial, failure, runtime, serve } from "./fixtures.ts";

type Any = MessageShape<DescMessage>;

/** An unmodified grpc-js server, served by us. */
async function serveJs(
  options: {
    readonly tlsOptions?: Partial<MutualTlsOptions>;
    readonly interceptors?: ConstructorParameters<typeof JsServer>[0];
    readonly path?: string;
  } = {},
): Promise<
  { readonly target: string; readonly peers: (VerifiedPeer | undefined)[] } & AsyncDisposable
> {
  const tls = await runtime(bankIdentity, options.tlsOptions);
  const server = new JsServer(options.interceptors);
  const peers: (VerifiedPeer | undefined)[] = [];
  server.addService(definitionOf(TestService), {
    emptyCall(call: ServerUnaryCall<Any, Any>, respond: sendUnaryData<object>) {
      peers.push(peerOf(call));
      respond(null, {});
    },
    streamingOutputCall(call: ServerWritableStream<Any, object>) {
      peers.push(peerOf(call));
      const timer = setInterval(() => call.write({}), 5);
      call.on("cancelled", () => clearInterval(timer));
      call.on("close", () => clearInterval(timer));
    },
  });
  const address =
    options.path === undefined ? { host: "localhost", port: 0 } : { path: options.path };
  const listener = await serveGrpcJs(server, tls.mtls, address);
  return {
    target:
      "port" in listener.address ? `localhost:${listener.address.port}` : `unix:${options.path}`,
    peers,
    async [Symbol.asyncDispose]() {
      const closed = listener.close();
      server.forceShutdown();
      await closed;
      await tls.mtls.close();
    },
  };
}

test("serveGrpcJs: an unmodified grpc-js server knows its verified peers, also behind its own interceptors", async () => {
  await using bank = await serveJs({
    interceptors: { interceptors: [(_method, call) => new ServerInterceptingCall(call)] },
  });
  await using alice = await dial(bank.target);
  assert.deepEqual(await alice.client.connect(), { health: "UNIMPLEMENTED" });
  await alice.client.emptyCall({});
  const stream = alice.client.streamingOutputCall({});
  await stream.next();
  await stream.return?.(undefined);
  assert.deepEqual(
    bank.peers.map((peer) => peer?.identity),
    ["spiffe://handfast.test/alice", "spiffe://handfast.test/alice"],
  );
});

test("serveGrpcJs: the peer is known on a Unix socket too", async () => {
  await using bank = await serveJs({ path: join(tmpdir(), `handfast-${randomUUID()}.sock`) });
  await using alice = await dial(bank.target, {
    expect: spiffeId("spiffe://handfast.test/localhost"),
  });
  await alice.client.emptyCall({});
  assert.equal(bank.peers[0]?.identity, "spiffe://handfast.test/alice");
});

test("serveGrpcJs: a stranger is refused in his own status; one no longer admitted starts no call", async () => {
  let admitted = true;
  let regrade = (): void => undefined;
  await using bank = await serveJs({
    tlsOptions: {
      admit: matching(() => admitted),
      revocation: {
        description: "a test",
        undetermined: "admit",
        open(hooks) {
          regrade = hooks.changed;
          return Promise.resolve({
            judge: (path) => path.slice(1).map(() => ({ status: "unrevoked" })),
            uncovered: () => 0,
            reload: () => Promise.resolve("unchanged"),
            close: () => undefined,
          });
        },
      },
    },
  });
  await using mallory = await dial(bank.target, {
    identity: createTestAuthority().issue({ name: "alice" }),
  });
  const stranger = await failure(mallory.client.emptyCall({}));
  assert.ok(stranger instanceof GrpcError);
  assert.equal(stranger.refusal?.code, "CERTIFICATE_AUTHORITY_INVALID");

  await using alice = await dial(bank.target);
  await alice.client.emptyCall({});
  admitted = false;
  regrade();
  const late = await failure(alice.client.emptyCall({}));
  assert.equal(late instanceof GrpcError && late.refusal?.code, "NOT_ADMITTED");
  assert.equal(bank.peers.length, 1);
});

test("serveGrpcJs: S11 a call that arrives before its session was judged again starts not", async () => {
  let ran = 0;
  const server = new JsServer();
  server.addService(definitionOf(TestService), {
    emptyCall(_call: unknown, respond: sendUnaryData<object>) {
      ran += 1;
      respond(null, {});
    },
  });
  const listening: Protocol[] = [];
  const fake: Pick<MutualTls, "listen"> = {
    listen(address, { h2 }) {
      if (h2 !== undefined) listening.push(h2);
      return Promise.resolve({ address, close: () => Promise.resolve() });
    },
  };
  await serveGrpcJs(server, fake as MutualTls, { path: "unused" });
  const refusal = peerRefusal("CERTIFICATE_REVOKED");
  assert.ok(refusal !== undefined);
  const acceptor = net.createServer((socket) => {
    const live = listening[0]?.accept(socket as TLSSocket, undefined, {
      id: 1,
      admitted() {
        live?.drain({ kind: "refused", refusal });
        return false;
      },
    });
  });
  await once(acceptor.listen(0, "127.0.0.1"), "listening");
  const { port } = acceptor.address() as net.AddressInfo;
  const client = createClient(TestService, {
    target: `127.0.0.1:${port}`,
    dangerouslyPlaintext: true,
  });
  const error = await failure(client.emptyCall({}));
  assert.equal(error instanceof GrpcError && error.refusal?.code, "CERTIFICATE_REVOKED");
  assert.equal(ran, 0);
  client.close();
  acceptor.close();
});

test("policyInterceptor: a grpc-js server's calls are decided, and open ones again when the policy changes (S13)", async () => {
  const only = (path: string): ReturnType<typeof compilePolicy> =>
    compilePolicy(
      parsePolicy(
        JSON.stringify({ name: "p", allow_rules: [{ name: "r", request: { paths: [path] } }] }),
      ),
    );
  let current = only("*/StreamingOutputCall");
  let changed = (): void => undefined;
  const live = {
    get current() {
      return current;
    },
    onChange(listener: () => void) {
      changed = listener;
      return () => undefined;
    },
  };
  const decisions: DecisionEvent[] = [];
  const interceptor = policyInterceptor(live, {
    onDecision: (event) => void decisions.push(event),
  });
  await using bank = await serveJs({ interceptors: { interceptors: [interceptor] } });
  await using alice = await dial(bank.target);
  const denied = await failure(alice.client.emptyCall({}));
  assert.equal(denied instanceof GrpcError && denied.code, "PERMISSION_DENIED");
  const stream = alice.client.streamingOutputCall({});
  await stream.next();
  const left = alice.client.streamingOutputCall({});
  await left.next();
  await left.return?.(undefined);
  await alice.client.emptyCall({}).catch(() => undefined);
  current = only("*/EmptyCall");
  changed();
  assert.equal(decisions.filter(({ phase }) => phase === "swap").length, 1);
  const ended = await failure(collect(stream));
  assert.ok(ended instanceof GrpcError);
  assert.deepEqual(
    [ended.code, ended.message],
    ["PERMISSION_DENIED", "authz: unauthorized RPC request rejected"],
  );
  await alice.client.emptyCall({});
});

/** A grpc-js client with our credentials. */
async function jsClient(
  target: string,
  options: Parameters<typeof grpcChannelCredentials>[1] & {
    readonly channel?: ConstructorParameters<typeof JsClient>[2];
  } = {},
): Promise<JsClient & AsyncDisposable> {
  const tls = await runtime(aliceIdentity);
  const { channel, ...credentials } = options;
  const client = new JsClient(target, grpcChannelCredentials(tls.mtls, credentials), channel);
  return Object.assign(client, {
    async [Symbol.asyncDispose]() {
      client.close();
      await tls.mtls.close();
    },
  });
}

function jsUnary(
  client: JsClient,
  request: MessageInitShape<typeof SimpleRequestSchema>,
  metadata: JsMetadata = new JsMetadata(),
): Promise<{
  response: MessageShape<typeof SimpleResponseSchema>;
  initial: JsMetadata;
  trailing: JsMetadata;
}> {
  return new Promise((resolve, reject) => {
    let initial = new JsMetadata();
    let trailing = new JsMetadata();
    let received: MessageShape<typeof SimpleResponseSchema> | undefined;
    const call = client.makeUnaryRequest(
      "/grpc.testing.TestService/UnaryCall",
      (init: MessageInitShape<typeof SimpleRequestSchema>) =>
        Buffer.from(toBinary(SimpleRequestSchema, create(SimpleRequestSchema, init))),
      (bytes: Buffer) => fromBinary(SimpleResponseSchema, bytes),
      request,
      metadata,
      { deadline: Date.now() + 5_000 },
      (error, response) => {
        if (error !== null) reject(error);
        received = response;
      },
    );
    call.on("metadata", (arrived: JsMetadata) => {
      initial = arrived;
    });
    call.on("status", (status) => {
      trailing = status.metadata;
      if (received !== undefined) resolve({ response: received, initial, trailing });
    });
  });
}

test("grpcChannelCredentials: a grpc-js client shows our certificate and judges the server's name", async () => {
  const callers: (string | undefined)[] = [];
  await using bank = await serve({
    handlers: {
      unaryCall(_request, { peer }) {
        callers.push(peer?.identity);
        return {};
      },
    },
  });
  await using client = await jsClient(bank.target);
  await jsUnary(client, {});
  assert.deepEqual(callers, ["spiffe://handfast.test/alice"]);
  const refused: Parameters<typeof jsClient>[1][] = [
    { expect: serverName("other.test") },
    { channel: { "grpc.ssl_target_name_override": "other.test" } },
  ];
  for (const options of refused) {
    await using wrong = await jsClient(bank.target, options);
    const error = (await failure(jsUnary(wrong, {}))) as ServiceError;
    assert.equal(error.code, statuses.UNAVAILABLE);
    assert.match(error.details, /CERTIFICATE_HOSTNAME_MISMATCH/);
  }
  await using overridden = await jsClient(bank.target.replace("localhost", "127.0.0.1"), {
    channel: { "grpc.ssl_target_name_override": "localhost" },
  });
  await jsUnary(overridden, {});
});

test("S40 what inflates to more than the limit is RESOURCE_EXHAUSTED, however small it was sent", async () => {
  await using bank = await serve({ limits: { maxReceiveMessageBytes: 100_000 } });
  await using client = await jsClient(bank.target, {
    channel: { "grpc.default_compression_algorithm": 2 },
  });
  await jsUnary(client, { payload: { body: new Uint8Array(90_000) } });
  const bomb = await failure(jsUnary(client, { payload: { body: new Uint8Array(20_000_000) } }));
  assert.equal((bomb as ServiceError).code, statuses.RESOURCE_EXHAUSTED);
});
