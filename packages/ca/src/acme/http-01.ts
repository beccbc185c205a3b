import { request } from "node:http";
import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { connect, rootCertificates } from "node:tls";
import { ValidationFailure } from "./validation-failure.ts";
import type { Reach } from "./validation-failure.ts";

/**
 * http-01 (RFC 8555 8.3) as security.md S51 has it: port 80, at most 3 redirects, to port 80 or 443
 * only, each judged as the first was; at most 1 KiB is read. A server that is redirected to over
 * HTTPS is verified, by the public roots or ours.
 *
 * @throws ValidationFailure
 */
export async function validateHttp(
  reach: Reach,
  {
    host,
    token,
    keyAuthorization,
    roots,
  }: {
    host: string;
    token: string;
    keyAuthorization: string;
    roots: () => Promise<readonly string[]>;
  },
): Promise<void> {
  const authority = host.includes(":") ? `[${host}]` : host;
  let url = new URL(`http://${authority}/.well-known/acme-challenge/${token}`);
  for (let redirects = 0; ; redirects++) {
    const answer = await fetchOnce(reach, { url, roots });
    if (answer.location === undefined) {
      if (answer.status === 200 && answer.body.trimEnd() === keyAuthorization) return;
      throw new ValidationFailure("incorrectResponse", `status ${answer.status} or another body`);
    }
    if (redirects === maxRedirects) {
      throw new ValidationFailure("connection", `more than ${maxRedirects} redirects`);
    }
    url = redirectTarget(answer.location, url);
  }
}

interface Answer {
  readonly status: number;
  readonly location: string | undefined;
  readonly body: string;
}

async function fetchOnce(
  reach: Reach,
  { url, roots }: { url: URL; roots: () => Promise<readonly string[]> },
): Promise<Answer> {
  const secure = url.protocol === "https:";
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const plain = await reach.connect({ host, port: secure ? 443 : 80 });
  try {
    const socket = secure ? await handshake(plain, { host, roots: await roots() }) : plain;
    return await exchange(socket, { url, signal: reach.signal });
  } finally {
    plain.destroy();
  }
}

function exchange(
  socket: Duplex,
  { url, signal }: { url: URL; signal: AbortSignal },
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request({
      createConnection: () => socket,
      host: url.hostname,
      path: `${url.pathname}${url.search}`,
      headers: { Host: url.hostname, "User-Agent": "handfast-acme", Connection: "close" },
      maxHeaderSize: maxHeaderBytes,
      insecureHTTPParser: false,
      signal,
    });
    asked.on("error", reject);
    asked.on("response", (response) => {
      read(response).then(resolve, reject);
    });
    asked.end();
  });
}

async function read(response: IncomingMessage): Promise<Answer> {
  const { statusCode: status = 0, headers } = response;
  if (redirectStatuses.has(status) && headers.location !== undefined) {
    response.destroy();
    return { status, location: headers.location, body: "" };
  }
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxBodyBytes) {
      response.destroy();
      throw new ValidationFailure("incorrectResponse", `the body is over ${maxBodyBytes} bytes`);
    }
    chunks.push(chunk);
  }
  return { status, location: undefined, body: Buffer.concat(chunks).toString("latin1") };
}

function handshake(
  socket: Socket,
  { host, roots }: { host: string; roots: readonly string[] },
): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const secured = connect({
      socket,
      ca: [...rootCertificates, ...roots],
      rejectUnauthorized: true,
      minVersion: "TLSv1.2",
      ...(isIP(host) === 0 ? { servername: host } : { host }),
    });
    secured.once("secureConnect", () => resolve(secured));
    secured.once("error", reject);
  });
}

function redirectTarget(location: string, from: URL): URL {
  const target = location.length <= maxLocationLength ? URL.parse(location, from.href) : null;
  const fits =
    target !== null &&
    (target.protocol === "http:" || target.protocol === "https:") &&
    target.port === "" &&
    target.username === "" &&
    target.password === "";
  if (fits) return target;
  throw new ValidationFailure("connection", "a redirect leads elsewhere than to port 80 or 443");
}

const maxRedirects = 3;
const maxBodyBytes = 1_024;
const maxHeaderBytes = 8_192;
const maxLocationLength = 2_048;
const redirectStatuses: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
