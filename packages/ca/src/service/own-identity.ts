import { encodePrivateKey, generateKeyPair } from "@handfast/x509";
import type { IdentityMaterial, IdentitySource } from "@handfast/tls";
import type { Authority } from "../authority.ts";
import type { AlternativeNames } from "../names.ts";
import { createFeed } from "./feed.ts";
import { repeat } from "./repeat.ts";

/** What the authority calls itself. */
export interface OwnIdentityOptions {
  readonly authority: Pick<Authority, "issue" | "trustDomain">;
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
      const next = await issueOwn(options);
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
  readonly material: IdentityMaterial;
  readonly notAfter: Date;
  readonly renewAt: Date;
}

async function issueOwn({
  authority,
  names,
  validitySeconds,
  clock,
}: OwnIdentityOptions): Promise<Own> {
  const { publicKey, privateKey } = generateKeyPair();
  const { chainPem, certificate } = await authority.issue({
    profile: "server",
    publicKey,
    subject: { commonName: "handfast authority" },
    // No service can be called so: its name has no slash.
    names: { ...names, uri: [`spiffe://${authority.trustDomain}/handfast/authority`], email: [] },
    validitySeconds,
    requester: "authority:self",
  });
  const { notAfter } = certificate;
  const now = clock().getTime();
  return {
    material: { certificateChain: chainPem, privateKey: encodePrivateKey(privateKey) },
    notAfter,
    renewAt: new Date(now + ((notAfter.getTime() - now) * 2) / 3),
  };
}

const retryMs = 10_000;
