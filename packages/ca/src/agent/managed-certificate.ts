import type { KeyObject } from "node:crypto";
import { createPublicKey } from "node:crypto";
import {
  generateKeyPair,
  identityOf,
  parseCertificatesPem,
  publicKeyMatches,
} from "@handfast/x509";
import type { Certificate, KeyAlgorithm } from "@handfast/x509";
import { CaError } from "../errors.ts";
import type { BundleKeeper } from "./bundle-file.ts";
import type { CredentialPlace } from "./place.ts";
import type { ReloadHook } from "./reload-hook.ts";
import type { PresentCredential, Renewal, Renewer } from "./renewer.ts";

/** One certificate that an agent keeps. */
export interface ManagedCertificate {
  /** What messages call it; unique within the agent. */
  readonly name: string;
  readonly place: CredentialPlace;
  readonly renewer: Renewer;
  /** Told after each change. */
  readonly hook?: ReloadHook;
  /** Of the next keys; ECDSA P-256 if not given. */
  readonly keyAlgorithm?: KeyAlgorithm;
}

/** What is known of a certificate in use, without its key. */
export interface KnownCertificate {
  readonly leaf: Pick<Certificate, "notBefore" | "notAfter" | "fingerprint">;
  readonly identity: string | undefined;
}

/** Reads what is in a place. @throws CaError CREDENTIAL_INVALID; FilesError */
export async function readPlace(place: CredentialPlace): Promise<KnownCertificate | undefined> {
  const present = await place.read();
  return present && known(leafOf(present.chainPem, place.description));
}

/**
 * Gets the next certificate and puts it in its place: the next key is kept before the authority
 * hears of it, so that a crash at any step loses nothing, and the same key is asked for again.
 *
 * @throws CaError CREDENTIAL_INVALID, ANSWER_INVALID; whatever the renewer throws
 */
export async function renewManaged(
  { place, renewer, keyAlgorithm }: ManagedCertificate,
  { bundle, clock }: { readonly bundle: BundleKeeper; readonly clock: () => Date },
): Promise<{ certificate: KnownCertificate; renewal: Renewal }> {
  const present = await place.read();
  const nextKey = await keyToCertify({ place, present, keyAlgorithm });
  const rootsPem = bundle.current?.rootsPem;
  const renewal = await renewer.renew({ present, nextKey, rootsPem });
  const leaf = checkedLeaf(renewal, { present, nextKey, now: clock(), renewer });
  // Trust first: the new chain may lead to a root that only the new bundle has.
  if (renewal.bundle !== undefined) await bundle.take(renewal.bundle);
  await place.put({ chainPem: renewal.chainPem, privateKey: nextKey });
  return { certificate: known(leaf), renewal };
}

async function keyToCertify({
  place,
  present,
  keyAlgorithm,
}: {
  place: CredentialPlace;
  present: PresentCredential | undefined;
  keyAlgorithm: KeyAlgorithm | undefined;
}): Promise<KeyObject> {
  const waiting = await place.next();
  // An attempt that died between its last two steps has left the key of the present certificate.
  const used = present && waiting && sameKey(present.privateKey, waiting);
  if (waiting !== undefined && used !== true) return waiting;
  const { privateKey } = generateKeyPair(keyAlgorithm);
  await place.keepNext(privateKey);
  return privateKey;
}

/** What an authority sends is used only if it says of our key what the present one says. */
function checkedLeaf(
  { chainPem }: Renewal,
  context: {
    present: PresentCredential | undefined;
    nextKey: KeyObject;
    now: Date;
    renewer: Renewer;
  },
): Certificate {
  const { present, nextKey, now, renewer } = context;
  const leaf = leafOf(chainPem, renewer.description);
  if (!publicKeyMatches(leaf, nextKey)) throw invalid("is for another key");
  if (leaf.notAfter <= now) throw invalid(`ended at ${leaf.notAfter.toISOString()}`);
  if (present === undefined) return leaf;
  const before = identityOf(leafOf(present.chainPem, "the present certificate"));
  const after = identityOf(leaf);
  if (before === after) return leaf;
  throw invalid(`is for ${after ?? "nobody"}, the present one for ${before ?? "nobody"}`);

  function invalid(problem: string): CaError {
    return new CaError("ANSWER_INVALID", `${renewer.description}: the new certificate ${problem}`);
  }
}

function leafOf(chainPem: string, where: string): Certificate {
  try {
    const [leaf] = parseCertificatesPem(chainPem);
    if (leaf !== undefined) return leaf;
  } catch (cause) {
    throw new CaError("CREDENTIAL_INVALID", `${where}: ${(cause as Error).message}`, { cause });
  }
  throw new CaError("CREDENTIAL_INVALID", `${where} holds no certificate`);
}

/** Copies, so that a thousand of them do not keep the parsed certificates. */
function known(leaf: Certificate): KnownCertificate {
  const { notBefore, notAfter, fingerprint } = leaf;
  return { leaf: { notBefore, notAfter, fingerprint }, identity: identityOf(leaf) };
}

function sameKey(one: KeyObject, other: KeyObject): boolean {
  return createPublicKey(one).equals(createPublicKey(other));
}
