import { challengeTypes } from "./challenge.ts";
import type { AccountRequest, AcmeAnswer, AcmeContext } from "./context.ts";
import { payloadObject } from "./jws.ts";
import { changeOrder, ownOrder, rfc3339, withAuthorizations } from "./orders.ts";
import { AcmeProblem } from "./problem.ts";
import type { Authorization, Challenge, Order, Stored } from "./records.ts";

/** Where an authorization is: its order, and the place in it. */
interface AuthorizationPlace {
  readonly order: string;
  readonly index: number;
}

/** Reads an authorization, or gives it up (RFC 8555 7.5, 7.5.2). */
export async function readAuthorization(
  context: AcmeContext,
  request: AccountRequest,
  [order = "", position = ""]: readonly string[],
): Promise<AcmeAnswer> {
  const place = { order, index: indexOf(position) };
  const { account } = request;
  let found = await ownOrder(context, { id: order, account: account.id });
  authorizationAt(found.body, place.index);
  if (request.payload !== "") {
    const { status } = payloadObject(request.payload);
    if (status !== "deactivated") {
      throw new AcmeProblem("malformed", "the status can be set to deactivated only");
    }
    found = await changeOrder(context, order, (body) =>
      replaceAuthorization(body, place.index, (one) =>
        one.status === "invalid" ? one : { ...one, status: "deactivated" },
      ),
    );
  } else {
    resume(context, { found, place, request });
  }
  return answerAuthorization(context, { order: found, place });
}

/** Reads a challenge, or has it validated (RFC 8555 7.5.1). */
export async function respondToChallenge(
  context: AcmeContext,
  request: AccountRequest,
  [order = "", position = "", name = ""]: readonly string[],
): Promise<AcmeAnswer> {
  const { account } = request;
  const type = challengeTypes.find((one) => one === name);
  const place = { order, index: indexOf(position) };
  let found = await ownOrder(context, { id: order, account: account.id });
  const has = (one: Challenge) => one.type === type;
  if (type === undefined || !authorizationAt(found.body, place.index).challenges.some(has)) {
    throw notFound("challenge");
  }
  if (request.payload !== "") {
    payloadObject(request.payload);
    context.validations.requireRoom(account.id);
    let started = false;
    found = await changeOrder(context, order, (body) =>
      replaceAuthorization(body, place.index, (one) => {
        const open = body.status === "pending" && one.status === "pending";
        started = open && !one.challenges.some(({ status }) => status === "processing");
        if (!started) return one;
        const since = context.clock().getTime();
        return replaceChallenge(one, type, (challenge) =>
          challenge.status === "pending"
            ? { ...challenge, status: "processing", since }
            : challenge,
        );
      }),
    );
    if (started) context.validations.start({ ...place, type, account });
  }
  const challenge = authorizationAt(found.body, place.index).challenges.find(has);
  if (challenge === undefined) throw notFound("challenge");
  const { urls } = context;
  return {
    status: 200,
    headers: challenge.status === "processing" ? { "Retry-After": "1" } : {},
    links: [`<${urls.to("authorization", order, String(place.index))}>;rel="up"`],
    body: challengeMembers(context, { challenge, place, token: tokenOf(found, place) }),
  };
}

/** The order with one of its authorizations replaced, and what follows from that. */
export function replaceAuthorization(
  order: Order,
  index: number,
  replaced: (authorization: Authorization) => Authorization,
): Order {
  const authorizations = order.authorizations.map((one, at) =>
    at === index ? replaced(one) : one,
  );
  return withAuthorizations(order, authorizations);
}

/** The authorization with one of its challenges replaced. */
export function replaceChallenge(
  authorization: Authorization,
  type: string,
  replaced: (challenge: Challenge) => Challenge,
): Authorization {
  const challenges = authorization.challenges.map((one) =>
    one.type === type ? replaced(one) : one,
  );
  return { ...authorization, challenges };
}

/** A validation that another process began and did not end is begun anew. */
function resume(
  context: AcmeContext,
  {
    found,
    place,
    request,
  }: { found: Stored<"order">; place: AuthorizationPlace; request: AccountRequest },
): void {
  const { status, challenges } = authorizationAt(found.body, place.index);
  if (status !== "pending") return;
  const stale = context.clock().getTime() - staleMs;
  const left = challenges.find((one) => one.status === "processing" && (one.since ?? 0) < stale);
  if (left === undefined) return;
  context.validations.start({ ...place, type: left.type, account: request.account });
}

function answerAuthorization(
  context: AcmeContext,
  { order, place }: { order: Stored<"order">; place: AuthorizationPlace },
): AcmeAnswer {
  const one = authorizationAt(order.body, place.index);
  const { identifier, wildcard, token } = one;
  const expired = order.body.expires < context.clock().getTime();
  const status = expired && ["pending", "valid"].includes(one.status) ? "expired" : one.status;
  const processing = one.challenges.some((challenge) => challenge.status === "processing");
  // Once it is decided, only what decided it is shown (RFC 8555 7.1.4).
  const shown = one.challenges.filter(
    (challenge) => one.status === "pending" || challenge.status === one.status,
  );
  return {
    status: 200,
    headers: processing ? { "Retry-After": "1" } : {},
    body: {
      identifier,
      status: status === "expired" && one.status === "pending" ? "invalid" : status,
      expires: rfc3339(order.body.expires),
      ...(wildcard && { wildcard }),
      challenges: shown.map((challenge) => challengeMembers(context, { challenge, place, token })),
    },
  };
}

function challengeMembers(
  { urls }: AcmeContext,
  { challenge, place, token }: { challenge: Challenge; place: AuthorizationPlace; token: string },
): Record<string, unknown> {
  const { type, status, validated, error } = challenge;
  return {
    type,
    url: urls.to("challenge", place.order, String(place.index), type),
    status,
    token,
    ...(validated !== undefined && { validated: rfc3339(validated) }),
    ...(error !== undefined && { error }),
  };
}

function authorizationAt({ authorizations }: Order, index: number): Authorization {
  const authorization = authorizations[index];
  if (authorization === undefined) throw notFound("authorization");
  return authorization;
}

function tokenOf(order: Stored<"order">, { index }: AuthorizationPlace): string {
  return authorizationAt(order.body, index).token;
}

function indexOf(position: string): number {
  if (/^\d{1,3}$/.test(position)) return Number(position);
  throw notFound("authorization");
}

function notFound(what: string): AcmeProblem {
  return new AcmeProblem("malformed", `there is no such ${what} of this account`, { status: 404 });
}

/** Longer than any validation takes. */
const staleMs = 60_000;
