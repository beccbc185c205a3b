import type { AccountRequest, AcmeContext, KeyRequest } from "./context.ts";
import { readJws, requireSignature } from "./jws.ts";
import type { UncheckedJws } from "./jws.ts";
import { AcmeProblem } from "./problem.ts";
import { readRecord } from "./records.ts";
import type { Stored } from "./records.ts";

/** What arrived, as JSON. */
export interface Arrived {
  readonly body: unknown;
  /** The URL that was asked for, as the client must have signed it. */
  readonly url: string;
  readonly source: string;
}

/**
 * Finds out whose request it is (RFC 8555 6.2): by the URL of an account.
 *
 * @throws AcmeProblem malformed, unauthorized, badNonce, accountDoesNotExist, rateLimited,
 * badSignatureAlgorithm
 */
export async function authenticateAccount(
  context: AcmeContext,
  arrived: Arrived,
): Promise<AccountRequest> {
  const jws = readFor(arrived);
  if (!("kid" in jws.signer)) throw new AcmeProblem("malformed", "this resource wants a kid");
  return ofAccount(context, { jws, arrived });
}

/**
 * A request that brings its key along.
 *
 * @throws AcmeProblem as `authenticateAccount`, and badPublicKey
 */
export async function authenticateKey(context: AcmeContext, arrived: Arrived): Promise<KeyRequest> {
  const jws = readFor(arrived);
  if (!("jwk" in jws.signer)) throw new AcmeProblem("malformed", "this resource wants a jwk");
  return ofKey(context, { jws, arrived });
}

/** Either of the two, as revokeCert takes them. */
export async function authenticateEither(
  context: AcmeContext,
  arrived: Arrived,
): Promise<AccountRequest | KeyRequest> {
  const jws = readFor(arrived);
  return "jwk" in jws.signer
    ? ofKey(context, { jws, arrived })
    : ofAccount(context, { jws, arrived });
}

/** The account of a key, if there is one. */
export async function accountOfKey(
  context: AcmeContext,
  thumbprint: string,
): Promise<Stored<"account"> | undefined> {
  const owner = await readRecord(context.store, "account-key", thumbprint);
  return owner && readRecord(context.store, "account", owner.body.account);
}

/** RFC 8555 7.3.6: nothing more is done for an account that was deactivated. */
export function requireGoodStanding({ body }: Stored<"account">): void {
  if (body.status === "valid") return;
  throw new AcmeProblem("unauthorized", "the account was deactivated", { status: 401 });
}

function readFor({ body, url }: Arrived): UncheckedJws {
  const jws = readJws(body);
  if (jws.url === url) return jws;
  throw new AcmeProblem("unauthorized", "the url of the JWS is not the one that was asked for");
}

async function ofAccount(
  context: AcmeContext,
  { jws, arrived }: { jws: UncheckedJws; arrived: Arrived },
): Promise<AccountRequest> {
  const { kid } = jws.signer as { kid: string };
  const prefix = context.urls.to("account", "");
  const id = kid.startsWith(prefix) ? kid.slice(prefix.length) : "";
  const account = await readRecord(context.store, "account", id);
  if (account === undefined) {
    throw new AcmeProblem("accountDoesNotExist", "there is no account of that kid");
  }
  requireSignature(jws, account.body.jwk);
  requireGoodStanding(account);
  takeFrom(context.limits.requestsOfAccount, id);
  await context.nonces.spend(jws.nonce);
  return { account, url: arrived.url, payload: jws.payload, source: arrived.source };
}

async function ofKey(
  context: AcmeContext,
  { jws, arrived }: { jws: UncheckedJws; arrived: Arrived },
): Promise<KeyRequest> {
  const { jwk } = jws.signer as { jwk: KeyRequest["jwk"] };
  requireSignature(jws, jwk);
  context.nonces.check(jws.nonce);
  return {
    jwk,
    url: arrived.url,
    payload: jws.payload,
    source: arrived.source,
    spendNonce: () => context.nonces.spend(jws.nonce),
  };
}

/** @throws AcmeProblem rateLimited */
export function takeFrom(limit: { take(key: string): number }, key: string): void {
  const waitMs = limit.take(key);
  if (waitMs === 0) return;
  const seconds = Math.max(1, Math.ceil(waitMs / 1_000));
  throw new AcmeProblem("rateLimited", `too many requests; try again in ${seconds} s`, {
    headers: { "Retry-After": String(seconds) },
  });
}
