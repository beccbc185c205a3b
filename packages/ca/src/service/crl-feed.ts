import { crlFromSource } from "@handfast/tls";
import type { RevocationSource } from "@handfast/tls";
import type { Authority } from "../authority.ts";
import { CaError } from "../errors.ts";
import type { CrlRecord } from "../store/store.ts";
import { createFeed } from "./feed.ts";
import type { Feed } from "./feed.ts";
import { repeat } from "./repeat.ts";

/** The newest revocation list of each of the authority's keys, by the key's name. */
export type CrlSet = ReadonlyMap<string, CrlRecord>;

/** The lists as they are in the store, whoever signed them. */
export interface CrlFeed extends Feed<CrlSet> {
  /** The same for our own listeners. */
  readonly source: RevocationSource;
  /** Signs new lists of the issuing keys; when it resolves they are in the feed. */
  publish(): Promise<void>;
  close(): Promise<void>;
}

/** How lists are kept fresh. */
export interface CrlFeedOptions {
  readonly authority: Pick<Authority, "publishCrls" | "crlNumbers" | "latestCrl">;
  /** How often the store is asked whether another instance, or the command, has signed a list. */
  readonly pollMs: number;
  /** The most that a list may be old before it is signed again. */
  readonly republishSeconds: number;
  /** From one list to its next update. */
  readonly validitySeconds: number;
  readonly clock: () => Date;
  readonly onPublished: (lists: CrlSet) => void;
  readonly onError: (error: unknown) => void;
}

/**
 * Follows the revocation lists, and signs those of the issuing keys: at the start (a revocation may
 * have been recorded before a crash and not be on a list), when asked, and on schedule.
 */
export async function createCrlFeed(options: CrlFeedOptions): Promise<CrlFeed> {
  const { authority, clock, validitySeconds, republishSeconds, onError } = options;
  const feed = createFeed<CrlSet>(new Map());
  let dueAt = 0;
  let published = 0;

  const publication = repeat(
    async () => {
      if (clock().getTime() < dueAt) return;
      dueAt = clock().getTime() + retryMs; // if this fails
      take(await authority.publishCrls({ role: "issuing", validitySeconds }));
      dueAt = clock().getTime() + republishSeconds * 1_000;
      published += 1;
      options.onPublished(feed.current);
    },
    { delayMs: () => dueAt - clock().getTime(), onError },
  );

  const polling = repeat(
    async () => {
      const behind = (await authority.crlNumbers()).filter(
        ({ issuer, number }) => number > (feed.current.get(issuer)?.number ?? 0),
      );
      const lists = await Promise.all(behind.map(({ issuer }) => authority.latestCrl(issuer)));
      take(lists.filter((list) => list !== undefined));
    },
    { delayMs: () => options.pollMs, onError },
  );

  /** A list never takes the place of a newer one (S55). */
  function take(lists: readonly CrlRecord[]): void {
    const newer = lists.filter(
      ({ issuer, number }) => number > (feed.current.get(issuer)?.number ?? 0),
    );
    if (newer.length === 0) return;
    feed.put(new Map([...feed.current, ...newer.map((list) => [list.issuer, list] as const)]));
  }

  async function publish(): Promise<void> {
    const before = published;
    dueAt = 0;
    await publication.now();
    if (published > before) return;
    throw new CaError("CRL_UNPUBLISHED", "the revocation lists could not be signed or recorded");
  }

  await polling.now();
  await publish();
  return {
    get current() {
      return feed.current;
    },
    onChange: (listener) => feed.onChange(listener),
    source: crlFromSource(
      {
        description: "the authority's own revocation lists",
        read: () =>
          Promise.resolve(
            [...feed.current.values()].map(({ issuer, der }) => ({ name: issuer, bytes: der })),
          ),
        watch: (changed) => feed.onChange(changed),
      },
      // Not the last word: each call asks the store. A list that has run out must not lock anybody out.
      { undetermined: "admit" },
    ),
    publish,
    async close() {
      await Promise.all([publication.close(), polling.close()]);
    },
  };
}

const retryMs = 5_000;
