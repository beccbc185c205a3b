import { checkRevocation, decodeName } from "@handfast/x509";
import type { Certificate, Crl } from "@handfast/x509";

import { serverName as expectName } from "../admission.ts";
import type { Expectation } from "../admission.ts";
import { createCertificateCache } from "../certificate-cache.ts";
import { createRecent } from "../recent.ts";
import { noRevocation } from "../revocation.ts";
import { parseTrust } from "../trust.ts";
import type { Trust, TrustMaterial } from "../trust.ts";
import { createVerifiedSignatures } from "../verified-signatures.ts";
import type { Grounds } from "../grounds.ts";
import type { Verdict } from "../verify-peer.ts";
import { judgeClientSide, strangersTreatment } from "./client-findings.ts";
import type { Treatment } from "./client-findings.ts";
import { byLikelihood, finding } from "./finding.ts";
import type { Finding } from "./finding.ts";
import { probe } from "./probe.ts";
import type { PresentedIdentity, Probe, ProbeOffer } from "./probe.ts";
import { brokenFindings, serverFindings, unreachableFinding } from "./server-findings.ts";

/** What to examine, and with what in hand. */
export interface ExamineServerOptions {
  readonly host: string;
  readonly port: number;
  /** The server name to ask for and to expect; `host` by default. */
  readonly name?: string;
  /** Whom to expect, where that is not a name. */
  readonly expect?: Expectation;
  /** The bundle of the client. Without it nothing can be verified, and no certificate is sent. */
  readonly trust?: readonly TrustMaterial[];
  /** The client's own chain and key. */
  readonly identity?: PresentedIdentity & { readonly chain: readonly Certificate[] };
  readonly crls?: readonly Crl[];
  /** Send our certificate to a server that was not verified. It tells a stranger who we are (S64). */
  readonly dangerouslySendCertificate?: boolean;
  /** What the client has to speak; without it a server may speak either. */
  readonly protocol?: "h2" | "http/1.1";
  /** For each connection. Default 5,000. */
  readonly timeoutMs?: number;
  readonly now?: Date;
}

/** What there is to say of a server. */
export interface ServerReport {
  readonly host: string;
  readonly port: number;
  readonly name: string;
  /** Undefined if no connection came about. */
  readonly remoteAddress: string | undefined;
  /** What it can do; undefined where it could not be told. */
  readonly versions: { readonly "TLSv1.3"?: boolean; readonly "TLSv1.2"?: boolean };
  readonly protocols: { readonly h2?: boolean; readonly "http/1.1"?: boolean };
  readonly postQuantum?: boolean;
  /** Of the first connection. */
  readonly connection?: {
    readonly version: string;
    readonly cipher: string;
    readonly group: string | undefined;
    readonly alpn: string | undefined;
  };
  /** The chain as it was sent, leaf first; not verified by being here. */
  readonly sent: readonly Certificate[];
  /** Whether the server was verified. */
  readonly verified: boolean;
  readonly identity: string | undefined;
  readonly clientCertificate: "required" | "optional" | "not asked for" | "unknown";
  /** The CAs that the server names when it asks for a certificate, as text. */
  readonly authorities: readonly string[];
  readonly withoutCertificate: Treatment | undefined;
  readonly withCertificate: Treatment | undefined;
  /** Most likely first; empty if all is well. */
  readonly findings: readonly Finding[];
}

/**
 * Handshakes with a server as clients would, without and with our certificate, and says what is wrong.
 *
 * Our certificate is sent only after a connection without it on which the server was verified, and then on
 * another connection (S64): Node sends a certificate before a program can judge the server, so somebody on the
 * path who lets the first connection through and answers the second himself learns it, and nothing more.
 *
 * @throws TlsError TRUST_INVALID
 */
