// Appends to a chain until it is killed; says on standard output which records were acknowledged.
// node append-forever.ts PATH KEY FIRST
import { openAuditChain, openAuditKey } from "../../src/index.ts";

const [path = "", key = "", first = "0"] = process.argv.slice(2);
const chain = await openAuditChain(path, {
  signer: await openAuditKey(key),
  signEveryMs: 10,
  maxFileBytes: 64 * 1024,
});
process.stdout.write("open\n");
for (let next = Number(first); ; next += 3) {
  const batch = [next, next + 1, next + 2];
  await Promise.all(
    batch.map(async (index) => {
      await chain.append("decision", { index, padding: "x".repeat(index % 500) });
      process.stdout.write(`${index}\n`);
    }),
  );
}
