import { certificatesToPem, parseCertificate, parseTrustDomain } from "@handfast/x509";
import type { Certificate } from "@handfast/x509";
import type { TrustBundle } from "./bundle.ts";
import { CaError } from "./errors.ts";

/**
 * A bundle as SPIFFE trust domains exchange them for federation: a JWK set whose `x509-svid` keys
 * each carry one root (SPIFFE Trust Domain and Bundle, section 4).
 *
 * @param options.refreshHintSeconds how often to ask for it; 300 if not given
 */
export function encodeSpiffeBundle(
  { sequence, roots }: Pick<TrustBundle, "sequence" | "roots">,
  { refreshHintSeconds = 300 }: { readonly refreshHintSeconds?: number } = {},
): string {
  const document = {
    spiffe_sequence: sequence,
    spiffe_refresh_hint: refreshHintSeconds,
    keys: roots.map(({ publicKey, der }) => ({
      ...publicKey.export({ format: "jwk" }),
      use: "x509-svid",
      x5c: [Buffer.from(der).toString("base64")],
    })),
  };
  return `${JSON.stringify(document, undefined, 2)}\n`;
}

/** What another trust domain says its members are to be trusted by. */
export interface FederatedBundle {
  readonly trustDomain: string;
  /** Undefined if it does not count. */
  readonly sequence: number | undefined;
  readonly roots: readonly Certificate[];
  /** For `trustFromMemory(pem, { trustDomain })`. */
  readonly pem: string;
}

/**
 * Reads the bundle of another trust domain: what its document says counts for that domain and no
 * other. Keys of other uses are left out; an `x509-svid` key that is not one CA certificate makes the
 * whole document invalid.
 *
 * @throws CaError BUNDLE_INVALID; X509Error SPIFFE_ID_INVALID
 */
export function parseSpiffeBundle(
  text: string,
  { trustDomain }: { readonly trustDomain: string },
): FederatedBundle {
  const domain = parseTrustDomain(trustDomain);
  if (text.length > maxLength) throw invalid(domain, `is longer than ${maxLength} characters`);
  const document = parseObject(text, domain);
  const { keys, spiffe_sequence: sequence } = document;
  if (!Array.isArray(keys)) throw invalid(domain, "has no list of keys");
  if (sequence !== undefined && !(Number.isSafeInteger(sequence) && (sequence as number) >= 0)) {
    throw invalid(domain, "has a sequence that is no whole number");
  }
  const roots = (keys as unknown[]).flatMap((key) => rootsOf(key, domain));
  if (roots.length === 0) throw invalid(domain, "has no x509-svid key: nobody would be trusted");
  return {
    trustDomain: domain,
    sequence: sequence as number | undefined,
    roots,
    pem: certificatesToPem(roots),
  };
}

function parseObject(text: string, domain: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw invalid(domain, "is not JSON", cause);
  }
  if (isObject(value)) return value;
  throw invalid(domain, "is not a JSON object");
}

function rootsOf(key: unknown, domain: string): readonly Certificate[] {
  if (!isObject(key)) throw invalid(domain, "has a key that is not an object");
  if (key["use"] !== "x509-svid") return [];
  const chain = key["x5c"];
  const [only] = Array.isArray(chain) ? (chain as unknown[]) : [];
  if (!Array.isArray(chain) || chain.length !== 1 || typeof only !== "string") {
    throw invalid(domain, "has an x509-svid key without exactly one certificate");
  }
  let certificate;
  try {
    certificate = parseCertificate(Buffer.from(only, "base64"));
  } catch (cause) {
    throw invalid(
      domain,
      `has a certificate that cannot be read: ${(cause as Error).message}`,
      cause,
    );
  }
  if (certificate.basicConstraints?.ca === true) return [certificate];
  throw invalid(domain, `has ${certificate.subject.text}, which is no CA certificate`);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function invalid(domain: string, problem: string, cause?: unknown): CaError {
  const options = cause === undefined ? {} : { cause };
  return new CaError("BUNDLE_INVALID", `the bundle of ${domain} ${problem}`, options);
}

const maxLength = 4 * 1_024 * 1_024;
