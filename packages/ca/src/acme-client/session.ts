import type { AccountSigner } from "./sign-jws.ts";
import { CaError } from "../errors.ts";
import type { AcmeResponse, AcmeTransport } from "./transport.ts";

/** Signed requests to one ACME server, one after the other or together. */
export interface AcmeSession {
  directory(): Promise<AcmeDirectory>;
  /** A POST signed by the account, or by the key where there is none yet; undefined is POST-as-GET. */
  post(url: string, payload?: unknown): Promise<AcmeAnswered>;
  /** From now on the account signs. */
  useAccount(kid: string): void;
}

/** The resources of a server (RFC 8555 7.1.1, RFC 9773 3). */
export interface AcmeDirectory {
  readonly newNonce: string;
  readonly newAccount: string;
  readonly newOrder: string;
  readonly revokeCert: string;
  readonly renewalInfo: string | undefined;
  readonly externalAccountRequired: boolean;
}

/** A good answer. */
export interface AcmeAnswered {
  readonly body: Readonly<Record<string, unknown>>;
  readonly text: string;
  readonly location: string | undefined;
  /** How long the server wants to be left alone; undefined if it does not say. */
  readonly retryAfterMs: number | undefined;
}

/** Opens a session; nothing is sent before it is needed. */
export function createSession({
  directoryUrl,
  transport,
  signer,
  signal,
}: {
  readonly directoryUrl: string;
  readonly transport: AcmeTransport;
  readonly signer: AccountSigner;
  readonly signal: AbortSignal | undefined;
}): AcmeSession {
  let directory: Promise<AcmeDirectory> | undefined;
  let kid: string | undefined;
  const nonces: string[] = [];
  const ask = (asked: Parameters<AcmeTransport>[0]) =>
    transport({ ...asked, ...(signal !== undefined && { signal }) });

  return {
    directory: readDirectory,
    useAccount(account): void {
      kid = account;
    },
    async post(url, payload): Promise<AcmeAnswered> {
      for (let attempt = 1; ; attempt++) {
        const header = {
          nonce: await takeNonce(),
          url,
          ...(kid === undefined ? { jwk: signer.jwk } : { kid }),
        };
        const response = await ask({ url, method: "POST", body: signer.sign(header, payload) });
        keepNonce(response);
        if (response.status >= 200 && response.status < 300) return answered(response);
        const problem = problemOf(response);
        if (problem.type !== "badNonce" || attempt === maxAttempts) throw refused(problem, url);
      }
    },
  };

  function readDirectory(): Promise<AcmeDirectory> {
    directory ??= fetchDirectory();
    directory.catch(() => (directory = undefined));
    return directory;
  }

  async function fetchDirectory(): Promise<AcmeDirectory> {
    const response = await ask({ url: directoryUrl, method: "GET" });
    if (response.status !== 200) throw refused(problemOf(response), directoryUrl);
    const { body } = answered(response);
    const urlOf = (name: string) => textOf(body[name], `${name} of the directory`);
    const meta = (body["meta"] ?? {}) as { externalAccountRequired?: unknown };
    return {
      newNonce: urlOf("newNonce"),
      newAccount: urlOf("newAccount"),
      newOrder: urlOf("newOrder"),
      revokeCert: urlOf("revokeCert"),
      renewalInfo: body["renewalInfo"] === undefined ? undefined : urlOf("renewalInfo"),
      externalAccountRequired: meta.externalAccountRequired === true,
    };
  }

  async function takeNonce(): Promise<string> {
    const kept = nonces.pop();
    if (kept !== undefined) return kept;
    const { newNonce } = await readDirectory();
    const { headers } = await ask({ url: newNonce, method: "HEAD" });
    return textOf(headers["replay-nonce"], "the nonce");
  }

  function keepNonce({ headers }: AcmeResponse): void {
    const nonce = headers["replay-nonce"];
    if (typeof nonce === "string" && nonces.length < maxNonces) nonces.push(nonce);
  }
}

/** A text of an answer. @throws CaError ANSWER_INVALID */
export function textOf(value: unknown, what: string): string {
  if (typeof value === "string" && value !== "") return value;
  throw new CaError("ANSWER_INVALID", `the ACME server's answer lacks ${what}`);
}

/** A list of texts of an answer. @throws CaError ANSWER_INVALID */
export function textsOf(value: unknown, what: string): readonly string[] {
  if (!Array.isArray(value)) throw new CaError("ANSWER_INVALID", `${what} must be a list`);
  return value.map((one: unknown) => textOf(one, what));
}

/** The type of the problem for which a server refused; undefined for any other error. */
export function problemTypeOf(error: unknown): string | undefined {
  return error instanceof CaError ? problemTypes.get(error) : undefined;
}

/** What an ACME server said that is wrong, of a challenge or an order too; cut to a fair length. */
export function describeProblem(problem: unknown): string {
  const { type, detail } = (problem ?? {}) as { type?: unknown; detail?: unknown };
  const name =
    typeof type === "string" ? type.replace(/^urn:ietf:params:acme:error:/, "") : "error";
  const words = typeof detail === "string" ? `: ${detail}` : "";
  return `${name}${words}`.slice(0, maxDetailLength);
}

function answered({ headers, text }: AcmeResponse): AcmeAnswered {
  const json = /^application\/json\b/i.test(String(headers["content-type"]));
  const { location } = headers;
  return {
    body: json ? objectOf(text) : {},
    text,
    location,
    retryAfterMs: retryAfterOf(headers["retry-after"]),
  };
}

function objectOf(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      return value as Readonly<Record<string, unknown>>;
    }
  } catch {
    // What is no JSON is no object either.
  }
  throw new CaError("ANSWER_INVALID", "the ACME server's answer must be a JSON object");
}

function problemOf({ status, headers, text }: AcmeResponse): {
  type: string;
  text: string;
  retryAfterMs: number | undefined;
} {
  const isProblem = /^application\/problem\+json\b/i.test(String(headers["content-type"]));
  const body = isProblem ? objectOf(text) : {};
  const retryAfterMs = retryAfterOf(headers["retry-after"]);
  const described = isProblem ? describeProblem(body) : `status ${status}`;
  return { type: described.split(":")[0] ?? "", text: described, retryAfterMs };
}

function refused(problem: ReturnType<typeof problemOf>, url: string): CaError {
  const { origin } = new URL(url);
  const later =
    problem.retryAfterMs === undefined ? "" : ` (again in ${problem.retryAfterMs / 1_000} s)`;
  const error = new CaError("ACME_REFUSED", `${origin} refused: ${problem.text}${later}`);
  problemTypes.set(error, problem.type);
  return error;
}

const problemTypes = new WeakMap<object, string>();

/** Seconds, or a date; a day at most. */
function retryAfterOf(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const ms = /^\d{1,9}$/.test(value) ? Number(value) * 1_000 : Date.parse(value) - Date.now();
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), maxRetryAfterMs);
}

const maxAttempts = 4;
const maxNonces = 32;
const maxDetailLength = 500;
const maxRetryAfterMs = 86_400_000;
