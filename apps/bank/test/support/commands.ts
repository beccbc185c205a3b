// Commands for tests of the store, with what does not matter filled in.
import { createHash, randomBytes, randomUUID } from "node:crypto";
import type { MoveCommand, OpenCommand } from "../../src/store/store.ts";
import { timeOrderedUuid } from "../../src/uuid.ts";

export const alice = "spiffe://handfast.test/alice";
export const bob = "spiffe://handfast.test/bob";

export function openCommand(fields: Partial<OpenCommand> = {}): OpenCommand {
  return {
    kind: "open",
    account: { owner: alice, accountId: "12345" },
    currencyCode: "USD",
    ...base("CreateAccount"),
    ...fields,
  };
}

export function depositCommand(minorUnits: bigint, fields: Partial<MoveCommand> = {}): MoveCommand {
  return {
    kind: "deposit",
    from: undefined,
    to: { owner: alice, accountId: "12345" },
    amount: { minorUnits, currencyCode: "USD" },
    description: "",
    ...base("Deposit"),
    ...fields,
  };
}

export function withdrawalCommand(
  minorUnits: bigint,
  fields: Partial<MoveCommand> = {},
): MoveCommand {
  return {
    kind: "withdrawal",
    from: { owner: alice, accountId: "12345" },
    to: undefined,
    amount: { minorUnits, currencyCode: "USD" },
    description: "",
    ...base("Withdraw"),
    ...fields,
  };
}

export function transferCommand(minorUnits: bigint, fields: Partial<MoveCommand>): MoveCommand {
  return {
    kind: "transfer",
    from: { owner: alice, accountId: "12345" },
    to: { owner: alice, accountId: "savings" },
    amount: { minorUnits, currencyCode: "USD" },
    description: "",
    ...base("Transfer"),
    ...fields,
  };
}

export function fingerprintOf(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}

function base(method: string) {
  const at = Date.now();
  return {
    requester: alice,
    method: `/bank.v1.BankService/${method}`,
    requestId: randomUUID(),
    fingerprint: fingerprintOf("content"),
    operationId: timeOrderedUuid(at, randomBytes(10)),
    at: BigInt(at),
  };
}
