import { createHmac, hash, sign } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { createServer, request } from "node:http";
import type { IncomingHttpHeaders, RequestListener } from "node:http";
import { connect } from "node:net";
import type { AddressInfo, Server } from "node:net";
import type { TestContext } from "node:test";
import { createName, createRequest, generateKeyPair } from "@handfast/x509";
import type { Certificate, KeyAlgorithm, KeyPair } from "@handfast/x509";
import { createAcme } from "../../src/index.ts";
import type { Acme, AcmeEvent, AcmeNetwork, AcmeOptions } from "../../src/index.ts";
import { temporaryAuthority } from "./fixtures.ts";
import type { TestAuthority } from "./fixtures.ts";

/** What every ACME server of the tests believes to be its URL. */
export const acmeUrl = "https://ca.test/acme";

/** An address that may be reached, were it not that tests lead it to a local listener. */
export const publicAddress = "93.184.215.14";

/** A world of names and addresses; connections to an address end at a local listener, or nowhere. */
export interface TestNetwork extends AcmeNetwork {
  /** The answers to the questions for a name, one after the other; the last stays. */
  readonly hosts: Map<string, (readonly string[])[]>;
  readonly records: Map<string, readonly string[]>;
  /** `ADDRESS:PORT` to the port of a local listener. */
  readonly listeners: Map<string, number>;
  /** Every address that was connected to, or tried. */
  readonly connections: string[];
  readonly own: string[];
}

export interface TestAcme extends TestAuthority {
  readonly acme: Acme;
  readonly network: TestNetwork;
  readonly events: AcmeEvent[];
  /** A new account with an external account key for these names. */
  account(names: readonly string[], algorithm?: KeyAlgorithm): Promise<TestClient>;
  /** A client without an account. */
  client(algorithm?: KeyAlgorithm): TestClient;
  /** An order whose control was shown by DNS, and which waits to be finalized. */
  ready(
    client: TestClient,
    identifiers: readonly { type: string; value: string }[],
  ): Promise<Awaited<ReturnType<typeof orderFor>>>;
  /** Waits for the next event of a type, of those that come from now on. */
  next(...types: AcmeEvent["type"][]): Promise<AcmeEvent>;
}

/** An ACME server on an authority of its own, and the means to talk to it. */
export async function temporaryAcme(
  context: TestContext,
  options: Partial<AcmeOptions> = {},
): Promise<TestAcme> {
  const base = await temporaryAuthority(context);
  const { authority, store, keys, clock } = base;
  const network = testNetwork();
  const events: AcmeEvent[] = [];
  let listeners: ((event: AcmeEvent) => void)[] = [];
  const acme = await createAcme({
    authority,
    store,
    keys,
    url: acmeUrl,
    network,
    clock: () => clock.now,
    onEvent(event) {
      events.push(event);
      for (const listener of listeners) listener(event);
    },
    ...options,
  });
  context.after(() => acme.close());
  const port = await listen(context, (message, response) => void acme.handle(message, response));
  const client = (algorithm?: KeyAlgorithm) => createTestClient(port, algorithm);
  return {
    ...base,
    acme,
    network,
    events,
    client,
    async account(names, algorithm): Promise<TestClient> {
      const external = await authority.createExternalAccount({ names, requester: "local:test" });
      const made = client(algorithm);
      await made.register(external);
      return made;
    },
    next,
    async ready(client, identifiers) {
      const made = await orderFor(client, identifiers, "dns-01");
      for (const [index, url] of made.challenges.entries()) {
        const { body } = await client.post(url, "");
        const digest = hash(
          "sha256",
          `${String(body["token"])}.${client.thumbprint()}`,
          "base64url",
        );
        const name = identifiers[index]?.value.replace(/^\*\./, "") ?? "";
        network.records.set(`_acme-challenge.${name}`, [digest]);
        const validated = next("challenge-validated");
        await client.post(url, {});
        await validated;
      }
      return made;
    },
  };

  function next(...types: AcmeEvent["type"][]): Promise<AcmeEvent> {
    return new Promise((resolve) => {
      const listener = (event: AcmeEvent) => {
        if (!types.includes(event.type)) return;
        listeners = listeners.filter((one) => one !== listener);
        resolve(event);
      };
      listeners.push(listener);
    });
  }
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  readonly body: Record<string, unknown>;
}

export interface PostOptions {
  readonly header?: Record<string, unknown>;
  /** Members of the JWS itself. */
  readonly jws?: Record<string, unknown>;
  readonly keys?: KeyPair;
  readonly contentType?: string;
  /** Signs for this URL instead of the one it is sent to. */
  readonly signedUrl?: string;
}

