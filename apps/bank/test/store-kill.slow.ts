// Each fail point by itself. The default suite has one of them.
import { test } from "node:test";
import { killAndRetry } from "./support/kill-store.ts";

for (const { at, isLost } of [
  { at: "before-begin", isLost: true },
  { at: "before-commit", isLost: true },
  { at: "after-commit", isLost: false },
] as const) {
  test(`killed ${at}: all that was acknowledged is there, and a retry takes effect once`, async (t) => {
    await killAndRetry(t, { at, isLost });
  });
}
