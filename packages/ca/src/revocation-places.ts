import type { CertificateRequestedContents } from "@handfast/x509";
import type { Workshop } from "./workshop.ts";

/**
 * Where a certificate says that its revocation can be looked up: the list of its issuer, which is
 * the only one that can name it, and the OCSP responder; or that there is no such place.
 */
export function revocationPlaces(
  { revocationUrl, profiles }: Pick<Workshop, "revocationUrl" | "profiles">,
  { profile, issuer }: { readonly profile: string; readonly issuer: string },
): Pick<CertificateRequestedContents, "crlUrls" | "ocspUrls" | "noRevocationAvailable"> {
  const { revocation, x509 } = profiles[profile] ?? {};
  if (revocation === "unavailable") return { noRevocationAvailable: true };
  // A responder's own certificate says already that it is not to be asked about.
  if (revocationUrl === undefined || x509 === "ocspSigner") return {};
  return {
    crlUrls: [`${revocationUrl}/crl/${issuer}.crl`],
    ocspUrls: [`${revocationUrl}/ocsp`],
  };
}

/**
 * Reads the address at which revocation is published.
 *
 * @throws TypeError unless it is `http://HOST[:PORT]`, perhaps with a path: whoever checks a
 * certificate could not verify https without checking another
 */
export function parseRevocationUrl(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const url = URL.parse(text);
  if (url?.protocol === "http:" && url.search === "" && url.hash === "" && url.username === "") {
    return url.href.replace(/\/$/, "");
  }
  throw new TypeError(`a revocation URL is http://HOST:PORT, not ${JSON.stringify(text)}`);
}
