// The settings that every Handfast program has, read for Node's own TLS.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { env } from "node:process";
import type { PeerCertificate } from "node:tls";

/** HOST and PORT; by default localhost:8443. */
export const host: string = env["HOST"] ?? "localhost";
export const port: number = Number(env["PORT"] ?? 8443);

/** CA_FILE, and CERT_FILE with KEY_FILE if they are set. An array: an empty text would mean every public CA. */
export function credentials(): { ca: Buffer[]; cert?: Buffer; key?: Buffer } {
  const ca = [readFileSync(env["CA_FILE"] ?? "ca.crt")];
  const { CERT_FILE, KEY_FILE } = env;
  if (CERT_FILE === undefined || KEY_FILE === undefined) return { ca };
  return { ca, cert: readFileSync(CERT_FILE), key: readFileSync(KEY_FILE) };
}

/** The revocation lists in CRL_DIR. Node then refuses whatever they say nothing about. */
export function revocationLists(): { crl?: Buffer[] } {
  const { CRL_DIR } = env;
  if (CRL_DIR === undefined) return {};
  return { crl: readdirSync(CRL_DIR).map((name) => readFileSync(join(CRL_DIR, name))) };
}

/** The SPIFFE id among a certificate's names: its one URI. */
export function identityOf(certificate: PeerCertificate | undefined): string {
  const names = certificate?.subjectaltname?.split(", ") ?? [];
  const uris = names.filter((name) => name.startsWith("URI:"));
  return uris.length === 1 ? (uris[0]?.slice("URI:".length) ?? "nobody") : "nobody";
}
