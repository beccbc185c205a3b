import { randomBytes } from "node:crypto";
import { createSecureContext } from "node:tls";
import type { SecureContext, SecureContextOptions } from "node:tls";

import { verifyChain } from "@handfast/x509";

import type { AdmissionRule } from "./admission.ts";
import { createCertificateCache } from "./certificate-cache.ts";
import { dial } from "./dialer.ts";
import type { DialAddress, DialOptions, Dialled, TlsSession } from "./dialer.ts";
import { TlsError } from "./errors.ts";
import type { TlsEventListener } from "./events.ts";
import { watchExpiry } from "./expiry.ts";
import { foreignServer } from "./foreign-server.ts";
import type { ForeignServer } from "./foreign-server.ts";
import { createForwardedPeers } from "./forwarded-peers.ts";
import type { ForwardedPeers, ForwardedPeersOptions } from "./forwarded-peers.ts";
import { createHttpAdapters } from "./http-adapters.ts";
import type { HttpAdapters } from "./http-adapters.ts";
import { parseIdentity } from "./identity.ts";
import type { Identity, IdentitySource, Purpose } from "./identity.ts";
import { listen } from "./listener.ts";
import type {
  ListenAddress,
  ListenProtocols,
  Listener,
  ListenerContext,
  ListenerLimits,
} from "./listener.ts";
import type { Protocol } from "./protocol.ts";
import { createRecent } from "./recent.ts";
import type { Authority, ReloadOptions, RevocationSource } from "./revocation.ts";
import { inspectEnvironment } from "./runtime-environment.ts";
import { secureContextOptions } from "./secure-context.ts";
import type { ProtocolOptions } from "./secure-context.ts";
import { createSessionTable } from "./sessions.ts";
import type { SessionInfo } from "./sessions.ts";
import type { ReloadOutcome } from "./source.ts";
import { createTracked } from "./tracked.ts";
import { parseTrust } from "./trust.ts";
import type { Trust, TrustSource } from "./trust.ts";
import { createVerifiedSignatures } from "./verified-signatures.ts";
import type { Grounds, Presented } from "./grounds.ts";

/** The safety decisions are required: there is no default trust, admission or revocation. */
export interface MutualTlsOptions extends ProtocolOptions {
  /** Our certificate and key: `identityFromFiles(…)`, `identityFromMemory(…)`, `noIdentity()`. */
  readonly identity: IdentitySource;
  /** The CAs we trust: `trustFromFile(…)`, `trustFromMemory(…)`. */
  readonly trust: TrustSource;
  /** `crlFromDirectory(…)`, …, or in words `noRevocation()`. */
  readonly revocation: RevocationSource;
  /** Who may connect to us: `anyTrustedPeer()`, `memberOf(…)`, `oneOf(…)`, `matching(…)`, `nobody()`. */
  readonly admit: AdmissionRule;
  /** Handshakes, rotations, warnings. Called synchronously; must not throw. */
  readonly onEvent?: TlsEventListener;
  readonly limits?: ListenerLimits;
  /**
   * How long calls in flight may go on when their session, accepted or dialled, is cut for another reason than
   * revocation.
   * Default 10,000, at most 60,000.
   */
  readonly graceMs?: number;
  /** The wall clock; for tests. */
  readonly now?: () => Date;
  /** Start although a setting of the environment gives secrets away or switches verification off elsewhere. */
  readonly dangerouslyAllowUnsafeEnvironment?: boolean;
}

/** What each source said to a reload. */
export interface ReloadReport {
  readonly identity: ReloadOutcome;
  readonly trust: ReloadOutcome;
  readonly revocation: ReloadOutcome;
}

