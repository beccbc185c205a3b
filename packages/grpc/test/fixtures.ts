// What the tests of this room share: certificates, runtimes, a served interop service and its clients.
import {
  anyTrustedPeer,
  createMutualTls,
  identityFromMemory,
  noRevocation,
  trustFromMemory,
} from "@handfast/tls";
import type { MutualTls, MutualTlsOptions, TlsEvent } from "@handfast/tls";
import { createTestAuthority } from "@handfast/x509/testing";
import type { TestAuthority, TestIdentity } from "@handfast/x509/testing";
import { allowEveryAdmittedPeer, createClient, createServer } from "../src/index.ts";
import type {
  Client,
  ClientOptions,
  GrpcServerEvent,
  Server,
  ServerOptions,
  ServiceHandlers,
} from "../src/index.ts";
import { TestService, interopHandlers } from "../src/testing/index.ts";

export const authority: TestAuthority = createTestAuthority();
export const bankIdentity: TestIdentity = authority.issue({ name: "localhost" });
export const aliceIdentity: TestIdentity = authority.issue({ name: "alice" });

/** A mutual TLS runtime with what it said. */
export interface Runtime extends AsyncDisposable {
  readonly mtls: MutualTls;
  readonly events: TlsEvent[];
  /** The first event that matches, past or to come. */
  next(matches: (event: TlsEvent) => boolean): Promise<TlsEvent>;
}

export async function runtime(
  identity: TestIdentity,
  options: Partial<MutualTlsOptions> = {},
): Promise<Runtime> {
  const record = recorder<TlsEvent>();
  const mtls = await createMutualTls({
    identity: identityFromMemory({
      certificateChain: identity.certificateChainPem,
      privateKey: identity.privateKeyPem,
    }),
    trust: trustFromMemory(authority.bundlePem),
    revocation: noRevocation(),
    admit: anyTrustedPeer(),
    onEvent: record.add,
    ...options,
  });
  return {
    mtls,
    events: record.items,
    next: record.next,
    [Symbol.asyncDispose]: () => mtls.close(),
  };
}

/** A server over mutual TLS on a free port of localhost, serving the interop service. */
export interface Served extends AsyncDisposable {
  readonly server: Server;
  readonly tls: Runtime;
  readonly port: number;
  readonly target: string;
  readonly events: GrpcServerEvent[];
  next(matches: (event: GrpcServerEvent) => boolean): Promise<GrpcServerEvent>;
}

export async function serve(
  options: Partial<ServerOptions> & {
    readonly handlers?: Partial<ServiceHandlers<typeof TestService>>;
    readonly tlsOptions?: Partial<MutualTlsOptions>;
    readonly identity?: TestIdentity;
  } = {},
): Promise<Served> {
  const { handlers = {}, tlsOptions = {}, identity = bankIdentity, ...serverOptions } = options;
  const tls = await runtime(identity, tlsOptions);
  const record = recorder<GrpcServerEvent>();
  const server = createServer({
    tls: tls.mtls,
    policy: allowEveryAdmittedPeer(),
    onEvent: record.add,
    ...serverOptions,
  });
  server.add(TestService, { ...interopHandlers, ...handlers });
  const address = await server.listen({ host: "localhost", port: 0 });
  if (!("port" in address)) throw new TypeError("expected a TCP address");
  return {
    server,
    tls,
    port: address.port,
    target: `localhost:${address.port}`,
    events: record.items,
    next: record.next,
    async [Symbol.asyncDispose]() {
      await server.shutdown({ graceMs: 0 });
      await tls.mtls.close();
    },
  };
}

/** A client of the interop service over mutual TLS. */
export async function dial(
  target: string,
  options: Partial<ClientOptions> & {
    readonly identity?: TestIdentity;
    readonly tlsOptions?: Partial<MutualTlsOptions>;
  } = {},
): Promise<{ client: Client<typeof TestService>; tls: Runtime } & AsyncDisposable> {
  const { identity = aliceIdentity, tlsOptions = {}, ...clientOptions } = options;
  const tls = await runtime(identity, tlsOptions);
  const client = createClient(TestService, { tls: tls.mtls, target, ...clientOptions });
  return {
    client,
    tls,
    async [Symbol.asyncDispose]() {
      client.close();
      await tls.mtls.close();
    },
  };
}

/** Keeps what it is given, and lets a test wait for what it has not been given yet. */
export function recorder<Item>(): {
  readonly items: Item[];
  add(item: Item): void;
  next(matches: (item: Item) => boolean): Promise<Item>;
} {
  const items: Item[] = [];
  const waiting = new Set<() => void>();
  return {
    items,
    add(item) {
      items.push(item);
      for (const look of waiting) look();
    },
    next: (matches) =>
      new Promise((resolve) => {
        const look = (): void => {
          const found = items.find((item) => matches(item));
          if (found === undefined) return;
          waiting.delete(look);
          resolve(found);
        };
        waiting.add(look);
        look();
      }),
  };
}

/** What a promise or call rejected with. */
export async function failure(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
  } catch (error) {
    return error;
  }
  throw new Error("it succeeded");
}

/** Everything an iterable yields. */
export async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const collected: Item[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}
