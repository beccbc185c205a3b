import type { KeyObject } from "node:crypto";
import type { PresentCredential } from "./renewer.ts";

/**
 * Where one certificate and its key are kept, for whoever uses them. The contract:
 *
 * - `put` MUST change both in one step: whoever reads sees the old pair or the new one, also after
 *   a crash, and it MUST NOT resolve before the new one would survive the loss of power.
 * - `keepNext` MUST keep a key that is not certified yet, so that it survives a crash and nobody
 *   else can read it, until `put` has put it in its place.
 * - What is read MUST be what was put, or a refusal; never a key without its certificate.
 */
export interface CredentialPlace {
  /** What it is, for messages: a path, or "memory". */
  readonly description: string;
  /** @throws CaError CREDENTIAL_INVALID; FilesError */
  read(): Promise<PresentCredential | undefined>;
  /** The key that waits for its certificate, if an attempt before left one. */
  next(): Promise<KeyObject | undefined>;
  keepNext(key: KeyObject): Promise<void>;
  put(credential: PresentCredential): Promise<void>;
}

/** How files are given to those who use them. */
export interface FileAccess {
  /** The permission bits of files that hold a key; 0600 if not given. */
  readonly mode?: number;
  /** Whose they shall be; only root can give files away. */
  readonly owner?: { readonly uid: number; readonly gid: number };
}

/** A place in memory: for a service that runs the agent itself. */
export function placeInMemory(first?: PresentCredential): CredentialPlace {
  let present = first;
  let waiting: KeyObject | undefined;
  return {
    description: "memory",
    read: () => Promise.resolve(present),
    next: () => Promise.resolve(waiting),
    async keepNext(key): Promise<void> {
      waiting = key;
    },
    async put(credential): Promise<void> {
      present = credential;
      waiting = undefined;
    },
  };
}
