import { writeFileAtomic } from "@handfast/files";
import { parseCertificatesPem } from "@handfast/x509";
import { CaError } from "../errors.ts";
import { readIfThere } from "./credential-pem.ts";
import type { RenewedBundle } from "./renewer.ts";

/** What is trusted, kept for whoever needs it. */
export interface BundleKeeper {
  /** What was taken last; undefined before the first. */
  readonly current: RenewedBundle | undefined;
  /**
   * Takes a bundle if its sequence is higher than the last one's and it is not empty (security.md
   * S50); tells whether it did.
   *
   * @throws CaError BUNDLE_INVALID; FilesError
   */
  take(next: RenewedBundle): Promise<boolean>;
  /** Calls back after each change, until the returned function is called. */
  onChange(listener: () => void): () => void;
}

/** A bundle in memory. */
export function bundleInMemory(first?: RenewedBundle): BundleKeeper {
  return keeper(first && checked(first), () => Promise.resolve());
}

/**
 * A bundle in a file that services read, roots only, mode 0644. Its sequence is kept beside it as
 * `….sequence`, so that a restart takes nothing older; it is written second: in between, the worst
 * is that the same bundle is taken again.
 *
 * @throws CaError BUNDLE_INVALID; FilesError
 */
export async function bundleInFile(path: string): Promise<BundleKeeper> {
  const beside = `${path}.sequence`;
  const [roots, sequence] = await Promise.all([readIfThere(path), readIfThere(beside)]);
  const first = roots && {
    rootsPem: Buffer.from(roots).toString("latin1"),
    sequence: sequenceOf(sequence, beside),
  };
  return keeper(first && checked(first), async (next) => {
    await writeFileAtomic(path, next.rootsPem, { mode: 0o644, overwrite: true });
    await writeFileAtomic(beside, `${next.sequence}\n`, { mode: 0o644, overwrite: true });
  });
}

function keeper(
  first: RenewedBundle | undefined,
  write: (next: RenewedBundle) => Promise<void>,
): BundleKeeper {
  const listeners = new Set<() => void>();
  let current = first;
  let queue: Promise<unknown> = Promise.resolve();

  async function takeAfter(earlier: Promise<unknown>, next: RenewedBundle): Promise<boolean> {
    await earlier;
    if (current !== undefined && next.sequence <= current.sequence) return false;
    const valid = checked(next);
    await write(valid);
    current = valid;
    for (const listener of listeners) listener();
    return true;
  }

  return {
    get current() {
      return current;
    },
    take(next) {
      const taken = takeAfter(queue, next);
      queue = taken.catch(() => undefined);
      return taken;
    },
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}

function checked(bundle: RenewedBundle): RenewedBundle {
  try {
    const roots = parseCertificatesPem(bundle.rootsPem);
    const other = roots.find(({ basicConstraints }) => basicConstraints?.ca !== true);
    if (other !== undefined) throw new TypeError(`${other.subject.text} is no CA certificate`);
    return bundle;
  } catch (cause) {
    throw new CaError("BUNDLE_INVALID", `the trust bundle: ${(cause as Error).message}`, { cause });
  }
}

function sequenceOf(bytes: Uint8Array | undefined, path: string): number {
  if (bytes === undefined) return 0; // roots that somebody put there by hand
  const sequence = Number(Buffer.from(bytes).toString("latin1").trim() || Number.NaN);
  if (Number.isSafeInteger(sequence) && sequence >= 0) return sequence;
  throw new CaError("BUNDLE_INVALID", `${path} holds no sequence number`, {
    hint: "remove it if you are sure that the bundle beside it is not older than it should be",
  });
}
