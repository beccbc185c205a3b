import { isIP } from "node:net";
import { createRateLimit } from "../acme/rate-limit.ts";
import { createBundleFeed } from "./bundle-feed.ts";
import { createCrlFeed } from "./crl-feed.ts";
import type { CrlFeed } from "./crl-feed.ts";
import { createBackDoor, createFrontDoor } from "./doors.ts";
import type { DoorParts } from "./doors.ts";
import { createHttpDoor } from "./http-door.ts";
import type { HttpHandler } from "./http-door.ts";
import { resolveLimits } from "./limits.ts";
import type { Rate } from "./limits.ts";
import type { MethodContext } from "./method-context.ts";
import { createOcspResponder } from "./ocsp-responder.ts";
import { operationsHandler } from "./operations.ts";
import type { AuthorityServiceOptions, MountedAcme, TcpAddress } from "./options.ts";
import { createOwnIdentity } from "./own-identity.ts";
import type { OwnIdentity } from "./own-identity.ts";
import { listenPlain } from "./plain-listener.ts";
import type { PlainListener } from "./plain-listener.ts";
import { createPublicFiles } from "./public-files.ts";
import { repeat } from "./repeat.ts";

/** An authority that is online. */
export interface AuthorityService {
  /** `https://NAME:PORT`: what tokens name and clients fetch the roots from. */
  readonly enrolmentUrl: string;
  /** `NAME:PORT`: where certificates are renewed. */
  readonly authorityTarget: string;
  /** The ports of the two plaintext listeners, where they are. */
  readonly publicationPort: number | undefined;
  readonly operationsPort: number | undefined;
  /** Whether its certificate, its lists and its store are as they should be. */
  ready(): boolean;
  /** Signs the revocation lists anew, now. @throws CaError CRL_UNPUBLISHED */
  publishCrls(): Promise<void>;
  /** Takes no more requests, lets those under way end (10,000 ms at most if not given), and stops. */
  shutdown(options?: { readonly graceMs?: number }): Promise<void>;
}

/**
 * Puts an authority online behind two doors (security.md S49): one for whoever has no certificate
 * yet, with limits per source, and one over mutual TLS for the rest. It serves with a certificate
 * that it issues to itself.
 *
 * @throws CaError of the authority (a key that is locked, names that it may not issue); TlsError
 * LISTEN_FAILED
 */
export async function createAuthorityService(
  options: AuthorityServiceOptions,
): Promise<AuthorityService> {
  const undo: (() => Promise<unknown> | void)[] = [];
  try {
    return await start(options, undo);
  } catch (error) {
    for (const step of undo.toReversed()) await step();
    throw error;
  }
}

