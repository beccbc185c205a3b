import type { AuditTrail } from "../audit.ts";
import type { AcmeProblem, AcmeProblemType } from "./problem.ts";

/** The record of what the ACME server decides; certificates are recorded by the authority itself. */
export interface Acts {
  /** @throws what the trail throws: what it does not take is not handed out */
  done(act: AccountAct): Promise<void>;
  /** At most one record per source, problem and second. */
  refused(problem: AcmeProblem, source: string): Promise<void>;
}

interface AccountAct {
  readonly action: "acme-create-account" | "acme-deactivate-account" | "acme-change-key";
  readonly account: string;
  readonly externalAccount: string | undefined;
}

/** Records into a trail, if there is one. */
export function createActs({
  audit,
  clock,
}: {
  readonly audit: AuditTrail | undefined;
  readonly clock: () => Date;
}): Acts {
  let second = 0;
  let said = new Set<string>();

  return {
    async done({ action, account, externalAccount }): Promise<void> {
      const requester = `acme:${account}`;
      await audit?.append("authority", { action, requester, outcome: "done", externalAccount });
    },
    async refused({ type, message }, source): Promise<void> {
      if (audit === undefined || !decisions.has(type)) return;
      const now = Math.floor(clock().getTime() / 1_000);
      if (now !== second) [second, said] = [now, new Set()];
      const key = JSON.stringify([source, type]);
      if (said.has(key) || said.size >= maxPerSecond) return;
      said.add(key);
      const requester = `acme:from ${source}`;
      const code = `ACME_${type}`;
      await audit.append("authority", {
        action: "acme",
        requester,
        outcome: "refused",
        code,
        message,
      });
    },
  };
}

/** Refusals that somebody who may not have something runs into, and not merely a mistaken client. */
const decisions: ReadonlySet<AcmeProblemType> = new Set([
  "accountDoesNotExist",
  "badCSR",
  "badPublicKey",
  "externalAccountRequired",
  "rejectedIdentifier",
  "unauthorized",
]);

const maxPerSecond = 1_000;
