import { hash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { certificatesToPem } from "@handfast/x509";
import type { BundleFeed } from "./bundle-feed.ts";
import type { CrlFeed } from "./crl-feed.ts";

/** What everybody may read, by HTTP. */
export interface PublicFiles {
  /** Answers a request for one of the files; false if it is for none. */
  handle(request: IncomingMessage, response: ServerResponse): boolean;
}

/**
 * Serves `/roots.pem` and `/crl/ISSUER.crl` (DER), with what caches need: ETag, Last-Modified and a
 * Cache-Control that ends well before the next list is due.
 */
export function createPublicFiles({
  bundle,
  crls,
  maxAgeSeconds,
  clock,
}: {
  readonly bundle: BundleFeed;
  readonly crls: CrlFeed;
  /** The longest that a cache may keep a file: what a revocation may be late by. */
  readonly maxAgeSeconds: number;
  readonly clock: () => Date;
}): PublicFiles {
  return {
    handle(request, response) {
      const file = find(request.url ?? "");
      if (file === undefined) return false;
      if (request.method !== "GET" && request.method !== "HEAD") {
        response.writeHead(405, { allow: "GET, HEAD", "content-length": 0 }).end();
        return true;
      }
      serve(file, { request, response });
      return true;
    },
  };

  function find(url: string): PublicFile | undefined {
    if (url === "/roots.pem") {
      const { roots } = bundle.current;
      return {
        type: "application/x-pem-file",
        bytes: Buffer.from(certificatesToPem(roots)),
        modified: undefined,
        freshSeconds: maxAgeSeconds,
      };
    }
    const issuer = /^\/crl\/([A-Za-z0-9_-]{1,64})\.crl$/.exec(url)?.[1];
    const list = issuer === undefined ? undefined : crls.current.get(issuer);
    if (list === undefined) return undefined;
    const leftSeconds = (list.nextUpdate.getTime() - clock().getTime()) / 1_000;
    return {
      type: "application/pkix-crl",
      bytes: list.der,
      modified: list.thisUpdate,
      freshSeconds: Math.max(0, Math.min(maxAgeSeconds, Math.floor(leftSeconds))),
    };
  }
}

interface PublicFile {
  readonly type: string;
  readonly bytes: Uint8Array;
  /** Unknown of what is put together; the ETag tells then. */
  readonly modified: Date | undefined;
  readonly freshSeconds: number;
}

function serve(
  { type, bytes, modified, freshSeconds }: PublicFile,
  { request, response }: { request: IncomingMessage; response: ServerResponse },
): void {
  const etag = etagOf(bytes);
  const headers = {
    etag,
    ...(modified && { "last-modified": modified.toUTCString() }),
    "cache-control": `public, max-age=${freshSeconds}, no-transform`,
    "x-content-type-options": "nosniff",
  };
  if (isUnchanged(request, { etag, modified })) {
    response.writeHead(304, headers).end();
    return;
  }
  response.writeHead(200, { ...headers, "content-type": type, "content-length": bytes.length });
  response.end(request.method === "HEAD" ? undefined : bytes);
}

/** If-None-Match decides where it is given (RFC 9110, 13.2.2). */
function isUnchanged(
  { headers }: IncomingMessage,
  { etag, modified }: { etag: string; modified: Date | undefined },
): boolean {
  const known = headers["if-none-match"];
  if (known !== undefined) {
    return known.split(",").some((one) => ["*", etag].includes(one.trim().replace(/^W\//, "")));
  }
  if (modified === undefined) return false;
  const since = Date.parse(headers["if-modified-since"] ?? "");
  return Math.floor(modified.getTime() / 1_000) * 1_000 <= since;
}

/** Of bytes that are served again and again. */
function etagOf(bytes: Uint8Array): string {
  let etag = etags.get(bytes);
  if (etag === undefined) {
    etag = `"${hash("sha256", bytes, "base64url").slice(0, 27)}"`;
    etags.set(bytes, etag);
  }
  return etag;
}

const etags = new WeakMap<Uint8Array, string>();
