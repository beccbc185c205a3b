import { ServerInterceptingCall, status as statuses } from "@grpc/grpc-js";
import type { ServerInterceptor } from "@grpc/grpc-js";
import { createAuthoriser } from "../interceptors/authorise.ts";
import type { DecidableCall, DecisionEvent, ServerPolicy } from "../interceptors/authorise.ts";
import { GrpcError } from "../errors.ts";
import { connectionPrincipal } from "../principal.ts";
import type { GateOutcome } from "../server/interceptor.ts";
import { requestIdOf } from "../server/call.ts";
import { fromJs } from "./metadata.ts";
import { peerOf } from "./peer.ts";

/** Extras of a policy interceptor. */
export interface PolicyInterceptorOptions {
  /** `refuse` (default): a call without a verified peer is UNAUTHENTICATED before the policy is asked. */
  readonly unauthenticatedPeers?: "refuse" | "ask-policy";
  /** Called with each decision; must not throw. */
  readonly onDecision?: (event: DecisionEvent) => void;
}

/**
 * A plain interceptor for servers of grpc-js that decides each call by a policy, before anything of its
 * body is read; for servers of serveGrpcJs or grpcServerCredentials. When a live policy changes, open calls are decided
 * again.
 */
export function policyInterceptor(
  policy: ServerPolicy,
  options: PolicyInterceptorOptions = {},
): ServerInterceptor {
  const authoriser = createAuthoriser({
    policy,
    unauthenticatedPeers: options.unauthenticatedPeers ?? "refuse",
    applies: () => true,
    onDecision: options.onDecision ?? (() => undefined),
  });
  return (method, call) => {
    let decided: DecidableCall | undefined;
    const end = (error: GrpcError): void =>
      call.sendStatus({ code: statuses[error.code], details: error.message });
    return new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata(headers, deliver) {
            const peer = peerOf(call);
            const requestHeaders = fromJs(headers);
            // A policy that sees less than was sent could be got round by what it does not see (S39).
            if (requestHeaders === undefined) {
              end(new GrpcError("INTERNAL", "a request header has bytes that may not travel"));
              return;
            }
            decided = {
              method: method.path,
              caller: peer,
              principal: connectionPrincipal(peer, "tls"),
              remoteAddress: call.getConnectionInfo().remoteAddress,
              requestId: requestIdOf(requestHeaders),
              requestHeaders,
              abort: end,
            };
            const settle = (refused: GateOutcome): void => {
              if (refused === undefined) deliver(headers);
              else end(refused);
            };
            const outcome = authoriser.gate(decided);
            if (outcome instanceof Promise) void outcome.then(settle);
            else settle(outcome);
          },
          onCancel() {
            if (decided !== undefined) authoriser.ended(decided);
          },
        }),
    });
  };
}
