// Two instances under load and one killed, again and again; the default suite does it once.
import { test } from "node:test";
import { killOneOfTwo } from "./support/kill-one-of-two.ts";
import { startPostgres } from "../../../test/support/postgres.ts";

const postgres = await startPostgres();

for (const acts of [200, 1_000, 3_000]) {
  test(
    `S48, S55: an instance killed under load after ${acts} acts: no serial number twice, no record lost, no list number twice`,
    { skip: postgres.skip },
    async (context) => {
      if (postgres.skip !== false) throw new Error("it was skipped");
      await killOneOfTwo(context, { url: await postgres.database(), acts });
    },
  );
}
