import { thumbprintOf } from "./account-key.ts";
import { replaceAuthorization, replaceChallenge } from "./authorizations.ts";
import { keyAuthorizationOf } from "./challenge.ts";
import type { ChallengeType } from "./challenge.ts";
import type { AcmeContext } from "./context.ts";
import { changeOrder } from "./orders.ts";
import { AcmeProblem, problemDocument } from "./problem.ts";
import { readRecord } from "./records.ts";
import type { Authorization, Order, Stored } from "./records.ts";
import type { ValidationOutcome, Validator } from "./validator.ts";

/** What is to be validated. */
export interface ValidationTask {
  readonly order: string;
  readonly index: number;
  readonly type: ChallengeType;
  readonly account: Stored<"account">;
}

/** The validations that are under way; each begins by itself and reports to its order. */
export interface Validations {
  /** @throws AcmeProblem rateLimited if the account failed too often, or too many are under way */
  requireRoom(account: string): void;
  /** Begins it, if there is room; what has no room now is begun when its order is next looked at. */
  start(task: ValidationTask): void;
  /** Gives up those under way; their challenges can be tried again. */
  close(): Promise<void>;
}

/** Runs validations, so many at a time, and each at most once at a time. */
export function createValidations({
  validator,
  context,
}: {
  readonly validator: Validator;
  /** Asked for when it is needed: it holds what is made here. */
  readonly context: () => AcmeContext;
}): Validations {
  const stop = new AbortController();
  const running = new Map<string, Promise<void>>();
  const waiting: (() => void)[] = [];
  let active = 0;

  return {
    requireRoom(account): void {
      if (running.size >= maxWaiting) throw busy(1);
      const failures = context().limits.failuresOfAccount;
      const waitMs = failures.look(account);
      if (waitMs > 0) throw busy(Math.ceil(waitMs / 1_000));
    },
    start(task): void {
      const key = `${task.order}/${task.index}`;
      if (stop.signal.aborted || running.has(key) || running.size >= maxWaiting) return;
      const done = run(task)
        .catch((error: unknown) => context().onEvent({ type: "fault", error }))
        .finally(() => running.delete(key));
      running.set(key, done);
    },
    async close(): Promise<void> {
      stop.abort();
      await Promise.all(running.values());
    },
  };

  async function run(task: ValidationTask): Promise<void> {
    await turn();
    try {
      const order = await readRecord(context().store, "order", task.order);
      const authorization = order?.body.authorizations[task.index];
      if (authorization === undefined || stop.signal.aborted) return;
      const outcome = await validator.validate({
        type: task.type,
        identifier: authorization.identifier,
        token: authorization.token,
        keyAuthorization: keyAuthorizationOf(
          authorization.token,
          thumbprintOf(task.account.body.jwk),
        ),
        signal: stop.signal,
      });
      if (stop.signal.aborted) return;
      await report(task, { outcome, authorization });
    } finally {
      active -= 1;
      waiting.shift()?.();
    }
  }

  async function turn(): Promise<void> {
    if (active >= maxActive) await new Promise<void>((resolve) => waiting.push(resolve));
    active += 1;
  }

  async function report(
    { order, index, type, account }: ValidationTask,
    { outcome, authorization }: { outcome: ValidationOutcome; authorization: Authorization },
  ): Promise<void> {
    const { limits, onEvent, clock } = context();
    const { identifier } = authorization;
    await changeOrder(context(), order, (body) =>
      decided(body, { index, type, outcome, now: clock() }),
    );
    const about = { account: account.id, identifier, challenge: type };
    if (outcome.ok) {
      onEvent({ type: "challenge-validated", ...about });
      return;
    }
    limits.failuresOfAccount.take(account.id);
    onEvent({ type: "challenge-failed", ...about, reason: outcome.reason });
  }
}

function decided(
  order: Order,
  {
    index,
    type,
    outcome,
    now,
  }: { index: number; type: ChallengeType; outcome: ValidationOutcome; now: Date },
): Order {
  return replaceAuthorization(order, index, (one) => {
    if (one.status !== "pending") return one;
    const status = outcome.ok ? "valid" : "invalid";
    const replaced = replaceChallenge(one, type, (challenge) => ({
      ...challenge,
      status,
      ...(outcome.ok
        ? { validated: now.getTime() }
        : { error: problemDocument(outcome.problem, { detail: outcome.detail }) }),
    }));
    return { ...replaced, status };
  });
}

function busy(seconds: number): AcmeProblem {
  return new AcmeProblem("rateLimited", `validations are limited; try again in ${seconds} s`, {
    headers: { "Retry-After": String(seconds) },
  });
}

const maxActive = 32;
const maxWaiting = 1_000;
