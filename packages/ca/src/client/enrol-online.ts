import type { KeyObject } from "node:crypto";
import { createClient } from "@handfast/grpc";
import {
  createMutualTls,
  fetchPinnedRoot,
  nobody,
  noIdentity,
  noRevocation,
  trustFromMemory,
} from "@handfast/tls";
import { certificatesToPem, createName, createRequest, generateKeyPair } from "@handfast/x509";
import type { KeyAlgorithm } from "@handfast/x509";
import { CaError } from "../errors.ts";
import { Enrolment } from "../gen/handfast/ca/v1/ca_pb.ts";
import { readTokenAddress } from "../token.ts";
import { readIssued, remoteError } from "./received.ts";
import type { ReceivedCertificate } from "./received.ts";

/** What is needed to enrol. */
export interface EnrolOnlineOptions {
  /** A one-time token; it says where the authority is and by which root it is known. */
  readonly token: string;
  /** The key to be certified: keep it before you ask, and an answer that was lost can be asked for again. */
  readonly privateKey?: KeyObject;
  /** Of the key that is made if none is given; ECDSA P-256 if not said. */
  readonly keyAlgorithm?: KeyAlgorithm;
  /** In all; 30,000 if not given. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * Enrols with a one-time token (security.md S52): fetches the root that the token names, verifies the
 * authority by it as any server is verified, and sends the token and a request signed by a key that
 * stays here. The root of the answer's bundle is the one to trust from then on.
 *
 * @throws CaError TOKEN_REFUSED, TOKEN_SPENT, …: the authority's refusals; ANSWER_INVALID.
 * TlsError DIAL_FAILED, TRUST_INVALID: it cannot be reached, or is not who the token says.
 * GrpcError for what is neither
 */
export async function enrolOnline(options: EnrolOnlineOptions): Promise<ReceivedCertificate> {
  const { token, timeoutMs = 30_000 } = options;
  const { audience, root: fingerprint, names } = readTokenAddress(token);
  const { privateKey = generateKeyPair(options.keyAlgorithm).privateKey } = options;
  const waiting = { timeoutMs, ...(options.signal && { signal: options.signal }) };
  const root = await fetchPinnedRoot(new URL("/roots.pem", audience), { fingerprint, ...waiting });
  const tls = await createMutualTls({
    identity: noIdentity(),
    trust: trustFromMemory(certificatesToPem([root])),
    revocation: noRevocation(), // nothing is known yet; the authority's own certificates are short
    admit: nobody(),
  });
  try {
    const target = `${audience.hostname}:${audience.port === "" ? 443 : audience.port}`;
    const client = createClient(Enrolment, { target, tls, deadlineMs: timeoutMs });
    const certificateRequest = createRequest({ subject: createName([]), privateKey });
    const answer = await client
      .enrol(
        { token: token.trim(), certificateRequest },
        { ...(options.signal && { signal: options.signal }) },
      )
      .catch((error: unknown) => {
        throw remoteError(error);
      })
      .finally(() => client.close());
    const received = readIssued(answer, privateKey);
    requireNames(received, names);
    return received;
  } finally {
    await tls.close();
  }
}

/** The names are those of the token, or the token was not what decided. */
function requireNames(
  { certificate: { subjectAltNames } }: ReceivedCertificate,
  names: ReturnType<typeof readTokenAddress>["names"],
): void {
  for (const kind of ["dns", "ip", "uri", "email"] as const) {
    if (new Set(names[kind]).symmetricDifference(new Set(subjectAltNames[kind])).size === 0)
      continue;
    throw new CaError(
      "ANSWER_INVALID",
      `the authority's answer holds the ${kind} names ${JSON.stringify(subjectAltNames[kind])}, the token ${JSON.stringify(names[kind])}`,
    );
  }
}
