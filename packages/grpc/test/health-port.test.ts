// The plaintext port for probes (security.md S42).
import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import net from "node:net";
import { test } from "node:test";
import { GrpcError, createClient } from "../src/index.ts";
import type { Client } from "../src/index.ts";
import { Health, HealthCheckResponse_ServingStatus } from "../src/gen/grpc/health/v1/health_pb.ts";
import { TestService } from "../src/testing/index.ts";
import { collect, failure, serve } from "./fixtures.ts";

const { SERVING, NOT_SERVING } = HealthCheckResponse_ServingStatus;

async function withPort(
  use: (probe: {
    readonly client: Client<typeof Health>;
    readonly port: number;
    readonly bank: Awaited<ReturnType<typeof serve>>;
  }) => Promise<void>,
): Promise<void> {
  await using bank = await serve();
  const address = await bank.server.listenHealth({
    host: "127.0.0.1",
    port: 0,
    services: [TestService.typeName],
  });
  assert.ok("port" in address);
  const target = `127.0.0.1:${address.port}`;
  const client = createClient(Health, { target, dangerouslyPlaintext: true, retry: "never" });
  await use({ client, port: address.port, bank });
  client.close();
}

async function codeOf(work: Promise<unknown>): Promise<unknown> {
  const error = await failure(work);
  return error instanceof GrpcError ? error.code : error;
}

test("S42 the health port answers Check of the empty name and of those configured, without a certificate", () =>
  withPort(async ({ client, bank }) => {
    assert.equal((await client.check({})).status, SERVING);
    assert.equal((await client.check({ service: TestService.typeName })).status, SERVING);
    assert.equal(await codeOf(client.check({ service: Health.typeName })), "NOT_FOUND");
    bank.server.health.setStatus("", "NOT_SERVING");
    assert.equal((await client.check({})).status, NOT_SERVING);
  }));

test("S42 everything else on the health port is UNIMPLEMENTED", () =>
  withPort(async ({ client, port }) => {
    assert.equal(await codeOf(collect(client.watch({}))), "UNIMPLEMENTED");
    assert.equal(await codeOf(client.list({})), "UNIMPLEMENTED");
    const target = `127.0.0.1:${port}`;
    const bankClient = createClient(TestService, { target, dangerouslyPlaintext: true });
    assert.equal(await codeOf(bankClient.emptyCall({})), "UNIMPLEMENTED");
    bankClient.close();
  }));

test("S42 a connection of the health port has one call at a time, and lives 5 s", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  await withPort(async ({ port }) => {
    const session = http2.connect(`http://127.0.0.1:${port}`);
    session.on("error", () => undefined);
    const closed = once(session, "close");
    const [settings] = (await once(session, "remoteSettings")) as [http2.Settings];
    assert.equal(settings.maxConcurrentStreams, 1);
    context.mock.timers.tick(4_999);
    await new Promise((resolve) => session.ping(resolve));
    context.mock.timers.tick(1);
    await closed;
  });
});

test("S42 there is no health port unless it is asked for, at an address", async () => {
  await using bank = await serve();
  const served = await failure(bank.server.listenHealth({} as never));
  assert.ok(served instanceof TypeError);
});

test("S42 heads over 4 KiB are refused, and so is the 65th connection", () =>
  withPort(async ({ client, port }) => {
    const headers = { "x-large": "a".repeat(5_000) };
    assert.equal(await codeOf(client.check({}, { headers })), "RESOURCE_EXHAUSTED");
    const sockets = await Promise.all(
      Array.from({ length: 63 }, async () => {
        const socket = net.connect(port, "127.0.0.1");
        await once(socket, "data");
        return socket;
      }),
    );
    const late = net.connect(port, "127.0.0.1");
    const chunks: Buffer[] = [];
    late.on("data", (chunk: Buffer) => chunks.push(chunk));
    late.on("error", () => undefined);
    await once(late, "close");
    assert.equal(chunks.length, 0);
    for (const socket of sockets) socket.destroy();
  }));
