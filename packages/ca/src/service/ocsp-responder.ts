import { hash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { encodeOcspError, parseCrl, parseOcspRequest, X509Error } from "@handfast/x509";
import type { OcspCertId } from "@handfast/x509";
import type { RateLimit } from "../acme/rate-limit.ts";
import type { Authority } from "../authority.ts";
import type { OcspStatement } from "../ocsp.ts";
import type { CrlFeed } from "./crl-feed.ts";

/** Answers OCSP requests below `/ocsp`, by GET and POST. */
export interface OcspResponder {
  handle(request: IncomingMessage, response: ServerResponse): boolean;
  readonly counters: OcspCounters;
}

/** How requests were answered. */
export interface OcspCounters {
  readonly cached: number;
  readonly signed: number;
  /** About certificates that are not ours, or forgotten; not signed. */
  readonly unknown: number;
  readonly refused: number;
}

/** How answers are made and kept. */
export interface OcspResponderOptions {
  readonly authority: Pick<Authority, "ocspStatement">;
  /** A certificate on a new list is no longer good. */
  readonly crls: CrlFeed;
  /** How long a response may be used; signed anew, ahead of time, after half of it. */
  readonly validitySeconds: number;
  /** The longest that a cache may keep a response. */
  readonly maxAgeSeconds: number;
  /** How often a signature may be made on demand, whoever asks. */
  readonly signing: RateLimit;
  readonly clock: () => Date;
  readonly onError: (error: unknown) => void;
}

/**
 * Responds as RFC 9919 has it for many clients: responses are made once, kept, made anew before they
 * end, and sent with what HTTP caches need. A request has one CertID and at most 4 KiB; its nonce is
 * not answered, so that the answer can be the kept one (security.md S57).
 */
export function createOcspResponder(options: OcspResponderOptions): OcspResponder {
  const { authority, crls, clock, validitySeconds } = options;
  /** The one used longest ago first. */
  const kept = new Map<string, Kept>();
  const making = new Map<string, Promise<Kept | undefined>>();
  const counters = { cached: 0, signed: 0, unknown: 0, refused: 0 };
  let seen = new Map(crls.current);
  crls.onChange(forgetRevoked);

  /** Lists tell which statements are no longer so; those of lists that did not change are left alone. */
  function forgetRevoked(): void {
    const changed = [...crls.current.values()].filter((list) => seen.get(list.issuer) !== list);
    seen = new Map(crls.current);
    for (const { issuer, der } of changed) {
      const list = parseCrl(der);
      for (const [key, { statement, serialNumber }] of kept) {
        if (statement.issuer !== issuer || statement.status !== "good") continue;
        if (list.lookup(serialNumber) !== undefined) kept.delete(key);
      }
    }
  }

  async function respond(der: Uint8Array): Promise<Reply> {
    let certId;
    try {
      ({ certId } = parseOcspRequest(der));
    } catch (error) {
      if (!(error instanceof X509Error)) throw error;
      return unsigned("malformedRequest");
    }
    const key = keyOf(certId);
    const now = clock().getTime();
    const known = kept.get(key);
    if (known !== undefined && now < known.endsAt) {
      kept.delete(key);
      kept.set(key, known);
      counters.cached += 1;
      if (now > known.renewAt && options.signing.take("") === 0) void make(key, certId);
      return known;
    }
    if (!making.has(key) && options.signing.take("") > 0) return unsigned("tryLater");
    const made = await make(key, certId);
    if (made !== undefined) return made;
    counters.unknown += 1;
    return notOurs;
  }

  function unsigned(status: "malformedRequest" | "tryLater"): Reply {
    counters.refused += 1;
    return replies[status];
  }

  /** Of several who ask at once, one signature serves all. */
  function make(key: string, certId: OcspCertId): Promise<Kept | undefined> {
    let making1 = making.get(key);
    if (making1 === undefined) {
      making1 = makeOne(key, certId).finally(() => making.delete(key));
      making.set(key, making1);
    }
    return making1;
  }

  async function makeOne(key: string, certId: OcspCertId): Promise<Kept | undefined> {
    const lists = seen;
    const statement = await authority.ocspStatement({ certId, validitySeconds });
    if (statement === undefined) return undefined;
    counters.signed += 1;
    const one = keptOf(statement, certId);
    // What was read before a list that came meanwhile may be wrong already: it is not kept.
    if (lists === seen) {
      kept.set(key, one);
      if (kept.size > maxKept)
        for (const oldest of kept.keys()) {
          kept.delete(oldest);
          break;
        }
    }
    return one;
  }

  function send(response: ServerResponse, { der, statement, etag }: Reply): void {
    const headers: Record<string, string | number> = {
      "content-type": "application/ocsp-response",
      "content-length": der.length,
    };
    if (statement === undefined) {
      headers["cache-control"] = "no-store";
    } else {
      const leftSeconds = (statement.nextUpdate.getTime() - clock().getTime()) / 1_000;
      const maxAge = Math.max(0, Math.min(options.maxAgeSeconds, Math.floor(leftSeconds)));
      headers["cache-control"] = `max-age=${maxAge}, public, no-transform, must-revalidate`;
      headers["last-modified"] = statement.thisUpdate.toUTCString();
      headers["expires"] = statement.nextUpdate.toUTCString();
      headers["etag"] = etag;
    }
    response.writeHead(200, headers);
    response.end(der);
  }

  return {
    counters,
    handle(request, response) {
      const { url = "", method } = request;
      if (url !== "/ocsp" && !url.startsWith("/ocsp/")) return false;
      const asked =
        method === "GET"
          ? fromUrl(url)
          : method === "POST" && url === "/ocsp"
            ? fromBody(request)
            : undefined;
      if (asked === undefined) {
        response.writeHead(method === "GET" ? 400 : 405, { "content-length": 0 }).end();
        return true;
      }
      void answer(asked, response);
      return true;
    },
  };

  async function answer(
    asked: Uint8Array | Promise<Uint8Array>,
    response: ServerResponse,
  ): Promise<void> {
    try {
      send(response, await respond(asked instanceof Uint8Array ? asked : await asked));
    } catch (error) {
      options.onError(error);
      if (!response.destroyed) send(response, replies.internalError);
    }
  }
}

/** A response, and what it says if it is signed. */
interface Reply {
  readonly der: Uint8Array;
  readonly statement: OcspStatement | undefined;
  readonly etag: string;
}

interface Kept extends Reply {
  readonly statement: OcspStatement;
  readonly serialNumber: OcspCertId["serialNumber"];
  /** When it is made anew, and when it may no longer be sent: in milliseconds since 1970. */
  readonly renewAt: number;
  readonly endsAt: number;
}

function keptOf(statement: OcspStatement, { serialNumber }: OcspCertId): Kept {
  const { der, thisUpdate, nextUpdate } = statement;
  const [from, to] = [thisUpdate.getTime(), nextUpdate.getTime()];
  return {
    der,
    statement,
    serialNumber,
    etag: `"${hash("sha256", der, "hex").slice(0, 40)}"`,
    renewAt: from + (to - from) / 2,
    endsAt: from + ((to - from) * 3) / 4,
  };
}

/** The base64 of a request as one path segment (RFC 9919, 6.1), which may hold escaped slashes. */
function fromUrl(url: string): Uint8Array | undefined {
  if (url.length > maxRequestBytes * 2) return undefined;
  try {
    const text = decodeURIComponent(url.slice("/ocsp/".length));
    return /^[A-Za-z0-9+/]+={0,2}$/.test(text) ? Buffer.from(text, "base64") : undefined;
  } catch {
    return undefined;
  }
}

/** At most one byte more than is allowed: the parser says what is wrong then. */
async function fromBody(request: IncomingMessage): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > maxRequestBytes) break;
  }
  return Buffer.concat(chunks);
}

function keyOf({
  hash: algorithm,
  issuerKeyHash,
  issuerNameHash,
  serialNumber,
}: OcspCertId): string {
  const issuer = Buffer.concat([issuerNameHash, issuerKeyHash]).toString("latin1");
  return `${algorithm} ${serialNumber} ${issuer}`;
}

function unsignedReply(status: Parameters<typeof encodeOcspError>[0]): Reply {
  return { der: encodeOcspError(status), statement: undefined, etag: "" };
}

const replies = {
  malformedRequest: unsignedReply("malformedRequest"),
  internalError: unsignedReply("internalError"),
  tryLater: unsignedReply("tryLater"),
};
/** What a responder says of certificates it has no word on (RFC 9919, 3.2.3): no signature is spent. */
const notOurs: Reply = unsignedReply("unauthorized");
const maxRequestBytes = 4_096;
const maxKept = 100_000;
