import { readBounded } from "@handfast/files";
import { certificatesToPem, parseSpiffeId, parseTrustDomain } from "@handfast/x509";
import type { Certificate } from "@handfast/x509";

import { TlsError, reasonOf } from "./errors.ts";
import { readCertificates } from "./material.ts";
import { watchFiles } from "./watch-files.ts";
import type { Source } from "./source.ts";

/** A bundle as bytes: what a trust source yields. */
export interface TrustMaterial {
  /** PEM or DER: CA certificates and nothing else. */
  readonly bundle: string | Uint8Array;
  /** The trust domain these CAs speak for; by default what each CA certificate says itself (a URI SAN). */
  readonly trustDomain?: string;
}

/** Where the CAs that this side trusts come from: one bundle, or one per trust domain. */
export type TrustSource = Source<readonly TrustMaterial[]>;

/** A CA certificate that paths may end in, and the trust domain it may speak for (none: no SPIFFE ids). */
export interface TrustAnchor {
  readonly certificate: Certificate;
  readonly trustDomain: string | undefined;
}

/** A checked set of anchors. An empty one admits nobody. */
export interface Trust {
  readonly anchors: readonly TrustAnchor[];
  readonly certificates: readonly Certificate[];
  /** Each anchor as PEM: always an array for Node, which reads an empty string as "all public roots" (S16). */
  readonly pem: readonly string[];
  /** The anchors that may speak for a trust domain. */
  of(trustDomain: string): readonly Certificate[];
  speaksFor(anchor: Certificate, trustDomain: string): boolean;
}

/**
 * The bundle in a file, watched. A file with a private key, a certificate that is no CA, a broken block or no
 * certificate at all is refused whole, and the last good bundle stays in use (S22).
 *
 * @param options.trustDomain the trust domain of these CAs, for CAs that do not name it themselves (S15).
 */
export function trustFromFile(path: string, options: { trustDomain?: string } = {}): TrustSource {
  return {
    description: `trust bundle ${path}`,
    async read() {
      return [{ bundle: await readBounded(path, { maxBytes: MAX_BUNDLE_BYTES }), ...options }];
    },
    watch: (changed) => watchFiles([path], { maxBytes: MAX_BUNDLE_BYTES, changed }),
  };
}

/** A bundle held in memory. It never changes. */
export function trustFromMemory(
  bundle: string | Uint8Array,
  options: { trustDomain?: string } = {},
): TrustSource {
  return {
    description: "trust bundle in memory",
    read: () => Promise.resolve([{ bundle, ...options }]),
  };
}

/**
 * Several sources as one: for federation, a bundle per trust domain. The verdict on a SPIFFE id uses the
 * bundle of its own trust domain and no other.
 */
export function trustFromSeveral(sources: readonly TrustSource[]): TrustSource {
  return {
    description: sources.map((source) => source.description).join(", "),
    read: async () => (await Promise.all(sources.map((source) => source.read()))).flat(),
    watch(changed) {
      const stops = sources.map((source) => source.watch?.(changed));
      return () => {
        for (const stop of stops) stop?.();
      };
    },
  };
}

/**
 * Checks bundles and makes anchors of them.
 *
 * @throws TlsError TRUST_INVALID
 */
export function parseTrust(material: readonly TrustMaterial[]): Trust {
  const anchors = material.flatMap((bundle) => parseBundle(bundle));
  if (anchors.length === 0) {
    throw new TlsError(
      "TRUST_INVALID",
      "the trust bundle is empty: expected at least one CA certificate",
    );
  }
  const byDomain = Map.groupBy(anchors, (anchor) => anchor.trustDomain);
  const certificates = anchors.map((anchor) => anchor.certificate);
  return {
    anchors,
    certificates,
    pem: certificates.map((certificate) => certificatesToPem([certificate])),
    speaksFor: (anchor, trustDomain) =>
      byDomain
        .get(trustDomain)
        ?.some(({ certificate }) => certificate.fingerprint === anchor.fingerprint) ?? false,
    of: (trustDomain) => (byDomain.get(trustDomain) ?? []).map((anchor) => anchor.certificate),
  };
}

function parseBundle({ bundle, trustDomain }: TrustMaterial): TrustAnchor[] {
  const certificates = readBundle(bundle);
  const given = trustDomain === undefined ? undefined : parseGiven(trustDomain);
  return certificates.map((certificate) => {
    if (certificate.basicConstraints?.ca !== true) {
      throw new TlsError(
        "TRUST_INVALID",
        `the trust bundle holds ${certificate.subject.text}, which is not a CA certificate`,
      );
    }
    const own = trustDomainOf(certificate);
    if (given !== undefined && own !== undefined && given !== own) {
      throw new TlsError(
        "TRUST_INVALID",
        `the CA ${certificate.subject.text} is of trust domain ${own}, expected ${given}`,
      );
    }
    return { certificate, trustDomain: given ?? own };
  });
}

function readBundle(bundle: string | Uint8Array): Certificate[] {
  try {
    return readCertificates(bundle);
  } catch (cause) {
    throw new TlsError("TRUST_INVALID", `the trust bundle cannot be read: ${reasonOf(cause)}`, {
      cause,
    });
  }
}

function parseGiven(trustDomain: string): string {
  try {
    return parseTrustDomain(trustDomain);
  } catch (cause) {
    throw new TlsError("TRUST_INVALID", reasonOf(cause), { cause });
  }
}

/** A CA names its trust domain by exactly one `spiffe:` URI SAN without a path. */
function trustDomainOf(certificate: Certificate): string | undefined {
  const uris = certificate.subjectAltNames.uri.filter((uri) => uri.startsWith("spiffe:"));
  const [uri] = uris;
  if (uri === undefined || uris.length > 1) return undefined;
  try {
    const id = parseSpiffeId(uri);
    return id.path === "" ? id.trustDomain : undefined;
  } catch {
    return undefined;
  }
}

/** A few thousand CAs. */
const MAX_BUNDLE_BYTES = 8 * 1024 * 1024;
