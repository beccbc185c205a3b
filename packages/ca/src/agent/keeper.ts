import type { Fingerprint } from "@handfast/x509";
import type { BundleKeeper } from "./bundle-file.ts";
import type { AgentEventListener } from "./events.ts";
import { readPlace, renewManaged } from "./managed-certificate.ts";
import type { KnownCertificate, ManagedCertificate } from "./managed-certificate.ts";
import { checkHook, runHook } from "./reload-hook.ts";
import { backoffMs, renewalTime, timeInWindow } from "./schedule.ts";

/** How one certificate stands. */
export interface KeptCertificate {
  readonly name: string;
  /** Undefined while there is none. */
  readonly notAfter: Date | undefined;
  readonly fingerprint: Fingerprint | undefined;
  /** The next attempt. */
  readonly dueAt: Date;
  /** Failures in a row. */
  readonly failures: number;
  readonly lastFailure: string | undefined;
}

/** The work of an agent, without its timer. */
export interface Keeper {
  /** Does what is due. */
  pass(): Promise<void>;
  renewNow(): Promise<void>;
  nextDelayMs(): number;
  certificates(): readonly KeptCertificate[];
  ready(): boolean;
  readonly counts: { renewed: number; failed: number; hooksFailed: number; bundles: number };
}

/** What a keeper works with; see `AgentOptions`. */
interface KeeperOptions {
  readonly certificates: readonly ManagedCertificate[];
  readonly bundle: BundleKeeper;
  readonly bundleSeconds?: number;
  readonly atOnce?: number;
  readonly onEvent?: AgentEventListener;
  readonly clock?: () => Date;
  /** 0 to 1. */
  readonly random?: () => number;
}

interface State {
  readonly managed: ManagedCertificate;
  known: KnownCertificate | undefined;
  dueMs: number;
  failures: number;
  lastFailure: string | undefined;
  toldExpired: boolean;
  /** When to run the hook again; undefined if it has done its work. */
  hookMs: number | undefined;
}

