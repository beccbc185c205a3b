import { randomBytes } from "node:crypto";
import type { Records } from "../store/store.ts";
import { openAccountKeptUntil } from "./accounts.ts";
import { thumbprintOf } from "./account-key.ts";
import { takeFrom } from "./authenticate.ts";
import { challengeTypesFor } from "./challenge.ts";
import type { AccountRequest, AcmeAnswer, AcmeContext } from "./context.ts";
import { isPermitted, readIdentifier } from "./identifier.ts";
import type { Identifier } from "./identifier.ts";
import { payloadObject } from "./jws.ts";
import { AcmeProblem, problemDocument } from "./problem.ts";
import { addRecord, changeRecord, listRecords, readRecord } from "./records.ts";
import type { Authorization, Order, Stored } from "./records.ts";
import { checkReplaces } from "./renewal-info.ts";

/** newOrder (RFC 8555 7.4, RFC 9773 5). */
export async function newOrder(context: AcmeContext, request: AccountRequest): Promise<AcmeAnswer> {
  const { account } = request;
  const payload = payloadObject(request.payload);
  const now = context.clock();
  const identifiers = readIdentifiers(payload["identifiers"]);
  const notAfter = readNotAfter(payload, now);
  await requirePermitted(context, { account, identifiers });
  takeFrom(context.limits.ordersOfAccount, account.id);
  const replaces = await checkReplaces(context, { payload, account: account.id, identifiers });

  const order: Stored<"order"> = {
    id: randomBytes(16).toString("base64url"),
    owner: account.id,
    createdAt: now,
    keepUntil: new Date(now.getTime() + pendingMs + keptMs),
    body: {
      status: "pending",
      expires: now.getTime() + pendingMs,
      identifiers,
      notAfter,
      authorizations: identifiers.map((identifier) => authorizationOf(context, identifier)),
      error: undefined,
      finalizing: undefined,
      certificate: undefined,
      replaces,
    },
  };
  await context.store.transaction(async (records) => {
    await records.forgetAcmeRecords({ endedBefore: now, limit: 1_000 });
    await refuseTooMany(records, { account: account.id, now, limit: context.limits.pendingOrders });
    if (replaces !== undefined) await claimReplacement(records, { order, replaces });
    await addRecord(records, "order", order);
    if (account.keepUntil !== undefined) await keepLonger(records, { account, now });
  });
  context.onEvent({ type: "order-created", account: account.id, order: order.id });
  return answerOrder(context, { order, status: 201 });
}

/** The orders of an account, newest first (RFC 8555 7.1.2.1). */
export async function listOrders(
  context: AcmeContext,
  { account, before }: { account: string; before: string | undefined },
): Promise<AcmeAnswer> {
  const found = await listRecords(context.store, "order", {
    owner: account,
    limit: pageSize + 1,
    ...(before !== undefined && { before }),
  });
  const page = found.slice(0, pageSize);
  const last = page.at(-1);
  const next = `${context.urls.to("account", account, "orders")}?before=${last?.id}`;
  return {
    status: 200,
    body: { orders: page.map(({ id }) => context.urls.to("order", id)) },
    links: found.length > pageSize ? [`<${next}>;rel="next"`] : [],
  };
}

/** An order of this account. @throws AcmeProblem malformed (404), also where it is another's */
export async function ownOrder(
  { store, clock }: Pick<AcmeContext, "store" | "clock">,
  { id, account }: { readonly id: string; readonly account: string },
): Promise<Stored<"order">> {
  const order = await readRecord(store, "order", id);
  if (order === undefined || order.owner !== account) {
    throw new AcmeProblem("malformed", "there is no such order of this account", { status: 404 });
  }
  return { ...order, body: atTime(order.body, clock()) };
}

