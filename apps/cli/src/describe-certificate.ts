import { identityOf, inspect } from "@handfast/x509";
import type { Certificate, CertificateDescription } from "@handfast/x509";
import { fromNow } from "./duration.ts";

/** What is in a certificate, for programs; `identity` as peers read it, null for none. */
export function certificateJson(
  certificate: Certificate,
): CertificateDescription & { readonly identity: string | null } {
  return { ...inspect(certificate), identity: identityOf(certificate) ?? null };
}

/** What is in a certificate, for people: rows of a name and words. */
export function certificateRows(
  certificate: Certificate,
  now: Date,
): readonly (readonly [string, string])[] {
  const description = inspect(certificate);
  const { notBefore, notAfter, nameConstraints, findings, remarks } = description;
  return [
    ["subject", description.subject === "" ? "(empty)" : description.subject],
    ["issued by", description.selfIssued ? "itself" : description.issuer],
    ["identity", identityText(certificate, description)],
    ...namesRows(description),
    ["good for", description.ca ? authorityText(description) : useText(certificate)],
    ...listRow("may name", nameConstraints?.permitted ?? []),
    ...listRow("never names", nameConstraints?.excluded ?? []),
    ["valid", `${notBefore} to ${notAfter}, ${validityText(certificate, now)}`],
    ["key", description.publicKey],
    ["signature", description.signatureAlgorithm],
    ["revocation", revocationText(description)],
    ["serial", description.serialNumber],
    ["SHA-256", description.fingerprint],
    ...remarks.map((remark): [string, string] => ["note", remark]),
    ...findings.map(({ message, section }): [string, string] => [
      "fault",
      `${message} (${section})`,
    ]),
  ];
}

function identityText(certificate: Certificate, { ca, names }: CertificateDescription): string {
  if (!ca) return identityOf(certificate) ?? "none: no single name says who it is";
  const domain = names.uri.find((uri) => /^spiffe:\/\/[^/]+$/.test(uri));
  return domain === undefined ? "an authority of no trust domain" : `the authority of ${domain}`;
}

function namesRows({ names }: CertificateDescription): (readonly [string, string])[] {
  return [
    ...listRow("DNS", names.dns),
    ...listRow("IP", names.ip),
    ...listRow("URI", names.uri),
    ...listRow("e-mail", names.email),
    ...listRow("others", [...names.directory, ...names.other]),
  ];
}

function listRow(name: string, values: readonly string[]): (readonly [string, string])[] {
  return values.length === 0 ? [] : [[name, values.join(", ")]];
}

function authorityText({ pathLength }: CertificateDescription): string {
  if (pathLength === undefined) return "signing certificates, with any number of CAs below it";
  const below = ["no CA", "1 CA"][pathLength] ?? `${pathLength} CAs`;
  return `signing certificates, with ${below} below it`;
}

function useText({ extendedKeyUsage, keyUsage }: Certificate): string {
  if (extendedKeyUsage === undefined) return "anything: it has no extended key usage";
  const uses = extendedKeyUsage.map((usage) => useWords[usage] ?? usage);
  const unsigned = keyUsage !== undefined && !keyUsage.includes("digitalSignature");
  return uses.join(" and ") + (unsigned ? ", but its key may not sign handshakes" : "");
}

function revocationText(description: CertificateDescription): string {
  const { crlUrls, ocspUrls, noRevocationAvailable } = description;
  if (noRevocationAvailable) return "none: it lives too short for that";
  const places = [...crlUrls.map((url) => `CRL ${url}`), ...ocspUrls.map((url) => `OCSP ${url}`)];
  return places.length === 0 ? "no CRL or OCSP address in it" : places.join(", ");
}

function validityText({ notBefore, notAfter }: Certificate, now: Date): string {
  if (now < notBefore) return `begins ${fromNow(notBefore, now)}`;
  return `${now > notAfter ? "ended" : "ends"} ${fromNow(notAfter, now)}`;
}

const useWords: Readonly<Record<string, string>> = {
  serverAuth: "servers",
  clientAuth: "clients",
  ocspSigning: "signing OCSP answers",
  any: "anything",
};
