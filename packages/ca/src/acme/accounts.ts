import { randomBytes } from "node:crypto";
import type { RecordReads, Records } from "../store/store.ts";
import { publicKeyHash } from "../record.ts";
import { publicKeyOf, readAccountJwk, thumbprintOf } from "./account-key.ts";
import type { AccountJwk } from "./account-key.ts";
import { accountOfKey, requireGoodStanding, takeFrom } from "./authenticate.ts";
import type { AccountRequest, AcmeAnswer, AcmeContext, KeyRequest } from "./context.ts";
import { requireUsable, verifyBinding } from "./external-accounts.ts";
import { objectOf, parseJson, payloadObject, readJws, requireSignature } from "./jws.ts";
import { AcmeProblem } from "./problem.ts";
import { addRecord, changeRecord, readRecord } from "./records.ts";
import type { Account, Stored } from "./records.ts";

/** newAccount (RFC 8555 7.3): finds the account of a key, or makes it. */
export async function newAccount(context: AcmeContext, request: KeyRequest): Promise<AcmeAnswer> {
  const payload = payloadObject(request.payload);
  const thumbprint = thumbprintOf(request.jwk);
  const known = await accountOfKey(context, thumbprint);
  if (known !== undefined) {
    requireGoodStanding(known);
    return answer(context, { account: known, status: 200 });
  }
  if (payload["onlyReturnExisting"] === true) {
    throw new AcmeProblem("accountDoesNotExist", "there is no account of this key");
  }
  takeFrom(context.limits.accountsOfSource, request.source);
  const account = await create(context, { request, payload, thumbprint });
  const { externalAccount } = account.body;
  const made = { account: account.id, externalAccount };
  await context.acts.done({ action: "acme-create-account", ...made });
  context.onEvent({ type: "account-created", ...made });
  return answer(context, { account, status: 201 });
}

/** What is asked of an account's own URL: to be read, changed or deactivated (RFC 8555 7.3.2, 7.3.6). */
export async function updateAccount(
  context: AcmeContext,
  request: AccountRequest,
): Promise<AcmeAnswer> {
  if (request.payload === "") return answer(context, { account: request.account, status: 200 });
  const { contact, status } = payloadObject(request.payload);
  if (status !== undefined && status !== "deactivated") {
    throw new AcmeProblem("malformed", "the status of an account can be set to deactivated only");
  }
  const changed = await change(context, request.account.id, ({ body, ...rest }) => ({
    ...rest,
    body: {
      ...body,
      ...(contact !== undefined && { contact: readContact(contact) }),
      ...(status !== undefined && { status }),
    },
    keepUntil:
      status === undefined
        ? rest.keepUntil
        : new Date(context.clock().getTime() + deactivatedKeptMs),
  }));
  if (status !== undefined) {
    const { externalAccount } = changed.body;
    const ended = { account: changed.id, externalAccount };
    await context.acts.done({ action: "acme-deactivate-account", ...ended });
    context.onEvent({ type: "account-deactivated", account: changed.id });
  }
  return answer(context, { account: changed, status: 200 });
}

/** keyChange (RFC 8555 7.3.5): both keys sign, the new one inside. */
export async function changeKey(
  context: AcmeContext,
  request: AccountRequest,
): Promise<AcmeAnswer> {
  const { account, url, payload } = request;
  const inner = readJws(parseJson(payload, "the payload"));
  if (!("jwk" in inner.signer)) throw malformed("the inner JWS must have a jwk");
  const { jwk } = inner.signer;
  requireSignature(inner, jwk);
  if (inner.url !== url) throw malformed("the inner JWS must have the url of the outer one");
  if (inner.nonce !== undefined) throw malformed("the inner JWS must have no nonce");
  const { account: kid, oldKey } = objectOf(
    parseJson(inner.payload, "the inner payload"),
    "the inner payload",
  );
  if (kid !== context.urls.to("account", account.id)) {
    throw malformed("the inner JWS must name the account of the outer one");
  }
  const before = thumbprintOf(account.body.jwk);
  if (thumbprintOf(readAccountJwk(oldKey)) !== before) {
    throw malformed("oldKey must be the account's present key");
  }
  const after = thumbprintOf(jwk);
  const changed = await context.store.transaction(async (records) => {
    const owner = await readRecord(records, "account-key", after);
    if (owner !== undefined) {
      throw new AcmeProblem("malformed", "the new key is the key of an account already", {
        status: 409,
        headers: { Location: context.urls.to("account", owner.body.account) },
      });
    }
    await refuseCertifiedKey(records, jwk);
    const current = await readRecord(records, "account", account.id);
    if (current === undefined || thumbprintOf(current.body.jwk) !== before) {
      throw malformed("the account's key was changed meanwhile");
    }
    const next = { ...current, body: { ...current.body, jwk } };
    await changeRecord(records, "account", next);
    await records.removeAcmeRecord("account-key", before);
    await addRecord(records, "account-key", keyRecord(next, after));
    return next;
  });
  const { externalAccount } = changed.body;
  await context.acts.done({ action: "acme-change-key", account: changed.id, externalAccount });
  return answer(context, { account: changed, status: 200 });
}

