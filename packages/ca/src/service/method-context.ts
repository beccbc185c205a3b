import type { Authority } from "../authority.ts";
import { CaError } from "../errors.ts";
import type { BundleFeed } from "./bundle-feed.ts";
import type { CrlFeed } from "./crl-feed.ts";

/** What the methods of a service work with. */
export interface MethodContext {
  readonly authority: Authority;
  readonly bundle: BundleFeed;
  readonly crls: CrlFeed;
  /** Where the Authority service is dialled, as host:port. */
  readonly authorityTarget: () => string;
  readonly clock: () => Date;
  /** Aborts when the service stops: streams end, and their clients go elsewhere. */
  readonly stopping: AbortSignal;
}

/** @throws CaError REQUEST_INVALID */
export function requireRequest(certificateRequest: Uint8Array): void {
  const { length } = certificateRequest;
  if (length > 0 && length <= maxRequestBytes) return;
  throw new CaError(
    "REQUEST_INVALID",
    `certificate_request must be a PKCS #10 request of 1 to ${maxRequestBytes} bytes, not ${length}`,
  );
}

/** An ML-DSA-87 request with many names is half of this. */
const maxRequestBytes = 16 * 1_024;
