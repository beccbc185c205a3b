import type { VerifiedPeer } from "./peer.ts";
import type { HandshakeResult, Refusal } from "./refusal.ts";

/** Everything `onEvent` may be given. Nothing in this package logs by itself. */
export type TlsEvent =
  /** A handshake ended, either way; `result` is what gRFC A118 counts. */
  | {
      readonly type: "handshake";
      readonly side: "server" | "client";
      readonly result: HandshakeResult;
      readonly refusal: Refusal | undefined;
      readonly peer: VerifiedPeer | undefined;
      readonly resumed: boolean;
      readonly remoteAddress: string;
      /** From the accepted or dialled connection to the verdict. */
      readonly durationMs: number;
    }
  /** A server that we had admitted has refused us, by an alert or a reset, before it said anything else. */
  | {
      readonly type: "refused-late";
      readonly refusal: Refusal;
      readonly peer: VerifiedPeer;
      readonly remoteAddress: string;
    }
  /** A source has changed and the new value is in use. */
  | { readonly type: "source-replaced"; readonly source: SourceKind; readonly description: string }
  /** A source has changed, and the new value is not usable: the last good one stays. */
  | {
      readonly type: "source-kept";
      readonly source: SourceKind;
      readonly description: string;
      readonly reason: string;
    }
  /** Our own certificate has a third of its life left, or less; told again as the end comes nearer. */
  | { readonly type: "identity-expiring"; readonly expiresAt: Date; readonly remainingMs: number }
  /** A live session would no longer be admitted: it starts no call, and is cut. Accepted is "server". */
  | {
      readonly type: "session-cut";
      readonly side: "server" | "client";
      readonly refusal: Refusal;
      readonly peer: VerifiedPeer | undefined;
      readonly remoteAddress: string;
    }
  /** The admission rule threw, or returned something that is neither true nor false; the peer was refused. */
  | { readonly type: "admission-fault"; readonly rule: string; readonly reason: string }
  /** The environment weakens TLS, or a development setting is on. */
  | { readonly type: "environment-warning"; readonly setting: string; readonly reason: string }
  /** The revocation source has something to say; `undetermined` is true while a CA of the bundle is uncovered. */
  | { readonly type: "revocation-warning"; readonly description: string; readonly reason: string };

export type SourceKind = "identity" | "trust" | "revocation";

export type TlsEventListener = (event: TlsEvent) => void;
