import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Client } from "@handfast/grpc";
import { EntryKind } from "../gen/bank/v1/bank_pb.ts";
import type { BankService, Entry, StatementOpening } from "../gen/bank/v1/bank_pb.ts";
import { emptyDigest, entryDigest } from "../ledger.ts";
import type { PostingKind } from "../ledger.ts";
import type { Statement } from "../statement-table.ts";

/**
 * Reads a whole statement and checks it as anybody can: no line is missing, each balance follows from the
 * one before, and the digest computed from the lines is the one that the bank gave.
 *
 * @throws GrpcError of the call; Error that says what does not add up
 */
export async function readStatement(
  client: Pick<Client<typeof BankService>, "streamStatement">,
  accountId: string,
): Promise<Statement> {
  let opening: StatementOpening | undefined;
  const entries: Entry[] = [];
  let digest = emptyDigest;
  let balance = 0n;
  for await (const { part } of client.streamStatement({ accountId })) {
    switch (part.case) {
      case "opening":
        opening = part.value;
        break;
      case "page":
        for (const entry of part.value.entries) {
          balance += entry.amount?.minorUnits ?? 0n;
          digest = digestAfter(digest, entry);
          const inOrder = entry.sequence === BigInt(entries.length + 1);
          if (!inOrder || entry.balance?.minorUnits !== balance) {
            throw new Error(`statement of ${accountId}: line ${entry.sequence} does not add up`);
          }
          entries.push(entry);
        }
        break;
      case "closing": {
        const closing = part.value;
        if (opening === undefined || closing.entryCount !== BigInt(entries.length)) {
          throw new Error(`statement of ${accountId}: lines are missing`);
        }
        if (!Buffer.from(digest).equals(closing.digest)) {
          throw new Error(`statement of ${accountId}: the digest is not that of its lines`);
        }
        return { opening, entries, closing };
      }
      case undefined:
        // A part that a newer bank knows: the digest shows whether anything is missing.
        break;
    }
  }
  throw new Error(`statement of ${accountId}: it ends without a closing`);
}

function digestAfter(previous: Uint8Array, entry: Entry): Uint8Array {
  return entryDigest(previous, {
    sequence: entry.sequence,
    operationId: entry.operationId,
    kind: postingKinds[entry.kind] ?? "transfer",
    amount: entry.amount?.minorUnits ?? 0n,
    balance: entry.balance?.minorUnits ?? 0n,
    currencyCode: entry.amount?.currencyCode ?? "",
    postedAt: entry.postedAt === undefined ? 0n : BigInt(timestampMs(entry.postedAt)),
    counterparty: entry.counterparty,
    description: entry.description,
  });
}

const postingKinds: Readonly<Record<EntryKind, PostingKind>> = {
  [EntryKind.UNSPECIFIED]: "transfer",
  [EntryKind.DEPOSIT]: "deposit",
  [EntryKind.WITHDRAWAL]: "withdrawal",
  [EntryKind.TRANSFER_OUT]: "transfer",
  [EntryKind.TRANSFER_IN]: "transfer",
};
