import type { KeyObject } from "node:crypto";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { GrpcError, readErrorInfo } from "@handfast/grpc";
import { parseCertificatesPem, publicKeyMatches, verifyChain, X509Error } from "@handfast/x509";
import type { Certificate } from "@handfast/x509";
import { CaError, caErrors } from "../errors.ts";
import type { CaErrorCode } from "../errors.ts";
import type { Bundle, EnrolResponse } from "../gen/handfast/ca/v1/ca_pb.ts";
import { errorDomain } from "../wire-errors.ts";

/** What peers are to trust, as an authority said it. */
export interface ReceivedBundle {
  /** Take it only if this is higher than that of the bundle you have. */
  readonly sequence: number;
  readonly trustDomain: string;
  readonly roots: readonly Certificate[];
  readonly rootsPem: string;
  /** Where certificates are renewed, as host:port; empty if that was not told. */
  readonly authorityTarget: string;
}

/** A certificate of one's own, as an authority sent it, checked. */
export interface ReceivedCertificate {
  readonly certificate: Certificate;
  readonly privateKey: KeyObject;
  /** The certificate and those above it, without the root. */
  readonly chain: readonly Certificate[];
  readonly chainPem: string;
  /** When to ask for the next one. */
  readonly renewAt: Date;
  readonly bundle: ReceivedBundle;
}

/** @throws CaError ANSWER_INVALID */
export function readBundle(bundle: Bundle | undefined): ReceivedBundle {
  if (bundle === undefined) throw invalid("holds no bundle");
  const { sequence, trustDomain, rootsPem, authorityTarget } = bundle;
  const roots = readCertificates(rootsPem);
  if (roots.some(({ basicConstraints }) => basicConstraints?.ca !== true)) {
    throw invalid("holds a bundle with a certificate that is no CA");
  }
  return { sequence: Number(sequence), trustDomain, roots, rootsPem, authorityTarget };
}

/**
 * Checks a new certificate: for our key, and verified by the roots that came with it, which came
 * over a channel that the present roots have verified.
 *
 * @throws CaError ANSWER_INVALID
 */
export function readIssued(
  { certificate: issued, bundle }: Pick<EnrolResponse, "certificate" | "bundle">,
  privateKey: KeyObject,
): ReceivedCertificate {
  if (issued === undefined) throw invalid("holds no certificate");
  const received = readBundle(bundle);
  const chain = readCertificates(issued.chainPem);
  const [certificate] = chain;
  if (certificate === undefined || !publicKeyMatches(certificate, privateKey)) {
    throw invalid("holds a certificate for another key");
  }
  const verdict = verifyChain(
    { leaf: certificate, candidates: chain.slice(1) },
    // By its own time: the clocks of the two sides may differ.
    { anchors: received.roots, now: middleOf(certificate), purpose: "any" },
  );
  if (!verdict.ok) throw invalid(`holds a certificate that does not verify: ${verdict.message}`);
  const { chainPem, renewAt } = issued;
  return {
    certificate,
    privateKey,
    chain,
    chainPem,
    renewAt: renewAt === undefined ? middleOf(certificate) : timestampDate(renewAt),
    bundle: received,
  };
}

/** An authority's refusal in its own words, where they are ours; anything else as it is. */
export function remoteError(error: unknown): unknown {
  if (!(error instanceof GrpcError)) return error;
  const info = readErrorInfo(error);
  if (info?.domain !== errorDomain || !Object.hasOwn(caErrors, info.reason)) return error;
  return new CaError(info.reason as CaErrorCode, error.message, { cause: error });
}

function readCertificates(pem: string): readonly Certificate[] {
  try {
    return parseCertificatesPem(pem);
  } catch (cause) {
    if (!(cause instanceof X509Error)) throw cause;
    throw new CaError("ANSWER_INVALID", `the authority's answer: ${cause.message}`, { cause });
  }
}

function middleOf({ notBefore, notAfter }: Certificate): Date {
  return new Date((notBefore.getTime() + notAfter.getTime()) / 2);
}

function invalid(problem: string): CaError {
  return new CaError("ANSWER_INVALID", `the authority's answer ${problem}`);
}
