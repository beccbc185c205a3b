import type { Authority } from "../authority.ts";
import type { Store } from "../store/store.ts";
import type { AccountJwk } from "./account-key.ts";
import type { Acts } from "./acts.ts";
import type { ChallengeType } from "./challenge.ts";
import type { AcmeEvent } from "./events.ts";
import type { Nonces } from "./nonces.ts";
import type { RateLimit } from "./rate-limit.ts";
import type { Stored } from "./records.ts";
import type { AcmeSecrets } from "./secrets.ts";
import type { Urls } from "./urls.ts";
import type { Validations } from "./validations.ts";

/** What the operations of the ACME server work with. */
export interface AcmeContext {
  readonly authority: Pick<Authority, "issue" | "revoke">;
  readonly store: Store;
  readonly secrets: AcmeSecrets;
  readonly nonces: Nonces;
  readonly urls: Urls;
  readonly profile: string;
  /** What accounts without an external account key may have; undefined if there are none. */
  readonly openNames: readonly string[] | undefined;
  readonly challenges: readonly ChallengeType[];
  readonly validations: Validations;
  readonly limits: AcmeRateLimits;
  readonly acts: Acts;
  readonly clock: () => Date;
  readonly onEvent: (event: AcmeEvent) => void;
}

export interface AcmeRateLimits {
  readonly requestsOfSource: RateLimit;
  readonly accountsOfSource: RateLimit;
  readonly requestsOfAccount: RateLimit;
  readonly ordersOfAccount: RateLimit;
  readonly failuresOfAccount: RateLimit;
  readonly pendingOrders: number;
}

/** A request whose signature and nonce have been checked. */
export interface SignedRequest {
  /** The whole URL that was asked for and signed. */
  readonly url: string;
  /** Empty for POST-as-GET. */
  readonly payload: string;
  readonly source: string;
}

/** A request of an account that is in good standing; its nonce is spent. */
export interface AccountRequest extends SignedRequest {
  readonly account: Stored<"account">;
}

/** A request signed by a key that it brings along; its nonce is not spent yet. */
export interface KeyRequest extends SignedRequest {
  readonly jwk: AccountJwk;
  /** Before anything is changed. @throws AcmeProblem badNonce */
  spendNonce(): Promise<void>;
}

/** What is answered when all went well. */
export interface AcmeAnswer {
  readonly status: number;
  /** An object is sent as JSON; undefined is no body. */
  readonly body?: Readonly<Record<string, unknown>> | string;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly links?: readonly string[];
}
