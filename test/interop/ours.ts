// Our own ends: what a Handfast server and client see of whoever is on the other side, as one line of text.
import { createServer as createHttpServer } from "node:http";
import { GrpcError, createClient, createServer, allowEveryAdmittedPeer } from "@handfast/grpc";
import { TestService, interopHandlers } from "@handfast/grpc/testing";
import {
  createMutualTls,
  crlFromDirectory,
  identityFromFiles,
  memberOf,
  noIdentity,
  nobody,
  oneOf,
  peerOf,
  TlsError,
  trustFromFile,
} from "@handfast/tls";
import type { MutualTls, MutualTlsOptions, TlsEvent } from "@handfast/tls";
import type { ServerCall } from "@handfast/grpc";
import { Agent, request } from "undici";
import type { CredentialName, Credentials } from "./credentials.ts";

/** A server of ours, for gRPC on one port and for HTTP on another. */
export interface OurServer {
  readonly ports: Readonly<Record<Protocol, number>>;
  /** Forgets what was seen before. */
  forget(): void;
  /** What it saw of the first connection since: `accepted: IDENTITY`, `refused: CODE` or `peer refused: CODE`. */
  saw(): Promise<string>;
  /** The values under a name of each call since. */
  headers(name: string): readonly (readonly string[])[];
  /** Who made each call since, and through whom: `IDENTITY`, or `IDENTITY via IDENTITY`. */
  callers(): readonly string[];
  /** Reads certificates and revocation lists anew. */
  reload(): Promise<void>;
  close(): Promise<void>;
}

export type Protocol = "grpc" | "http";

/**
 * Serves health and the interop service, and a page that greets its caller; admits `client` and `proxy` alone.
 * With `forwardedBy` the proxy may hand on the certificate of anybody of the trust domain.
 */
export async function serveOurs(
  credentials: Credentials,
  identity: CredentialName,
  { forwardedBy }: { readonly forwardedBy?: { readonly header: string } } = {},
): Promise<OurServer> {
  const seen: string[] = [];
  const calls: ServerCall[] = [];
  let look = (): void => undefined;
  const mtls = await createMutualTls({
    ...commonOptions(credentials),
    identity: identityFromFiles(credentials.of(identity)),
    admit: oneOf(["client", "proxy"].map((name) => `spiffe://handfast.internal/${name}`)),
    onEvent(event) {
      if (event.type !== "handshake" || event.side !== "server") return;
      seen.push(outcomeOf(event));
      look();
    },
  });
  const grpc = createServer({
    tls: mtls,
    policy: allowEveryAdmittedPeer(),
    reflection: true,
    ...(forwardedBy && {
      forwardedBy: { ...forwardedBy, proxies: [proxyId], admit: memberOf("handfast.internal") },
    }),
    interceptors: [
      (call, next) => {
        calls.push(call);
        return next();
      },
    ],
  });
  grpc.add(TestService, interopHandlers);
  const grpcAddress = await grpc.listen(loopback);
  const page = createHttpServer((incoming, response) => {
    response.end(`hello ${peerOf(incoming)?.identity ?? "stranger"}\n`);
  });
  const listener = await mtls.serveHttp(page, loopback);
  return {
    ports: { grpc: portOf(grpcAddress), http: portOf(listener.address) },
    forget() {
      seen.length = 0;
      calls.length = 0;
    },
    headers: (name) => calls.map(({ requestHeaders }) => requestHeaders.getAll(name)),
    callers: () =>
      calls.map(({ caller, forwarded }) => {
        const via = forwarded === undefined ? "" : ` via ${forwarded.via.identity}`;
        return `${caller?.identity}${via}`;
      }),
    async reload() {
      await mtls.reload();
    },
    async saw() {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const timer = setTimeout(() => reject(new Error("our server saw no handshake")), timeoutMs);
      look = () => (seen.length > 0 ? resolve() : undefined);
      look();
      await promise;
      clearTimeout(timer);
      return seen[0] ?? "";
    },
    async close() {
      await grpc.shutdown({ graceMs: 0 });
      await listener.close();
      await mtls.close();
    },
  };
}

