import type { Fingerprint } from "@handfast/x509";
import type { ChallengeType } from "./challenge.ts";
import type { Identifier } from "./identifier.ts";

/** What happens in the ACME server, for logs and metrics; none of it holds a secret. */
export type AcmeEvent =
  | {
      readonly type: "account-created";
      readonly account: string;
      readonly externalAccount: string | undefined;
    }
  | { readonly type: "account-deactivated"; readonly account: string }
  | { readonly type: "order-created"; readonly account: string; readonly order: string }
  | {
      readonly type: "challenge-validated";
      readonly account: string;
      readonly identifier: Identifier;
      readonly challenge: ChallengeType;
    }
  | {
      readonly type: "challenge-failed";
      readonly account: string;
      readonly identifier: Identifier;
      readonly challenge: ChallengeType;
      /** For the operator; the client is told less (security.md S51). */
      readonly reason: string;
    }
  | {
      readonly type: "certificate-issued";
      readonly account: string;
      readonly certificate: Fingerprint;
    }
  /** A list that is signed from now on names it. */
  | { readonly type: "certificate-revoked"; readonly certificate: Fingerprint }
  | {
      readonly type: "refused";
      readonly problem: string;
      readonly detail: string;
      readonly source: string;
    }
  | { readonly type: "fault"; readonly error: unknown };
