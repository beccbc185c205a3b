import { identityOf } from "@handfast/x509";
import type { Certificate, NameConstraints, NameSubtree } from "@handfast/x509";
import { formatTime, fromNow } from "./duration.ts";

/** A certificate as JSON. */
export interface CertificateJson {
  readonly subject: string;
  readonly issuer: string;
  readonly serialNumber: string;
  readonly fingerprint: string;
  readonly notBefore: string;
  readonly notAfter: string;
  readonly identity: string | null;
  readonly dns: readonly string[];
  readonly ip: readonly string[];
  readonly uri: readonly string[];
  readonly email: readonly string[];
  readonly ca: boolean;
  readonly pathLength: number | null;
  readonly keyUsage: readonly string[] | null;
  readonly extendedKeyUsage: readonly string[] | null;
  readonly publicKey: string;
  readonly subjectKeyIdentifier: string | null;
  readonly authorityKeyIdentifier: string | null;
  readonly nameConstraints: { readonly permitted: string[]; readonly excluded: string[] } | null;
}

/** What is in a certificate, for programs. */
export function certificateJson(certificate: Certificate): CertificateJson {
  const { subjectAltNames, basicConstraints, nameConstraints } = certificate;
  return {
    subject: certificate.subject.text,
    issuer: certificate.issuer.text,
    serialNumber: certificate.serialNumber,
    fingerprint: certificate.fingerprint,
    notBefore: formatTime(certificate.notBefore),
    notAfter: formatTime(certificate.notAfter),
    identity: identityOf(certificate) ?? null,
    dns: subjectAltNames.dns,
    ip: subjectAltNames.ip,
    uri: subjectAltNames.uri,
    email: subjectAltNames.email,
    ca: basicConstraints?.ca ?? false,
    pathLength: basicConstraints?.pathLength ?? null,
    keyUsage: certificate.keyUsage ?? null,
    extendedKeyUsage: certificate.extendedKeyUsage ?? null,
    publicKey: publicKeyText(certificate),
    subjectKeyIdentifier: hexOrNull(certificate.subjectKeyIdentifier),
    authorityKeyIdentifier: hexOrNull(certificate.authorityKeyIdentifier),
    nameConstraints:
      nameConstraints === undefined
        ? null
        : {
            permitted: nameConstraints.permitted.map(subtreeText),
            excluded: nameConstraints.excluded.map(subtreeText),
          },
  };
}

/** What is in a certificate, for people: rows of a name and words. */
export function certificateRows(
  certificate: Certificate,
  now: Date,
): readonly (readonly [string, string])[] {
  const { notBefore, notAfter, nameConstraints } = certificate;
  const ca = certificate.basicConstraints?.ca === true;
  return [
    ["subject", certificate.subject.text || "(empty)"],
    ["issued by", certificate.selfIssued ? "itself" : certificate.issuer.text],
    ["identity", identityText(certificate, ca)],
    ...namesRows(certificate),
    ["good for", useText(certificate, ca)],
    ...(nameConstraints === undefined ? [] : constraintRows(nameConstraints)),
    [
      "valid",
      `${formatTime(notBefore)} to ${formatTime(notAfter)}, ${validityText(certificate, now)}`,
    ],
    ["key", publicKeyText(certificate)],
    ["serial", certificate.serialNumber],
    ["SHA-256", certificate.fingerprint],
  ];
}

function identityText(certificate: Certificate, ca: boolean): string {
  if (ca) {
    const domain = certificate.subjectAltNames.uri.find((uri) => /^spiffe:\/\/[^/]+$/.test(uri));
    return domain === undefined ? "an authority of no trust domain" : `the authority of ${domain}`;
  }
  return identityOf(certificate) ?? "none: no single name says who it is";
}

function namesRows({ subjectAltNames }: Certificate): [string, string][] {
  const { dns, ip, uri, email } = subjectAltNames;
  const kinds = [
    ["DNS", dns],
    ["IP", ip],
    ["URI", uri],
    ["e-mail", email],
  ] as const;
  return kinds
    .filter(([, values]) => values.length > 0)
    .map(([kind, values]) => [kind, values.join(", ")]);
}

function useText(
  { basicConstraints, extendedKeyUsage, keyUsage }: Certificate,
  ca: boolean,
): string {
  if (ca) {
    const { pathLength } = basicConstraints ?? {};
    const below = pathLength === undefined ? "any number of CAs" : cas(pathLength);
    return `signing certificates, with ${below} below it`;
  }
  if (extendedKeyUsage === undefined) return "anything: it has no extended key usage";
  const uses = extendedKeyUsage.map((usage) => useWords[usage] ?? usage);
  const unsigned = keyUsage !== undefined && !keyUsage.includes("digitalSignature");
  return uses.join(" and ") + (unsigned ? ", but its key may not sign handshakes" : "");
}

function cas(count: number): string {
  if (count === 0) return "no CA";
  return count === 1 ? "1 CA" : `${count} CAs`;
}

/** S46: what a constraint on URIs does not constrain is said as well. */
function constraintRows({ permitted, excluded }: NameConstraints): [string, string][] {
  const rows: [string, string][] = [];
  if (permitted.length > 0) rows.push(["may name", permitted.map(subtreeText).join(", ")]);
  if (excluded.length > 0) rows.push(["never names", excluded.map(subtreeText).join(", ")]);
  if (permitted.some(({ type }) => type === "uri")) {
    rows.push(["", "(it can name any path of its trust domain)"]);
  }
  return rows;
}

function subtreeText(subtree: NameSubtree): string {
  switch (subtree.type) {
    case "dns":
    case "email":
    case "uri": {
      const kind = { dns: "DNS names", email: "e-mail addresses", uri: "URIs" }[subtree.type];
      return subtree.value === "" ? `all ${kind}` : `${kind} of ${subtree.value}`;
    }
    case "ip":
      return `addresses of ${rangeText(subtree.address, subtree.mask)}`;
    case "directory":
      return `subjects under ${subtree.value.text}`;
    case "other":
      return "names of another kind";
  }
}

function rangeText(address: Uint8Array, mask: Uint8Array): string {
  const bits = mask.reduce((sum, octet) => sum + octet.toString(2).replaceAll("0", "").length, 0);
  const text =
    address.length === 4
      ? address.join(".")
      : (Buffer.from(address).toString("hex").match(/.{4}/g) ?? []).join(":");
  return `${text}/${bits}`;
}

function validityText({ notBefore, notAfter }: Certificate, now: Date): string {
  if (now < notBefore) return `begins ${fromNow(notBefore, now)}`;
  if (now > notAfter) return `ended ${fromNow(notAfter, now)}`;
  return `ends ${fromNow(notAfter, now)}`;
}

function publicKeyText({ publicKeyInfo: { kind, algorithm, modulusBits } }: Certificate): string {
  if (kind === "unknown") return `unknown algorithm ${algorithm}`;
  return modulusBits === undefined ? kind : `${kind}, ${modulusBits} bits`;
}

function hexOrNull(bytes: Uint8Array | undefined): string | null {
  return bytes === undefined ? null : Buffer.from(bytes).toString("hex");
}

const useWords: Readonly<Record<string, string>> = {
  serverAuth: "servers",
  clientAuth: "clients",
  ocspSigning: "signing OCSP answers",
  any: "anything",
};
