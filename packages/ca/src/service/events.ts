import type { GrpcServerEvent } from "@handfast/grpc";
import type { TlsEvent } from "@handfast/tls";

/** Everything a service's `onEvent` may be given. Nothing in this package logs by itself. */
export type AuthorityServiceEvent =
  /** Of the listener without client certificates (`enrolment`), or of the one with (`authority`). */
  | { readonly type: "tls"; readonly listener: ListenerName; readonly event: TlsEvent }
  | { readonly type: "grpc"; readonly listener: ListenerName; readonly event: GrpcServerEvent }
  /** Revocation lists were signed. */
  | { readonly type: "crls-published"; readonly numbers: Readonly<Record<string, number>> }
  /** The authority gave itself a new certificate to serve with. */
  | { readonly type: "identity-renewed"; readonly notAfter: Date }
  /** The bundle that peers trust has changed. */
  | { readonly type: "bundle-changed"; readonly sequence: number }
  /** Something that is done again and again has failed this time, or a request for a reason of ours. */
  | { readonly type: "fault"; readonly during: string; readonly error: unknown };

export type ListenerName = "enrolment" | "authority" | "publication";

export type AuthorityServiceEventListener = (event: AuthorityServiceEvent) => void;
