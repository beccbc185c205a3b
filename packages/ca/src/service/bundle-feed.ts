import { certificatesToPem } from "@handfast/x509";
import type { TrustSource } from "@handfast/tls";
import type { Authority } from "../authority.ts";
import type { TrustBundle } from "../bundle.ts";
import { createFeed } from "./feed.ts";
import type { Feed } from "./feed.ts";
import { repeat } from "./repeat.ts";

/** The bundle as it is in the store, whoever changed it there. */
export interface BundleFeed extends Feed<TrustBundle> {
  /** The same for our own listeners. */
  readonly source: TrustSource;
  close(): Promise<void>;
}

/** Follows the bundle by asking the store again and again. */
export async function createBundleFeed(options: {
  readonly authority: Pick<Authority, "bundle">;
  readonly pollMs: number;
  readonly onError: (error: unknown) => void;
}): Promise<BundleFeed> {
  const { authority, pollMs, onError } = options;
  const feed = createFeed(await authority.bundle());
  const polling = repeat(
    async () => {
      const next = await authority.bundle();
      if (next.sequence > feed.current.sequence) feed.put(next);
    },
    { delayMs: () => pollMs, onError },
  );
  return {
    get current() {
      return feed.current;
    },
    onChange: (listener) => feed.onChange(listener),
    source: {
      description: "the authority's own roots",
      read: () => Promise.resolve([{ bundle: certificatesToPem(feed.current.roots) }]),
      watch: (changed) => feed.onChange(changed),
    },
    close: () => polling.close(),
  };
}
