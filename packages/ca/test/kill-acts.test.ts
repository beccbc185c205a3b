import { test } from "node:test";
import { killInAct } from "./support/kill-acts.ts";

test("kill -9 in the middle of a revocation: the whole line is revoked or none of it", async (context) => {
  await killInAct(context, { act: "revoke", steps: [8] });
});
