import type { AuditChain, RecordFields } from "@handfast/policy";
import type { Certificate } from "@handfast/x509";
import { CaError } from "./errors.ts";
import type { IssuedCertificate } from "./issue.ts";
import type { CertificateRecord } from "./store/store.ts";

/** Where the authority's acts are recorded: an audit chain, or what looks like one. */
export type AuditTrail = Pick<AuditChain, "append">;

/** An act that is recorded, and who did it. */
interface AuditedAct {
  readonly action:
    | "issue"
    | "renew"
    | "enrol"
    | "revoke"
    | "create-token"
    | "create-external-account"
    | "withdraw-external-account"
    | "prepare-rotation"
    | "activate-rotation"
    | "retire-rotation";
  readonly requester: string;
}

/**
 * Does something and records that it was done, or why it was refused (kind `authority`). What could
 * not be recorded is not handed out.
 */
export async function audited<Result>(
  audit: AuditTrail | undefined,
  { act, fieldsOf }: { act: AuditedAct; fieldsOf: (result: Result) => readonly RecordFields[] },
  run: () => Promise<Result>,
): Promise<Result> {
  if (audit === undefined) return run();
  let result;
  try {
    result = await run();
  } catch (error) {
    const code = error instanceof CaError ? error.code : undefined;
    const { message } = error as Error;
    await audit.append("authority", { ...act, outcome: "refused", code, message });
    throw error;
  }
  for (const fields of fieldsOf(result)) {
    await audit.append("authority", { ...act, outcome: "done", ...fields });
  }
  return result;
}

/** What is recorded of a certificate that was handed out. */
export function issuedFields({ certificate }: IssuedCertificate): readonly RecordFields[] {
  return [{ ...namingFields(certificate), subject: certificate.subject.text }];
}

/** What is recorded of certificates that were revoked. */
export function revokedFields(records: readonly CertificateRecord[]): readonly RecordFields[] {
  return records.map((record) => ({
    ...namingFields(record),
    subject: record.subject,
    reason: record.revocation?.reason,
    cause: record.revocation?.cause,
  }));
}

/** What tells one certificate from all others. */
export function namingFields({
  fingerprint,
  serialNumber,
}: Pick<Certificate, "fingerprint" | "serialNumber">): RecordFields {
  return { fingerprint, serialNumber };
}
