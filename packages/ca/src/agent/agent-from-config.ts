import { resolve } from "node:path";
import { readBounded, writeFileAtomic } from "@handfast/files";
import { encodePrivateKey, generateKeyPair } from "@handfast/x509";
import { createAcmeClient } from "../acme-client/acme-client.ts";
import { solveByHttp, solveByTlsAlpn } from "../acme-client/solvers.ts";
import { acmeRenewer } from "../acme-client/acme-renewer.ts";
import type { AcmeSource, AgentConfig, ConfiguredCertificate } from "./agent-config.ts";
import type { AgentOptions } from "./agent.ts";
import { bundleInFile, bundleInMemory } from "./bundle-file.ts";
import { readKeyIfThere } from "./credential-pem.ts";
import type { ManagedCertificate } from "./managed-certificate.ts";
import { placeInDirectory } from "./place-in-directory.ts";
import { placeInFile } from "./place-in-file.ts";
import { authorityRenewer } from "./renewer.ts";
import type { Renewer } from "./renewer.ts";

/**
 * What a configuration says, ready for `createAgent`. An ACME account key that is not there yet is
 * made.
 *
 * @param options.directory what paths in the configuration are relative to
 * @throws CaError BUNDLE_INVALID, CREDENTIAL_INVALID; FilesError
 */
export async function agentFromConfig(
  config: AgentConfig,
  { directory }: { readonly directory: string },
): Promise<Pick<AgentOptions, "certificates" | "bundle">> {
  const inPlace = (path: string) => resolve(directory, path);
  const certificates: ManagedCertificate[] = [];
  for (const one of config.certificates) {
    const path = inPlace(one.place.path);
    const place =
      one.place.kind === "file"
        ? placeInFile(path, one.access)
        : placeInDirectory(path, one.access);
    const renewer =
      one.acme === undefined
        ? ownRenewer(one, { config, inPlace })
        : await foreignRenewer(one.acme, inPlace);
    certificates.push({
      name: one.name,
      place,
      renewer,
      ...(one.reload && { hook: one.reload }),
      ...(one.keyAlgorithm && { keyAlgorithm: one.keyAlgorithm }),
    });
  }
  const { bundle } = config;
  return {
    certificates,
    bundle: bundle === undefined ? bundleInMemory() : await bundleInFile(inPlace(bundle)),
  };
}

function ownRenewer(
  { tokenFile }: ConfiguredCertificate,
  { config, inPlace }: { config: AgentConfig; inPlace: (path: string) => string },
): Renewer {
  const { authority } = config;
  return authorityRenewer({
    ...(authority !== undefined && { target: authority }),
    ...(tokenFile !== undefined && { token: () => readText(inPlace(tokenFile)) }),
  });
}

async function foreignRenewer(
  source: AcmeSource,
  inPlace: (path: string) => string,
): Promise<Renewer> {
  const { directory, rootsFile, names, challenge, port, contact, agreeToTerms } = source;
  const { externalAccount } = source;
  const address = port === undefined ? {} : { port };
  const client = createAcmeClient({
    directoryUrl: directory,
    roots: rootsFile === "public" ? "public" : [await readText(inPlace(rootsFile))],
    accountKey: await accountKey(inPlace(source.accountKeyFile)),
    solvers: [challenge === "http-01" ? solveByHttp(address) : solveByTlsAlpn(address)],
    contact,
    agreeToTerms,
    ...(externalAccount && {
      externalAccount: {
        keyId: externalAccount.keyId,
        macKey: await readText(inPlace(externalAccount.macKeyFile)),
      },
    }),
  });
  return acmeRenewer(client, { names });
}

async function accountKey(path: string) {
  const known = await readKeyIfThere(path);
  if (known !== undefined) return known;
  const { privateKey } = generateKeyPair();
  await writeFileAtomic(path, encodePrivateKey(privateKey), { mode: 0o600 });
  return privateKey;
}

async function readText(path: string): Promise<string> {
  return Buffer.from(await readBounded(path, { maxBytes: 1_024 * 1_024 }))
    .toString("utf8")
    .trim();
}
