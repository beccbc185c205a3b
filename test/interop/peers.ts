// Whom we talk to: programs of other languages and tools, and how each says what happened.
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Protocol } from "./ours.ts";

/** The settings of a program, by the names that all programs of Handfast have. */
export interface Settings {
  readonly HOST: string;
  readonly PORT: string;
  readonly CA_FILE: string;
  readonly CERT_FILE?: string;
  readonly KEY_FILE?: string;
  readonly CRL_DIR?: string;
}

/** A program that takes its settings from the environment, or a tool that takes them as arguments. */
export interface Program {
  argv(settings: Settings): readonly string[];
  readonly input?: string;
  /** Of a server: the line that tells its port, where it is not `listening: HOST:PORT`. */
  readonly listening?: RegExp;
}

/** What comes of a call to a peer's server: what our client sees, and what the server says (undefined: nothing). */
export interface Expected {
  readonly us: RegExp;
  readonly peer: RegExp | undefined;
}

/** One peer: what it needs, its two programs, and the words in which it tells what only it can tell. */
export interface Peer {
  readonly name: string;
  readonly protocol: Protocol;
  /** Why it cannot run here; undefined if it can. */
  lacks(): string | undefined;
  readonly client?: Program & {
    readonly ok: RegExp;
    /** How it says that the server's certificate is not for the name it dialled. */
    readonly wrongName: RegExp;
    /** What our server sees of that: the alert it sends, or that it went away. */
    readonly wrongNameSeen: RegExp;
    /** How it tells that it was refused, where it does otherwise than our example programs do. */
    readonly refusal?: (code: string) => RegExp;
    /** For a tool whose exit code says nothing of refusals. */
    readonly exitCode?: "meaningless";
  };
  readonly server?: Program & {
    readonly accepted: Expected;
    readonly noCertificate: Expected;
    readonly wrongAuthority: Expected;
    readonly expired: Expected;
    /** Absent where the server does not look at revocation lists. */
    readonly revoked?: Expected;
    /** What it says of a client (ours) that refuses its certificate. */
    readonly refusedByUs: RegExp | undefined;
  };
}

/** A client that objects to our certificate sends an alert; Go and OpenSSL say no more in it than "bad certificate". */
export const theirAlert: RegExp = /^peer refused: CERTIFICATE_VERIFICATION_FAILED$/;

/**
 * A client that checks the name once the handshake is done, as grpcio, curl and Node do: what we see is a good
 * connection that is closed again at once, or already before we have judged it.
 */
export const theirDeparture: RegExp =
  /^(peer refused: PEER_CONNECTION_CLOSED|accepted: spiffe:\/\/handfast\.internal\/client)$/;

/**
 * A server refuses our certificate when for TLS 1.3 our side of the handshake is done, and says why in an alert. Where
 * we have written already, a reset may overtake it.
 */
export function alerted(code: string): RegExp {
  return new RegExp(`^peer refused: (${code}|PEER_CONNECTION_CLOSED)$`);
}

/**
 * A server that sends no alert, only closes. In HTTP/2 it would have spoken first, so that we know; in HTTP/1.1 all
 * that is known is that no answer came.
 */
export const leftWithoutWords: Readonly<Record<Protocol, RegExp>> = {
  grpc: /^peer refused: PEER_CONNECTION_CLOSED$/,
  http: /^(error: other side closed|peer refused: PEER_CONNECTION_CLOSED)$/,
};

const cache =
  process.env["HANDFAST_INTEROP_CACHE"] ??
  join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "handfast-interop");

/** A program that test/interop/setup.sh has put into its cache. */
export function cached(...path: readonly string[]): string {
  return join(cache, ...path);
}

/** A program of examples/. */
export function example(path: string): string {
  return fileURLToPath(new URL(`../../examples/${path}`, import.meta.url));
}

/** Why there is no such program: undefined if there is. */
export function needs(path: string, what: string): string | undefined {
  return existsSync(path) ? undefined : `${what} is missing: test/interop/setup.sh brings it`;
}

/** Why there is no such command: undefined if there is. */
export function onPath(name: string): string | undefined {
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  return folders.some((folder) => existsSync(join(folder, name)))
    ? undefined
    : `${name} is missing`;
}
