import { isIP } from "node:net";
import { createBundleFeed } from "./bundle-feed.ts";
import { createCrlFeed } from "./crl-feed.ts";
import type { CrlFeed } from "./crl-feed.ts";
import { createBackDoor, createFrontDoor } from "./doors.ts";
import type { DoorParts } from "./doors.ts";
import { resolveLimits } from "./limits.ts";
import type { MethodContext } from "./method-context.ts";
import type { AuthorityServiceOptions, MountedAcme } from "./options.ts";
import { createOwnIdentity } from "./own-identity.ts";
import type { OwnIdentity } from "./own-identity.ts";
import { createPublicFiles } from "./public-files.ts";

/** An authority that is online. */
export interface AuthorityService {
  /** `https://NAME:PORT`: what tokens name and clients fetch the roots from. */
  readonly enrolmentUrl: string;
  /** `NAME:PORT`: where certificates are renewed. */
  readonly authorityTarget: string;
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
  const files = createPublicFiles({ bundle, crls, maxAgeSeconds: limits.maxAgeSeconds, clock });
  const ready = (): boolean => isReady({ identity, crls, now: clock() });
  const doors: DoorParts = {
    options,
    context,
    identity,
    files,
    limits,
    ready,
    acme: () => acme,
    fault,
  };
  const front = await createFrontDoor(doors, () => options.audience ?? enrolmentUrl);
  undo.push(() => front.close(0));
  const back = await createBackDoor(doors);
  undo.push(() => back.close(0));

  authorityTarget = `${hostText(host)}:${await back.listen(options.authorityListener)}`;
  enrolmentUrl = `https://${hostText(host)}:${await front.listen(options.enrolment)}`;
  acme = await options.acme?.(enrolmentUrl);

  return {
    enrolmentUrl,
    authorityTarget,
    ready,
    publishCrls: () => crls.publish(),
    async shutdown({ graceMs = 10_000 } = {}) {
      stopping.abort();
      await Promise.all([front.close(graceMs), back.close(graceMs)]);
      await acme?.close();
      await Promise.all([identity.close(), crls.close(), bundle.close()]);
    },
  };
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
