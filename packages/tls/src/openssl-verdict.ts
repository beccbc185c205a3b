import type { TLSSocket } from "node:tls";

import type { VerifiedPeer } from "./peer.ts";
import { refusal } from "./refusal.ts";
import type { Refusal } from "./refusal.ts";

/** What OpenSSL made of the chain that a peer sent. */
export interface OpensslVerdict {
  /** What it objects to, by the name of its error; undefined if nothing. */
  readonly objection: string | undefined;
  /** Whether Node ends the connection for any objection, so that none may be passed over. */
  readonly final: boolean;
}

/** What Node has told the socket of it, once `secureConnection` or `secureConnect` is emitted. */
export function opensslVerdict(socket: TLSSocket): OpensslVerdict {
  // Typed as an Error, is the name of OpenSSL's error at run time (Node 26.10).
  const objection = socket.authorized ? undefined : String(socket.authorizationError);
  return { objection, final: false };
}

/**
 * What Node is going to tell a server's socket of it, where only `secure` has been emitted yet, and will act
 * upon (`rejectUnauthorized: true`). Read where Node (26.10) reads it; were it not there, that is an objection.
 */
export function opensslVerdictToCome(socket: TLSSocket): OpensslVerdict {
  const handle = "_handle" in socket ? socket._handle : undefined;
  if (!canTell(handle)) return { objection: "its verdict cannot be read", final: true };
  const error = handle.verifyError();
  return { objection: error ? (error.code ?? error.message) : undefined, final: true };
}

function canTell(handle: unknown): handle is { verifyError(): NodeJS.ErrnoException | null } {
  return (
    typeof handle === "object" &&
    handle !== null &&
    "verifyError" in handle &&
    typeof handle.verifyError === "function"
  );
}

/**
 * The refusal for what OpenSSL objects to although our path stands. Three objections are known to be wrong and are
 * passed over: it wants self-signed anchors; it refuses in the very second of notAfter, which RFC 5280 includes;
 * and where trust has changed during the handshake (`outdated`), it does not know the new anchors.
 */
export function objectionTo(
  peer: VerifiedPeer,
  { objection, final }: OpensslVerdict,
  { now, outdated }: { readonly now: Date; readonly outdated: boolean },
): Refusal | undefined {
  if (objection === undefined) return undefined;
  const anchor = peer.chain.at(-1);
  const partialPath =
    anchor !== undefined &&
    Buffer.compare(anchor.subject.der, anchor.issuer.der) !== 0 &&
    (objection === "UNABLE_TO_GET_ISSUER_CERT" ||
      objection === "UNABLE_TO_GET_ISSUER_CERT_LOCALLY");
  const lastSecond =
    objection === "CERT_HAS_EXPIRED" &&
    peer.chain.some(({ notAfter }) => Math.abs(now.getTime() - notAfter.getTime()) < 1000);
  const unknownAnchor = outdated && anchorObjections.has(objection);
  if (!final && (partialPath || lastSecond || unknownAnchor)) return undefined;
  return refusal("CERTIFICATE_VERIFICATION_FAILED", {
    message: `OpenSSL objects to the certificate of ${peer.subject}: ${objection}`,
  });
}

/** How OpenSSL says that it does not have the anchor. */
const anchorObjections: ReadonlySet<string> = new Set([
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
]);
