import { request } from "node:http";
import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";
import { connect } from "node:tls";

import type { Certificate, Fingerprint } from "@handfast/x509";

import { TlsError, reasonOf } from "./errors.ts";
import { receiveBounded } from "./fetch-bounded.ts";
import { secureContextOptions } from "./secure-context.ts";
import { parseTrust } from "./trust.ts";
import { verdictIsOurs } from "./verify-peer.ts";

/** Which certificate is wanted, and how long it may take. */
export interface PinnedRootOptions {
  /** SHA-256 of the root that is to be trusted, learnt in a way that can be: from a token, from a person. */
  readonly fingerprint: Fingerprint;
  /** Default 10,000. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * Fetches a bundle of CA certificates by https from a server that cannot be verified yet, and gives the one
 * certificate in it that has the fingerprint. Nothing is sent but the path, and nothing of the answer is
 * believed but what the fingerprint proves: a server that is not the right one can only fail this. Whatever
 * follows is verified with the certificate as trust anchor, like any other connection.
 *
 * @throws TlsError DIAL_FAILED, TRUST_INVALID. TypeError for a URL that is not https.
 */
export async function fetchPinnedRoot(url: URL, options: PinnedRootOptions): Promise<Certificate> {
  if (url.protocol !== "https:") {
    throw new TypeError(`a pinned root is fetched by https: got ${url.protocol}`);
  }
  const { fingerprint } = options;
  const bundle = await fetchUnbelieved(url, options);
  let certificates: readonly Certificate[];
  try {
    certificates = parseTrust([{ bundle }]).certificates;
  } catch (cause) {
    throw new TlsError("TRUST_INVALID", `${url.host}: ${reasonOf(cause)}`, { cause });
  }
  const root = certificates.find((certificate) => certificate.fingerprint === fingerprint);
  if (root !== undefined) return root;
  const arrived = certificates.map((certificate) => certificate.fingerprint).join(", ");
  throw new TlsError(
    "TRUST_INVALID",
    `${url.host} is not the authority that was named: expected the root ${fingerprint}, got ${arrived}`,
    { hint: "check the address; if it is right, somebody else answers there" },
  );
}

/** The one connection that is not judged: what it yields is compared with a hash. */
function fetchUnbelieved(url: URL, options: PinnedRootOptions): Promise<Uint8Array> {
  const timeout = AbortSignal.timeout(options.timeoutMs ?? 10_000);
  const signal =
    options.signal === undefined ? timeout : AbortSignal.any([timeout, options.signal]);
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const fetched = new Promise<Uint8Array>((resolve, reject) => {
    const outgoing = request(url, {
      protocol: "http:",
      signal,
      headers: { host: url.host, accept: "application/x-pem-file", connection: "close" },
      createConnection: () =>
        connect({
          ...verdictIsOurs,
          ...secureContextOptions(undefined, nobodysTrust, {}),
          host,
          port: url.port === "" ? 443 : Number(url.port),
          ALPNProtocols: ["http/1.1"],
          checkServerIdentity: () => undefined,
          ...(isIP(host) === 0 ? { servername: host } : {}),
        }),
    });
    outgoing.once("error", reject);
    outgoing.once("response", (response: IncomingMessage) => {
      receiveBounded(response, maxBundleBytes).then(resolve, (reason: Error) => {
        response.destroy();
        reject(reason);
      });
    });
    outgoing.end();
  });
  return fetched.catch((cause: unknown) => {
    throw new TlsError("DIAL_FAILED", `cannot fetch ${url.href}: ${reasonOf(cause)}`, { cause });
  });
}

const nobodysTrust = {
  anchors: [],
  certificates: [],
  pem: [],
  of: () => [],
  speaksFor: () => false,
};
const maxBundleBytes = 1024 * 1024;
