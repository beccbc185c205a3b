import { rm } from "node:fs/promises";
import { dirname } from "node:path";
import { createDirectory, readBounded } from "@handfast/files";
import type { Expectation } from "@handfast/tls";
import type { KeyAlgorithm } from "@handfast/x509";
import { refuseExistingCredential, writeCredential } from "../credential-files.ts";
import type { CredentialPaths } from "../credential-files.ts";
import { CaError } from "../errors.ts";
import { nextKey, replaceCredential } from "../renew-credential.ts";
import { renewOnline } from "./authority-client.ts";
import { enrolOnline } from "./enrol-online.ts";
import type { EnrolOnlineOptions } from "./enrol-online.ts";
import type { ReceivedCertificate } from "./received.ts";

/** How a credential is enrolled. */
export interface EnrolCredentialOptions extends Omit<EnrolOnlineOptions, "privateKey"> {
  /** Replaces the files that are there. */
  readonly overwrite: boolean;
}

/**
 * Enrols with a one-time token and writes key, certificate and, where the layout has a place for it,
 * the bundle. The key is on disk (`KEY.next`, mode 0600) before the token is shown: if the answer is
 * lost, the next attempt shows the same key and gets the same certificate.
 *
 * @throws CaError CREDENTIAL_EXISTS and those of `enrolOnline`; FilesError
 */
export async function enrolCredential(
  paths: CredentialPaths,
  { overwrite, ...options }: EnrolCredentialOptions,
): Promise<ReceivedCertificate> {
  if (!overwrite) await refuseExistingCredential(paths);
  await createDirectory(dirname(paths.key));
  const next = await nextKey(`${paths.key}.next`, options.keyAlgorithm);
  const { privateKey } = next;
  const enrolled = await enrolOnline({ ...options, privateKey }).catch(async (error: unknown) => {
    if (next.made && isRefusal(error)) await rm(next.path);
    throw error;
  });
  const { chain, bundle } = enrolled;
  await writeCredential(paths, { chain, privateKey, roots: bundle.roots, overwrite });
  await rm(next.path);
  return enrolled;
}

/** Where a credential is renewed online. */
export interface RenewCredentialOnlineOptions {
  /** host:port of the Authority service. */
  readonly target: string;
  /** The file of the roots that the authority is verified by. */
  readonly bundle: string;
  readonly keyAlgorithm?: KeyAlgorithm;
  readonly validitySeconds?: number;
  readonly expect?: Expectation;
}

/**
 * Renews the certificate in a file over a connection that it secures itself, with a new key, and puts
 * both in the place of the old, as `renewCredential` does.
 *
 * @throws CaError RENEWAL_REFUSED, RENEWAL_REPEATED, …; TlsError; GrpcError; FilesError
 */
export async function renewCredentialOnline(
  paths: CredentialPaths,
  options: RenewCredentialOnlineOptions,
): Promise<ReceivedCertificate> {
  const { keyAlgorithm, bundle, ...rest } = options;
  const roots = await readBounded(bundle, { maxBytes: maxFileBytes });
  return replaceCredential(paths, {
    keyAlgorithm,
    async ask({ presentChain: certificateChain, nextKey: next }) {
      const privateKey = await readBounded(paths.key, { maxBytes: maxFileBytes });
      return renewOnline({ ...rest, certificateChain, privateKey, roots, nextKey: next });
    },
    isFinal: isRefusal,
  });
}

/** Whether an error says that nothing was issued; an answer that was lost or strange does not. */
function isRefusal(error: unknown): boolean {
  return error instanceof CaError && error.code !== "ANSWER_INVALID";
}

const maxFileBytes = 4 * 1_024 * 1_024;
