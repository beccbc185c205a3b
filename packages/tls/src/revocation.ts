import type { Certificate } from "@handfast/x509";

import type { ReloadOutcome } from "./source.ts";
import type { TlsEvent } from "./events.ts";

/**
 * What revocation says of a certificate. `certificate` is the one that the word is about: the certificate itself, or
 * the CA above it whose key has been revoked.
 */
export type RevocationVerdict =
  | { readonly status: "unrevoked" }
  | { readonly status: "revoked"; readonly certificate: Certificate }
  | { readonly status: "undetermined"; readonly certificate: Certificate; readonly reason: string };

/** Where news of revocation comes from; opened once by the runtime that uses it. */
export interface RevocationSource {
  readonly description: string;
  /** Whether a path that nothing is known about is refused (S2). */
  readonly undetermined: "refuse" | "admit";
  open(hooks: RevocationHooks): Promise<Revocation>;
}

export interface RevocationHooks {
  /** Something a verdict may rest on has changed. */
  readonly changed: () => void;
  readonly onEvent: (event: TlsEvent) => void;
  readonly now: () => Date;
  /** The CAs that are trusted before anybody has connected: the bundle's, and those of our own path. */
  readonly authorities: () => readonly Authority[];
}

/** A CA and the one that signed it; undefined for a trust anchor, which nobody revokes. */
export interface Authority {
  readonly authority: Certificate;
  readonly issuer: Certificate | undefined;
}

/** An open revocation source. Never waits: a verdict rests on what is known already. */
export interface Revocation {
  /**
   * What is known of each certificate, in the order of the path; the trust anchor is not looked up, every other
   * certificate is (S6). A certificate about which nothing is returned is undetermined.
   *
   * @param path leaf first, trust anchor last.
   */
  judge(path: readonly Certificate[], now: Date): readonly RevocationVerdict[];
  /** How many CAs of ours have no news that counts: a gauge to watch (S2). */
  uncovered(): number;
  reload(options?: ReloadOptions): Promise<ReloadOutcome>;
  close(): void;
}

export interface ReloadOptions {
  /** Forget what is no longer there, or older: the only way in which a revocation is ever taken back (S5). */
  readonly forgetMissing?: boolean;
}

/** No revocation: for short-lived certificates, or a development set-up. To be written out. */
export function noRevocation(): RevocationSource {
  return {
    description: "no revocation",
    undetermined: "admit",
    open: () =>
      Promise.resolve({
        judge: (path) => path.slice(1).map(() => unrevoked),
        uncovered: () => 0,
        reload: () => Promise.resolve("unchanged"),
        close() {},
      }),
  };
}

/**
 * Several sources at once, for instance CRLs for the issuing CA and OCSP for what it issues. Of each certificate, any
 * source that says revoked wins, and it is undetermined only if it is so for all of them; the strictest source decides
 * what that means.
 */
export function revocationFromSeveral(sources: readonly RevocationSource[]): RevocationSource {
  return {
    description: sources.map((source) => source.description).join(", "),
    undetermined: sources.some((source) => source.undetermined === "refuse") ? "refuse" : "admit",
    async open(hooks) {
      const opened = await Promise.all(sources.map((source) => source.open(hooks)));
      return {
        judge: (path, now) =>
          combine(
            path,
            opened.map((one) => one.judge(path, now)),
          ),
        uncovered: () => Math.min(...opened.map((one) => one.uncovered())),
        async reload(options) {
          const outcomes = await Promise.all(opened.map((one) => one.reload(options)));
          const kept = outcomes.flatMap((outcome) =>
            typeof outcome === "object" ? [outcome.kept] : [],
          );
          if (kept.length > 0) return { kept: kept.join("; ") };
          return outcomes.includes("replaced") ? "replaced" : "unchanged";
        },
        close() {
          for (const one of opened) one.close();
        },
      };
    },
  };
}

/**
 * What revocation says of a whole path (gRFC A69): any certificate revoked makes it so; else any undetermined one.
 */
export function verdictOnPath(
  path: readonly Certificate[],
  judged: readonly RevocationVerdict[],
): RevocationVerdict {
  let undetermined: RevocationVerdict | undefined;
  for (let index = 0; index + 1 < path.length; index++) {
    const said = judged[index] ?? nothingSaid(path[index]!);
    if (said.status === "revoked") return said;
    if (said.status === "undetermined") undetermined ??= said;
  }
  return undetermined ?? unrevoked;
}

function combine(
  path: readonly Certificate[],
  sources: readonly (readonly RevocationVerdict[])[],
): RevocationVerdict[] {
  return path.slice(0, -1).map((certificate, index) => {
    const said = sources.map((source) => source[index] ?? nothingSaid(certificate));
    return (
      said.find(({ status }) => status === "revoked") ??
      said.find(({ status }) => status === "unrevoked") ??
      said[0] ??
      nothingSaid(certificate)
    );
  });
}

function nothingSaid(certificate: Certificate): RevocationVerdict {
  return { status: "undetermined", certificate, reason: "no source says anything about it" };
}

/** The verdict on a certificate of which it is known that it is not revoked. */
export const unrevoked: RevocationVerdict = { status: "unrevoked" };