async function create(
  context: AcmeContext,
  {
    request,
    payload,
    thumbprint,
  }: { request: KeyRequest; payload: Readonly<Record<string, unknown>>; thumbprint: string },
): Promise<Stored<"account">> {
  const { jwk, url } = request;
  const contact = readContact(payload["contact"] ?? []);
  const binding = payload["externalAccountBinding"];
  if (binding === undefined && context.openNames === undefined) {
    throw new AcmeProblem("externalAccountRequired", "an account needs an external account key");
  }
  const external =
    binding === undefined ? undefined : await verifyBinding(context, { binding, jwk, url });
  await request.spendNonce();
  const now = context.clock();
  const account: Stored<"account"> = {
    id: randomBytes(16).toString("base64url"),
    owner: external?.id,
    createdAt: now,
    keepUntil: external === undefined ? openAccountKeptUntil(now) : undefined,
    body: {
      jwk,
      status: "valid",
      contact,
      termsOfServiceAgreed: payload["termsOfServiceAgreed"] === true,
      externalAccount: external?.id,
    },
  };
  return context.store.transaction(async (records) => {
    const other = await readRecord(records, "account-key", thumbprint);
    if (other !== undefined) throw malformed("an account of this key was made meanwhile");
    await refuseCertifiedKey(records, jwk);
    if (external !== undefined) await useUp(records, { keyId: external.id, account, now });
    await addRecord(records, "account", account);
    await addRecord(records, "account-key", keyRecord(account, thumbprint));
    return account;
  });
}

/** Each external account key makes one account (security.md S51). */
async function useUp(
  records: Records,
  { keyId, account, now }: { keyId: string; account: Stored<"account">; now: Date },
): Promise<void> {
  const external = await readRecord(records, "external-account", keyId);
  if (external === undefined) {
    throw new AcmeProblem("unauthorized", "the external account key is not there any more");
  }
  requireUsable(external, now);
  const body = { ...external.body, account: account.id };
  await changeRecord(records, "external-account", { id: keyId, body, keepUntil: undefined });
}

/** An account's key is no key of a certificate, whichever of the two was there first (S51). */
async function refuseCertifiedKey(records: RecordReads, jwk: AccountJwk): Promise<void> {
  const publicKey = publicKeyHash(publicKeyOf(jwk));
  const [certified] = await records.certificates({ publicKey, limit: 1 });
  if (certified === undefined) return;
  throw new AcmeProblem("badPublicKey", "the account's key is the key of a certificate");
}

async function change(
  { store }: AcmeContext,
  id: string,
  changed: (account: Stored<"account">) => Stored<"account">,
): Promise<Stored<"account">> {
  return store.transaction(async (records) => {
    const account = await readRecord(records, "account", id);
    if (account === undefined) throw new AcmeProblem("accountDoesNotExist", "the account is gone");
    const next = changed(account);
    await changeRecord(records, "account", next);
    if (next.keepUntil !== account.keepUntil) {
      const { id: thumbprint, body, keepUntil } = keyRecord(next, thumbprintOf(next.body.jwk));
      await changeRecord(records, "account-key", { id: thumbprint, body, keepUntil });
    }
    return next;
  });
}

function keyRecord(
  { id, createdAt, keepUntil }: Stored<"account">,
  thumbprint: string,
): Stored<"account-key"> {
  return { id: thumbprint, owner: id, createdAt, keepUntil, body: { account: id } };
}

function answer(
  { urls }: AcmeContext,
  { account, status }: { account: Stored<"account">; status: number },
): AcmeAnswer {
  const { id, body } = account;
  return {
    status,
    headers: { Location: urls.to("account", id) },
    body: { ...publicMembers(body), orders: urls.to("account", id, "orders") },
  };
}

function publicMembers({
  status,
  contact,
  termsOfServiceAgreed,
}: Account): Record<string, unknown> {
  return { status, contact, termsOfServiceAgreed };
}

/** RFC 8555 7.3: mailto URLs with one address and no header fields. */
function readContact(value: unknown): readonly string[] {
  if (!Array.isArray(value) || value.length > maxContacts) {
    throw malformed(`contact must be a list of at most ${maxContacts} URLs`);
  }
  return value.map((url: unknown) => {
    if (typeof url !== "string" || url.length > 320 || !/^[a-z][a-z0-9+.-]*:/i.test(url)) {
      throw new AcmeProblem("invalidContact", "a contact must be a URL of at most 320 characters");
    }
    if (!/^mailto:/i.test(url)) {
      throw new AcmeProblem("unsupportedContact", "the scheme of a contact must be mailto");
    }
    if (/^mailto:[!#$%&'*+/=^_`{|}~.\w-]+@[A-Za-z0-9.-]+$/i.test(url)) return url;
    throw new AcmeProblem("invalidContact", "a contact must be mailto: and one address");
  });
}

/** Accounts that anybody can make are forgotten when they have asked for nothing for long. */
export function openAccountKeptUntil(now: Date): Date {
  return new Date(now.getTime() + openAccountKeptMs);
}

function malformed(detail: string): AcmeProblem {
  return new AcmeProblem("malformed", detail);
}

const maxContacts = 10;
const day = 86_400_000;
const openAccountKeptMs = 400 * day;
const deactivatedKeptMs = 30 * day;
