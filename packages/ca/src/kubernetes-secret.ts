import type { KeyObject } from "node:crypto";
import { dirname } from "node:path";
import { createDirectory, writeFileAtomic } from "@handfast/files";
import { certificatesToPem, encodePrivateKey } from "@handfast/x509";
import type { Certificate } from "@handfast/x509";
import { CaError } from "./errors.ts";

/** What a Kubernetes Secret of a certificate is made of. */
export interface KubernetesSecretOptions {
  /** The Secret's name: a DNS subdomain of lower case. */
  readonly name: string;
  /** Left out of the manifest if absent: whoever applies it says where. */
  readonly namespace?: string;
  readonly chain: readonly Certificate[];
  readonly privateKey: KeyObject;
  readonly roots: readonly Certificate[];
  readonly overwrite: boolean;
}

/**
 * Writes a Secret of type kubernetes.io/tls as a manifest, mode 0600: `tls.crt`, `tls.key` and `ca.crt`, as
 * cert-manager fills them.
 *
 * @throws CaError NAME_REFUSED; FilesError FILE_EXISTS, DIRECTORY_UNTRUSTED, FILE_WRITE_FAILED
 */
export async function writeKubernetesSecret(
  path: string,
  { name, namespace, chain, privateKey, roots, overwrite }: KubernetesSecretOptions,
): Promise<void> {
  checkKubernetesName(name);
  if (namespace !== undefined) checkKubernetesName(namespace);
  const base64 = (pem: string): string => Buffer.from(pem).toString("base64");
  // In quotes, since a name may look like a number; base64 needs none.
  const manifest = `apiVersion: v1
kind: Secret
type: kubernetes.io/tls
metadata:
  name: "${name}"
${namespace === undefined ? "" : `  namespace: "${namespace}"\n`}data:
  tls.crt: ${base64(certificatesToPem(chain))}
  tls.key: ${base64(encodePrivateKey(privateKey))}
  ca.crt: ${base64(certificatesToPem(roots))}
`;
  await createDirectory(dirname(path));
  await writeFileAtomic(path, manifest, { mode: 0o600, overwrite });
}

/**
 * Refuses what Kubernetes would not take as a name (RFC 1123, lower case).
 *
 * @throws CaError NAME_REFUSED
 */
export function checkKubernetesName(name: string): void {
  if (
    name.length <= 253 &&
    /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/.test(name)
  )
    return;
  throw new CaError(
    "NAME_REFUSED",
    `${JSON.stringify(name)} is no name for Kubernetes: expected lower case letters, digits, hyphens and dots`,
  );
}
