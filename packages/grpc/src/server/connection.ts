import type { Duplex } from "node:stream";
import type { Principal } from "@handfast/policy";
import type { DrainReason, LiveProtocol, Refusal, Session, VerifiedPeer } from "@handfast/tls";
import type { EngineServerCall, ServerEngine } from "../engine.ts";
import { GrpcError } from "../errors.ts";
import { Metadata } from "../metadata.ts";
import { Roster } from "../roster.ts";
import { OpenCall } from "./call.ts";
import type { CallerOfCall } from "./forwarded-by.ts";
import { serveCall } from "./serve-call.ts";
import type { Passage, Route } from "./serve-call.ts";

/** What a connection needs of its server. */
export interface ConnectionContext {
  readonly engine: ServerEngine;
  readonly passage: Passage;
  readonly maxHeaderBytes: number;
  readonly maxSendMessageBytes: number;
  /** How old a connection may become before it is drained; for ever if absent. */
  readonly maxConnectionAgeMs?: number;
  route(path: string): Route | undefined;
  /** Who makes a call with these headers; the connection's peer if absent. */
  callerOf?(headers: Metadata, who: ConnectionPeer): CallerOfCall;
  /** Told of each call to a method that nobody serves. */
  readonly unknown?: (() => void) | undefined;
  started(call: OpenCall): void;
  ended(call: OpenCall, error: GrpcError | undefined): void;
  released(call: OpenCall): void;
}

/** Who is at the other end of a connection, found out once. */
export interface ConnectionPeer {
  readonly peer: VerifiedPeer | undefined;
  readonly principal: Principal;
  readonly remoteAddress: string | undefined;
  /** Absent in plaintext. */
  readonly session: Session | undefined;
}

/** One connection of a server and its calls. */
export interface ServerConnection extends LiveProtocol {
  readonly calls: Iterable<OpenCall>;
  destroy(): void;
}

/** Runs gRPC on a judged socket. */
export function serveConnection(
  socket: Duplex,
  who: ConnectionPeer,
  context: ConnectionContext,
): ServerConnection {
  const calls = new Roster<OpenCall>();
  let refused: Refusal | undefined;
  let draining = false;
  const connection = context.engine.accept(socket, onCall, context.unknown);
  limitAge(socket, context.maxConnectionAgeMs ?? Infinity, () => drain({ kind: "aged" }));

  return {
    calls,
    activity: () => ({ callsInFlight: calls.size }),
    drain,
    destroy: () => socket.destroy(),
  };

  function onCall(engineCall: EngineServerCall): void {
    const route = context.route(engineCall.path);
    if (route === undefined) {
      finish(engineCall, new GrpcError("UNIMPLEMENTED", "unknown method"));
      return;
    }
    if (engineCall.headers.wireSize > context.maxHeaderBytes) {
      const text = `request headers are larger than the limit of ${context.maxHeaderBytes} bytes`;
      finish(engineCall, new GrpcError("RESOURCE_EXHAUSTED", text));
      return;
    }
    // After a change of trust or revocation this judges the peer again, and drains the connection (S11).
    if (who.session?.admitted() === false || draining) {
      finish(engineCall, refused === undefined ? goingAway() : refusalError(refused));
      return;
    }
    const call = new OpenCall(engineCall, {
      descriptor: route.method,
      ...(context.callerOf?.(engineCall.headers, who) ?? who),
      remoteAddress: who.remoteAddress,
      maxSendMessageBytes: context.maxSendMessageBytes,
      ended,
      released: (left) => context.released(left),
    });
    calls.add(call);
    context.started(call);
    void serveCall(call, route, context.passage);
  }

  function ended(call: OpenCall, error: GrpcError | undefined): void {
    calls.delete(call);
    context.ended(call, error);
  }

  function drain(reason: DrainReason): void {
    // A connection that is merely old serves what still arrives on it: no call fails for that.
    if (reason.kind !== "aged") draining = true;
    if (reason.kind === "refused") {
      refused = reason.refusal;
      // A revoked peer gets no grace: its calls are told why, before the socket is cut.
      if (refused.code === "CERTIFICATE_REVOKED") {
        for (const call of calls) call.abort(refusalError(refused));
      }
    }
    connection.drain();
  }
}

/** Calls back when the socket is so old, give or take a tenth: connections made at once do not end at once. */
function limitAge(socket: Duplex, maxAgeMs: number, aged: () => void): void {
  if (maxAgeMs > longestAgeMs) return;
  const timer = setTimeout(aged, maxAgeMs * (0.9 + 0.2 * Math.random())).unref();
  socket.once("close", () => clearTimeout(timer));
}

/** What a call reads whose peer is no longer admitted: the same as if it had been refused at the door. */
function refusalError(refusal: Refusal): GrpcError {
  return new GrpcError("UNAUTHENTICATED", `${refusal.code}: ${refusal.publicMessage}`, {
    trailers: new Metadata({ "handfast-refusal": refusal.code }),
  });
}

/** What a call reads that the end of its connection or server has overtaken. */
export function goingAway(): GrpcError {
  return new GrpcError("UNAVAILABLE", "the server is going away");
}

function finish(call: EngineServerCall, error: GrpcError): void {
  const status = { status: error.status, message: error.message, details: undefined };
  call.finish(status, error.trailers);
}

/** What a timer can count, with the tenth. */
const longestAgeMs = 1_900_000_000;
