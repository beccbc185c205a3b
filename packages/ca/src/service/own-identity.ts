import type { KeyObject } from "node:crypto";
import type { IdentityMaterial, IdentitySource } from "@handfast/tls";
import { encodePrivateKey, generateKeyPair } from "@handfast/x509";
import type { Certificate } from "@handfast/x509";
import type { Authority } from "../authority.ts";
import { CaError } from "../errors.ts";
import type { IssuedCertificate } from "../issue.ts";
import type { AlternativeNames } from "../names.ts";
import { createFeed } from "./feed.ts";
import { repeat } from "./repeat.ts";

/** What the authority calls itself. */
export interface OwnIdentityOptions {
  readonly authority: Pick<Authority, "issue" | "renew" | "trustDomain">;
  /** The addresses at which it is dialled. */
  readonly names: Pick<AlternativeNames, "dns" | "ip">;
  /** Of each certificate; renewed after two thirds. */
  readonly validitySeconds: number;
  readonly clock: () => Date;
  readonly onRenewed: (notAfter: Date) => void;
  readonly onError: (error: unknown) => void;
}

/** The certificate that the authority serves with: its own work, and its key in memory only. */
export interface OwnIdentity {
  readonly source: IdentitySource;
  readonly notAfter: Date;
  /** Makes a new one now. */
  renew(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Issues the authority a server certificate, and the next one each time two thirds are over. What
 * fails is tried again after ten seconds; the present one stays in use.
 *
 * @throws CaError of `issue`: names that the issuing CA may not give
 */
export async function createOwnIdentity(options: OwnIdentityOptions): Promise<OwnIdentity> {
  const { authority, clock } = options;
  const feed = createFeed(await issueOwn(options));
  let dueAt = feed.current.renewAt.getTime();
  const renewal = repeat(
    async () => {
      if (clock().getTime() < dueAt) return;
      dueAt = clock().getTime() + retryMs; // if this fails
      const next = await renewOwn(options, feed.current);
      dueAt = next.renewAt.getTime();
      feed.put(next);
      options.onRenewed(next.notAfter);
    },
    { delayMs: () => dueAt - clock().getTime(), onError: options.onError },
  );
  return {
    source: {
      description: `the authority's own certificate for ${authority.trustDomain}`,
      read: () => Promise.resolve(feed.current.material),
      watch: (changed) => feed.onChange(changed),
    },
    get notAfter() {
      return feed.current.notAfter;
    },
    renew() {
      dueAt = 0;
      return renewal.now();
    },
    close: () => renewal.close(),
  };
}

interface Own {
  readonly certificate: Certificate;
  readonly material: IdentityMaterial;
  readonly notAfter: Date;
  readonly renewAt: Date;
}

async function issueOwn(options: OwnIdentityOptions): Promise<Own> {
  const { authority, names, validitySeconds } = options;
  const { publicKey, privateKey } = generateKeyPair();
  const issued = await authority.issue({
    profile: "server",
    publicKey,
    subject: { commonName: "handfast authority" },
    // No service can be called so: its name has no slash.
    names: { ...names, uri: [`spiffe://${authority.trustDomain}/handfast/authority`], email: [] },
    validitySeconds,
    requester,
  });
  return ownOf(issued, { privateKey, options });
}

/** As the next of its line, so that no rotation waits for the last; as a new one if it may not be. */
async function renewOwn(options: OwnIdentityOptions, present: Own): Promise<Own> {
  const { authority, validitySeconds } = options;
  const { publicKey, privateKey } = generateKeyPair();
  const { fingerprint: certificate } = present.certificate;
  try {
    const issued = await authority.renew({ certificate, publicKey, validitySeconds, requester });
    return ownOf(issued, { privateKey, options });
  } catch (error) {
    if (!(error instanceof CaError) || !unrenewable.has(error.code)) throw error;
    return issueOwn(options);
  }
}

function ownOf(
  { certificate, chainPem }: IssuedCertificate,
  { privateKey, options }: { privateKey: KeyObject; options: OwnIdentityOptions },
): Own {
  const { notAfter } = certificate;
  const now = options.clock().getTime();
  return {
    certificate,
    material: { certificateChain: chainPem, privateKey: encodePrivateKey(privateKey) },
    notAfter,
    renewAt: new Date(now + ((notAfter.getTime() - now) * 2) / 3),
  };
}

const requester = "authority:self";
const unrenewable: ReadonlySet<string> = new Set([
  "RENEWAL_REFUSED",
  "RENEWAL_REPEATED",
  "CERTIFICATE_NOT_FOUND",
]);
const retryMs = 10_000;
