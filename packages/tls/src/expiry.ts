import type { TlsEventListener } from "./events.ts";

/**
 * Warns that our own certificate runs out: when a third of its life remains, at each halving of that, and
 * once it has expired. Looks at the clock each minute, since clocks jump and
 * laptops sleep.
 *
 * @returns a function that ends the watch.
 */
export function watchExpiry(options: {
  /** The life of the identity in use; undefined if there is none. */
  validity(): { readonly notBefore: Date; readonly expiresAt: Date } | undefined;
  now(): Date;
  onEvent: TlsEventListener;
}): () => void {
  let watched: { expiresAt: number; warnBelowMs: number } | undefined;

  function look(): void {
    const validity = options.validity();
    if (validity === undefined) return;
    const { notBefore, expiresAt } = validity;
    const remainingMs = expiresAt.getTime() - options.now().getTime();
    if (watched?.expiresAt !== expiresAt.getTime()) {
      watched = {
        expiresAt: expiresAt.getTime(),
        warnBelowMs: (expiresAt.getTime() - notBefore.getTime()) / 3,
      };
    }
    if (remainingMs > watched.warnBelowMs) return;
    watched.warnBelowMs = remainingMs > 0 ? remainingMs / 2 : -Infinity;
    options.onEvent({ type: "identity-expiring", expiresAt, remainingMs });
  }

  look();
  const timer = setInterval(look, LOOK_MS);
  timer.unref();
  return () => clearInterval(timer);
}

const LOOK_MS = 60_000;
