import { writeSync } from "node:fs";
import { createAuthority, keysFromDirectory, openPostgresStore } from "../../src/index.ts";
import { requestFor } from "./fixtures.ts";

// One of several instances of an authority: issues, revokes and signs lists on the database of its
// first argument with the keys in the folder of its second, and prints each act as soon as it is
// told that it is done. A test kills it.
const [url = "", folder = ""] = process.argv.slice(2);
const authority = await createAuthority({
  store: await openPostgresStore({ url, missing: "fail" }),
  keys: keysFromDirectory(folder),
});
let count = 0;

async function issueForEver(): Promise<never> {
  for (;;) {
    const mine = count++;
    const { certificate } = await authority.issue(requestFor(`s${process.pid}-${mine}`));
    tell({ issued: certificate.fingerprint, serialNumber: certificate.serialNumber });
    if (mine % 4 !== 0) continue;
    await authority.revoke({
      certificate: certificate.fingerprint,
      reason: "superseded",
      requester: "local:test",
    });
    tell({ revoked: certificate.fingerprint });
  }
}

async function signForEver(): Promise<never> {
  for (;;) {
    for (const { number } of await authority.publishCrls({ role: "issuing" })) tell({ number });
  }
}

function tell(act: Record<string, string | number>): void {
  writeSync(1, `${JSON.stringify(act)}\n`);
}

await Promise.all([...Array.from({ length: 8 }, issueForEver), signForEver()]);