/** A running mutual TLS: it listens and dials with the newest good identity, trust and revocation. */
export interface MutualTls extends HttpAdapters {
  /** @throws TlsError LISTEN_FAILED, IDENTITY_INVALID (the certificate is not for servers), CLOSED */
  listen(address: ListenAddress, protocols: ListenProtocols): Promise<Listener>;
  /**
   * For an HTTP/2 server whose listener is not ours. It accepts connections itself, so that limits per source
   * (S20) are its own; everything from the verdict on is as with {@link listen}.
   *
   * @throws TlsError IDENTITY_INVALID (the certificate is not for servers), CLOSED
   */
  foreignServer(h2: Protocol): ForeignServer;
  /**
   * Tells who calls through proxies that end the callers' TLS and hand on their certificates (S63).
   *
   * @throws TypeError if no proxy is named.
   */
  forwardedPeers(options: ForwardedPeersOptions): ForwardedPeers;
  /**
   * The connection is judged again when trust, revocation or the clock change, as long as the runtime lives: one
   * whose server would be refused now ends with a TlsError REFUSED, after its grace, or at once if it is revoked.
   *
   * @throws TlsError DIAL_FAILED, REFUSED, CLOSED
   */
  dial(address: DialAddress, options?: DialOptions): Promise<Dialled>;
  /** The accepted connections that are alive. */
  sessions(): SessionInfo[];
  /** Reads every source now. A source that cannot be used keeps its last good value. */
  reload(options?: ReloadOptions): Promise<ReloadReport>;
  /** How many of the CAs we know have no revocation news that counts; 0 is well, or revocation is off (S2). */
  readonly uncoveredAuthorities: number;
  /** The leaf in use, and when its chain expires; undefined with `noIdentity()`. */
  readonly identity: Identity | undefined;
  readonly trust: Trust;
  /** Stops listening and watching, and ends every session. */
  close(): Promise<void>;
}

/**
 * Reads and checks the sources and starts to watch them.
 *
 * @throws TlsError IDENTITY_INVALID, TRUST_INVALID, REVOCATION_INVALID, ENVIRONMENT_UNSAFE
 */
