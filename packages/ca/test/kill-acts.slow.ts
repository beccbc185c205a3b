// Killed before each step of the store; the default suite takes one step of one act.
import { test } from "node:test";
import { killInAct } from "./support/kill-acts.ts";

for (const act of ["issue", "renew", "enrol", "revoke", "crl"] as const) {
  test(`kill -9 at each step of ${act}: what was told is recorded, what is recorded is whole, and it can be done again`, async (context) => {
    await killInAct(context, { act });
  });
}
