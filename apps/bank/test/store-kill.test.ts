import { test } from "node:test";
import { killAndRetry } from "./support/kill-store.ts";

test("killed before-commit: all that was acknowledged is there, and a retry takes effect once", async (t) => {
  await killAndRetry(t, { at: "before-commit", isLost: true });
});
