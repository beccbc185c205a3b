import type { SignatureMemo } from "@handfast/x509";
import type { Issuers } from "./issuers.ts";
import type { LeafProfile } from "./profiles.ts";
import type { Store } from "./store/store.ts";

/** What the operations of an authority work with. */
export interface Workshop {
  readonly store: Store;
  readonly issuers: Issuers;
  readonly profiles: Readonly<Record<string, LeafProfile>>;
  readonly trustDomain: string;
  readonly signatures: SignatureMemo;
  readonly clock: () => Date;
  /** Without a slash at the end; undefined if certificates name no place. */
  readonly revocationUrl: string | undefined;
}
