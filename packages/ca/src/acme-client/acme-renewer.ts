import { parseCertificatesPem } from "@handfast/x509";
import type { Certificate } from "@handfast/x509";
import type { PresentCredential, Renewal, Renewer } from "../agent/renewer.ts";
import type { AcmeClient } from "./acme-client.ts";

/** What an agent keeps at a foreign authority. */
export interface AcmeRenewerOptions {
  /** DNS names, with `*.` for a wildcard, and IP addresses. */
  readonly names: readonly string[];
}

/**
 * Gets an agent's certificates from any authority that speaks ACME, the first like the next; when,
 * the authority may suggest (RFC 9773). It tells nothing of whom to trust.
 */
export function acmeRenewer(client: AcmeClient, { names }: AcmeRenewerOptions): Renewer {
  return {
    description: `ACME authority ${new URL(client.directoryUrl).host}`,
    async renew({ present, nextKey }): Promise<Renewal> {
      const replaces = present && leafOf(present);
      const { chainPem } = await client.obtain({
        names,
        privateKey: nextKey,
        ...(replaces !== undefined && { replaces }),
      });
      return { chainPem };
    },
    async window(present) {
      const leaf = leafOf(present);
      return leaf && client.renewalWindow(leaf);
    },
  };
}

function leafOf({ chainPem }: PresentCredential): Certificate | undefined {
  return parseCertificatesPem(chainPem)[0];
}
