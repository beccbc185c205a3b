import type { AcmeEvent, AuditTrail, AuthorityServiceEvent } from "@handfast/ca";
import type { PolicyFileEvent } from "@handfast/policy";
import type { Output } from "./output.ts";
import type { ServedAt } from "./service-file.ts";

/** What `ca serve` says while it runs: a line per event, as text or as JSON. */
export interface ServiceLog {
  serving(served: ServedAt & Readonly<Record<string, unknown>>): void;
  stopping(signal: string): void;
  event(event: AuthorityServiceEvent): void;
  policy(this: void, event: PolicyFileEvent): void;
  acme(this: void, event: AcmeEvent): void;
  /** Says each act and refusal once it is recorded. */
  auditing(trail: AuditTrail | undefined): AuditTrail;
}

/** A log on the streams of the command. Text goes to stderr; JSON, a document per line, to stdout. */
export function createServiceLog(output: Output, { json }: { readonly json: boolean }): ServiceLog {
  function say(event: string, fields: Readonly<Record<string, unknown>>): void {
    if (json) {
      output.jsonLine({ time: new Date().toISOString(), event, ...fields });
      return;
    }
    const words = Object.entries(fields).flatMap(([name, value]) =>
      value === undefined || value === null ? [] : [`${name} ${textOf(value)}`],
    );
    output.note([event, ...words].join("  "));
  }

  return {
    serving: (served) => say("serving", { ...served }),
    stopping: (signal) => say("stopping", { signal }),
    event: (event) => sayEvent(event, say),
    policy(event) {
      if (event.type === "policy-refused") {
        say("admin policy refused", { problem: event.error.message });
      } else {
        say(event.type, {});
      }
    },
    acme: (event) => {
      const { type, ...fields } = event;
      say(`acme ${type}`, fields);
    },
    auditing: (trail) => ({
      async append(kind, fields) {
        const place = (await trail?.append(kind, fields)) ?? { chain: "", seq: 0 };
        const { action, outcome, ...rest } = fields;
        say(`${textOf(action)} ${textOf(outcome)}`, rest);
        return place;
      },
    }),
  };
}

function sayEvent(
  event: AuthorityServiceEvent,
  say: (event: string, fields: Readonly<Record<string, unknown>>) => void,
): void {
  switch (event.type) {
    case "tls": {
      const { listener, event: tls } = event;
      if (tls.type === "handshake") {
        if (tls.refusal === undefined) return;
        const { code, by, message } = tls.refusal;
        say("handshake refused", { listener, code, by, remoteAddress: tls.remoteAddress, message });
      } else if (tls.type === "session-cut") {
        say("session cut", { listener, code: tls.refusal.code, identity: tls.peer?.identity });
      } else if (tls.type.endsWith("-warning") || tls.type === "source-kept") {
        const { type, ...fields } = tls;
        say(type, { listener, ...fields });
      }
      return;
    }
    case "grpc":
      if (event.event.type === "handler-fault") {
        say("fault", { during: event.event.method, problem: problemOf(event.event.error) });
      }
      return;
    case "fault":
      say("fault", { during: event.during, problem: problemOf(event.error) });
      return;
    case "crls-published":
      say("revocation lists published", event.numbers);
      return;
    case "identity-renewed":
      say("own certificate renewed", { notAfter: event.notAfter.toISOString() });
      return;
    case "bundle-changed":
      say("bundle changed", { sequence: event.sequence });
      return;
  }
}

function problemOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}
