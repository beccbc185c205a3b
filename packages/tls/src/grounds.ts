import type { Certificate, SignatureMemo } from "@handfast/x509";

import type { AdmissionRule, Expectation } from "./admission.ts";
import type { CertificateCache } from "./certificate-cache.ts";
import type { TlsEvent } from "./events.ts";
import type { Recent } from "./recent.ts";
import type { Revocation } from "./revocation.ts";
import type { Trust } from "./trust.ts";

/** What a verdict rests on: one consistent state of trust, revocation and rules. */
export interface Grounds {
  readonly trust: Trust;
  readonly revocation: Revocation;
  /** What an undetermined revocation status means. */
  readonly undetermined: "refuse" | "admit";
  /** Whom this side expects: any admitted client, or one server. */
  readonly rule:
    | { readonly side: "server"; readonly admit: AdmissionRule }
    | { readonly side: "client"; readonly expect: Expectation };
  /** Remembers which signatures have been verified. */
  readonly signatures: SignatureMemo;
  readonly certificates: CertificateCache;
  /**
   * What recent peers presented, by the leaf's fingerprint: who comes again is not read again, and a resumed
   * session brings the leaf only. It holds nothing of peers that were refused.
   */
  readonly recentPeers: Recent<Presented>;
  readonly now: Date;
  readonly onEvent: (event: TlsEvent) => void;
}

/** What a peer sent: its certificate, and an unordered bag of others that may lead to an anchor. */
export interface Presented {
  readonly leaf: Certificate;
  readonly candidates: readonly Certificate[];
}
