// The bank with an identity from SPIRE's agent, played by a fake one; its clients have theirs from it too.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { createClient } from "@handfast/grpc";
import { spiffeSource } from "@handfast/grpc/spiffe";
import { createFakeWorkloadApi } from "@handfast/grpc/testing";
import { createMutualTls, nobody, noRevocation } from "@handfast/tls";
import type { TestIdentity } from "@handfast/x509/testing";
import { BankService } from "../src/gen/bank/v1/bank_pb.ts";
import { startBank } from "../src/server/start-bank.ts";
import { authority, createKeptLog } from "./support/served-bank.ts";
import { temporaryFolder } from "./support/temporary-folder.ts";

test("the bank serves with an SVID through three rotations, and no call fails", async (t) => {
  const folder = temporaryFolder(t);
  const issue = (name: string) => authority.issue({ name, ip: ["127.0.0.1"] });
  await using ofBank = await createFakeWorkloadApi(
    join(folder, "bank.sock"),
    answerOf(issue("bank")),
  );
  await using ofAlice = await createFakeWorkloadApi(
    join(folder, "alice.sock"),
    answerOf(issue("alice")),
  );
  const settings = {
    HOST: "127.0.0.1",
    PORT: "0",
    DATABASE_URL: `sqlite:${join(folder, "bank.db")}`,
    SPIFFE_ENDPOINT_SOCKET: ofBank.endpoint,
  };
  const log = createKeptLog();
  const bank = await startBank({ settings, log });
  t.after(() => bank.stop());
  const source = spiffeSource({ endpoint: ofAlice.endpoint });
  const tls = await createMutualTls({ ...source, revocation: noRevocation(), admit: nobody() });
  const client = createClient(BankService, { target: `127.0.0.1:${bank.port}`, tls });
  t.after(async () => {
    client.close();
    await tls.close();
  });

  await client.createAccount({
    requestId: crypto.randomUUID(),
    accountId: "rotating",
    currencyCode: "USD",
  });
  let running = true;
  const calls = (async () => {
    let count = 0;
    for (; running; count += 1) await client.getBalance({ accountId: "rotating" });
    return count;
  })();
  for (let rotation = 0; rotation < 3; rotation += 1) {
    const replaced = log.records.filter(isReplaced).length;
    ofBank.say(answerOf(issue("bank")));
    ofAlice.say(answerOf(issue("alice")));
    await log.next(
      (record) => isReplaced(record) && log.records.filter(isReplaced).length > replaced,
    );
  }
  running = false;
  assert.ok((await calls) > 0);
});

function isReplaced({ fields }: { readonly fields: Readonly<Record<string, unknown>> }): boolean {
  return fields["source"] === "identity";
}

function answerOf(identity: TestIdentity) {
  return {
    svids: [
      {
        spiffeId: identity.certificate.subjectAltNames.uri[0] ?? "",
        x509Svid: identity.certificate.der,
        x509SvidKey: identity.privateKey.export({ type: "pkcs8", format: "der" }),
        bundle: authority.certificate.der,
      },
    ],
  };
}
