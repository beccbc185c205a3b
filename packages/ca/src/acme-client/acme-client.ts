import type { KeyObject } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { createName, createRequest, generateKeyPair } from "@handfast/x509";
import type { Certificate, KeyAlgorithm } from "@handfast/x509";
import { thumbprintOf } from "../acme/account-key.ts";
import { keyAuthorizationOf } from "../acme/challenge.ts";
import { readIdentifier } from "../acme/identifier.ts";
import type { Identifier } from "../acme/identifier.ts";
import { AcmeProblem } from "../acme/problem.ts";
import { ariIdentifierOf } from "../acme/renewal-info.ts";
import { CaError } from "../errors.ts";
import { receivedCertificate } from "./received-certificate.ts";
import type { AcmeCertificate } from "./received-certificate.ts";
import { renewalWindow } from "./renewal-window.ts";
import type { RenewalWindow } from "./renewal-window.ts";
import { createSession, describeProblem, problemTypeOf, textOf, textsOf } from "./session.ts";
import type { AcmeAnswered, AcmeSession } from "./session.ts";
import { bindExternalAccount, createAccountSigner } from "./sign-jws.ts";
import type { ChallengeSolver } from "./solvers.ts";
import { createTransport } from "./transport.ts";
import type { AcmeRoots } from "./transport.ts";

/** How a foreign authority is spoken to. */
export interface AcmeClientOptions {
  /** `https://HOST/…/directory`. */
  readonly directoryUrl: string;
  /** What its HTTPS certificate is verified by, as PEM; `public` for the roots that Node carries. */
  readonly roots: AcmeRoots;
  /** Who we are there: keep it, or the account is lost. P-256, P-384, Ed25519, RSA from 2048 bits. */
  readonly accountKey: KeyObject;
  /** How control of names is shown; the first that the authority offers for a name is taken. */
  readonly solvers: readonly ChallengeSolver[];
  /** For authorities that want one (EAB, RFC 8555 7.3.4). */
  readonly externalAccount?: { readonly keyId: string; readonly macKey: string };
  /** E-mail addresses. */
  readonly contact?: readonly string[];
  /** Agrees to the authority's terms of service, where it has some. */
  readonly agreeToTerms?: boolean;
  readonly signal?: AbortSignal;
  readonly clock?: () => Date;
  /** Waits between two looks at what is under way; a test does not. */
  readonly wait?: (ms: number, signal: AbortSignal | undefined) => Promise<void>;
}

/** What is asked for. */
export interface AcmeCertificateRequest {
  /** DNS names, with `*.` for a wildcard, and IP addresses. */
  readonly names: readonly string[];
  /** The key to be certified; a new one if not given. */
  readonly privateKey?: KeyObject;
  /** Of the new key; ECDSA P-256 if not given. */
  readonly keyAlgorithm?: KeyAlgorithm;
  /** The certificate that it replaces, for authorities that take note of it (RFC 9773 5). */
  readonly replaces?: Certificate;
}

/** A client of one ACME server, for one account. */
export interface AcmeClient {
  readonly directoryUrl: string;
  /**
   * Obtains a certificate; the account is made or found when it is first needed.
   *
   * @throws CaError ACME_REFUSED, ACME_UNREACHABLE, ANSWER_INVALID, NAME_REFUSED
   */
  obtain(request: AcmeCertificateRequest): Promise<AcmeCertificate>;
  /**
   * When the authority would have a certificate renewed (RFC 9773); undefined if it does not say.
   *
   * @throws CaError ACME_REFUSED, ACME_UNREACHABLE, ANSWER_INVALID
   */
  renewalWindow(certificate: Certificate): Promise<RenewalWindow | undefined>;
  /**
   * Revokes a certificate of this account; `reason` is a number of RFC 5280 5.3.1, unspecified if not
   * given.
   *
   * @throws CaError ACME_REFUSED, ACME_UNREACHABLE
   */
  revoke(certificate: Certificate, options?: { readonly reason?: number }): Promise<void>;
}

