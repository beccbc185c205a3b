/** What an agent tells of; nothing is logged by itself. Times are RFC 3339 when shown. */
export type AgentEvent =
  | {
      readonly type: "renewed";
      readonly name: string;
      readonly notAfter: Date;
      readonly renewAt: Date;
    }
  /** It goes on trying: `attempt` counts the failures in a row. */
  | {
      readonly type: "renewal-failed";
      readonly name: string;
      readonly attempt: number;
      readonly reason: string;
      readonly hint: string | undefined;
      readonly nextAttemptAt: Date;
      /** Undefined where there is no certificate yet. */
      readonly notAfter: Date | undefined;
    }
  /** Said at the end of a certificate and after each failure from then on: its service is cut off. */
  | { readonly type: "expired"; readonly name: string; readonly notAfter: Date }
  | { readonly type: "bundle-changed"; readonly sequence: number }
  /** The last good bundle stays. */
  | { readonly type: "bundle-failed"; readonly reason: string }
  | { readonly type: "hook-done"; readonly name: string }
  /** It is tried again until it succeeds. */
  | { readonly type: "hook-failed"; readonly name: string; readonly reason: string };

/** Takes an agent's events; what it throws ends the process, as in any callback. */
export type AgentEventListener = (event: AgentEvent) => void;
