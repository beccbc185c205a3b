// Each step by itself; the default suite takes one of them.
import { test } from "node:test";
import { killAtSteps } from "./support/kill-place.ts";

for (const kind of ["file", "directory"] as const) {
  test(`S56: ${kind}: killed at each step, a reader finds the old pair or the new one`, async (context) => {
    await killAtSteps(context, { kind });
  });
}