/** Makes a client; nothing is sent before something is asked for. */
export function createAcmeClient(options: AcmeClientOptions): AcmeClient {
  const { directoryUrl, roots, accountKey, signal, clock = () => new Date() } = options;
  const { solvers, wait = waitFor } = options;
  const signer = createAccountSigner(accountKey);
  const transport = createTransport(roots);
  const session = createSession({ directoryUrl, transport, signer, signal });
  const thumbprint = thumbprintOf(signer.jwk);
  let registered: Promise<void> | undefined;

  return {
    directoryUrl,
    async obtain({ names, replaces, keyAlgorithm, ...given }): Promise<AcmeCertificate> {
      const identifiers = names.map(identifierOf);
      const { privateKey = generateKeyPair(keyAlgorithm).privateKey } = given;
      await account();
      const { url, order } = await newOrder(session, { identifiers, replaces });
      for (const authorization of textsOf(order["authorizations"], "authorizations")) {
        await authorize(authorization);
      }
      await settled(url, { until: ["ready", "valid"] });
      const csr = Buffer.from(requestFor(identifiers, privateKey)).toString("base64url");
      await session.post(textOf(order["finalize"], "finalize"), { csr });
      const done = await settled(url, { until: ["valid"] });
      const { text } = await session.post(textOf(done["certificate"], "certificate"));
      return receivedCertificate(text, { identifiers, privateKey, now: clock() });
    },
    async renewalWindow(certificate): Promise<RenewalWindow | undefined> {
      const { renewalInfo } = await session.directory();
      const id = ariIdentifierOf(certificate);
      if (renewalInfo === undefined || id === undefined) return undefined;
      return renewalWindow(`${renewalInfo}/${id}`, {
        transport,
        now: clock(),
        ...(signal !== undefined && { signal }),
      });
    },
    async revoke(certificate, { reason } = {}): Promise<void> {
      await account();
      const { revokeCert } = await session.directory();
      await session.post(revokeCert, {
        certificate: Buffer.from(certificate.der).toString("base64url"),
        ...(reason !== undefined && { reason }),
      });
    },
  };

  /** An account that could not be made is tried again the next time. */
  function account(): Promise<void> {
    registered ??= register(session, { ...options, jwk: signer.jwk });
    registered.catch(() => (registered = undefined));
    return registered;
  }

  async function authorize(url: string): Promise<void> {
    const { body } = await session.post(url);
    if (body["status"] === "valid") return;
    const { solver, challenge } = choose(body, solvers);
    const token = textOf(challenge["token"], "token");
    if (!/^[A-Za-z0-9_-]{1,256}$/.test(token)) {
      throw new CaError("ANSWER_INVALID", "the token of a challenge must be base64url");
    }
    const remove = await solver.present({
      identifier: offeredIdentifier(body),
      token,
      keyAuthorization: keyAuthorizationOf(token, thumbprint),
    });
    try {
      await session.post(textOf(challenge["url"], "url"), {});
      await settled(url, { until: ["valid"] });
    } finally {
      await remove();
    }
  }

  /** Looks again and again until a resource is what it is to become, or cannot become it any more. */
  async function settled(
    url: string,
    { until }: { until: readonly string[] },
  ): Promise<AcmeAnswered["body"]> {
    const deadline = clock().getTime() + longestWaitMs;
    for (;;) {
      const { body, retryAfterMs = usualPauseMs } = await session.post(url);
      const status = textOf(body["status"], "status");
      if (until.includes(status)) return body;
      if (status !== "pending" && status !== "processing") throw failed(status, body);
      const pause = Math.min(Math.max(retryAfterMs, usualPauseMs), longestPauseMs);
      if (clock().getTime() + pause > deadline) {
        throw new CaError("ACME_UNREACHABLE", `${new URL(url).origin} left it ${status} too long`);
      }
      await wait(pause, signal);
    }
  }
}

