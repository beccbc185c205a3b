import { test } from "node:test";
import { killAgainAndAgain } from "./support/kill-chain.ts";
import { temporaryDirectory } from "./support/temporary.ts";

test("S35: killed at 200 random points, all that was acknowledged verifies", async (context) => {
  let last = "";
  await killAgainAndAgain(temporaryDirectory(context), {
    kills: 200,
    onKill(acknowledged, restarts) {
      last = `${acknowledged} records acknowledged, ${restarts} restarts found`;
    },
  });
  context.diagnostic(last);
});