export async function examineServer(options: ExamineServerOptions): Promise<ServerReport> {
  const { host, port, crls = [] } = options;
  const name = options.name ?? host;
  const now = options.now ?? new Date();
  const trust = options.trust === undefined ? nobodyTrusted : parseTrust(options.trust);
  const grounds = await groundsFor(options.expect ?? expectName(name), { trust, now });
  const target = { host, port, timeoutMs: options.timeoutMs ?? 5000 };
  const words = { host, port, name };
  const knock = (offer: Partial<ProbeOffer>): Promise<Probe> =>
    probe(target, { ...usual, serverName: name, ...offer }, grounds);

  const first = await knock({ ask: "verified" });
  const nothing = { host, port, name, versions: {}, protocols: {}, sent: [], verified: false };
  const unknown = { identity: undefined, clientCertificate: "unknown", authorities: [] } as const;
  if (first.stage === "unreachable") {
    return {
      ...nothing,
      ...unknown,
      remoteAddress: undefined,
      withoutCertificate: undefined,
      withCertificate: undefined,
      findings: [unreachableFinding(first, words)],
    };
  }

  const findings: Finding[] = [];
  const verdict = first.stage === "connected" ? first.verdict : first.judged;
  if (first.stage === "broken") findings.push(...brokenFindings(first, words));
  if (options.trust === undefined) findings.push(finding("NO_TRUST", { words }));
  else if (verdict !== undefined) {
    findings.push(
      ...serverFindings(verdict, {
        words,
        now,
        trust,
        sent: first.sent,
        candidates: options.identity?.chain.slice(1) ?? [],
        ownLeaf: options.identity?.chain[0],
      }),
      ...revocationFindings(verdict, { crls, now, words }),
    );
  }

  const abilities = first.serverHello
    ? await findAbilities(knock, { findings, protocol: options.protocol })
    : {};
  const mayIdentify = verdict?.ok === true || options.dangerouslySendCertificate === true;
  const second =
    options.identity !== undefined && mayIdentify && first.serverHello
      ? await knock({
          ask: options.dangerouslySendCertificate === true ? "anybody" : "verified",
          identity: options.identity,
        })
      : undefined;
  const without = strangersTreatment(first);
  findings.push(
    ...judgeClientSide({
      first,
      second,
      identity: options.identity,
      trust,
      crls,
      now,
      without,
      words,
    }),
  );
  return {
    ...nothing,
    remoteAddress: first.remoteAddress,
    ...abilities,
    ...(first.stage === "connected"
      ? {
          connection: {
            version: first.version,
            cipher: first.cipher,
            group: first.group,
            alpn: first.alpn,
          },
        }
      : {}),
    sent: first.sent,
    verified: verdict?.ok === true,
    identity: verdict?.ok === true ? verdict.peer.identity : undefined,
    clientCertificate: without.policy,
    authorities: (first.certificateRequest?.authorities ?? []).map(nameText),
    withoutCertificate: without.treatment,
    withCertificate: second === undefined ? undefined : strangersTreatment(second).treatment,
    findings: byLikelihood(findings),
  };
}

/**
 * The chain that a server sends to whoever asks, leaf first. Nothing about it is verified, no certificate of
 * ours is sent, and nothing is asked.
 */
export async function readPresentedChain(
  options: Pick<ExamineServerOptions, "host" | "port" | "name" | "timeoutMs">,
): Promise<{ readonly sent: readonly Certificate[]; readonly findings: readonly Finding[] }> {
  const { host, port, name = host, timeoutMs = 5000 } = options;
  const grounds = await groundsFor(expectName(name), { trust: nobodyTrusted, now: new Date() });
  const heard = await probe({ host, port, timeoutMs }, { ...usual, serverName: name }, grounds);
  const words = { host, port, name };
  if (heard.stage === "unreachable") {
    return { sent: [], findings: [unreachableFinding(heard, words)] };
  }
  if (heard.sent.length > 0) return { sent: heard.sent, findings: [] };
  const findings =
    heard.stage === "broken"
      ? brokenFindings(heard, words)
      : [finding("SERVER_REFUSED", { words, detail: "its certificate cannot be read" })];
  return { sent: [], findings };
}

