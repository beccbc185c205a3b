import { createHmac, timingSafeEqual } from "node:crypto";
import { CaError } from "../errors.ts";
import type { KeyStore } from "../keys.ts";
import type { Store } from "../store/store.ts";
import { readAccountJwk, thumbprintOf } from "./account-key.ts";
import type { AccountJwk } from "./account-key.ts";
import type { AcmeContext } from "./context.ts";
import { readPermittedName } from "./identifier.ts";
import { decoded, flattenedParts, objectOf, parseJson } from "./jws.ts";
import { AcmeProblem } from "./problem.ts";
import { addRecord, changeRecord, listRecords, readRecord } from "./records.ts";
import type { Stored } from "./records.ts";
import { newExternalKey, openAcmeSecrets } from "./secrets.ts";

/** What an external account key (EAB, RFC 8555 7.3.4) shall allow. */
export interface ExternalAccountRequest {
  /**
   * What its account may have: `api.example` that name, `*.example` names one label below and that
   * wildcard, `.example` everything below, addresses and networks (`10.1.0.0/16`).
   */
  readonly names: readonly string[];
  /** For people; the first name if not given. */
  readonly label?: string;
  /** In which an account must be made with it; 7 days if not given, at most 365. */
  readonly usableSeconds?: number;
  readonly requester: string;
}

/** Which external account is to be withdrawn, and by whom. */
export interface WithdrawExternalAccountRequest {
  readonly keyId: string;
  readonly requester: string;
}

/** An external account key as it is given to whoever sets up a client. */
export interface ExternalAccountKey {
  readonly keyId: string;
  /** base64url. It is a secret. */
  readonly macKey: string;
  readonly names: readonly string[];
  readonly usableUntil: Date;
}

/** An external account as the operator sees it, without its secret. */
export interface ExternalAccountInfo extends Omit<ExternalAccountKey, "macKey"> {
  readonly label: string;
  readonly requester: string;
  readonly createdAt: Date;
  readonly state: "unused" | "used" | "ended" | "withdrawn";
  /** The ACME account that was made with it. */
  readonly account: string | undefined;
}

interface Desk {
  readonly store: Store;
  readonly clock: () => Date;
}

/**
 * Makes a key that lets one ACME account be made, for these names and no others.
 *
 * @throws CaError NAME_REFUSED, VALIDITY_REFUSED, those of the key store and the store
 */
export async function createExternalAccount(
  { store, clock, keys }: Desk & { readonly keys: KeyStore },
  request: ExternalAccountRequest,
): Promise<ExternalAccountKey> {
  const { requester, usableSeconds = 7 * day } = request;
  const names = [...new Set(request.names.map(readPermittedName))];
  if (names.length === 0 || names.length > maxNames) {
    throw new CaError(
      "NAME_REFUSED",
      `an external account must have from 1 to ${maxNames} names, not ${names.length}`,
    );
  }
  if (!Number.isSafeInteger(usableSeconds) || usableSeconds < 1 || usableSeconds > 365 * day) {
    throw new CaError(
      "VALIDITY_REFUSED",
      `validity of an external account key must be from 1 s to 365 days, not ${usableSeconds} s`,
    );
  }
  const secrets = await openAcmeSecrets(keys);
  const now = clock();
  const { keyId, macKey } = newExternalKey(secrets);
  const usableUntil = new Date(now.getTime() + usableSeconds * 1_000);
  await store.transaction((records) =>
    addRecord(records, "external-account", {
      id: keyId,
      owner: undefined,
      createdAt: now,
      keepUntil: new Date(usableUntil.getTime() + unusedKeptMs),
      body: {
        names,
        label: request.label ?? names[0] ?? "",
        requester,
        usableUntil: usableUntil.getTime(),
        account: undefined,
        withdrawn: false,
      },
    }),
  );
  return { keyId, macKey, names, usableUntil };
}

/** The newest 10,000 external accounts. */
export async function listExternalAccounts({
  store,
  clock,
}: Desk): Promise<readonly ExternalAccountInfo[]> {
  const now = clock().getTime();
  const found = await listRecords(store, "external-account", { limit: 10_000 });
  return found.map((one) => infoOf(one, now));
}

