import { condemnsKey } from "@handfast/x509";
import type { Certificate, Crl } from "@handfast/x509";

import { reasonOf } from "./errors.ts";
import { MAIN_THREAD_BYTES, readCrl } from "./read-crl.ts";
import { unrevoked } from "./revocation.ts";
import type { Authority, RevocationVerdict } from "./revocation.ts";

/** What became of a CRL that was offered. */
export type Offer = "unchanged" | "in-use" | "waiting" | { readonly refused: string };

/**
 * The CRLs a runtime knows. One is in use only once it is verified under the key of a CA that was met in a
 * trusted place, and it speaks for that key alone: another CA of the same name, and even of the same key
 * identifier, changes nothing (S1). Then only a newer one replaces it: none that is older, replayed, deleted
 * or unreachable brings a revoked certificate back (S5).
 */
export interface CrlStore {
  /** @param from names the place it comes from: at most 4 unverified lists wait per place. */
  offer(bytes: Uint8Array, from: string): Promise<Offer>;
  /**
   * A CA that is trusted: one of the bundle, of our own chain, of a validated path.
   *
   * @param issuer the CA that signed it; undefined for a trust anchor, which nobody revokes.
   */
  meet(authority: Certificate, issuer: Certificate | undefined): void;
  /** Of each certificate of the path but the anchor. */
  judge(path: readonly Certificate[], now: Date): RevocationVerdict[];
  /** How many of these CAs have no list that says something at `now`. */
  uncovered(authorities: readonly Certificate[], now: Date): number;
  /** The lists in use. */
  readonly inUse: readonly Crl[];
  /** Forgets every list, and with them every revocation. */
  forget(): void;
}

export interface CrlStoreOptions {
  readonly now: () => Date;
  /** A list has come into use. */
  readonly changed: () => void;
  /** A list was refused after it had waited for its signer. */
  readonly refused: (from: string, reason: string) => void;
}

export function createCrlStore({ now, changed, refused }: CrlStoreOptions): CrlStore {
  /** The list in use, by the CA's name, key identifier and key. */
  const active = new Map<string, Crl>();
  /** Lists whose signer has not been met. */
  let waiting: { readonly crl: Crl; readonly from: string }[] = [];
  /** CAs by fingerprint, the one met longest ago first. */
  const met = new Map<string, Authority>();
  /** Public keys of CAs that were revoked under any issuer, for a reason that speaks against the key (S8). */
  const revokedKeys = new Set<string>();

  async function offer(bytes: Uint8Array, from: string): Promise<Offer> {
    for (const known of active.values()) if (sameBytes(known.der, bytes)) return "unchanged";
    let crl: Crl;
    try {
      crl = await readCrl(bytes, signersOf());
    } catch (thrown) {
      return { refused: reasonOf(thrown) };
    }
    if (crl.limitation !== undefined) {
      return { refused: `the CRL is not complete and direct: ${crl.limitation}` };
    }
    if (crl.thisUpdate.getTime() > now().getTime() + MAX_AHEAD_MS) {
      const thisUpdate = crl.thisUpdate.toISOString();
      return { refused: `the CRL is from the future: its thisUpdate is ${thisUpdate}` };
    }
    const signer = signersOf().find((authority) => crl.verify(authority));
    if (signer !== undefined) return use(crl, signer);
    if (waiting.some((other) => sameBytes(other.crl.der, crl.der))) return "unchanged";
    waiting.push({ crl, from });
    const own = waiting.filter((other) => other.from === from);
    if (own.length > MAX_WAITING) waiting = waiting.filter((other) => other !== own[0]);
    return "waiting";
  }

  function signersOf(): Certificate[] {
    return [...met.values()].map(({ authority }) => authority);
  }

  function use(crl: Crl, signer: Certificate): Offer {
    const key = authorityKey(signer);
    const older = active.get(key);
    if (older !== undefined) {
      if (sameBytes(older.der, crl.der)) return "unchanged";
      const objection = notNewer(crl, older);
      if (objection !== undefined) return { refused: objection };
    }
    active.set(key, crl);
    for (const known of met.values()) noteRevoked(known);
    changed();
    return "in-use";
  }

  function meet(authority: Certificate, issuer: Certificate | undefined): void {
    if (met.has(authority.fingerprint)) return;
    const known = { authority, issuer };
    met.set(authority.fingerprint, known);
    if (met.size > MAX_MET) {
      for (const oldest of met.keys()) {
        met.delete(oldest);
        break;
      }
    }
    noteRevoked(known);
    for (const entry of waiting) {
      const { crl } = entry;
      if (!couldSign(authority, crl)) continue;
      if (crl.der.length <= MAIN_THREAD_BYTES) settle(entry, crl, authority);
      else void readCrl(crl.der, [authority]).then((read) => settle(entry, read, authority));
    }
  }

  /** A list that has waited comes into use if this CA signed it. */
  function settle(entry: { crl: Crl; from: string }, read: Crl, authority: Certificate): void {
    if (!waiting.includes(entry) || !read.verify(authority)) return;
    waiting = waiting.filter((other) => other !== entry);
    const outcome = use(read, authority);
    if (typeof outcome === "object") refused(entry.from, outcome.refused);
  }

  function judge(path: readonly Certificate[], time: Date): RevocationVerdict[] {
    for (let index = 1; index < path.length; index++) meet(path[index]!, path[index + 1]);
    const said: RevocationVerdict[] = [];
    for (let index = 0; index + 1 < path.length; index++) {
      const issuer = path[index + 1]!;
      const own = lookUp(path[index]!, issuer, time);
      const condemned = own.status !== "revoked" && revokedKeys.has(publicKeyText(issuer));
      said.push(condemned ? { status: "revoked", certificate: issuer } : own);
    }
    return said;
  }

  function lookUp(certificate: Certificate, issuer: Certificate, time: Date): RevocationVerdict {
    const crl = active.get(authorityKey(issuer));
    const name = issuer.subject.text;
    if (crl === undefined) {
      return { status: "undetermined", certificate, reason: `there is no CRL of ${name}` };
    }
    if (crl.lookup(certificate.serialNumber) !== undefined)
      return { status: "revoked", certificate };
    if (crl.nextUpdate < time) {
      const reason = `the CRL of ${name} is out of date since ${crl.nextUpdate.toISOString()}`;
      return { status: "undetermined", certificate, reason };
    }
    return unrevoked;
  }

  function noteRevoked({ authority, issuer }: Authority): void {
    if (issuer === undefined) return;
    const crl = active.get(authorityKey(issuer));
    const entry = crl?.lookup(authority.serialNumber);
    if (entry !== undefined && condemnsKey(entry.reason)) revokedKeys.add(publicKeyText(authority));
  }

  return {
    offer,
    meet,
    judge,
    uncovered: (authorities, time) =>
      authorities.filter((authority) => {
        const crl = active.get(authorityKey(authority));
        return crl === undefined || crl.nextUpdate < time;
      }).length,
    get inUse() {
      return [...active.values()];
    },
    forget() {
      active.clear();
      waiting = [];
      revokedKeys.clear();
    },
  };
}

