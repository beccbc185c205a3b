import { writeSync } from "node:fs";
import { openAuthorityHome } from "../../src/index.ts";
import { requestFor } from "./fixtures.ts";

// Issues into the home of its argument, eight at a time, and prints each fingerprint as soon as
// the certificate is handed out. A test kills it.
const authority = await openAuthorityHome(process.argv[2] ?? "");
let count = 0;
async function issueForEver(): Promise<never> {
  for (;;) {
    const { certificate } = await authority.issue(requestFor(`s${count++}`));
    writeSync(1, `${certificate.fingerprint}\n`);
  }
}
await Promise.all(Array.from({ length: 8 }, issueForEver));