/**
 * Withdraws an external account: no account can be made with it, and the one that was gets no more
 * certificates. Those that it has stay valid until they are revoked.
 *
 * @throws CaError EXTERNAL_ACCOUNT_NOT_FOUND
 */
export async function withdrawExternalAccount(
  { store, clock }: Desk,
  keyId: string,
): Promise<ExternalAccountInfo> {
  return store.transaction(async (records) => {
    const found = await readRecord(records, "external-account", keyId);
    if (found === undefined) {
      throw new CaError("EXTERNAL_ACCOUNT_NOT_FOUND", `there is no external account ${keyId}`);
    }
    const withdrawn = { ...found, body: { ...found.body, withdrawn: true } };
    await changeRecord(records, "external-account", withdrawn);
    return infoOf(withdrawn, clock().getTime());
  });
}

/**
 * Checks the binding of a new account (RFC 8555 7.3.4): signed with the MAC key of an external
 * account, for this very account key and URL. Whether the key was used already is decided where it
 * is used.
 *
 * @throws AcmeProblem malformed, unauthorized
 */
export async function verifyBinding(
  { store, secrets, clock }: AcmeContext,
  { binding, jwk, url }: { binding: unknown; jwk: AccountJwk; url: string },
): Promise<Stored<"external-account">> {
  const { encodedHeader, payload, signature } = flattenedParts(binding);
  const header = objectOf(
    parseJson(decoded(encodedHeader, "externalAccountBinding"), "externalAccountBinding"),
    "externalAccountBinding",
  );
  const { alg, kid } = header;
  const digest = digests.get(String(alg));
  const kidFits = typeof kid === "string" && kid.length <= maxKeyIdLength;
  if (digest === undefined || !kidFits || "nonce" in header || "crit" in header) {
    throw new AcmeProblem(
      "malformed",
      "externalAccountBinding must have an HS256, HS384 or HS512 alg, a kid, and no nonce",
    );
  }
  const known = await readRecord(store, "external-account", kid);
  // For a key that is not known a MAC is computed too, so that both take the same time.
  const expected = createHmac(digest, secrets.macKeyOf(kid))
    .update(`${encodedHeader}.${payload}`)
    .digest();
  const given = decoded(signature, "externalAccountBinding");
  const genuine = given.length === expected.length && timingSafeEqual(given, expected);
  if (!genuine || known === undefined) throw refused("is not known, or its signature is wrong");
  if (header["url"] !== url) throw refused("was signed for another url");
  const bound = readAccountJwk(
    parseJson(decoded(payload, "externalAccountBinding"), "its payload"),
  );
  if (thumbprintOf(bound) !== thumbprintOf(jwk))
    throw refused("was signed for another account key");
  requireUsable(known, clock());
  return known;
}

/** @throws AcmeProblem unauthorized if no account can be made with it (any more) */
export function requireUsable({ body }: Stored<"external-account">, now: Date): void {
  if (body.withdrawn) throw refused("was withdrawn");
  if (body.account !== undefined) throw refused("was used before, by another account");
  if (body.usableUntil < now.getTime()) {
    throw refused(`could be used until ${new Date(body.usableUntil).toISOString()}`);
  }
}

function infoOf(
  { id, createdAt, body }: Stored<"external-account">,
  now: number,
): ExternalAccountInfo {
  const { names, label, requester, account, withdrawn, usableUntil } = body;
  const unused = usableUntil < now ? "ended" : "unused";
  const state = withdrawn ? "withdrawn" : account === undefined ? unused : "used";
  return {
    keyId: id,
    names,
    label,
    requester,
    createdAt,
    usableUntil: new Date(usableUntil),
    state,
    account,
  };
}

function refused(problem: string): AcmeProblem {
  return new AcmeProblem("unauthorized", `the external account key ${problem}`);
}

const day = 86_400;
const maxNames = 100;
const maxKeyIdLength = 64;
/** An ended key is still shown for a while. */
const unusedKeptMs = 30 * day * 1_000;
const digests: ReadonlyMap<string, string> = new Map([
  ["HS256", "sha256"],
  ["HS384", "sha384"],
  ["HS512", "sha512"],
]);