/** Why a list may not replace another; undefined if it is newer. */
function notNewer(crl: Crl, older: Crl): string | undefined {
  const name = crl.issuer.text;
  if (crl.number === older.number) {
    return `two CRLs of ${name} have the same number ${crl.number} and differ`;
  }
  if (crl.number > older.number) return undefined;
  return `the CRL of ${name} has number ${crl.number}, older than ${older.number} in use; reload({ forgetMissing: true }) accepts it`;
}

/** Whether it is worth trying the CA's key on the list: same name, same key identifier. */
function couldSign({ subject, subjectKeyIdentifier }: Certificate, crl: Crl): boolean {
  return (
    subjectKeyIdentifier !== undefined &&
    sameBytes(subject.der, crl.issuer.der) &&
    sameBytes(subjectKeyIdentifier, crl.authorityKeyIdentifier)
  );
}

/** What the list of a CA is kept by; computed once per certificate. */
function authorityKey(authority: Certificate): string {
  let known = authorityKeys.get(authority);
  if (known === undefined) {
    const { subject, subjectKeyIdentifier = new Uint8Array() } = authority;
    known = [subject.der, subjectKeyIdentifier]
      .map((bytes) => Buffer.from(bytes).toString("hex"))
      .concat(publicKeyText(authority))
      .join(":");
    authorityKeys.set(authority, known);
  }
  return known;
}

function publicKeyText(certificate: Certificate): string {
  let known = publicKeyTexts.get(certificate);
  if (known === undefined) {
    known = Buffer.from(certificate.subjectPublicKeyInfo).toString("hex");
    publicKeyTexts.set(certificate, known);
  }
  return known;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0;
}

const authorityKeys = new WeakMap<Certificate, string>();
const publicKeyTexts = new WeakMap<Certificate, string>();

/** Clocks may differ by this much (S5). */
const MAX_AHEAD_MS = 5 * 60_000;
const MAX_WAITING = 4;
const MAX_MET = 1024;
