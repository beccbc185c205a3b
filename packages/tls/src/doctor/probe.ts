import { connect as connectNet, isIP } from "node:net";
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { connect as connectTls, createSecureContext } from "node:tls";
import type { SecureVersion, TLSSocket } from "node:tls";

import { parseCertificate } from "@handfast/x509";
import type { Certificate } from "@handfast/x509";

import { refusalOfTlsError } from "../openssl-errors.ts";
import { refusal } from "../refusal.ts";
import type { Refusal } from "../refusal.ts";
import { secureContextOptions } from "../secure-context.ts";
import type { Identity } from "../identity.ts";
import { judgeConnection, judgePresented, verdictIsOurs } from "../verify-peer.ts";
import type { Grounds } from "../grounds.ts";
import type { Verdict } from "../verify-peer.ts";
import { askHttp1, askHttp2 } from "./answer.ts";
import type { Answer } from "./answer.ts";
import { readServerHandshake } from "./overheard-handshake.ts";
import type { CertificateRequest } from "./overheard-handshake.ts";

/** One way of knocking. */
export interface ProbeOffer {
  readonly minVersion: SecureVersion;
  readonly maxVersion: SecureVersion;
  readonly alpn: readonly string[];
  /** The name in the ClientHello; undefined sends none. */
  readonly serverName: string | undefined;
  readonly groups: "prefer-post-quantum" | "post-quantum" | "classic";
  /** Sent if the server asks. The caller has verified the server before, or was told to send it all the same. */
  readonly identity: PresentedIdentity | undefined;
  /** Whom to ask something, to learn what it thinks of us: gRPC health over h2, else `GET /`. */
  readonly ask: "nobody" | "verified" | "anybody";
}

/** A chain and its key, PEM, unchecked: what is wrong with it is for the server to say. */
export type PresentedIdentity = Pick<Identity, "certificateChainPem" | "privateKeyPem">;

/** Where to knock. */
export interface ProbeTarget {
  readonly host: string;
  readonly port: number;
  readonly timeoutMs: number;
}

/** What came of it. */
export type Probe =
  | { readonly stage: "unreachable"; readonly code: string; readonly reason: string }
  | (Heard & { readonly stage: "broken"; readonly refusal: Refusal; readonly errorCode: string })
  | (Heard & {
      readonly stage: "connected";
      readonly version: string;
      readonly cipher: string;
      /** As OpenSSL names it; undefined where it does not tell. */
      readonly group: string | undefined;
      /** Undefined if the server chose none. */
      readonly alpn: string | undefined;
      readonly verdict: Verdict;
      readonly answer: Answer | undefined;
    });

/** What the server said in its handshake, in whatever it ended. */
export interface Heard {
  readonly remoteAddress: string;
  readonly serverHello: boolean;
  /** As sent, leaf first; empty where none arrived or none could be read. */
  readonly sent: readonly Certificate[];
  readonly certificateRequest: CertificateRequest | undefined;
  /** The verdict on what was sent, also where the handshake failed after it. */
  readonly judged: Verdict | undefined;
  /** The first bytes of a server that does not speak TLS. */
  readonly greeting: Uint8Array;
}

/**
 * Makes one connection and reports on it. The server is judged by the one verifier; a server that is refused
 * is sent no byte after its handshake unless `ask` says so. Never rejects for what the network or the server does.
 */
