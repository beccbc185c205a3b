import { createHash } from "node:crypto";
import { join } from "node:path";

import { createDirectory, readBounded, writeFileAtomic } from "@handfast/files";

import { MAX_CRL_BYTES, crlFromSource } from "./crl-sources.ts";
import type { CrlFile, CrlOptions, CrlProblem } from "./crl-sources.ts";
import { reasonOf } from "./errors.ts";
import { fetchBounded, requireHttp, urlText } from "./fetch-bounded.ts";
import type { Validators } from "./fetch-bounded.ts";
import type { RevocationSource } from "./revocation.ts";

export interface CrlUrlOptions extends CrlOptions {
  /**
   * Where the last list of each URL is kept (files 0600), so that a restart accepts nothing older (S5) and
   * begins with what was known while the server is away.
   */
  readonly cacheDirectory: string;
  /** How often to ask, with 10 % of jitter; 30,000 by default. A revocation is known after this, plus a second. */
  readonly pollMs?: number;
  /** PEM certificates that https URLs must lead to; the public roots that Node carries by default. */
  readonly ca?: readonly string[];
}

/**
 * CRLs from URLs of our own configuration, one list each, DER or PEM, asked for again with If-None-Match. URLs
 * in the certificates that peers present are never fetched (S4).
 *
 * @throws TypeError for a URL that is neither http nor https.
 */
export function crlFromUrls(urls: readonly string[], options: CrlUrlOptions): RevocationSource {
  let runsOut: Date | undefined;
  const places = urls.map((text) => placeOf(text, options.cacheDirectory));
  return crlFromSource(
    {
      description: `CRLs at ${places.map(({ name }) => name).join(", ")}`,
      async read() {
        await createDirectory(options.cacheDirectory);
        const lists = await Promise.all(places.map((place) => fetchList(place, options)));
        return lists.flat();
      },
      watch(changed) {
        let timer: NodeJS.Timeout;
        const arm = (): void => {
          const pollMs = sooner(options.pollMs ?? 30_000, runsOut);
          timer = setTimeout(
            () => {
              changed();
              arm();
            },
            pollMs * (0.9 + Math.random() * 0.2),
          ).unref();
        };
        arm();
        return () => clearTimeout(timer);
      },
    },
    options,
    async ({ name, bytes }, nextUpdate) => {
      runsOut = nextUpdate;
      const place = places.find((other) => other.name === name);
      if (place !== undefined) await writeFileAtomic(place.cacheFile, bytes, { overwrite: true });
    },
  );
}

/** When to ask again: after the interval, or half of what is left of the lists (S9). */
function sooner(pollMs: number, runsOut: Date | undefined): number {
  const leftMs = runsOut === undefined ? 0 : runsOut.getTime() - Date.now();
  return leftMs > 0 ? Math.min(pollMs, Math.max(MIN_POLL_MS, leftMs / 2)) : pollMs;
}

interface Place {
  readonly url: URL;
  /** The URL without credentials. */
  readonly name: string;
  readonly cacheFile: string;
  validators: Validators;
}

function placeOf(text: string, cacheDirectory: string): Place {
  const url = requireHttp(text);
  const digest = createHash("sha256").update(text).digest("hex").slice(0, 32);
  return {
    url,
    name: urlText(url),
    cacheFile: join(cacheDirectory, `${digest}.crl`),
    validators: {},
  };
}

/**
 * The list kept from before, then the one there is now: offered in this order, an older list that a server
 * replays after our restart is seen to be older.
 */
async function fetchList(place: Place, options: CrlUrlOptions): Promise<(CrlFile | CrlProblem)[]> {
  const { name, cacheFile } = place;
  const kept = await readBounded(cacheFile, { maxBytes: MAX_CRL_BYTES }).catch(() => undefined);
  const before = kept === undefined ? [] : [{ name, bytes: kept }];
  try {
    const fetched = await fetchBounded(place.url, {
      maxBytes: MAX_CRL_BYTES,
      timeoutMs: FETCH_TIMEOUT_MS,
      validators: kept === undefined ? {} : place.validators,
      ...(options.ca === undefined ? {} : { ca: options.ca }),
    });
    if (fetched.status === "unchanged") return before;
    place.validators = fetched.validators;
    return [...before, { name, bytes: fetched.bytes }];
  } catch (thrown) {
    return [...before, { name, problem: `cannot be fetched: ${reasonOf(thrown)}` }];
  }
}

const MIN_POLL_MS = 1000;
const FETCH_TIMEOUT_MS = 30_000;
