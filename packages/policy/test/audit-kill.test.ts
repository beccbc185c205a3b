import { test } from "node:test";
import { killAgainAndAgain } from "./support/kill-chain.ts";
import { temporaryDirectory } from "./support/temporary.ts";

test("S35: killed at random points, all that was acknowledged verifies (10 times; 200 in the slow suite)", async (context) => {
  await killAgainAndAgain(temporaryDirectory(context), { kills: 10 });
});