/** Changes an order in one step; the work sees it as it is at that moment. */
export async function changeOrder(
  { store, clock }: Pick<AcmeContext, "store" | "clock">,
  id: string,
  changed: (order: Order) => Order,
): Promise<Stored<"order">> {
  return store.transaction(async (records) => {
    const order = await readRecord(records, "order", id);
    if (order === undefined) {
      throw new AcmeProblem("malformed", "the order is gone", { status: 404 });
    }
    const body = changed(atTime(order.body, clock()));
    const next = { ...order, body };
    await changeRecord(records, "order", next);
    return next;
  });
}

/** The order with what follows from its authorizations (RFC 8555 7.1.6). */
export function withAuthorizations(order: Order, authorizations: readonly Authorization[]): Order {
  if (order.status !== "pending" && order.status !== "ready") return { ...order, authorizations };
  const failed = authorizations.find(
    ({ status }) => status === "invalid" || status === "deactivated",
  );
  if (failed !== undefined) {
    const detail = `the authorization of ${failed.identifier.value} is ${failed.status}`;
    return {
      ...order,
      authorizations,
      status: "invalid",
      error: problemDocument("unauthorized", { detail }),
    };
  }
  const ready = authorizations.every(({ status }) => status === "valid");
  return { ...order, authorizations, status: ready ? "ready" : "pending" };
}

/** How an order is shown. */
export function answerOrder(
  { urls }: Pick<AcmeContext, "urls">,
  { order, status }: { readonly order: Stored<"order">; readonly status: number },
): AcmeAnswer {
  const { id, body } = order;
  return {
    status,
    headers: {
      Location: urls.to("order", id),
      ...(body.status === "processing" && { "Retry-After": "1" }),
    },
    body: {
      status: body.status,
      expires: rfc3339(body.expires),
      identifiers: body.identifiers,
      ...(body.notAfter !== undefined && { notAfter: rfc3339(body.notAfter) }),
      ...(body.error !== undefined && { error: body.error }),
      authorizations: body.authorizations.map((_, index) =>
        urls.to("authorization", id, String(index)),
      ),
      finalize: urls.to("order", id, "finalize"),
      ...(body.certificate !== undefined && { certificate: urls.to("certificate", id) }),
      ...(body.replaces !== undefined && { replaces: body.replaces }),
    },
  };
}

/**
 * Refuses what the account was not given (security.md S51).
 *
 * @throws AcmeProblem rejectedIdentifier, unauthorized
 */
export async function requirePermitted(
  { store, openNames }: Pick<AcmeContext, "store" | "openNames">,
  { account, identifiers }: { account: Stored<"account">; identifiers: readonly Identifier[] },
): Promise<void> {
  const { externalAccount } = account.body;
  let names = openNames ?? [];
  if (externalAccount !== undefined) {
    const external = await readRecord(store, "external-account", externalAccount);
    if (external === undefined || external.body.withdrawn) {
      throw new AcmeProblem("unauthorized", "the account's external account was withdrawn");
    }
    ({ names } = external.body);
  }
  const refused = identifiers.filter((identifier) => !isPermitted(identifier, names));
  if (refused.length === 0) return;
  const subproblems = refused.map((identifier) => ({
    ...problemDocument("rejectedIdentifier", {
      detail: `the account may not have ${identifier.value}`,
    }),
    identifier,
  }));
  throw new AcmeProblem(
    "rejectedIdentifier",
    `the account may not have ${refused.map(({ value }) => value).join(", ")}`,
    { members: { subproblems } },
  );
}

/** RFC 3339, whole seconds. */
export function rfc3339(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
}

function authorizationOf({ challenges }: AcmeContext, asked: Identifier): Authorization {
  const wildcard = asked.value.startsWith("*.");
  const types = challengeTypesFor(asked, { wildcard }).filter((type) => challenges.includes(type));
  if (types.length === 0) {
    throw new AcmeProblem("rejectedIdentifier", `there is no challenge for ${asked.value} here`);
  }
  return {
    identifier: { type: asked.type, value: asked.value.replace(/^\*\./, "") },
    wildcard,
    status: "pending",
    token: randomBytes(32).toString("base64url"),
    challenges: types.map((type) => ({
      type,
      status: "pending",
      since: undefined,
      validated: undefined,
      error: undefined,
    })),
  };
}

