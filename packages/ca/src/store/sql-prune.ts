import { text } from "./sql.ts";
import type { Statements } from "./sql.ts";
import type { Records } from "./store.ts";

/** Forgets what the contract lets a store forget, from the beginning of each line. */
export async function prune(
  statement: Statements,
  { endedBefore, now, limit }: Parameters<Records["prune"]>[0],
): Promise<number> {
  await statement("DELETE FROM tokens WHERE not_after < ?").run(now.getTime());
  const ended = await statement(endedLines).all(endedBefore.getTime(), limit);
  for (const row of ended) {
    const fingerprint = text(row, "fingerprint");
    await statement("UPDATE certificates SET parent = NULL WHERE parent = ?").run(fingerprint);
    await statement("DELETE FROM certificates WHERE fingerprint = ?").run(fingerprint);
  }
  if (ended.length < limit) await statement(deleteIdleBlocks).run();
  return ended.length;
}

/** The first of their lines: so what is left of a line hangs together. */
const endedLines = `
  SELECT c.fingerprint FROM certificates c
  WHERE c.not_after < ? AND c.parent IS NULL
    AND NOT EXISTS (SELECT 1 FROM issuers i WHERE i.certificate = c.fingerprint)
    AND NOT EXISTS (SELECT 1 FROM tokens t WHERE t.certificate = c.fingerprint)
  ORDER BY c.not_after, c.position LIMIT ?`;

const deleteIdleBlocks = `
  DELETE FROM renewal_blocks WHERE NOT EXISTS (
    SELECT 1 FROM certificates c WHERE c.identity = renewal_blocks.identity
      AND coalesce(c.line_start, c.position) <= renewal_blocks.last_position)`;
