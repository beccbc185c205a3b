import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { EngineClientCall, EngineOutcome } from "../engine.ts";
import {
  Health,
  HealthCheckRequestSchema,
  HealthCheckResponseSchema,
  HealthCheckResponse_ServingStatus,
  HealthCheckResponse_ServingStatusSchema,
} from "../gen/grpc/health/v1/health_pb.ts";
import { Metadata } from "../metadata.ts";
import { statusName } from "../status.ts";
import type { StatusName } from "../status.ts";
import { createBackOff } from "../wire/back-off.ts";
import type { WatchHealth } from "../wire/member.ts";

/**
 * Watches the health of a service on each connection (gRFC A17), so that one is used only while its server
 * says SERVING. A server that does not have the health service, or does not let us ask, is used all the same:
 * there the calls themselves say what is wrong.
 */
export function createHealthWatch(service: string): WatchHealth {
  const request = toBinary(HealthCheckRequestSchema, create(HealthCheckRequestSchema, { service }));
  return (start, changed) => {
    const backOff = createBackOff();
    let serving: boolean | undefined;
    let failure: unknown;
    let stopped = false;
    let call: EngineClientCall | undefined;
    let timer: NodeJS.Timeout | undefined;
    ask();
    return {
      get serving() {
        return serving;
      },
      get failure() {
        return failure;
      },
      stop() {
        stopped = true;
        clearTimeout(timer);
        call?.cancel();
      },
    };

    function ask(): void {
      const begun = start(
        {
          path,
          headers: new Metadata(),
          deadline: Infinity,
          previousAttempts: 0,
          waitForReady: true,
        },
        {
          onHeaders: () => undefined,
          onMessage(bytes) {
            backOff.reset();
            heard(bytes);
            begun.read();
          },
          onStatus: (outcome) => ended(outcome),
        },
      );
      call = begun;
      begun.send(request, () => undefined);
      begun.halfClose();
      begun.read();
    }

    function heard(bytes: Uint8Array): void {
      const status = statusIn(bytes);
      const { name } = HealthCheckResponse_ServingStatusSchema.value[status] ?? unnamed;
      const serving = status === HealthCheckResponse_ServingStatus.SERVING;
      decide(serving, `the server says that ${service || "it"} is ${name}`);
    }

    function ended({ status, message }: EngineOutcome): void {
      if (stopped) return;
      const name = statusName(status);
      if (withoutVerdict.has(name)) {
        decide(true, "");
        return;
      }
      decide(false, `its health is not known: ${name}: ${message}`);
      timer = setTimeout(ask, backOff.next()).unref();
    }

    function decide(now: boolean, reason: string): void {
      failure = now ? undefined : new Error(reason);
      if (now === serving || stopped) return;
      serving = now;
      changed();
    }
  };
}

/** Bytes that are no response say nothing good. */
function statusIn(bytes: Uint8Array): HealthCheckResponse_ServingStatus {
  try {
    return fromBinary(HealthCheckResponseSchema, bytes).status;
  } catch {
    return HealthCheckResponse_ServingStatus.UNKNOWN;
  }
}

const unnamed = { name: "UNKNOWN" };
const path = `/${Health.typeName}/${Health.method.watch.name}`;
const withoutVerdict: ReadonlySet<StatusName> = new Set([
  "UNIMPLEMENTED",
  "PERMISSION_DENIED",
  "UNAUTHENTICATED",
]);
