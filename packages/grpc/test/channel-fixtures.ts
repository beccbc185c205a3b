// Channels of the client's engine by themselves, over plaintext, and what they are tried against.
import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { allowEveryAdmittedPeer, createServer } from "../src/index.ts";
import type { HealthControl } from "../src/index.ts";
import { parseTarget } from "../src/client/target.ts";
import type { Address } from "../src/client/target.ts";
import { Metadata } from "../src/metadata.ts";
import { TestService, interopHandlers } from "../src/testing/index.ts";
import { createChannel } from "../src/wire/client-engine.ts";
import type { ChannelOptions } from "../src/wire/client-engine.ts";
import type { Connector } from "../src/wire/subchannel.ts";
import type { EngineChannel, EngineOutcome, EngineRequest } from "../src/engine.ts";

/** A plaintext server of the interop service. */
export interface Port extends AsyncDisposable {
  readonly address: { readonly host: string; readonly port: number };
  readonly calls: string[];
  readonly health: HealthControl;
  shutdown(): Promise<void>;
}

export async function plainServer(): Promise<Port> {
  const calls: string[] = [];
  const server = createServer({
    dangerouslyPlaintext: true,
    policy: allowEveryAdmittedPeer(),
    unauthenticatedPeers: "ask-policy",
  });
  server.add(TestService, {
    ...interopHandlers,
    emptyCall(_request, { method }) {
      calls.push(method);
      return {};
    },
  });
  const address = await server.listen({ host: "127.0.0.1", port: 0 });
  assert.ok("port" in address);
  const shutdown = (): Promise<void> => server.shutdown({ graceMs: 1_000 });
  return { address, calls, health: server.health, shutdown, [Symbol.asyncDispose]: shutdown };
}

/** A socket that accepts and never says anything, as an address that does not work. */
export async function silentPort(): Promise<
  { address: { host: string; port: number } } & AsyncDisposable
> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => sockets.add(socket));
  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    address: { host: "127.0.0.1", port: (server.address() as net.AddressInfo).port },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

/** A channel to addresses that a test chooses. */
export function channelTo(
  resolve: () => readonly Address[],
  options: Partial<ChannelOptions> = {},
): EngineChannel {
  const connector: Connector = { scheme: "http", secure: (socket) => Promise.resolve(socket) };
  return createChannel({
    target: parseTarget("dns:///bank.internal:443"),
    connector,
    limits: { maxReceiveMessageBytes: 1_000 },
    loadBalancing: "pick_first",
    resolve: () => Promise.resolve(resolve()),
    ...options,
  });
}

export function callEmpty(
  channel: EngineChannel,
  options: Partial<EngineRequest> = {},
): Promise<EngineOutcome> {
  return new Promise((onStatus) => {
    const call = channel.start(
      {
        path: "/grpc.testing.TestService/EmptyCall",
        headers: new Metadata(),
        deadline: Date.now() + 10_000,
        previousAttempts: 0,
        waitForReady: false,
        ...options,
      },
      { onHeaders: () => undefined, onMessage: () => call.read(), onStatus },
    );
    call.send(new Uint8Array(0), () => undefined);
    call.halfClose();
    call.read();
  });
}