/** Which versions, protocols and groups the server takes, each asked for alone. */
async function findAbilities(
  knock: (offer: Partial<ProbeOffer>) => Promise<Probe>,
  { findings, protocol }: { findings: Finding[]; protocol: ExamineServerOptions["protocol"] },
): Promise<Pick<ServerReport, "versions" | "protocols" | "postQuantum">> {
  const [tls13, tls12, h2, http1, quantum] = await Promise.all([
    knock({ minVersion: "TLSv1.3" }),
    knock({ maxVersion: "TLSv1.2" }),
    knock({ alpn: ["h2"] }),
    knock({ alpn: ["http/1.1"] }),
    knock({ minVersion: "TLSv1.3", groups: "post-quantum" }),
  ]);
  const versions = { "TLSv1.3": spoke(tls13), "TLSv1.2": spoke(tls12) };
  const chose = (answer: Probe, protocol: string): boolean | undefined => {
    if (answer.stage === "connected") return answer.alpn === protocol;
    return answer.stage === "broken" && answer.refusal.code === "NO_APPLICATION_PROTOCOL"
      ? false
      : undefined;
  };
  const protocols = { h2: chose(h2, "h2"), "http/1.1": chose(http1, "http/1.1") };
  const postQuantum = spoke(quantum);
  if (!versions["TLSv1.3"] && versions["TLSv1.2"]) {
    findings.push(finding("TLS12_ONLY", { severity: "warning" }));
  }
  const neither = protocols.h2 === false && protocols["http/1.1"] === false;
  if (protocols.h2 === false && (protocol === "h2" || (protocol === undefined && neither))) {
    const severity = protocol === "h2" ? "error" : "warning";
    findings.push(finding("ALPN_NO_H2", { severity }));
  }
  // Without ALPN a server speaks HTTP/1.1; one that chose h2 where that was offered does not.
  if (protocol === "http/1.1" && protocols["http/1.1"] === false && protocols.h2 === true) {
    findings.push(finding("ALPN_NO_HTTP1"));
  }
  if (versions["TLSv1.3"] && !postQuantum) {
    findings.push(finding("NO_POST_QUANTUM", { severity: "warning" }));
  }
  return { versions, protocols: defined(protocols), postQuantum };
}

function spoke(answer: Probe): boolean {
  return answer.stage !== "unreachable" && answer.serverHello;
}

function defined<Fields extends Record<string, boolean | undefined>>(
  fields: Fields,
): { [Field in keyof Fields]?: boolean } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [Field in keyof Fields]?: boolean;
  };
}

function revocationFindings(
  verdict: Verdict,
  { crls, now, words }: { crls: readonly Crl[]; now: Date; words: Record<string, string | number> },
): Finding[] {
  if (!verdict.ok || crls.length === 0) return [];
  const found = checkRevocation(verdict.peer.chain, { crls, now });
  if (found.status === "revoked") {
    const at = found.entry.revokedAt.toISOString().replace(".000Z", "Z");
    const detail = `${found.certificate.subject.text}, at ${at}`;
    return [finding("SERVER_REVOKED", { words, detail })];
  }
  if (found.status === "unrevoked") return [];
  const stale = found.reason.includes("renewed at");
  return [
    finding(stale ? "CRL_STALE" : "CRL_MISSING", { severity: "warning", detail: found.reason }),
  ];
}

async function groundsFor(
  expect: Expectation,
  { trust, now }: { trust: Trust; now: Date },
): Promise<Grounds> {
  const hooks = { changed() {}, onEvent() {}, now: () => now, authorities: () => [] };
  return {
    trust,
    // Looked up by itself, to tell a refusal from a list that is missing.
    revocation: await noRevocation().open(hooks),
    undetermined: "admit",
    rule: { side: "client", expect },
    signatures: createVerifiedSignatures(),
    certificates: createCertificateCache(),
    recentPeers: createRecent(16),
    now,
    onEvent() {},
  };
}

function nameText(der: Uint8Array): string {
  try {
    return decodeName(der).text;
  } catch {
    return "a name that cannot be read";
  }
}

const nobodyTrusted: Trust = {
  anchors: [],
  certificates: [],
  pem: [],
  of: () => [],
  speaksFor: () => false,
};
const usual: ProbeOffer = {
  minVersion: "TLSv1.2",
  maxVersion: "TLSv1.3",
  alpn: ["h2", "http/1.1"],
  serverName: undefined,
  groups: "prefer-post-quantum",
  identity: undefined,
  ask: "nobody",
};
