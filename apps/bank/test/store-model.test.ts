import { join } from "node:path";
import { test } from "node:test";
import { createSqliteStore } from "../src/store/sqlite.ts";
import { compareWithModel } from "./support/store-model.ts";
import { temporaryFolder } from "./support/temporary-folder.ts";

test("the store does what the model does, for any commands in any batches", async (t) => {
  const path = join(temporaryFolder(t), "bank.db");
  const store = await createSqliteStore({ path, mode: "mtls" });
  t.after(() => store.close());
  await compareWithModel(store, 30);
});
