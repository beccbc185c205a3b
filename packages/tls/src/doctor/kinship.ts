import type { Certificate, Name } from "@handfast/x509";

/**
 * Whether an issuer that nobody has seen bears the organisation of one of the CAs: then it is a link of the
 * chain that is missing, and not the CA. A guess, and told as one.
 */
export function sharesOrganization(issuer: Name, authorities: readonly Certificate[]): boolean {
  const organizations = organizationsOf(issuer);
  return authorities.some(({ subject }) =>
    organizationsOf(subject).some((name) => organizations.includes(name)),
  );
}

function organizationsOf({ attributes }: Name): readonly string[] {
  return attributes.filter(({ type }) => type === "O").map(({ value }) => value);
}
