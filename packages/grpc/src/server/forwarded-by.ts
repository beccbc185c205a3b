import { anonymousPrincipal } from "@handfast/policy";
import type { Principal } from "@handfast/policy";
import type {
  Caller,
  ForwardedPeer,
  ForwardedPeersOptions,
  MutualTls,
  Refusal,
  RefusalCode,
  VerifiedPeer,
} from "@handfast/tls";
import { refusals } from "@handfast/tls";
import { GrpcError } from "../errors.ts";
import { Metadata } from "../metadata.ts";
import type { ReadonlyMetadata } from "../metadata.ts";
import { principalOf } from "../principal.ts";
import type { OpenCall } from "./call.ts";
import type { ConnectionPeer } from "./connection.ts";
import type { GrpcServerEventListener } from "./events.ts";
import type { GateOutcome } from "./interceptor.ts";

/** From which proxies, and in which header, the certificates of callers are taken. */
export interface ForwardedByOptions extends ForwardedPeersOptions {
  /** The name under which the proxy hands on the certificate, such as `x-client-certificate`. */
  readonly header: string;
}

/** Who makes one call: at most one of `peer` and `forwarded` is there. */
export interface CallerOfCall {
  /** Who is at the other end of the connection, if it is the caller. */
  readonly peer: VerifiedPeer | undefined;
  /** Who calls through a proxy. */
  readonly forwarded?: ForwardedPeer;
  readonly principal: Principal;
  /** Why the certificate handed on with the call does not count, and the call neither. */
  readonly refused?: RefusedCaller;
}

interface RefusedCaller {
  readonly code: RefusalCode;
  readonly reason: string;
  /** The identity of whoever handed it on. */
  readonly via: string | undefined;
}

/** Tells callers from proxies, for each call, and as long as it is open (security.md S63). */
export interface ForwardedBy {
  /** Who makes a call with these headers on the connection of `who`. Never the proxy. */
  callerOf(headers: ReadonlyMetadata, who: ConnectionPeer): CallerOfCall;
  /** Ends a call whose certificate does not count; the others are judged again while they are open. */
  gate(call: OpenCall): GateOutcome;
  ended(call: OpenCall): void;
  close(): void;
}

/**
 * Takes certificates from proxies. Open calls whose caller would now be refused end within about a second of the
 * change, or of the end of the certificate, without a grace.
 *
 * @param options.tls undefined for a server without TLS, which takes no certificate from anybody.
 * @throws TypeError if no proxy is named, or the header's name is none.
 */
export function createForwardedBy(
  { header, ...from }: ForwardedByOptions,
  options: { readonly tls: MutualTls | undefined; readonly onEvent: GrpcServerEventListener },
): ForwardedBy {
  if (!/^(?!grpc-)[0-9a-z_.-]+(?<!-bin)$/.test(header)) {
    throw new TypeError(
      `forwardedBy needs the lower-case name of a text header, got ${JSON.stringify(header)}`,
    );
  }
  const forwarded = options.tls?.forwardedPeers(from);
  const open = new Set<OpenCall>();
  let timer: NodeJS.Timeout | undefined;
  const stop = forwarded?.onChange(() => judgeAgain(open.values()));

  function judge(headers: ReadonlyMetadata, via: VerifiedPeer | undefined): Judged {
    const handedOn = headers.getAll(header);
    if (forwarded !== undefined) return forwarded.callerOf(handedOn, via);
    return handedOn.length === 0 ? { kind: "direct" } : inPlaintext;
  }

  /** One slice of the open calls; the rest goes on after other work of the event loop. */
  function judgeAgain(rest: Iterator<OpenCall>): void {
    const until = performance.now() + sliceMs;
    for (let next = rest.next(); next.done !== true; next = rest.next()) {
      const call = next.value;
      const caller = judge(call.requestHeaders, call.forwarded?.via);
      if (caller.kind === "refused") call.abort(told(call, refusedBy(caller, call.forwarded?.via)));
      if (performance.now() > until) {
        setImmediate(judgeAgain, rest);
        return;
      }
    }
  }

  /** Certificates end, and clocks jump. */
  function watchClock(): void {
    timer ??= setInterval(() => {
      if (open.size > 0) return judgeAgain(open.values());
      clearInterval(timer);
      timer = undefined;
    }, clockLookMs).unref();
  }

  function told(call: OpenCall, { code, reason, via }: RefusedCaller): GrpcError {
    const { method, requestId, remoteAddress } = call;
    const type = "forwarded-refused";
    options.onEvent({ type, method, requestId, remoteAddress, via, code, reason });
    return new GrpcError("UNAUTHENTICATED", `${code}: ${refusals[code].sentence}`, {
      trailers: new Metadata({ "handfast-refusal": code }),
    });
  }

  return {
    callerOf(headers, who) {
      const caller = judge(headers, who.peer);
      switch (caller.kind) {
        case "direct":
          return who;
        case "forwarded": {
          const { forwarded: behind } = caller;
          return { ...nobody, forwarded: behind, principal: principalOf(behind.peer) };
        }
        case "unknown":
          return nobody;
        case "refused":
          return { ...nobody, refused: refusedBy(caller, who.peer) };
      }
    },
    gate(call) {
      if (call.refused !== undefined) return told(call, call.refused);
      if (call.forwarded !== undefined) {
        open.add(call);
        watchClock();
      }
      return undefined;
    },
    ended: (call) => void open.delete(call),
    close() {
      stop?.();
      clearInterval(timer);
    },
  };
}

function refusedBy(
  { refusal }: Extract<Judged, { kind: "refused" }>,
  via: VerifiedPeer | undefined,
): RefusedCaller {
  return { code: refusal.code, reason: refusal.message, via: via?.identity };
}

type Judged =
  | Exclude<Caller, { kind: "refused" }>
  | { readonly kind: "refused"; readonly refusal: Pick<Refusal, "code" | "message"> };

const inPlaintext: Judged = {
  kind: "refused",
  refusal: { code: "NOT_ADMITTED", message: "a certificate was handed on in plaintext" },
};
/** As on a connection whose client shows no certificate. */
const nobody: CallerOfCall = {
  peer: undefined,
  principal: anonymousPrincipal,
};
const sliceMs = 10;
const clockLookMs = 1_000;
