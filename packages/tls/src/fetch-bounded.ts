import { request as requestHttp } from "node:http";
import type { IncomingMessage } from "node:http";
import { request as requestHttps } from "node:https";
import { rootCertificates } from "node:tls";

/** What a server said last, to ask whether it has changed. */
export interface Validators {
  readonly etag?: string;
  readonly lastModified?: string;
}

export type Fetched =
  | { readonly status: "unchanged" }
  | { readonly status: "changed"; readonly bytes: Uint8Array; readonly validators: Validators };

export interface FetchOptions {
  readonly maxBytes: number;
  /** For all of it. */
  readonly timeoutMs: number;
  readonly validators: Validators;
  /** PEM certificates that https servers must lead to; the public roots that Node carries if absent. */
  readonly ca?: readonly string[];
  /** Sent as a POST if given. */
  readonly body?: { readonly type: string; readonly bytes: Uint8Array };
}

/**
 * Fetches a URL of our own configuration (S4): no redirect is followed, no content coding accepted, and neither
 * more than `maxBytes` read nor longer than `timeoutMs` waited. Nothing of it depends on the environment.
 */
export function fetchBounded(url: URL, options: FetchOptions): Promise<Fetched> {
  const signal = AbortSignal.timeout(options.timeoutMs);
  return new Promise((resolve, reject) => {
    const headers = {
      accept: "*/*",
      "accept-encoding": "identity",
      ...(options.validators.etag === undefined
        ? {}
        : { "if-none-match": options.validators.etag }),
      ...(options.validators.lastModified === undefined
        ? {}
        : { "if-modified-since": options.validators.lastModified }),
      ...(options.body === undefined
        ? {}
        : {
            "content-type": options.body.type,
            "content-length": String(options.body.bytes.length),
          }),
    };
    const common = {
      headers,
      signal,
      agent: false,
      method: options.body === undefined ? "GET" : "POST",
    } as const;
    const secure = {
      ca: [...(options.ca ?? rootCertificates)],
      rejectUnauthorized: true,
      minVersion: "TLSv1.2" as const,
    };
    const answer = (response: IncomingMessage): void => {
      receive(response, options.maxBytes).then(resolve, (reason: Error) => {
        response.destroy();
        reject(reason);
      });
    };
    const request =
      url.protocol === "https:"
        ? requestHttps(url, { ...common, ...secure }, answer)
        : requestHttp(url, common, answer);
    request.once("error", reject);
    request.end(options.body?.bytes);
  });
}

async function receive(response: IncomingMessage, maxBytes: number): Promise<Fetched> {
  const { statusCode, headers } = response;
  if (statusCode === 304) {
    response.resume();
    return { status: "unchanged" };
  }
  return {
    status: "changed",
    bytes: await receiveBounded(response, maxBytes),
    validators: {
      ...(headers.etag === undefined ? {} : { etag: headers.etag }),
      ...(headers["last-modified"] === undefined ? {} : { lastModified: headers["last-modified"] }),
    },
  };
}

/** The content of an answer, at most so much of it. Rejects if there is more, or less than was announced. */
export async function receiveBounded(
  response: IncomingMessage,
  maxBytes: number,
): Promise<Uint8Array> {
  const { statusCode, headers } = response;
  if (statusCode !== 200) throw new Error(`the server answered ${statusCode}: expected 200 or 304`);
  if (headers["content-encoding"] !== undefined) {
    throw new Error("the server sent a content coding: expected none");
  }
  if (Number(headers["content-length"] ?? 0) > maxBytes) throw tooLarge(maxBytes);
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxBytes) throw tooLarge(maxBytes);
    chunks.push(chunk);
  }
  if (!response.complete) throw new Error("the server closed the connection within its answer");
  return Buffer.concat(chunks);
}

function tooLarge(maxBytes: number): Error {
  return new Error(`the answer is too large: expected at most ${maxBytes} bytes`);
}

/**
 * A URL of our configuration.
 *
 * @throws TypeError if it is neither http nor https.
 */
export function requireHttp(text: string): URL {
  const url = new URL(text);
  if (url.protocol === "http:" || url.protocol === "https:") return url;
  throw new TypeError(
    `the URL ${urlText(url)} has scheme ${url.protocol} expected http: or https:`,
  );
}

/** A URL as it may stand in a log: without the credentials in it. */
export function urlText(url: URL): string {
  const shown = new URL(url);
  shown.username = "";
  shown.password = "";
  shown.search = "";
  return shown.href;
}
