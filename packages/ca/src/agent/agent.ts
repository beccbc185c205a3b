import type { BundleKeeper } from "./bundle-file.ts";
import type { AgentEventListener } from "./events.ts";
import { createKeeper } from "./keeper.ts";
import type { KeptCertificate, Keeper } from "./keeper.ts";
import type { ManagedCertificate } from "./managed-certificate.ts";

/** What an agent keeps. */
export interface AgentOptions {
  readonly certificates: readonly ManagedCertificate[];
  readonly bundle: BundleKeeper;
  /** How often to ask for the bundle; 300 if not given. */
  readonly bundleSeconds?: number;
  /** How many are renewed at once; 8 if not given. */
  readonly atOnce?: number;
  readonly onEvent?: AgentEventListener;
  readonly clock?: () => Date;
}

/** A renewal agent: keeps any number of certificates fresh from one process. */
export interface Agent {
  /** How each certificate stands. */
  certificates(): readonly KeptCertificate[];
  /** Whether every certificate is there and in time. */
  readonly ready: boolean;
  /** Renews them all now, due or not; resolves when each was tried. */
  renewNow(): Promise<void>;
  /** Counts since the start. */
  readonly counts: Keeper["counts"];
  /** Waits for what is under way and renews nothing more. */
  close(): Promise<void>;
}

/**
 * Reads what is there, gets what is missing or due, and resolves when each certificate was tried
 * once: an authority that is away does not keep the agent from starting.
 */
export async function createAgent(options: AgentOptions): Promise<Agent> {
  const keeper = await createKeeper(options);
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> = Promise.resolve();
  let closed = false;

  await pass(() => keeper.pass());
  return {
    certificates: () => keeper.certificates(),
    get ready() {
      return keeper.ready();
    },
    counts: keeper.counts,
    renewNow: () => pass(() => keeper.renewNow()),
    async close(): Promise<void> {
      closed = true;
      clearTimeout(timer);
      await running;
    },
  };

  /** One after the other, and the timer set anew after each. */
  function pass(work: () => Promise<void>): Promise<void> {
    if (closed) return Promise.resolve();
    clearTimeout(timer);
    running = running.then(work).then(arm);
    return running;
  }

  /** The wall clock is looked at once a minute at least: it may step, and machines sleep. */
  function arm(): void {
    if (closed) return;
    const delayMs = Math.min(Math.max(keeper.nextDelayMs(), 0), longestDelayMs);
    clearTimeout(timer);
    timer = setTimeout(() => void pass(() => keeper.pass()), delayMs);
  }
}

const longestDelayMs = 60_000;