async function start(
  options: AuthorityServiceOptions,
  undo: (() => Promise<unknown> | void)[],
): Promise<AuthorityService> {
  const { authority, clock = () => new Date(), onEvent = () => undefined, pollMs = 500 } = options;
  const limits = resolveLimits(options.limits);
  const stopping = new AbortController();
  const fault = (during: string) => (error: unknown) => onEvent({ type: "fault", during, error });

  const bundle = await createBundleFeed({ authority, pollMs, onError: fault("bundle") });
  undo.push(() => bundle.close());
  const identity = await createOwnIdentity({
    authority,
    names: splitNames(options.names),
    validitySeconds: options.ownValiditySeconds ?? day / 4,
    clock,
    onRenewed: (notAfter) => onEvent({ type: "identity-renewed", notAfter }),
    onError: fault("own certificate"),
  });
  undo.push(() => identity.close());
  const crls = await createCrlFeed({
    authority,
    pollMs,
    validitySeconds: options.crlValiditySeconds ?? 7 * day,
    republishSeconds: options.crlRepublishSeconds ?? day,
    clock,
    onPublished(lists) {
      const numbers = [...lists.values()].map(({ issuer, number }) => [issuer, number] as const);
      onEvent({ type: "crls-published", numbers: Object.fromEntries(numbers) });
    },
    onError: fault("revocation lists"),
  });
  undo.push(() => crls.close());
  const pruning = repeat(
    async () => {
      const { keepEndedSeconds } = options;
      await authority.prune(keepEndedSeconds === undefined ? {} : { keepEndedSeconds });
    },
    { delayMs: () => pruneMs, onError: fault("pruning") },
  );
  undo.push(() => pruning.close());
  options.onCrls?.(crls.current);
  crls.onChange(() => options.onCrls?.(crls.current));
  bundle.onChange(() => {
    onEvent({ type: "bundle-changed", sequence: bundle.current.sequence });
    // With it may come another chain of our own.
    void identity.renew();
  });

  const [host] = options.names;
  let enrolmentUrl = "";
  let authorityTarget = "";
  let acme: MountedAcme | undefined;
  const context: MethodContext = {
    authority,
    bundle,
    crls,
    clock,
    authorityTarget: () => authorityTarget,
    stopping: stopping.signal,
  };
  const { maxAgeSeconds } = limits;
  const files = createPublicFiles({ bundle, crls, maxAgeSeconds, clock });
  const ocsp = createOcspResponder({
    authority,
    crls,
    maxAgeSeconds,
    validitySeconds: options.ocspValiditySeconds ?? 3_600,
    signing: createRateLimit({ ...limits.ocspSignatures, clock }),
    clock,
    onError: fault("OCSP"),
  });
  const published: readonly HttpHandler[] = [
    (request, response) => files.handle(request, response),
    (request, response) => ocsp.handle(request, response),
  ];
  const ready = (): boolean => isReady({ identity, crls, now: clock() });
  const doors: DoorParts = {
    options,
    context,
    identity,
    published,
    limits,
    ready,
    acme: () => acme,
    fault,
  };
  const publication = await listenIf(options.publication, {
    handlers: published,
    rate: limits.publicRequestsPerSource,
    clock,
  });
  undo.push(() => publication?.close(0));
  const front = await createFrontDoor(doors, () => options.audience ?? enrolmentUrl);
  undo.push(() => front.close(0));
  const back = await createBackDoor(doors);
  undo.push(() => back.close(0));

  authorityTarget = `${hostText(host)}:${await back.listen(options.authorityListener)}`;
  enrolmentUrl = `https://${hostText(host)}:${await front.listen(options.enrolment)}`;
  acme = await options.acme?.(enrolmentUrl);
  const operations = await listenIf(loopbackOnly(options), {
    handlers: [
      operationsHandler({
        ready,
        counters: options.counters ?? { done: {}, refused: {} },
        async gauges() {
          return {
            expiries: { serving: identity.notAfter, ...(await expiriesOf(authority)) },
            crlNextUpdates: Object.fromEntries(
              [...crls.current.values()].map(({ issuer, nextUpdate }) => [issuer, nextUpdate]),
            ),
            pendingRequests: front.guard.pending + back.guard.pending,
            watchers: back.guard.streams,
            ocsp: { ...ocsp.counters },
          };
        },
        clock,
        onError: fault("metrics"),
      }),
    ],
    rate: limits.publicRequestsPerSource,
    clock,
  });

  return {
    enrolmentUrl,
    authorityTarget,
    publicationPort: publication?.port,
    operationsPort: operations?.port,
    ready,
    publishCrls: () => crls.publish(),
    async shutdown({ graceMs = 10_000 } = {}) {
      stopping.abort();
      await Promise.all([
        front.close(graceMs),
        back.close(graceMs),
        publication?.close(graceMs),
        operations?.close(graceMs),
      ]);
      await acme?.close();
      await Promise.all([identity.close(), crls.close(), bundle.close(), pruning.close()]);
    },
  };
}

/** @throws TypeError */
function loopbackOnly({
  operations,
  dangerouslyOperationsBeyondLoopback = false,
}: AuthorityServiceOptions): TcpAddress | undefined {
  if (operations === undefined || dangerouslyOperationsBeyondLoopback) return operations;
  if (/^(?:localhost|127(?:\.\d+){3}|::1)$/.test(operations.host)) return operations;
  throw new TypeError(
    `metrics are served on loopback, not on ${operations.host}; dangerouslyOperationsBeyondLoopback lifts this`,
  );
}

async function listenIf(
  address: TcpAddress | undefined,
  {
    handlers,
    rate,
    clock,
  }: {
    readonly handlers: readonly HttpHandler[];
    readonly rate: Rate;
    readonly clock: () => Date;
  },
): Promise<PlainListener | undefined> {
  if (address === undefined) return undefined;
  const limiter = createRateLimit({ ...rate, clock });
  return listenPlain(createHttpDoor(handlers, { limiter }).server, address);
}

/** When the authority's own CA certificates end. */
async function expiriesOf(
  authority: AuthorityServiceOptions["authority"],
): Promise<Record<string, Date>> {
  const living = (await authority.issuers()).filter(({ state }) => state !== "retired");
  const ends = living.map(async ({ name, certificate: fingerprint }) => {
    const [record] = await authority.find({ fingerprint });
    return record === undefined ? [] : [[name, record.notAfter] as const];
  });
  return Object.fromEntries((await Promise.all(ends)).flat());
}

function isReady({
  identity,
  crls,
  now,
}: {
  readonly identity: OwnIdentity;
  readonly crls: CrlFeed;
  readonly now: Date;
}): boolean {
  const lists = [...crls.current.values()];
  return identity.notAfter > now && lists.every(({ nextUpdate }) => nextUpdate > now);
}

function splitNames(names: readonly string[]): { dns: string[]; ip: string[] } {
  return {
    dns: names.filter((name) => isIP(name) === 0),
    ip: names.filter((name) => isIP(name) !== 0),
  };
}

function hostText(host: string): string {
  return isIP(host) === 6 ? `[${host}]` : host;
}

const day = 86_400;
const pruneMs = 3_600_000;
