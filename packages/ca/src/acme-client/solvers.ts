import { createServer } from "node:http";
import type { Server } from "node:net";
import { createSecureContext, createServer as createTlsServer } from "node:tls";
import {
  certificatesToPem,
  createName,
  encodePrivateKey,
  generateKeyPair,
  issueCertificate,
  validityFrom,
} from "@handfast/x509";
import type { ChallengeType } from "../acme/challenge.ts";
import { dnsRecordOf, tlsDigestOf } from "../acme/challenge.ts";
import type { Identifier } from "../acme/identifier.ts";
import { serverNameOf } from "../acme/tls-alpn-01.ts";
import { checkHook, runHook } from "../agent/reload-hook.ts";

/** One way to show control of identifiers. */
export interface ChallengeSolver {
  readonly type: ChallengeType;
  /** Makes the answer ready; resolves once it can be asked for, with what takes it away again. */
  present(challenge: PresentedChallenge): Promise<() => Promise<void>>;
}

export interface PresentedChallenge {
  readonly identifier: Identifier;
  readonly token: string;
  readonly keyAuthorization: string;
}

/** Where a challenge is answered: the port that the authority connects to, unless it is led elsewhere. */
export interface SolverAddress {
  /** All addresses of the machine if not given. */
  readonly host?: string;
  readonly port?: number;
}

/** Answers http-01 (RFC 8555 8.3) on port 80, while there is something to answer and no longer. */
export function solveByHttp({ host, port = 80 }: SolverAddress = {}): ChallengeSolver {
  const answers = new Map<string, string>();
  const server = createServer((request, response) => {
    const answer = answers.get(request.url ?? "");
    response.writeHead(answer === undefined ? 404 : 200, { "Content-Type": "text/plain" });
    response.end(answer);
  });
  const door = openWhileUsed(server, { host, port });
  return {
    type: "http-01",
    async present({ token, keyAuthorization }) {
      const path = `/.well-known/acme-challenge/${token}`;
      answers.set(path, keyAuthorization);
      const leave = await door();
      return async () => {
        answers.delete(path);
        await leave();
      };
    },
  };
}

/** Answers tls-alpn-01 (RFC 8737) on port 443, while there is something to answer and no longer. */
export function solveByTlsAlpn({ host, port = 443 }: SolverAddress = {}): ChallengeSolver {
  const contexts = new Map<string, ReturnType<typeof createSecureContext>>();
  const server = createTlsServer(
    {
      minVersion: "TLSv1.2",
      ALPNProtocols: ["acme-tls/1"],
      SNICallback(serverName, done) {
        const found = contexts.get(serverName.toLowerCase());
        if (found === undefined) done(new Error("no challenge of that name"));
        else done(null, found);
      },
    },
    (socket) => socket.end(),
  );
  server.on("tlsClientError", (_error, socket) => socket.destroy());
  const door = openWhileUsed(server, { host, port });
  return {
    type: "tls-alpn-01",
    async present({ identifier, keyAuthorization }) {
      const serverName = serverNameOf(identifier);
      contexts.set(serverName, challengeContext(identifier, keyAuthorization));
      const leave = await door();
      return async () => {
        contexts.delete(serverName);
        await leave();
      };
    },
  };
}

/** Puts a TXT record into the zone and takes it out again; resolves when the zone's servers have it. */
export interface DnsHook {
  present(record: DnsChallengeRecord): Promise<void>;
  remove(record: DnsChallengeRecord): Promise<void>;
}

export interface DnsChallengeRecord {
  /** `_acme-challenge.NAME`. */
  readonly name: string;
  /** The content of the TXT record; a name may need several at a time. */
  readonly value: string;
}

/** Answers dns-01 (RFC 8555 8.4) by whatever changes the zone. */
export function solveByDns(hook: DnsHook): ChallengeSolver {
  return {
    type: "dns-01",
    async present({ identifier, keyAuthorization }) {
      const name = `_acme-challenge.${identifier.value}`;
      const record = { name, value: dnsRecordOf(keyAuthorization) };
      await hook.present(record);
      return () => hook.remove(record);
    },
  };
}

/**
 * A hook that runs a program, with `present` or `remove`, the name and the value as its last
 * arguments; by its absolute path, never in a shell, and in a clean environment.
 *
 * @throws TypeError; its calls CaError HOOK_FAILED
 */
export function dnsHookCommand(
  command: readonly [string, ...string[]],
  { timeoutSeconds = 120 }: { readonly timeoutSeconds?: number } = {},
): DnsHook {
  const hookFor = (act: string, { name, value }: DnsChallengeRecord) => ({
    kind: "command" as const,
    command: [...command, act, name, value] as const,
    timeoutSeconds,
  });
  checkHook({ kind: "command", command });
  return {
    present: (record) => runHook(hookFor("present", record)),
    remove: (record) => runHook(hookFor("remove", record)),
  };
}

/** Listens from the first user to the last. */
function openWhileUsed(
  server: Server,
  { host, port }: { host: string | undefined; port: number },
): () => Promise<() => Promise<void>> {
  let users = 0;
  let turning = Promise.resolve();
  const turn = (run: () => Promise<void>): Promise<void> => {
    const done = turning.then(run);
    turning = done.catch(() => {});
    return done;
  };
  return async () => {
    await turn(async () => {
      if (users === 0) await listen(server, { host, port });
      users += 1;
    });
    return () =>
      turn(async () => {
        users -= 1;
        if (users === 0) await close(server);
      });
  };
}

function listen(
  server: Server,
  { host, port }: { host: string | undefined; port: number },
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ port, ...(host !== undefined && { host }) }, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    if ("closeAllConnections" in server) (server.closeAllConnections as () => void)();
    server.close(() => resolve());
  });
}

function challengeContext(
  identifier: Identifier,
  keyAuthorization: string,
): ReturnType<typeof createSecureContext> {
  const { publicKey, privateKey } = generateKeyPair();
  const certificate = issueCertificate({
    profile: "server",
    subject: createName([{ type: "CN", value: "acme challenge" }]),
    subjectAltNames: { [identifier.type]: [identifier.value] },
    publicKey,
    issuer: "self",
    privateKey,
    ...validityFrom(new Date(), 86_400),
    acmeIdentifier: tlsDigestOf(keyAuthorization),
  });
  return createSecureContext({
    key: encodePrivateKey(privateKey),
    cert: certificatesToPem([certificate]),
  });
}