export async function probe(
  target: ProbeTarget,
  offer: ProbeOffer,
  grounds: Grounds,
): Promise<Probe> {
  const signal = AbortSignal.timeout(target.timeoutMs);
  const raw = await connectRaw(target, signal);
  if (!("destroy" in raw)) return raw;
  const remoteAddress = raw.remoteAddress ?? "";
  const received: Buffer[] = [];
  let serverSecret: Uint8Array | undefined;
  const socket = connectTls({
    ...verdictIsOurs,
    socket: overheard(raw, received),
    secureContext: createSecureContext(contextOptions(offer, grounds)),
    ALPNProtocols: [...offer.alpn],
    // The verifier checks names.
    checkServerIdentity: () => undefined,
    ...(offer.serverName !== undefined && isIP(offer.serverName) === 0
      ? { servername: offer.serverName }
      : {}),
  });
  socket.on("keylog", (line: Buffer) => {
    const [label, , secret = ""] = line.toString("latin1").trim().split(" ");
    if (label === "SERVER_HANDSHAKE_TRAFFIC_SECRET") serverSecret = Buffer.from(secret, "hex");
  });
  const hear = (): Heard => {
    const bytes = Buffer.concat(received);
    const { serverHello, certificates, certificateRequest } = readServerHandshake(
      bytes,
      serverSecret,
    );
    const sent = certificates.flatMap((der) => readable(der));
    const [leaf, ...candidates] = sent;
    const judged =
      leaf === undefined ? undefined : judgePresented({ leaf, candidates }, noFacts, grounds);
    const greeting = bytes.subarray(0, 64);
    return { remoteAddress, serverHello, sent, certificateRequest, judged, greeting };
  };

  try {
    const failed = await handshake(socket, signal);
    if (failed !== undefined) return { stage: "broken", ...failed, ...hear() };
    const { name } = (socket.getEphemeralKeyInfo() ?? {}) as { name?: string };
    const alpn = typeof socket.alpnProtocol === "string" ? socket.alpnProtocol : undefined;
    const connected = {
      stage: "connected",
      version: socket.getProtocol() ?? "unknown",
      cipher: socket.getCipher().standardName,
      group: name,
      alpn,
      verdict: judgeConnection(socket, grounds, { handshakeTrust: grounds.trust }),
    } as const;
    const { verdict } = connected;
    const answer =
      offer.ask === "anybody" || (offer.ask === "verified" && verdict.ok)
        ? await (alpn === "h2" ? askHttp2 : askHttp1)(socket, {
            authority: `${offer.serverName ?? target.host}:${target.port}`,
            timeoutMs: Math.min(target.timeoutMs, ANSWER_MS),
          })
        : undefined;
    return { ...connected, answer, ...hear() };
  } finally {
    socket.destroy();
    raw.destroy();
  }
}

function contextOptions(
  { identity, groups, minVersion, maxVersion }: ProbeOffer,
  { trust }: Grounds,
): ReturnType<typeof secureContextOptions> {
  return {
    ...secureContextOptions(identity, trust, {
      minVersion: minVersion === "TLSv1.2" ? "TLSv1.2" : "TLSv1.3",
      postQuantum: groups === "post-quantum" ? "require" : "prefer",
    }),
    maxVersion,
    ...(groups === "classic" ? { ecdhCurve: "X25519:P-256:P-384" } : {}),
  };
}

async function connectRaw(
  { host, port }: ProbeTarget,
  signal: AbortSignal,
): Promise<Socket | (Probe & { stage: "unreachable" })> {
  const socket = connectNet({ host, port, noDelay: true });
  try {
    await new Promise<void>((resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    return socket;
  } catch (thrown) {
    socket.destroy();
    const error = thrown as NodeJS.ErrnoException & { errors?: NodeJS.ErrnoException[] };
    const code = error.code ?? error.errors?.[0]?.code ?? "ETIMEDOUT";
    return { stage: "unreachable", code, reason: error.errors?.[0]?.message ?? error.message };
  }
}

/** The same connection, with what arrives on it written down up to a bound. */
function overheard(raw: Socket, received: Buffer[]): Duplex {
  let size = 0;
  const stream = new Duplex({
    read: () => void raw.resume(),
    write: (bytes: Buffer, _encoding, done) => void raw.write(bytes, done),
    final: (done) => void raw.end(done),
    destroy(error, done) {
      raw.destroy();
      done(error);
    },
  });
  raw.on("data", (bytes: Buffer) => {
    if (size < MAX_OVERHEARD_BYTES) received.push(bytes);
    size += bytes.length;
    if (!stream.push(bytes)) raw.pause();
  });
  raw.once("end", () => stream.push(null));
  raw.once("close", () => stream.push(null));
  raw.once("error", (error) => stream.destroy(error));
  return stream;
}

/** Waits for the end of the handshake. @returns why it failed, or undefined */
function handshake(
  socket: TLSSocket,
  signal: AbortSignal,
): Promise<{ refusal: Refusal; errorCode: string } | undefined> {
  return new Promise((resolve) => {
    const timedOut = { refusal: refusal("HANDSHAKE_TIMEOUT"), errorCode: "ETIMEDOUT" };
    signal.addEventListener("abort", () => resolve(timedOut), { once: true });
    socket.once("secureConnect", () => resolve(undefined));
    socket.on("error", (error: NodeJS.ErrnoException) => {
      resolve({ refusal: refusalOfTlsError(error), errorCode: error.code ?? "" });
    });
    const closed = (): void => {
      resolve({ refusal: refusal("PEER_CONNECTION_CLOSED", { by: "peer" }), errorCode: "" });
    };
    socket.once("end", closed);
    socket.once("close", closed);
  });
}

/** A certificate that cannot be read is told of by the verdict on the connection. */
function readable(der: Uint8Array): Certificate[] {
  try {
    return [parseCertificate(der)];
  } catch {
    return [];
  }
}

const noFacts = { tlsVersion: "unknown", cipher: "unknown", resumed: false };
const MAX_OVERHEARD_BYTES = 256 * 1024;
const ANSWER_MS = 3000;
