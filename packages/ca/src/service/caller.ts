import type { DescMethod, DescService, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { ReadonlyMetadata } from "@handfast/grpc";
import type { VerifiedPeer } from "@handfast/tls";
import { CaError } from "../errors.ts";

/** Who calls what, whichever protocol brought the call. A gRPC call is one as it is. */
export interface Caller {
  /** The full name: "/handfast.ca.v1.Authority/Renew". */
  readonly method: string;
  readonly descriptor: DescMethod;
  /** Undefined exactly on the listener without client certificates. */
  readonly peer: VerifiedPeer | undefined;
  readonly remoteAddress: string | undefined;
  readonly requestHeaders: ReadonlyMetadata;
  /** Aborts when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
}

/** The functions behind the methods of a service. */
export type Methods<Service extends DescService> = {
  readonly [Name in keyof Service["method"]]: Method<Service["method"][Name]>;
};

type Method<Desc extends DescMethod> = (
  request: MessageShape<Desc["input"]>,
  caller: Caller,
) => Desc extends { readonly methodKind: "unary" }
  ? Promise<MessageInitShape<Desc["output"]>>
  : AsyncIterable<MessageInitShape<Desc["output"]>>;

/**
 * The peer of a call.
 *
 * @throws CaError REQUEST_UNAUTHENTICATED
 */
export function peerOfCall({ peer }: Caller): VerifiedPeer {
  if (peer !== undefined) return peer;
  throw new CaError("REQUEST_UNAUTHENTICATED", "the call has no verified client certificate");
}

/** Who asks, for the record: the identity, or the certificate of one that has none. */
export function requesterOf(peer: VerifiedPeer): string {
  return peer.identity ?? `certificate:${peer.fingerprint}`;
}
