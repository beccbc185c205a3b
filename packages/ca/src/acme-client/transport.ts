import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { request } from "node:https";
import { rootCertificates } from "node:tls";
import { CaError } from "../errors.ts";

/** Whom a client of a foreign authority trusts to be that authority. */
export type AcmeRoots = readonly string[] | "public";

/** What a server answered, whatever its status. */
export interface AcmeResponse {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** One request to a server; its certificate is always verified. */
export type AcmeTransport = (asked: {
  readonly url: string;
  readonly method: "GET" | "HEAD" | "POST";
  /** A signed request. */
  readonly body?: string;
  readonly signal?: AbortSignal;
}) => Promise<AcmeResponse>;

/**
 * Requests over HTTPS, verified by these roots (PEM), or by the public ones that Node carries; nothing
 * of it depends on the environment. No redirect is followed, and at most 1 MiB and 30 s are spent.
 */
export function createTransport(roots: AcmeRoots): AcmeTransport {
  if (roots !== "public" && roots.every((pem) => pem.trim() === "")) {
    throw new TypeError("roots must hold a certificate, or be public");
  }
  const ca = roots === "public" ? [...rootCertificates] : [...roots];
  return async ({ url, method, body, signal }) => {
    const target = URL.parse(url);
    if (target?.protocol !== "https:") {
      throw new CaError("ANSWER_INVALID", `ACME URL ${JSON.stringify(url)} must be https://`);
    }
    const time = AbortSignal.timeout(wholeTimeMs);
    try {
      return await exchange(target, {
        method,
        ...(body !== undefined && { body }),
        ca,
        signal: signal === undefined ? time : AbortSignal.any([signal, time]),
      });
    } catch (error) {
      if (signal?.aborted === true || error instanceof CaError) throw error;
      throw new CaError("ACME_UNREACHABLE", `${target.origin}: ${(error as Error).message}`, {
        cause: error,
      });
    }
  };
}

function exchange(
  target: URL,
  {
    method,
    body,
    ca,
    signal,
  }: { method: string; body?: string; ca: readonly string[]; signal: AbortSignal },
): Promise<AcmeResponse> {
  return new Promise((resolve, reject) => {
    const asked = request(
      target,
      {
        method,
        signal,
        agent: false,
        ca: [...ca],
        rejectUnauthorized: true,
        minVersion: "TLSv1.2",
        headers: {
          "User-Agent": "handfast-acme",
          "Accept-Encoding": "identity",
          ...(body !== undefined && {
            "Content-Type": "application/jose+json",
            "Content-Length": String(Buffer.byteLength(body)),
          }),
        },
      },
      (response) => {
        receive(response).then(resolve, (error: Error) => {
          response.destroy();
          reject(error);
        });
      },
    );
    asked.once("error", reject);
    asked.end(body);
  });
}

async function receive(response: IncomingMessage): Promise<AcmeResponse> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxBytes) {
      throw new CaError("ANSWER_INVALID", `the ACME server's answer is over ${maxBytes} bytes`);
    }
    chunks.push(chunk);
  }
  const { statusCode: status = 0, headers } = response;
  return { status, headers, text: Buffer.concat(chunks).toString("utf8") };
}

const wholeTimeMs = 30_000;
const maxBytes = 1_024 * 1_024;
