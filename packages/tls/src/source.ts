/**
 * Where something that may change comes from: certificates, bundles. A source only reads; what it read is
 * checked by whoever asked, so that a bad value never replaces a good one.
 */
export interface Source<Value> {
  /** What it is, for messages: the paths, or "memory". */
  readonly description: string;
  /** Reads the value as it is now. Rejects with the reason if it cannot be read. */
  read(): Promise<Value>;
  /** Calls `changed` each time the value may have changed, until the returned function is called. */
  watch?(changed: () => void): () => void;
}

/** What a reload found for one source. */
export type ReloadOutcome = "unchanged" | "replaced" | { readonly kept: string };
