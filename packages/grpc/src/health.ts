import type { DescService } from "@bufbuild/protobuf";
import { GrpcError } from "./errors.ts";
import { Health, HealthCheckResponse_ServingStatus } from "./gen/grpc/health/v1/health_pb.ts";
import type { ServiceHandlers } from "./server/handlers.ts";

/** What the health service says of a service. */
export type ServingStatus = "SERVING" | "NOT_SERVING";

/** A condition under which a service can do its work: "the store answers", "the certificate is valid". */
export interface ReadinessCheck {
  /** Unique among the checks of its service; for events. */
  readonly name: string;
  /** Whether it holds now; a throw or rejection means no. */
  ready(): boolean | Promise<boolean>;
  /** How often it is asked; every 5,000 ms if absent. */
  readonly intervalMs?: number;
}

/** The health of a server: `grpc.health.v1`, as its owner sees it. */
export interface HealthControl {
  /** Says whether a service is served; `""` is the server as a whole. */
  setStatus(service: DescService | string, status: ServingStatus): void;
  /** Makes a service NOT_SERVING while a check does not hold. It is asked at once, and then at intervals. */
  addCheck(service: DescService | string, check: ReadinessCheck): void;
  /** What is said of a service now; undefined if it is not known. */
  status(service: DescService | string): ServingStatus | undefined;
}

/** The health control with what the server itself needs of it. */
export interface HealthState extends HealthControl {
  readonly handlers: ServiceHandlers<typeof Health>;
  /** Everything is NOT_SERVING from now on. */
  shutDown(): void;
}

/** What a check that changed its mind tells. */
export type ReadinessListener = (change: {
  readonly service: string;
  readonly check: string;
  readonly ready: boolean;
  readonly error: unknown;
}) => void;

/** Creates the state behind a health service. Nothing is known yet but the server as a whole. */
export function createHealth(onReadiness: ReadinessListener): HealthState {
  const services = new Map<string, ServiceHealth>();
  const watchers = new Set<() => void>();
  const timers = new Set<NodeJS.Timeout>();
  let down = false;

  const stateOf = (name: string): ServiceHealth => {
    const state = services.get(name) ?? { status: "SERVING", failing: new Set() };
    services.set(name, state);
    return state;
  };
  const changed = (): void => {
    for (const wake of watchers) wake();
  };
  const status = (service: DescService | string): ServingStatus | undefined => {
    const state = services.get(nameOf(service));
    if (state === undefined) return undefined;
    return down || state.failing.size > 0 ? "NOT_SERVING" : state.status;
  };
  stateOf("");

  return {
    status,
    setStatus(service, next) {
      stateOf(nameOf(service)).status = next;
      changed();
    },
    addCheck(service, check) {
      const name = nameOf(service);
      const { failing } = stateOf(name);
      // Until it has answered, a check does not hold.
      failing.add(check.name);
      changed();
      let known: boolean | undefined;
      let asking = false;
      const ask = async (): Promise<void> => {
        if (asking) return;
        asking = true;
        const { ready, error } = await outcomeOf(check);
        asking = false;
        if (ready === known || down) return;
        known = ready;
        if (ready) failing.delete(check.name);
        else failing.add(check.name);
        changed();
        onReadiness({ service: name, check: check.name, ready, error });
      };
      void ask();
      timers.add(setInterval(() => void ask(), check.intervalMs ?? 5_000).unref());
    },
    shutDown() {
      down = true;
      for (const timer of timers) clearInterval(timer);
      changed();
    },
    handlers: {
      check({ service }) {
        const found = status(service);
        if (found === undefined) throw new GrpcError("NOT_FOUND", "unknown service");
        return { status: wireStatus[found] };
      },
      list() {
        if (services.size > maxListed) {
          throw new GrpcError("RESOURCE_EXHAUSTED", `more than ${maxListed} services`);
        }
        const names = [...services.keys()];
        return {
          statuses: Object.fromEntries(
            names.map((name) => [name, { status: wireStatus[status(name) ?? "NOT_SERVING"] }]),
          ),
        };
      },
      async *watch({ service }, { signal }) {
        let wake = (): void => undefined;
        const onChange = (): void => wake();
        watchers.add(onChange);
        signal.addEventListener("abort", onChange, { once: true });
        try {
          let told: number | undefined;
          while (!signal.aborted) {
            const found = status(service);
            const now = found === undefined ? serviceUnknown : wireStatus[found];
            const next = new Promise<void>((resolve) => {
              wake = resolve;
            });
            if (now === told) {
              await next;
            } else {
              told = now;
              yield { status: now };
            }
          }
        } finally {
          watchers.delete(onChange);
        }
      },
    },
  };
}

interface ServiceHealth {
  status: ServingStatus;
  /** The names of the checks that do not hold. */
  readonly failing: Set<string>;
}

async function outcomeOf(check: ReadinessCheck): Promise<{ ready: boolean; error: unknown }> {
  try {
    return { ready: await check.ready(), error: undefined };
  } catch (error) {
    return { ready: false, error };
  }
}

function nameOf(service: DescService | string): string {
  return typeof service === "string" ? service : service.typeName;
}

const wireStatus = {
  SERVING: HealthCheckResponse_ServingStatus.SERVING,
  NOT_SERVING: HealthCheckResponse_ServingStatus.NOT_SERVING,
} as const;
const serviceUnknown = HealthCheckResponse_ServingStatus.SERVICE_UNKNOWN;
/** As the protocol suggests, the answer to List is bounded. */
const maxListed = 100;
