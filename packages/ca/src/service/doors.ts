import { createServer } from "@handfast/grpc";
import type { Server, ServerPolicy } from "@handfast/grpc";
import { anyTrustedPeer, createMutualTls, nobody, noRevocation } from "@handfast/tls";
import type { MutualTls } from "@handfast/tls";
import { createRateLimit, sourceKey } from "../acme/rate-limit.ts";
import type { RateLimit } from "../acme/rate-limit.ts";
import { Authority as AuthorityDescriptor, Enrolment } from "../gen/handfast/ca/v1/ca_pb.ts";
import { authorityMethods } from "./authority-methods.ts";
import { enrolmentMethods } from "./enrolment-methods.ts";
import { createGuard } from "./guard.ts";
import type { Guard } from "./guard.ts";
import { createHttpDoor } from "./http-door.ts";
import type { HttpDoor, HttpHandler } from "./http-door.ts";
import { inventoryMethods, requireRecorded } from "./inventory.ts";
import { createJsonFace } from "./json-face.ts";
import type { Rate, ResolvedLimits } from "./limits.ts";
import type { MethodContext } from "./method-context.ts";
import type { AuthorityServiceOptions, MountedAcme, TcpAddress } from "./options.ts";
import type { OwnIdentity } from "./own-identity.ts";

/** What both doors are made of. */
export interface DoorParts {
  readonly options: AuthorityServiceOptions;
  readonly context: MethodContext;
  readonly identity: OwnIdentity;
  /** Roots, lists and OCSP. */
  readonly published: readonly HttpHandler[];
  readonly limits: ResolvedLimits;
  readonly ready: () => boolean;
  /** Undefined until it is made. */
  readonly acme: () => MountedAcme | undefined;
  readonly fault: (during: string) => (error: unknown) => void;
}

/** One of the two listeners, and what it serves. */
export interface Door {
  readonly guard: Guard;
  /** @returns the port */
  listen(address: TcpAddress): Promise<number>;
  close(graceMs: number): Promise<void>;
}

/** Without client certificates: enrolment and what is public, nothing else. */
export async function createFrontDoor(parts: DoorParts, audience: () => string): Promise<Door> {
  const { options, context, identity, limits, fault } = parts;
  const rate = rateLimit(limits.requestsPerSource, context);
  const enrolRate = rateLimit(limits.enrolmentsPerSource, context);
  const guard = createGuard({
    keyOf: ({ remoteAddress }) => sourceKey(remoteAddress),
    limiterOf: ({ descriptor }) => (descriptor === Enrolment.method.enrol ? enrolRate : rate),
    maxPending: limits.pending,
    maxStreamsPerCaller: 1,
    audit: options.audit,
    onFault: (during, error) => fault(during)(error),
  });
  const methods = enrolmentMethods(context, audience);
  const json = createJsonFace(Enrolment, { methods, guard });
  const http = createHttpDoor(
    [
      ...parts.published,
      (request, response) => json.handle(request, response, undefined),
      (request, response) => {
        const acme = parts.acme();
        if (acme?.handles(request.url ?? "") !== true) return false;
        void acme.handle(request, response);
        return true;
      },
    ],
    { limiter: rate },
  );
  const tls = await createMutualTls({
    identity: identity.source,
    trust: context.bundle.source,
    revocation: noRevocation(), // no client shows a certificate
    admit: nobody(),
    onEvent: (event) => options.onEvent?.({ type: "tls", listener: "enrolment", event }),
    limits: limits.enrolmentListener,
  });
  const server = createServer({
    tls,
    policy: { decide: ({ path }) => decision(path.startsWith(`/${Enrolment.typeName}/`)) },
    unauthenticatedPeers: "ask-policy",
    interceptors: [(call, next) => guard.run(call, next)],
    limits: {
      maxReceiveMessageBytes: 64 * 1_024,
      maxConcurrentStreams: 16,
      timing: { idleMs: 30_000, stallMs: 10_000 },
    },
    onEvent: (event) => options.onEvent?.({ type: "grpc", listener: "enrolment", event }),
  });
  server.add(Enrolment, methods);
  return door({ tls, server, http, guard, clientCertificates: "none" });
}

/** Over mutual TLS; the store is asked about each caller. */
export async function createBackDoor(parts: DoorParts): Promise<Door> {
  const { options, context, identity, limits, fault } = parts;
  const { bundle, crls, authority } = context;
  const rate = rateLimit(limits.requestsPerIdentity, context);
  const renewRate = rateLimit(limits.renewalsPerIdentity, context);
  const guard = createGuard({
    keyOf: ({ peer }) => peer?.identity ?? peer?.fingerprint ?? "",
    limiterOf: ({ descriptor }) =>
      descriptor === AuthorityDescriptor.method.renew ? renewRate : rate,
    maxPending: limits.pending,
    maxStreamsPerCaller: limits.streamsPerIdentity,
    admit: (caller) => requireRecorded(authority, caller),
    audit: options.audit,
    onFault: (during, error) => fault(during)(error),
  });
  const methods = authorityMethods(context, inventoryMethods(context, options.admins));
  const json = createJsonFace(AuthorityDescriptor, { methods, guard });
  const http = createHttpDoor(
    [...parts.published, (request, response, peer) => json.handle(request, response, peer)],
    { limiter: rateLimit(limits.requestsPerSource, context) },
  );
  const tls = await createMutualTls({
    identity: identity.source,
    trust: bundle.source,
    revocation: crls.source,
    admit: anyTrustedPeer(),
    onEvent: (event) => options.onEvent?.({ type: "tls", listener: "authority", event }),
    limits: limits.authorityListener,
  });
  const server = createServer({
    tls,
    // Each method decides by itself whose certificates it is about.
    policy: { decide: () => decision(true) },
    interceptors: [(call, next) => guard.run(call, next)],
    limits: { maxReceiveMessageBytes: 256 * 1_024, maxSendMessageBytes: largestListBytes },
    onEvent: (event) => options.onEvent?.({ type: "grpc", listener: "authority", event }),
  });
  server.add(AuthorityDescriptor, methods);
  server.health.addCheck("", {
    name: "authority",
    ready: parts.ready,
    intervalMs: 1_000,
  });
  return door({ tls, server, http, guard, clientCertificates: "required" });
}

function door({
  tls,
  server,
  http,
  guard,
  clientCertificates,
}: {
  readonly guard: Guard;
  readonly tls: MutualTls;
  readonly server: Server;
  readonly http: HttpDoor;
  readonly clientCertificates: "required" | "none";
}): Door {
  return {
    guard,
    async listen(address) {
      const bound = await server.listen({
        ...address,
        clientCertificates,
        "http/1.1": http.protocol(),
      });
      return "port" in bound ? bound.port : address.port;
    },
    async close(graceMs) {
      const closed = server.shutdown({ graceMs });
      http.drain();
      const timer = setTimeout(() => void tls.close(), graceMs + 500);
      await closed;
      clearTimeout(timer);
      await tls.close();
    },
  };
}

function rateLimit(rate: Rate, { clock }: MethodContext): RateLimit {
  return createRateLimit({ ...rate, clock });
}

function decision(
  allowed: boolean,
): ReturnType<Extract<ServerPolicy, { decide: unknown }>["decide"]> {
  return { allowed, rule: "", reason: allowed ? "allow-rule" : "no-rule" };
}

/** A list of a million revocations is 37 MB. */
const largestListBytes = 64 * 1_024 * 1_024;
