import {
  createOcspRequest,
  ocspStatusAt,
  parseOcspResponse,
  verifyOcspResponse,
} from "@handfast/x509";
import type { Certificate, OcspHash } from "@handfast/x509";

import { reasonOf } from "./errors.ts";
import { fetchBounded, requireHttp, urlText } from "./fetch-bounded.ts";
import { createRecent } from "./recent.ts";
import { unrevoked } from "./revocation.ts";
import type {
  Revocation,
  RevocationHooks,
  RevocationSource,
  RevocationVerdict,
} from "./revocation.ts";

export interface OcspOptions {
  /**
   * What a certificate counts as about which nothing is known yet: its first handshake does not wait for the
   * responder, so under `refuse` a peer is admitted only once the answer has come.
   */
  readonly undetermined: "refuse" | "admit";
  /** SHA-256 by default; old responders know SHA-1 only. */
  readonly hash?: OcspHash;
  /** PEM certificates that an https responder must lead to; the public roots that Node carries by default. */
  readonly ca?: readonly string[];
}

/**
 * The answers of an OCSP responder of our own configuration, asked in the background: a responder that is slow
 * or down holds up no handshake. Answers are kept until their nextUpdate and asked for anew at half of it.
 * `revoked` never turns `good` in a running process; `unknown` tells nothing (S7).
 *
 * @throws TypeError for a URL that is neither http nor https.
 */
export function ocsp(responder: string, options: OcspOptions): RevocationSource {
  const url = requireHttp(responder);
  return {
    description: `OCSP at ${urlText(url)}`,
    undetermined: options.undetermined,
    open: (hooks) => Promise.resolve(openOcsp(url, options, hooks)),
  };
}

interface Entry {
  readonly certificate: Certificate;
  readonly issuer: Certificate;
  answer: Answer | undefined;
  /** When to ask again, in ms since 1970. */
  askAt: number;
  usedAt: number;
  asking: boolean;
  failures: number;
}

type Answer = Extract<ReturnType<typeof verifyOcspResponse>, { ok: true }>["answer"];

function openOcsp(url: URL, options: OcspOptions, hooks: RevocationHooks): Revocation {
  const description = `OCSP at ${urlText(url)}`;
  const entries = createRecent<Entry>(MAX_ENTRIES);
  /** Certificates that were said to be revoked, by fingerprint: kept when their answer is forgotten. */
  const revoked = new Set<string>();
  const waiting: Entry[] = [];
  let asking = 0;
  let closed = false;
  let lastReason: string | undefined;

  function judge(path: readonly Certificate[], now: Date): RevocationVerdict[] {
    return path.slice(0, -1).map((certificate, index) => {
      const entry = entryOf(certificate, path[index + 1]!);
      entry.usedAt = now.getTime();
      if (revoked.has(certificate.fingerprint)) return { status: "revoked", certificate };
      const said = entry.answer === undefined ? "undetermined" : ocspStatusAt(entry.answer, now);
      if (said === "revoked") return { status: "revoked", certificate };
      if (said !== "undetermined") return unrevoked;
      ask(entry, now);
      const reason = `${description} has said nothing that counts about it yet`;
      return { status: "undetermined", certificate, reason };
    });
  }

  function entryOf(certificate: Certificate, issuer: Certificate): Entry {
    const key = certificate.fingerprint + issuer.fingerprint;
    const entry = entries.take(key) ?? {
      certificate,
      issuer,
      answer: undefined,
      askAt: 0,
      usedAt: 0,
      asking: false,
      failures: 0,
    };
    entries.put(key, entry);
    return entry;
  }

  function ask(entry: Entry, now: Date): void {
    if (entry.asking || closed || entry.askAt > now.getTime()) return;
    entry.asking = true;
    waiting.push(entry);
    if (waiting.length > MAX_WAITING) {
      const dropped = waiting.shift();
      if (dropped !== undefined) dropped.asking = false;
    }
    void work();
  }

  async function work(): Promise<void> {
    if (asking >= MAX_ASKING) return;
    asking++;
    for (let entry = waiting.shift(); entry !== undefined && !closed; entry = waiting.shift()) {
      await askNow(entry);
      entry.asking = false;
    }
    asking--;
  }

  async function askNow(entry: Entry): Promise<void> {
    const before = entry.answer === undefined ? undefined : ocspStatusAt(entry.answer, hooks.now());
    try {
      const answer = await fetchAnswer(entry);
      entry.failures = 0;
      // An older answer never replaces a newer one (S7).
      if (entry.answer === undefined || answer.thisUpdate >= entry.answer.thisUpdate)
        entry.answer = answer;
      const now = hooks.now().getTime();
      entry.askAt = now + Math.max(MIN_INTERVAL_MS, (entry.answer.nextUpdate.getTime() - now) / 2);
      lastReason = undefined;
    } catch (thrown) {
      entry.failures++;
      entry.askAt = hooks.now().getTime() + Math.min(MAX_BACK_OFF_MS, 1000 * 2 ** entry.failures);
      warn(reasonOf(thrown));
      return;
    }
    const after = ocspStatusAt(entry.answer, hooks.now());
    if (after === "revoked") revoked.add(entry.certificate.fingerprint);
    if (after !== before) hooks.changed();
  }

  async function fetchAnswer({ certificate, issuer }: Entry): Promise<Answer> {
    const bytes = createOcspRequest({
      certificate,
      issuer,
      ...(options.hash === undefined ? {} : { hash: options.hash }),
    });
    const fetched = await fetchBounded(url, {
      maxBytes: MAX_RESPONSE_BYTES,
      timeoutMs: TIMEOUT_MS,
      validators: {},
      body: { type: "application/ocsp-request", bytes },
      ...(options.ca === undefined ? {} : { ca: options.ca }),
    });
    if (fetched.status === "unchanged") throw new Error("the responder answered 304 to a question");
    const verdict = verifyOcspResponse(parseOcspResponse(fetched.bytes), {
      certificate,
      issuer,
      now: hooks.now(),
    });
    if (!verdict.ok) throw new Error(verdict.problem);
    return verdict.answer;
  }

  function warn(reason: string): void {
    if (reason === lastReason) return;
    lastReason = reason;
    hooks.onEvent({ type: "revocation-warning", description, reason });
  }

  // Answers run out, and are asked for again in good time, for the certificates that are still seen.
  const timer = setInterval(() => {
    const now = hooks.now();
    for (const entry of entries.values()) {
      if (entry.answer === undefined || now.getTime() - entry.usedAt > UNUSED_MS) continue;
      ask(entry, now);
      const ran = now.getTime() - entry.answer.nextUpdate.getTime();
      if (ran >= 0 && ran < LOOK_MS) hooks.changed();
    }
  }, LOOK_MS);
  timer.unref();

  return {
    judge,
    uncovered: () => 0,
    async reload({ forgetMissing = false } = {}) {
      if (!forgetMissing) return "unchanged";
      revoked.clear();
      entries.clear();
      hooks.changed();
      return "replaced";
    },
    close() {
      closed = true;
      clearInterval(timer);
    },
  };
}

const MAX_ENTRIES = 20_000;
const MAX_WAITING = 1000;
const MAX_ASKING = 8;
const MAX_RESPONSE_BYTES = 64 * 1024;
const TIMEOUT_MS = 10_000;
const MIN_INTERVAL_MS = 10_000;
const MAX_BACK_OFF_MS = 60_000;
const UNUSED_MS = 3_600_000;
const LOOK_MS = 1000;