/** Reads the certificates that are there; nothing is renewed yet. */
export async function createKeeper(options: KeeperOptions): Promise<Keeper> {
  const { bundle, bundleSeconds = 300, atOnce = 8, random = Math.random } = options;
  const { onEvent = () => undefined, clock = () => new Date() } = options;
  const names = new Set(options.certificates.map(({ name }) => name));
  if (names.size < options.certificates.length) {
    throw new TypeError("each certificate of an agent must have a name of its own");
  }
  const counts = { renewed: 0, failed: 0, hooksFailed: 0, bundles: 0 };
  const states = options.certificates.map((managed): State => {
    if (managed.hook !== undefined) checkHook(managed.hook);
    const none = { known: undefined, failures: 0, lastFailure: undefined, hookMs: undefined };
    return { managed, ...none, dueMs: 0, toldExpired: false };
  });
  let bundleMs = clock().getTime() + bundleSeconds * 1_000 * random();
  await inGroups(states, read);

  return {
    counts,
    pass: () => work(() => states.filter(({ dueMs }) => dueMs <= clock().getTime())),
    renewNow: () => work(() => states),
    nextDelayMs: () => {
      let next = bundleMs;
      for (const { dueMs, hookMs, known, toldExpired } of states) {
        next = Math.min(next, dueMs, hookMs ?? Infinity);
        if (known !== undefined && !toldExpired)
          next = Math.min(next, known.leaf.notAfter.getTime());
      }
      return next - clock().getTime();
    },
    certificates: () =>
      states.map(({ managed, known, dueMs, failures, lastFailure }) => ({
        name: managed.name,
        notAfter: known?.leaf.notAfter,
        fingerprint: known?.leaf.fingerprint,
        dueAt: new Date(dueMs),
        failures,
        lastFailure,
      })),
    ready: () => states.every(({ known }) => known !== undefined && known.leaf.notAfter > clock()),
  };

  async function work(choose: () => readonly State[]): Promise<void> {
    await inGroups(choose(), renew);
    await inGroups(
      states.filter(({ hookMs }) => hookMs !== undefined && hookMs <= clock().getTime()),
      tell,
    );
    for (const state of states) tellExpired(state);
    if (bundleMs <= clock().getTime()) await refreshBundle();
  }

  async function read(state: State): Promise<void> {
    try {
      state.known = await readPlace(state.managed.place);
      if (state.known !== undefined) await schedule(state);
    } catch (error) {
      fail(state, error); // a file that cannot be read may be mended while we run
    }
  }

  async function renew(state: State): Promise<void> {
    const { managed } = state;
    try {
      const { certificate, renewal } = await renewManaged(managed, { bundle, clock });
      Object.assign(state, { known: certificate, failures: 0, toldExpired: false });
      state.lastFailure = undefined;
      counts.renewed += 1;
      if (renewal.bundle !== undefined) bundleMs = clock().getTime() + bundleSeconds * 1_000;
      await schedule(state, renewal.renewAt);
      // Whatever the authority's dates and wishes: not again before a third of what is left.
      const now = clock().getTime();
      const soonest = now + (certificate.leaf.notAfter.getTime() - now) / 3;
      state.dueMs = Math.max(state.dueMs, soonest);
      const { notAfter } = certificate.leaf;
      onEvent({ type: "renewed", name: managed.name, notAfter, renewAt: new Date(state.dueMs) });
      if (managed.hook !== undefined) state.hookMs = 0;
    } catch (error) {
      fail(state, error);
    }
  }

  /** By the authority's wish if it has one, else by our own rule; never after the rule's time. */
  async function schedule(state: State, wish?: Date): Promise<void> {
    const { known, managed } = state;
    if (known === undefined) return;
    const own = renewalTime(known.leaf, random()).getTime();
    const wished = wish === undefined ? own : wish.getTime() - jitterOf(known) * random();
    state.dueMs = Math.min(own, wished);
    const present = managed.renewer.window && (await managed.place.read());
    if (present === undefined || managed.renewer.window === undefined) return;
    const window = await managed.renewer.window(present).catch(() => undefined);
    if (window !== undefined) state.dueMs = timeInWindow(window, random()).getTime();
  }

  function fail(state: State, error: unknown): void {
    const { known, managed } = state;
    state.failures += 1;
    counts.failed += 1;
    const reason = error instanceof Error ? error.message : String(error);
    state.lastFailure = reason;
    const lifeMs = known ? lifeOf(known) : unknownLifeMs;
    state.dueMs = clock().getTime() + backoffMs(state.failures, { lifeMs, random: random() });
    onEvent({
      type: "renewal-failed",
      name: managed.name,
      attempt: state.failures,
      reason,
      hint: hintOf(error),
      nextAttemptAt: new Date(state.dueMs),
      notAfter: known?.leaf.notAfter,
    });
    state.toldExpired = false; // again, after each failure
  }

  function tellExpired(state: State): void {
    const { known, managed } = state;
    if (known === undefined || state.toldExpired || known.leaf.notAfter > clock()) return;
    state.toldExpired = true;
    onEvent({ type: "expired", name: managed.name, notAfter: known.leaf.notAfter });
  }

  async function tell(state: State): Promise<void> {
    const { hook, name } = state.managed;
    if (hook === undefined) return;
    try {
      await runHook(hook);
      state.hookMs = undefined;
      onEvent({ type: "hook-done", name });
    } catch (error) {
      counts.hooksFailed += 1;
      state.hookMs = clock().getTime() + hookRetryMs;
      onEvent({ type: "hook-failed", name, reason: (error as Error).message });
    }
  }

  /** Whoever has a certificate may ask: the first that gets an answer. */
  async function refreshBundle(): Promise<void> {
    bundleMs = clock().getTime() + bundleSeconds * 1_000 * (0.9 + random() / 5);
    const usable = states.filter(
      ({ known }) => known !== undefined && known.leaf.notAfter > clock(),
    );
    for (const { managed } of usable.slice(0, mostAskers)) {
      if (managed.renewer.bundle === undefined) continue;
      try {
        const present = await managed.place.read();
        const next = await managed.renewer.bundle({ present, rootsPem: bundle.current?.rootsPem });
        if (next === undefined) continue;
        if (await bundle.take(next)) {
          counts.bundles += 1;
          onEvent({ type: "bundle-changed", sequence: next.sequence });
        }
        return;
      } catch (error) {
        onEvent({ type: "bundle-failed", reason: (error as Error).message });
      }
    }
  }

  async function inGroups(
    wanted: readonly State[],
    one: (state: State) => Promise<void>,
  ): Promise<void> {
    const waiting = [...wanted];
    const run = async (): Promise<void> => {
      for (let state = waiting.shift(); state !== undefined; state = waiting.shift()) {
        await one(state);
      }
    };
    await Promise.all(Array.from({ length: Math.min(atOnce, waiting.length) }, run));
  }
}

function lifeOf({ leaf }: KnownCertificate): number {
  return leaf.notAfter.getTime() - leaf.notBefore.getTime();
}

function jitterOf(known: KnownCertificate): number {
  return lifeOf(known) / 15;
}

function hintOf(error: unknown): string | undefined {
  const { hint } = error as { hint?: unknown };
  return typeof hint === "string" ? hint : undefined;
}

/** Where there is no certificate yet: back off as for one of a day. */
const unknownLifeMs = 86_400_000;
const hookRetryMs = 60_000;
const mostAskers = 3;