/** Calls a server with `identity`, or without a certificate, and says what came of it. */
export async function callWithOurs(
  credentials: Credentials,
  options: {
    readonly protocol: Protocol;
    readonly port: number;
    readonly identity: CredentialName | undefined;
    /** Sent each with a call of the interop service, once it is known that there is a connection. */
    readonly headers?: readonly Readonly<Record<string, string>>[];
    /** What happens before each of these, on the connection that is there. */
    readonly before?: () => Promise<void>;
  },
): Promise<string> {
  const { protocol, port, identity, headers = [], before = () => Promise.resolve() } = options;
  const mtls = await createMutualTls({
    ...commonOptions(credentials),
    identity: identity === undefined ? noIdentity() : identityFromFiles(credentials.of(identity)),
    admit: nobody(),
    // A client that would not use its own certificate any more is not what is tried here.
    ...(identity === "expired" ? { now: () => credentials.beforeExpiry } : {}),
  });
  try {
    return await (protocol === "grpc"
      ? callGrpc(mtls, { port, headers, before })
      : callHttp(mtls, port));
  } finally {
    await mtls.close();
  }
}

async function callGrpc(
  mtls: MutualTls,
  {
    port,
    headers,
    before,
  }: {
    port: number;
    headers: readonly Readonly<Record<string, string>>[];
    before: () => Promise<void>;
  },
): Promise<string> {
  const client = createClient(TestService, { target: `localhost:${port}`, tls: mtls });
  try {
    const { health } = await client.connect();
    for (const sent of headers) {
      await before();
      await client.emptyCall({}, { headers: sent });
    }
    return `ok: ${health}`;
  } catch (error) {
    if (!(error instanceof GrpcError)) throw error;
    const { code, message, refusal } = error;
    if (refusal === undefined) return `error: ${code}: ${alertIn(message)}`;
    return `${refusal.by === "us" ? "refused" : "peer refused"}: ${refusal.code}`;
  } finally {
    client.close();
  }
}

async function callHttp(mtls: MutualTls, port: number): Promise<string> {
  const dispatcher = new Agent({ connect: mtls.undiciConnect });
  try {
    const { statusCode, body } = await request(`https://localhost:${port}/`, { dispatcher });
    const [line = ""] = (await body.text()).trim().split("\n");
    return `ok: ${statusCode} ${line}`;
  } catch (error) {
    if (error instanceof TlsError && error.refusal !== undefined) {
      const { by, code } = error.refusal;
      return `${by === "us" ? "refused" : "peer refused"}: ${code}`;
    }
    const { message, cause } = error as Error;
    return `error: ${alertIn(cause instanceof Error ? cause.message : message)}`;
  } finally {
    await dispatcher.destroy();
  }
}

function commonOptions({
  caFile,
  crlDirectory,
}: Credentials): Pick<MutualTlsOptions, "trust" | "revocation"> {
  return {
    trust: trustFromFile(caFile),
    revocation: crlFromDirectory(crlDirectory, { undetermined: "refuse" }),
  };
}

function outcomeOf({ peer, refusal }: Extract<TlsEvent, { type: "handshake" }>): string {
  if (refusal === undefined) return `accepted: ${peer?.identity}`;
  return `${refusal.by === "us" ? "refused" : "peer refused"}: ${refusal.code}`;
}

/** OpenSSL's text carries an address and a file of its source around the alert, which is all that matters. */
function alertIn(message: string): string {
  return /[^:]*\balert\b[^:]*/.exec(message)?.[0].trim() ?? message;
}

function portOf(address: object): number {
  return (address as { readonly port: number }).port;
}

const proxyId = "spiffe://handfast.internal/proxy";
const loopback = { host: "127.0.0.1", port: 0 };
const timeoutMs = 20_000;