/** What was not done in time cannot be done any more. */
function atTime(order: Order, now: Date): Order {
  const open = order.status === "pending" || order.status === "ready";
  if (!open || order.expires >= now.getTime()) return order;
  const detail = `the order expired at ${rfc3339(order.expires)}`;
  return { ...order, status: "invalid", error: problemDocument("malformed", { detail }) };
}

async function refuseTooMany(
  records: Records,
  { account, now, limit }: { account: string; now: Date; limit: number },
): Promise<void> {
  // Among the newest: to hide one behind them, an order must be brought to its end.
  const newest = await listRecords(records, "order", { owner: account, limit: 2 * limit });
  const open = newest.filter(({ body }) => ["pending", "ready"].includes(atTime(body, now).status));
  if (open.length < limit) return;
  throw new AcmeProblem("rateLimited", `the account has ${open.length} orders that are not done`, {
    headers: { "Retry-After": "3600" },
  });
}

/** A certificate is replaced by one order, unless that comes to nothing (RFC 9773 5). */
async function claimReplacement(
  records: Records,
  { order, replaces }: { order: Stored<"order">; replaces: string },
): Promise<void> {
  const other = await readRecord(records, "replacement", replaces);
  if (other !== undefined) {
    const claimed = await readRecord(records, "order", other.body.order);
    if (claimed !== undefined && atTime(claimed.body, order.createdAt).status !== "invalid") {
      throw new AcmeProblem("alreadyReplaced", "another order replaces that certificate already");
    }
    await records.removeAcmeRecord("replacement", replaces);
  }
  const { owner, createdAt } = order;
  const keepUntil = new Date(createdAt.getTime() + replacementKeptMs);
  const body = { order: order.id };
  await addRecord(records, "replacement", { id: replaces, owner, createdAt, keepUntil, body });
}

async function keepLonger(
  records: Records,
  { account, now }: { account: Stored<"account">; now: Date },
): Promise<void> {
  const keepUntil = openAccountKeptUntil(now);
  const current = await readRecord(records, "account", account.id);
  if (current?.body.status !== "valid") return;
  await changeRecord(records, "account", { ...current, keepUntil });
  const id = thumbprintOf(current.body.jwk);
  await changeRecord(records, "account-key", { id, body: { account: account.id }, keepUntil });
}

function readIdentifiers(given: unknown): readonly Identifier[] {
  if (!Array.isArray(given) || given.length === 0 || given.length > maxIdentifiers) {
    throw new AcmeProblem("malformed", `identifiers must be a list of 1 to ${maxIdentifiers}`);
  }
  const identifiers = given.map(readIdentifier);
  const distinct = new Map(identifiers.map((one) => [`${one.type}:${one.value}`, one]));
  return [...distinct.values()];
}

/** A validity that cannot be given is refused, never bent; the profile judges the rest. */
function readNotAfter(
  { notBefore, notAfter }: Readonly<Record<string, unknown>>,
  now: Date,
): number | undefined {
  if (notBefore !== undefined && !(timeOf(notBefore, "notBefore") <= now.getTime())) {
    throw new AcmeProblem("malformed", "notBefore must not be in the future");
  }
  if (notAfter === undefined) return undefined;
  const end = timeOf(notAfter, "notAfter");
  if (end > now.getTime()) return end;
  throw new AcmeProblem("malformed", "notAfter must be in the future");
}

function timeOf(value: unknown, subject: string): number {
  const pattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/;
  const time = typeof value === "string" && pattern.test(value) ? Date.parse(value) : Number.NaN;
  if (!Number.isNaN(time)) return time;
  throw new AcmeProblem("malformed", `${subject} must be an RFC 3339 time`);
}

const maxIdentifiers = 100;
const pageSize = 100;
const hour = 3_600_000;
const pendingMs = 24 * hour;
/** A certificate can be fetched from its order until then; afterwards it is in the inventory alone. */
const keptMs = 7 * 24 * hour;
const replacementKeptMs = 400 * 24 * hour;
