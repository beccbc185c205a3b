import { setTimeout } from "node:timers/promises";
import { crlFromSource } from "@handfast/tls";
import type { CrlFile, CrlOptions, CrlProblem, RevocationSource } from "@handfast/tls";
import { createAuthorityClient } from "./authority-client.ts";
import type { AuthorityClientOptions } from "./authority-client.ts";

/** Which authority, who asks it, and what counts while nothing is known. */
export interface AuthorityCrlOptions
  extends CrlOptions, Omit<AuthorityClientOptions, "deadlineMs"> {
  /** How long to wait for the first lists at the start; 10,000 if not given. */
  readonly startTimeoutMs?: number;
}

/**
 * Revocation lists that the authority pushes the moment it signs them: a revocation is known within
 * the time that a message takes. While the authority is away the last lists count, until their next
 * update is due; the connection is made again with growing pauses of at most 5 s.
 */
export function crlFromAuthority(options: AuthorityCrlOptions): RevocationSource {
  const { target, undetermined, startTimeoutMs = 10_000, ...rest } = options;
  const lists = new Map<string, CrlFile>();
  let problem: CrlProblem | undefined;
  let changed = (): void => undefined;
  let stop: AbortController | undefined;
  /** Something has come that was not read yet. */
  let unread = false;

  function start(): AbortSignal {
    if (stop === undefined) {
      stop = new AbortController();
      void followLists(stop.signal);
    }
    return stop.signal;
  }

  function end(): void {
    stop?.abort();
    stop = undefined;
  }

  /** Never rejects. */
  async function followLists(signal: AbortSignal): Promise<void> {
    let pauseMs = firstPauseMs;
    while (!signal.aborted) {
      try {
        const client = await createAuthorityClient({ target, ...rest });
        try {
          for await (const { issuer, der } of client.watchCrls(signal)) {
            lists.set(issuer, { name: `${target} ${issuer}`, bytes: der });
            problem = undefined;
            pauseMs = firstPauseMs;
            unread = true;
            changed();
          }
        } finally {
          await client.close();
        }
      } catch (error) {
        problem = { name: target, problem: `cannot be followed: ${(error as Error).message}` };
        if (!signal.aborted) changed();
      }
      const jitter = 0.8 + 0.4 * Math.random();
      await setTimeout(pauseMs * jitter, undefined, { signal, ref: false }).catch(() => undefined);
      pauseMs = Math.min(2 * pauseMs, longestPauseMs);
    }
  }

  /** A change tells that there is something to read, of the first lists too. */
  async function firstLists(): Promise<void> {
    if (lists.size > 0) return;
    const signal = start();
    const arrived = new Promise<void>((resolve) => {
      changed = () => {
        if (lists.size > 0) resolve();
      };
    });
    const patience = new AbortController();
    await Promise.race([
      arrived,
      setTimeout(startTimeoutMs, undefined, {
        signal: AbortSignal.any([signal, patience.signal]),
      }).catch(() => undefined),
    ]);
    patience.abort();
    if (lists.size === 0) end(); // whoever goes on without them watches, and that starts it again
  }

  return crlFromSource(
    {
      description: `revocation lists pushed by ${target}`,
      async read() {
        if (stop === undefined) await firstLists();
        unread = false;
        return [...lists.values(), ...(problem === undefined ? [] : [problem])];
      },
      watch(listener) {
        changed = listener;
        start();
        if (unread) listener(); // it came between the first reading and now
        return end;
      },
    },
    { undetermined },
  );
}

const firstPauseMs = 100;
const longestPauseMs = 5_000;