export async function createMutualTls(options: MutualTlsOptions): Promise<MutualTls> {
  const onEvent = options.onEvent ?? (() => {});
  const now = options.now ?? (() => new Date());
  inspectEnvironment({
    dangerouslyAllowUnsafeEnvironment: options.dangerouslyAllowUnsafeEnvironment ?? false,
    onEvent,
  });

  const identity = await createTracked(options.identity, {
    kind: "identity",
    parse: (material) => (material === undefined ? undefined : parseIdentity(material, now())),
    swap() {
      for (const purpose of purposesInUse) requirePurpose(identity.current, purpose);
      swapContexts();
    },
    onEvent,
  });
  const trust = await createTracked(options.trust, {
    kind: "trust",
    parse: parseTrust,
    swap() {
      swapContexts();
      recentPeers.clear();
      groundsChanged();
    },
    onEvent,
  });
  const graceMs = Math.min(options.graceMs ?? 10_000, 60_000);
  const sessions = createSessionTable({ side: "server", onEvent, now, graceMs });
  const dialled = createSessionTable({ side: "client", onEvent, now, graceMs });
  const signatures = createVerifiedSignatures();
  const certificates = createCertificateCache();
  // About 6 kB each. Without resumption they only save a second reading of who comes again.
  const recentPeers = createRecent<Presented>(
    options.resumption === true ? (options.limits?.sessions ?? 10_000) : 1000,
  );
  const tlsSessions = createRecent<TlsSession>(1000);
  const purposesInUse = new Set<Purpose>();
  const listeners = new Set<Listener>();
  const swapListeners = new Set<() => void>();
  const groundsListeners = new Set<() => void>();
  let generation = 0;
  let contexts = buildContexts();
  let closed = false;
  const revocation = await options.revocation.open({
    changed() {
      // Tickets of before must not resume; the verdict does not rely on it.
      if (options.resumption === true) swapContexts();
      groundsChanged();
    },
    onEvent,
    now,
    authorities: () => authoritiesOf(identity.current, trust.current, now()),
  });
  identity.watch();
  trust.watch();
  const stopExpiryWatch = watchExpiry({ validity: () => identity.current, now, onEvent });

  /** One secure context per change, never per connection: handshakes under way keep the old one. */
  function buildContexts(): { options: SecureContextOptions; client: SecureContext } {
    const contextOptions = secureContextOptions(identity.current, trust.current, options);
    return { options: contextOptions, client: createSecureContext(contextOptions) };
  }

  function swapContexts(): void {
    contexts = buildContexts();
    tlsSessions.clear();
    for (const swapped of swapListeners) swapped();
  }

  /** What verdicts rest on has changed: whoever was judged on it is judged again. */
  function groundsChanged(): void {
    generation++;
    sessions.regrade();
    dialled.regrade();
    for (const changed of groundsListeners) changed();
  }

  function grounds(rule: Grounds["rule"]): Grounds {
    return {
      trust: trust.current,
      revocation,
      undetermined: options.revocation.undetermined,
      rule,
      signatures,
      certificates,
      recentPeers,
      now: now(),
      onEvent,
    };
  }

  function requireOpen(): void {
    if (closed) throw new TlsError("CLOSED", "this mutual TLS runtime was closed");
  }

  const accepting: ListenerContext = {
    contextOptions: () => ({
      ...contexts.options,
      // Fresh ones each time, and for each listener its own (S23).
      ...(options.resumption === true ? { ticketKeys: randomBytes(48) } : {}),
    }),
    trust: () => trust.current,
    grounds: () => grounds({ side: "server", admit: options.admit }),
    onSwap(swapped) {
      swapListeners.add(swapped);
      return () => swapListeners.delete(swapped);
    },
    sessions,
    onEvent,
    limits: options.limits ?? {},
  };

  const runtime: Omit<MutualTls, keyof HttpAdapters> = {
    async listen(address, protocols) {
      requireOpen();
      requirePurpose(identity.current, "server");
      purposesInUse.add("server");
      const listener = await listen(address, protocols, accepting);
      listeners.add(listener);
      return listener;
    },
    foreignServer(h2) {
      requireOpen();
      requirePurpose(identity.current, "server");
      purposesInUse.add("server");
      return foreignServer(h2, {
        ...accepting,
        closed: () => closed,
        handshakeTimeoutMs: options.limits?.handshakeTimeoutMs ?? 10_000,
      });
    },
    forwardedPeers(forwardedOptions) {
      const { admit = options.admit } = forwardedOptions;
      return createForwardedPeers(forwardedOptions, {
        grounds: () => grounds({ side: "server", admit }),
        generation: () => generation,
        candidates: () => identity.current?.chain.slice(1) ?? [],
        onChange(changed) {
          groundsListeners.add(changed);
          return () => groundsListeners.delete(changed);
        },
      });
    },
    async dial(address, dialOptions = {}) {
      requireOpen();
      return dial(address, dialOptions, {
        secureContext: () => contexts.client,
        tlsSessions: options.resumption === true ? tlsSessions : undefined,
        trust: () => trust.current,
        grounds: (expect) => grounds({ side: "client", expect }),
        sessions: dialled,
        onEvent,
      });
    },
    sessions: () => sessions.list(),
    async reload(reloadOptions) {
      requireOpen();
      const [identityOutcome, trustOutcome, revocationOutcome] = await Promise.all([
        identity.reload(),
        trust.reload(),
        revocation.reload(reloadOptions),
      ]);
      return { identity: identityOutcome, trust: trustOutcome, revocation: revocationOutcome };
    },
    get identity() {
      return identity.current;
    },
    get uncoveredAuthorities() {
      return revocation.uncovered();
    },
    get trust() {
      return trust.current;
    },
    async close() {
      closed = true;
      identity.close();
      trust.close();
      revocation.close();
      stopExpiryWatch();
      sessions.drain({ kind: "closing" });
      sessions.destroy();
      await Promise.all([...listeners].map((listener) => listener.close()));
    },
  };
  return Object.assign(runtime, createHttpAdapters(runtime));
}

/** The CAs of the bundle, and those on the way from them to our own certificate. */
function authoritiesOf(identity: Identity | undefined, trust: Trust, now: Date): Authority[] {
  const authorities: Authority[] = trust.certificates.map((authority) => ({
    authority,
    issuer: undefined,
  }));
  const [leaf, ...candidates] = identity?.chain ?? [];
  if (leaf === undefined) return authorities;
  const own = verifyChain(
    { leaf, candidates },
    { anchors: trust.certificates, now, purpose: "any" },
  );
  if (!own.ok) return authorities;
  const issuing = own.path.slice(1, -1);
  return [
    ...authorities,
    ...issuing.map((authority, index) => ({ authority, issuer: own.path[index + 2] })),
  ];
}

function requirePurpose(identity: Identity | undefined, purpose: Purpose): void {
  if (identity?.purposes.has(purpose) === true) return;
  const arrived =
    identity === undefined
      ? "there is no identity"
      : `${identity.chain[0]?.subject.text ?? "the certificate"} is for ${[...identity.purposes].join(" and ")} use only`;
  throw new TlsError(
    "IDENTITY_INVALID",
    `a certificate for ${purpose} use is needed, but ${arrived}`,
  );
}