/** The least that speaks ACME, and the most that can be got wrong. */
export interface TestClient {
  keys: KeyPair;
  kid: string | undefined;
  get(url: string, method?: string): Promise<Answer>;
  /** Signed by the account, or by the key if there is no account yet. */
  post(url: string, payload: unknown, options?: PostOptions): Promise<Answer>;
  /** The same, to another server on the same store. */
  sendTo(
    port: number,
    url: string,
    payload: unknown,
    header?: Record<string, unknown>,
  ): Promise<Answer>;
  register(external?: { keyId: string; macKey: string }): Promise<Answer>;
  nonce(): Promise<string>;
  thumbprint(): string;
}

export function createTestClient(port: number, algorithm: KeyAlgorithm = "ecdsa-p256"): TestClient {
  let nonce: string | undefined;
  const client: TestClient = {
    keys: generateKeyPair(algorithm),
    kid: undefined,
    get: (url, method = "GET") => exchange(port, { url, method }),
    async nonce(): Promise<string> {
      const { headers } = await client.get(`${acmeUrl}/new-nonce`, "HEAD");
      return String(headers["replay-nonce"]);
    },
    async post(url, payload, options = {}): Promise<Answer> {
      const { keys = client.keys } = options;
      const header = {
        nonce: nonce ?? (await client.nonce()),
        url: options.signedUrl ?? url,
        ...(client.kid === undefined ? { jwk: jwkOf(keys.publicKey) } : { kid: client.kid }),
        ...options.header,
      };
      const jws = signJws(keys.privateKey, { header, payload });
      const answer = await exchange(port, {
        url,
        method: "POST",
        body: JSON.stringify({ ...jws, ...options.jws }),
        contentType: options.contentType ?? "application/jose+json",
      });
      nonce = answer.headers["replay-nonce"] as string | undefined;
      return answer;
    },
    async sendTo(other, url, payload, changes = {}): Promise<Answer> {
      const header = { nonce: await client.nonce(), url, kid: client.kid, ...changes };
      const body = JSON.stringify(signJws(client.keys.privateKey, { header, payload }));
      const contentType = "application/jose+json";
      return exchange(other, { url, method: "POST", body, contentType });
    },
    async register(external): Promise<Answer> {
      const url = `${acmeUrl}/new-account`;
      const binding = external && bind(external, { url, publicKey: client.keys.publicKey });
      const answer = await client.post(url, {
        termsOfServiceAgreed: true,
        contact: ["mailto:ops@bank.example"],
        ...(binding && { externalAccountBinding: binding }),
      });
      client.kid = answer.headers.location;
      return answer;
    },
    thumbprint: () => thumbprintOf(client.keys.publicKey),
  };
  return client;
}

/** A flattened JWS, with whatever header it is given. */
export function signJws(
  key: KeyObject,
  { header, payload }: { header: Record<string, unknown>; payload: unknown },
): Record<string, string> {
  const protectedHeader = encode({ alg: algorithmOf(key), ...header });
  const encoded = payload === "" ? "" : encode(payload);
  const digest = algorithmOf(key) === "ES384" ? "sha384" : "sha256";
  const signature = sign(
    algorithmOf(key) === "EdDSA" ? null : digest,
    Buffer.from(`${protectedHeader}.${encoded}`),
    {
      key,
      dsaEncoding: "ieee-p1363",
    },
  );
  return {
    protected: protectedHeader,
    payload: encoded,
    signature: signature.toString("base64url"),
  };
}

/** An external account binding (RFC 8555 7.3.4). */
export function bind(
  { keyId, macKey }: { keyId: string; macKey: string },
  { url, publicKey, alg = "HS256" }: { url: string; publicKey: KeyObject; alg?: string },
): Record<string, string> {
  const header = encode({ alg, kid: keyId, url });
  const payload = encode(jwkOf(publicKey));
  const signature = createHmac("sha256", Buffer.from(macKey, "base64url"))
    .update(`${header}.${payload}`)
    .digest("base64url");
  return { protected: header, payload, signature };
}

export function jwkOf(publicKey: KeyObject): Record<string, unknown> {
  return { ...publicKey.export({ format: "jwk" }) };
}

export function thumbprintOf(publicKey: KeyObject): string {
  const jwk = jwkOf(publicKey);
  const members = ["crv", "e", "kty", "n", "x", "y"].filter((member) => member in jwk);
  const ordered = Object.fromEntries(members.map((member) => [member, jwk[member]]));
  return hash("sha256", JSON.stringify(ordered), "base64url");
}

