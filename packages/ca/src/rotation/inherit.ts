import { keyAlgorithms } from "@handfast/x509";
import type {
  Certificate,
  KeyAlgorithm,
  NameConstraintsInput,
  NameSubtree,
  NameSubtreeInput,
} from "@handfast/x509";
import { CaError } from "../errors.ts";

/** The kind of key that a certificate has, to make another one like it. */
export function keyAlgorithmOf({ publicKeyInfo, subject }: Certificate): KeyAlgorithm {
  const { kind, modulusBits } = publicKeyInfo;
  const name = kind === "rsa" ? `rsa-${modulusBits}` : kind;
  const algorithm = keyAlgorithms.find((one) => one === name);
  if (algorithm !== undefined) return algorithm;
  throw new CaError(
    "ROTATION_REFUSED",
    `the key of ${subject.text} is of a kind (${name}) that no new one is made of`,
    { hint: "say which kind of key the next ones shall be" },
  );
}

/** What a CA may name, to be written into the certificate of the next. */
export function constraintsOf({
  nameConstraints,
}: Certificate): { nameConstraints: NameConstraintsInput } | undefined {
  if (nameConstraints === undefined) return undefined;
  const { permitted, excluded } = nameConstraints;
  return {
    nameConstraints: { permitted: inputOf(permitted), excluded: inputOf(excluded) },
  };
}

function inputOf(subtrees: readonly NameSubtree[]): NameSubtreeInput {
  const texts = (wanted: "dns" | "email" | "uri") =>
    subtrees.flatMap((subtree) => (subtree.type === wanted ? [subtree.value] : []));
  if (subtrees.some(({ type }) => type === "other")) {
    throw new CaError(
      "ROTATION_REFUSED",
      "the issuing certificate is bound to names of a kind that cannot be written",
    );
  }
  return {
    dns: texts("dns"),
    email: texts("email"),
    uri: texts("uri"),
    ip: subtrees.flatMap((subtree) => (subtree.type === "ip" ? [rangeOf(subtree)] : [])),
    directory: subtrees.flatMap((subtree) => (subtree.type === "directory" ? [subtree.value] : [])),
  };
}

/** Parsed masks are prefixes. */
function rangeOf({ address, mask }: { address: Uint8Array; mask: Uint8Array }): string {
  const bits = mask.reduce((sum, octet) => sum + octet.toString(2).replaceAll("0", "").length, 0);
  if (address.length === 4) return `${address.join(".")}/${bits}`;
  const groups = Buffer.from(address).toString("hex").match(/.{4}/g) ?? [];
  return `${groups.join(":")}/${bits}`;
}
