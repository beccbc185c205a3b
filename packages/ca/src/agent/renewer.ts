import type { KeyObject } from "node:crypto";
import type { Expectation } from "@handfast/tls";
import { identityFromMemory, trustFromMemory } from "@handfast/tls";
import { encodePrivateKey } from "@handfast/x509";
import { createAuthorityClient, renewOnline } from "../client/authority-client.ts";
import { enrolOnline } from "../client/enrol-online.ts";
import type { ReceivedBundle, ReceivedCertificate } from "../client/received.ts";
import { CaError } from "../errors.ts";

/** A certificate that is in use, and its key. */
export interface PresentCredential {
  readonly chainPem: string;
  readonly privateKey: KeyObject;
}

/** Where an agent gets certificates: an authority of ours, or any other that speaks ACME. */
export interface Renewer {
  /** What it is, for messages; without secrets. */
  readonly description: string;
  /**
   * Gets the next certificate, for the next key. The agent has kept that key: asked again with it,
   * after an answer that was lost, it MUST get the same certificate or another as good.
   */
  renew(request: RenewalRequest): Promise<Renewal>;
  /** What is to be trusted; undefined from an authority that does not say. */
  bundle?(request: Omit<RenewalRequest, "nextKey">): Promise<RenewedBundle | undefined>;
  /** When the authority would like a certificate to be renewed (ARI); undefined if it has no wish. */
  window?(present: PresentCredential): Promise<{ start: Date; end: Date } | undefined>;
}

/** What a renewer is given. */
export interface RenewalRequest {
  /** Undefined for the first certificate. */
  readonly present: PresentCredential | undefined;
  readonly nextKey: KeyObject;
  /** The roots to verify the authority by; undefined before the first certificate. */
  readonly rootsPem: string | undefined;
}

/** A certificate that was got. */
export interface Renewal {
  readonly chainPem: string;
  /** When the authority would like it to be renewed; the agent's own rule if it does not say. */
  readonly renewAt?: Date;
  readonly bundle?: RenewedBundle;
}

/** Roots, and the sequence by which the newer of two is told (security.md S50). */
export interface RenewedBundle {
  readonly sequence: number;
  readonly rootsPem: string;
}

/** How an authority of ours is reached. */
export interface AuthorityRenewerOptions {
  /** host:port of its Authority service; what it told when the first certificate was enrolled if not given. */
  readonly target?: string;
  /** Gives a one-time token for the first certificate; asked when there is none. */
  readonly token?: () => Promise<string>;
  /** Whom to expect; the host of the target if not given. */
  readonly expect?: Expectation;
  /** Of each attempt; 30,000 if not given. */
  readonly timeoutMs?: number;
}

/** Renews over mutual TLS with the certificate that is renewed, and enrols the first with a token. */
export function authorityRenewer(options: AuthorityRenewerOptions): Renewer {
  const { token, expect, timeoutMs = 30_000 } = options;
  let { target } = options;
  return {
    description: target === undefined ? "the authority of the token" : `authority ${target}`,
    async renew({ present, nextKey, rootsPem }): Promise<Renewal> {
      if (present !== undefined && rootsPem === undefined) throw noRoots();
      if (present === undefined || rootsPem === undefined) {
        if (token === undefined) throw noToken();
        const enrolled = await enrolOnline({
          token: await token(),
          privateKey: nextKey,
          timeoutMs,
        });
        return renewalOf(enrolled);
      }
      return renewalOf(
        await renewOnline({
          target: required(),
          certificateChain: present.chainPem,
          privateKey: encodePrivateKey(present.privateKey),
          roots: rootsPem,
          nextKey,
          timeoutMs,
          ...(expect && { expect }),
        }),
      );
    },
    async bundle({ present, rootsPem }): Promise<RenewedBundle | undefined> {
      if (present === undefined || rootsPem === undefined) return undefined;
      const client = await createAuthorityClient({
        target: required(),
        identity: identityFromMemory({
          certificateChain: present.chainPem,
          privateKey: encodePrivateKey(present.privateKey),
        }),
        trust: trustFromMemory(rootsPem),
        deadlineMs: timeoutMs,
        ...(expect && { expect }),
      });
      try {
        return bundleOf(await client.bundle());
      } finally {
        await client.close();
      }
    },
  };

  function renewalOf({ chainPem, renewAt, bundle }: ReceivedCertificate): Renewal {
    return { chainPem, renewAt, bundle: bundleOf(bundle) };
  }

  function bundleOf({ sequence, rootsPem, authorityTarget }: ReceivedBundle): RenewedBundle {
    if (authorityTarget !== "") target ??= authorityTarget;
    return { sequence, rootsPem };
  }

  function required(): string {
    if (target !== undefined) return target;
    throw new CaError("AGENT_MISCONFIGURED", "the address of the authority is not known", {
      hint: "say where its Authority service is, as host:port",
    });
  }
}

function noRoots(): CaError {
  return new CaError(
    "AGENT_MISCONFIGURED",
    "there is a certificate, but no roots to verify the authority by",
    {
      hint: "put the bundle of the authority where the agent keeps it: `handfast ca bundle` prints it",
    },
  );
}

function noToken(): CaError {
  return new CaError(
    "AGENT_MISCONFIGURED",
    "there is no certificate yet, and no token to get one",
    {
      hint: "make a one-time token with `handfast token`, or enrol with `handfast enrol` first",
    },
  );
}