/** A certificate request for these names, as finalize wants it. */
export function csrFor(
  names: { dns?: readonly string[]; ip?: readonly string[]; uri?: readonly string[] },
  { keys = generateKeyPair(), commonName }: { keys?: KeyPair; commonName?: string } = {},
): string {
  const subject = createName(commonName === undefined ? [] : [{ type: "CN", value: commonName }]);
  const der = createRequest({ subject, subjectAltNames: names, privateKey: keys.privateKey });
  return Buffer.from(der).toString("base64url");
}

/** RFC 9773 4.1. */
export function ariId({ authorityKeyIdentifier, serialNumber }: Certificate): string {
  const key = Buffer.from(authorityKeyIdentifier ?? []).toString("base64url");
  return `${key}.${Buffer.from(serialNumber, "hex").toString("base64url")}`;
}

/** Serves on a local port until the test is over; gives the port. */
export async function listen(context: TestContext, handler: RequestListener): Promise<number> {
  return listenWith(context, createServer(handler));
}

export async function listenWith(context: TestContext, server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  context.after(
    () =>
      new Promise<void>((resolve) => {
        if ("closeAllConnections" in server) (server.closeAllConnections as () => void)();
        server.close(() => resolve());
      }),
  );
  return (server.address() as AddressInfo).port;
}

/** Answers http-01 as a client with this thumbprint should. */
export function answerHttp(thumbprint: string): RequestListener {
  return (message, response) => {
    const token = message.url?.split("/").at(-1) ?? "";
    response.end(`${token}.${thumbprint}\n`);
  };
}

/** The order and its single authorization's challenge of a type. */
export async function orderFor(
  client: TestClient,
  identifiers: readonly { type: string; value: string }[],
  type: string,
): Promise<{ order: string; finalize: string; authorizations: string[]; challenges: string[] }> {
  const made = await client.post(`${acmeUrl}/new-order`, { identifiers });
  if (made.status !== 201) throw new Error(`no order: ${made.text}`);
  const authorizations = made.body["authorizations"] as string[];
  const challenges = [];
  for (const url of authorizations) {
    const { body } = await client.post(url, "");
    const offered = body["challenges"] as { type: string; url: string }[];
    challenges.push(offered.find((one) => one.type === type)?.url ?? "");
  }
  const finalize = String(made.body["finalize"]);
  return { order: String(made.headers.location), finalize, authorizations, challenges };
}

export function testNetwork(): TestNetwork {
  const hosts: TestNetwork["hosts"] = new Map();
  const records: TestNetwork["records"] = new Map();
  const listeners: TestNetwork["listeners"] = new Map();
  const connections: string[] = [];
  const own: string[] = [];
  return {
    hosts,
    records,
    listeners,
    connections,
    own,
    async addresses(name): Promise<readonly string[]> {
      const answers = hosts.get(name) ?? [];
      return (answers.length > 1 ? answers.shift() : answers[0]) ?? [];
    },
    texts: async (name) => records.get(name) ?? [],
    ownAddresses: () => own,
    async connect({ address, port, signal }) {
      const place = `${address}:${port}`;
      connections.push(place);
      const local = listeners.get(place);
      if (local === undefined) throw new Error("connection refused");
      const socket = connect({ host: "127.0.0.1", port: local, signal });
      await new Promise((resolve, reject) => {
        socket.once("connect", resolve);
        socket.once("error", reject);
      });
      return socket;
    },
  };
}

function exchange(
  port: number,
  {
    url,
    method,
    body,
    contentType,
  }: { url: string; method: string; body?: string; contentType?: string },
): Promise<Answer> {
  const { pathname, search } = new URL(url);
  return new Promise((resolve, reject) => {
    const asked = request(
      {
        port,
        host: "127.0.0.1",
        method,
        path: `${pathname}${search}`,
        headers: contentType === undefined ? {} : { "Content-Type": contentType },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () => {
          const text = Buffer.concat(chunks).toString();
          const json = String(response.headers["content-type"]).includes("json");
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text,
            body: json ? (JSON.parse(text) as Record<string, unknown>) : {},
          });
        });
      },
    );
    asked.on("error", reject);
    asked.end(body);
  });
}

function algorithmOf(key: KeyObject): "ES256" | "ES384" | "EdDSA" | "RS256" {
  if (key.asymmetricKeyType === "ed25519") return "EdDSA";
  if (key.asymmetricKeyType === "rsa") return "RS256";
  return key.asymmetricKeyDetails?.namedCurve === "secp384r1" ? "ES384" : "ES256";
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}