async function register(
  session: AcmeSession,
  {
    externalAccount,
    contact = [],
    agreeToTerms = false,
    jwk,
  }: AcmeClientOptions & { jwk: Parameters<typeof thumbprintOf>[0] },
): Promise<void> {
  const { newAccount, externalAccountRequired } = await session.directory();
  if (externalAccountRequired && externalAccount === undefined) {
    const existing = await session.post(newAccount, { onlyReturnExisting: true });
    session.useAccount(textOf(existing.location, "the account's Location"));
    return;
  }
  const { location } = await session.post(newAccount, {
    ...(agreeToTerms && { termsOfServiceAgreed: true }),
    ...(contact.length > 0 && { contact: contact.map((address) => `mailto:${address}`) }),
    ...(externalAccount !== undefined && {
      externalAccountBinding: bindExternalAccount(externalAccount, { jwk, url: newAccount }),
    }),
  });
  session.useAccount(textOf(location, "the account's Location"));
}

async function newOrder(
  session: AcmeSession,
  {
    identifiers,
    replaces,
  }: { identifiers: readonly Identifier[]; replaces: Certificate | undefined },
): Promise<{ url: string; order: AcmeAnswered["body"] }> {
  const { newOrder: to, renewalInfo } = await session.directory();
  const id = replaces && renewalInfo !== undefined ? ariIdentifierOf(replaces) : undefined;
  const { body, location } = await place();
  return { url: textOf(location, "the order's Location"), order: body };

  /** What was replaced before, by an order whose certificate was lost, is ordered like any other. */
  async function place(): Promise<AcmeAnswered> {
    if (id === undefined) return session.post(to, { identifiers });
    try {
      return await session.post(to, { identifiers, replaces: id });
    } catch (error) {
      if (problemTypeOf(error) !== "alreadyReplaced") throw error;
      return session.post(to, { identifiers });
    }
  }
}

function choose(
  authorization: AcmeAnswered["body"],
  solvers: readonly ChallengeSolver[],
): { solver: ChallengeSolver; challenge: Readonly<Record<string, unknown>> } {
  const offered = (authorization["challenges"] ?? []) as Readonly<Record<string, unknown>>[];
  for (const solver of solvers) {
    const challenge = offered.find(({ type }) => type === solver.type);
    if (challenge !== undefined) return { solver, challenge };
  }
  const types = offered.map(({ type }) => String(type)).join(", ");
  throw new CaError(
    "ACME_REFUSED",
    `${offeredIdentifier(authorization).value} can be shown by ${types}, and we have ${solvers.map(({ type }) => type).join(", ") || "nothing"}`,
  );
}

function offeredIdentifier({ identifier }: AcmeAnswered["body"]): Identifier {
  try {
    return readIdentifier(identifier);
  } catch (error) {
    throw new CaError("ANSWER_INVALID", `the authorization: ${(error as Error).message}`);
  }
}

function failed(status: string, body: AcmeAnswered["body"]): CaError {
  const challenges = (body["challenges"] ?? []) as { error?: unknown }[];
  const problem = body["error"] ?? challenges.find(({ error }) => error !== undefined)?.error;
  return new CaError(
    "ACME_REFUSED",
    `the authority found it ${status}: ${describeProblem(problem)}`,
  );
}

function identifierOf(name: string): Identifier {
  for (const type of ["ip", "dns"]) {
    try {
      return readIdentifier({ type, value: name });
    } catch (error) {
      if (!(error instanceof AcmeProblem)) throw error;
    }
  }
  throw new CaError(
    "NAME_REFUSED",
    `name ${JSON.stringify(name)} must be a DNS name or an address`,
  );
}

function requestFor(identifiers: readonly Identifier[], privateKey: KeyObject): Uint8Array {
  const of = (wanted: Identifier["type"]) =>
    identifiers.filter(({ type }) => type === wanted).map(({ value }) => value);
  return createRequest({
    subject: createName([]),
    subjectAltNames: { dns: of("dns"), ip: of("ip") },
    privateKey,
  });
}

async function waitFor(ms: number, signal: AbortSignal | undefined): Promise<void> {
  await setTimeout(ms, undefined, signal === undefined ? {} : { signal });
}

const usualPauseMs = 1_000;
const longestPauseMs = 60_000;
const longestWaitMs = 300_000;
