import type { Fingerprint } from "@handfast/x509";
import type { AcmeReads, AcmeRecord, AcmeWrites } from "../store/acme-records.ts";
import type { AccountJwk } from "./account-key.ts";
import type { ChallengeType } from "./challenge.ts";
import type { Identifier } from "./identifier.ts";
import type { ProblemDocument } from "./problem.ts";

/** The kinds of records of the ACME server, and what each holds. Times are milliseconds since 1970. */
export interface RecordBodies {
  readonly account: Account;
  /** By the thumbprint of a key: whose it is. */
  readonly "account-key": { readonly account: string };
  readonly "external-account": ExternalAccount;
  readonly order: Order;
  /** By the ARI identifier of a certificate: the order that replaces it. */
  readonly replacement: { readonly order: string };
}

export interface Account {
  readonly jwk: AccountJwk;
  readonly status: "valid" | "deactivated";
  readonly contact: readonly string[];
  readonly termsOfServiceAgreed: boolean;
  /** Which external account key it was made with. */
  readonly externalAccount: string | undefined;
}

/** A key that lets one ACME account be made, and says what that account may have. */
export interface ExternalAccount {
  /** As `readPermittedName` gives them. */
  readonly names: readonly string[];
  readonly label: string;
  readonly requester: string;
  /** Until when an account can be made with it. */
  readonly usableUntil: number;
  /** The account that was made with it. */
  readonly account: string | undefined;
  /** Withdrawn: no account is made with it, and the one that was gets nothing more. */
  readonly withdrawn: boolean;
}

export interface Order {
  readonly status: "pending" | "ready" | "processing" | "valid" | "invalid";
  readonly expires: number;
  readonly identifiers: readonly Identifier[];
  /** What the certificate is asked to end at. */
  readonly notAfter: number | undefined;
  readonly authorizations: readonly Authorization[];
  readonly error: ProblemDocument | undefined;
  /** For which key a certificate is being issued, and since when. */
  readonly finalizing: { readonly publicKey: Fingerprint; readonly since: number } | undefined;
  readonly certificate: Fingerprint | undefined;
  /** The ARI identifier of the certificate that it replaces. */
  readonly replaces: string | undefined;
}

export interface Authorization {
  /** Without the wildcard. */
  readonly identifier: Identifier;
  readonly wildcard: boolean;
  readonly status: "pending" | "valid" | "invalid" | "deactivated";
  readonly token: string;
  readonly challenges: readonly Challenge[];
}

export interface Challenge {
  readonly type: ChallengeType;
  readonly status: "pending" | "processing" | "valid" | "invalid";
  /** When the client said that it is ready. */
  readonly since: number | undefined;
  readonly validated: number | undefined;
  readonly error: ProblemDocument | undefined;
}

/** A record with its body read. */
export interface Stored<Kind extends keyof RecordBodies> {
  readonly id: string;
  readonly owner: string | undefined;
  readonly body: RecordBodies[Kind];
  readonly createdAt: Date;
  readonly keepUntil: Date | undefined;
}

/** Reads one record. */
export async function readRecord<Kind extends keyof RecordBodies>(
  records: AcmeReads,
  kind: Kind,
  id: string,
): Promise<Stored<Kind> | undefined> {
  const record = await records.acmeRecord(kind, id);
  return record === undefined ? undefined : stored<Kind>(record);
}

/** Reads records, newest first. */
export async function listRecords<Kind extends keyof RecordBodies>(
  records: AcmeReads,
  kind: Kind,
  query: { readonly owner?: string; readonly limit: number; readonly before?: string },
): Promise<readonly Stored<Kind>[]> {
  return (await records.acmeRecords({ kind, ...query })).map((record) => stored<Kind>(record));
}

/** Adds a record. @throws CaError STORE_CONFLICT if the id is taken */
export async function addRecord<Kind extends keyof RecordBodies>(
  records: AcmeWrites,
  kind: Kind,
  { body, ...rest }: Stored<Kind>,
): Promise<void> {
  await records.addAcmeRecord({ kind, ...rest, body: JSON.stringify(body) });
}

/** Replaces what a record holds. */
export async function changeRecord<Kind extends keyof RecordBodies>(
  records: AcmeWrites,
  kind: Kind,
  { id, body, keepUntil }: Pick<Stored<Kind>, "id" | "body" | "keepUntil">,
): Promise<void> {
  await records.changeAcmeRecord({ kind, id, body: JSON.stringify(body), keepUntil });
}

/** What is parsed is what `JSON.stringify` wrote. */
function stored<Kind extends keyof RecordBodies>(record: AcmeRecord): Stored<Kind> {
  const { id, owner, createdAt, keepUntil } = record;
  const body = JSON.parse(record.body) as RecordBodies[Kind];
  return { id, owner, body, createdAt, keepUntil };
}
