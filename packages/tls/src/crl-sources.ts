import { readDirectoryBounded, watchDirectoryChanges } from "@handfast/files";

import { createCrlStore } from "./crl-store.ts";
import type { Offer } from "./crl-store.ts";
import { TlsError, reasonOf } from "./errors.ts";
import type { Revocation, RevocationHooks, RevocationSource } from "./revocation.ts";
import type { ReloadOutcome, Source } from "./source.ts";

/** One file with one CRL, DER or PEM, and the name to speak of it by. */
export interface CrlFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** A place from which no CRL could be had this time. */
export interface CrlProblem {
  readonly name: string;
  readonly problem: string;
}

export interface CrlOptions {
  /**
   * What a certificate counts as about which no list says anything: `refuse` is safe, `admit` keeps the service
   * up while lists are missing. Required: deleting a file must not switch revocation off silently (S2).
   */
  readonly undetermined: "refuse" | "admit";
}

/**
 * The CRLs in a directory, watched: one list per file, whatever its name. A file that turns bad changes
 * nothing. A file that goes takes no revocation back: `reload({ forgetMissing: true })` does.
 */
export function crlFromDirectory(directory: string, options: CrlOptions): RevocationSource {
  const limits = { maxBytes: MAX_CRL_BYTES };
  return crlFromSource(
    {
      description: `CRLs in ${directory}`,
      async read() {
        const { files, errors } = await readDirectoryBounded(directory, limits);
        const [unreadable] = errors;
        if (unreadable !== undefined) throw unreadable[1];
        return [...files].map(([name, bytes]) => ({ name, bytes }));
      },
      watch(changed) {
        const watch = watchDirectoryChanges(directory, {
          ...limits,
          onChange: changed,
          onError: changed,
        });
        return () => watch.close();
      },
    },
    options,
  );
}

/** CRLs from anywhere: a callback, the authority's push. What is no longer listed is not taken back. */
export function crlFromSource(
  source: Source<readonly (CrlFile | CrlProblem)[]>,
  { undetermined }: CrlOptions,
  /** Called with each list that has come into use, and when the first of all lists in use runs out. */
  cameIntoUse: (file: CrlFile, runsOut: Date) => Promise<void> = () => Promise.resolve(),
): RevocationSource {
  return {
    description: source.description,
    undetermined,
    open: (hooks) => openCrls({ source, undetermined, cameIntoUse }, hooks),
  };
}

interface CrlSetting extends CrlOptions {
  readonly source: Source<readonly (CrlFile | CrlProblem)[]>;
  readonly cameIntoUse: (file: CrlFile, runsOut: Date) => Promise<void>;
}

async function openCrls(
  { source, undetermined, cameIntoUse }: CrlSetting,
  hooks: RevocationHooks,
): Promise<Revocation> {
  const { description } = source;
  const told = new Set<string>();
  const store = createCrlStore({
    now: hooks.now,
    changed: hooks.changed,
    refused: (from, reason) => warn(`${from}: ${reason}`),
  });
  let listed = new Set<string>();
  let queue: Promise<unknown> = Promise.resolve();
  let coverageToldAt = Number.NEGATIVE_INFINITY;

  /** Each reason is told once; the memory of that is bounded. */
  function warn(reason: string): void {
    if (told.has(reason)) return;
    if (told.size >= MAX_TOLD) told.clear();
    told.add(reason);
    hooks.onEvent({ type: "revocation-warning", description, reason });
  }

  async function load(forgetMissing: boolean): Promise<ReloadOutcome> {
    for (const { authority, issuer } of hooks.authorities()) store.meet(authority, issuer);
    let files: readonly (CrlFile | CrlProblem)[];
    try {
      files = await source.read();
    } catch (thrown) {
      warn(reasonOf(thrown));
      return { kept: reasonOf(thrown) };
    }
    if (forgetMissing) {
      store.forget();
      told.clear();
    }
    const outcomes: Offer[] = [];
    const problems: string[] = [];
    for (const file of files) {
      const outcome = "bytes" in file ? await store.offer(file.bytes, file.name) : undefined;
      if ("problem" in file) problems.push(`${file.name}: ${file.problem}`);
      if (typeof outcome === "object") problems.push(`${file.name}: ${outcome.refused}`);
      if (outcome === "in-use" && "bytes" in file) await keep(file);
      if (outcome !== undefined) outcomes.push(outcome);
    }
    const names = new Set(files.map(({ name }) => name));
    for (const name of listed.difference(names)) {
      warn(`${name} is gone: what it revoked stays revoked until reload({ forgetMissing: true })`);
    }
    listed = names;
    for (const reason of problems) warn(reason);
    if (forgetMissing) hooks.changed();
    tellCoverage();
    if (problems.length > 0) return { kept: problems.join("; ") };
    return forgetMissing || outcomes.includes("in-use") ? "replaced" : "unchanged";
  }

  async function keep(file: CrlFile): Promise<void> {
    try {
      const runsOut = Math.min(...store.inUse.map(({ nextUpdate }) => nextUpdate.getTime()));
      await cameIntoUse(file, new Date(runsOut));
    } catch (thrown) {
      warn(`${file.name}: ${reasonOf(thrown)}`);
    }
  }

  /** S2: under "admit" a source that covers nothing is told of each hour. */
  function tellCoverage(): void {
    if (store.inUse.length > 0) return;
    const time = hooks.now().getTime();
    if (time < coverageToldAt + COVERAGE_TOLD_MS) return;
    coverageToldAt = time;
    const reason = "there is no CRL of any CA in the trust bundle: revocation is off";
    hooks.onEvent({ type: "revocation-warning", description, reason });
  }

  function enqueue(forgetMissing: boolean): Promise<ReloadOutcome> {
    const outcome = queue.then(() => load(forgetMissing));
    queue = outcome;
    return outcome;
  }

  const first = await enqueue(false);
  if (undetermined === "refuse" && store.inUse.length === 0) {
    const because = typeof first === "object" ? `: ${first.kept}` : "";
    throw new TlsError(
      "REVOCATION_INVALID",
      `${description}: expected the CRL of a CA in the trust bundle, found none${because}`,
      { hint: '`handfast crl` writes one; undetermined: "admit" starts without' },
    );
  }
  const stop = source.watch?.(() => void enqueue(false));

  // Lists run out, and so does their word that a certificate is not revoked (S3); clocks jump.
  let freshBefore = true;
  const timer = setInterval(() => {
    const fresh = store.inUse.every((crl) => crl.nextUpdate >= hooks.now());
    if (!fresh && freshBefore) hooks.changed();
    freshBefore = fresh;
    tellCoverage();
  }, CLOCK_LOOK_MS);
  timer.unref();

  return {
    judge: (path, time) => store.judge(path, time),
    uncovered: () =>
      store.uncovered(
        hooks.authorities().map(({ authority }) => authority),
        hooks.now(),
      ),
    reload: ({ forgetMissing = false } = {}) => enqueue(forgetMissing),
    close() {
      stop?.();
      clearInterval(timer);
    },
  };
}

/** A million entries are 37 MB. */
export const MAX_CRL_BYTES: number = 256 * 1024 * 1024;
const MAX_TOLD = 64;
const COVERAGE_TOLD_MS = 3_600_000;
const CLOCK_LOOK_MS = 1000;
