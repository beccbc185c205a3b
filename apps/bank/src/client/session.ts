import { randomUUID } from "node:crypto";
import { GrpcError } from "@handfast/grpc";
import type { Client } from "@handfast/grpc";
import type { BankService } from "../gen/bank/v1/bank_pb.ts";
import { formatAmount } from "../money.ts";
import type { Money } from "../money.ts";
import { printable } from "../printable.ts";
import { statementTable } from "../statement-table.ts";
import { readStatement } from "./read-statement.ts";

/** What a session does. */
interface SessionPlan {
  readonly accountId: string;
  readonly deposit: Money;
  readonly withdrawal: Money;
}

/**
 * The everyday session: is the bank well, open the account (or find it), deposit, withdraw, ask for the
 * balance, print the statement. Each line goes to `print` as it is known.
 *
 * @throws GrpcError of the first call that fails
 */
export async function runSession(
  client: Client<typeof BankService>,
  plan: SessionPlan,
  print: (text: string) => void,
): Promise<void> {
  const { accountId, deposit, withdrawal } = plan;
  const { health } = await client.connect({ timeoutMs: connectMs });
  print(`connected; the bank says ${health}`);
  print(await openAccount(client, accountId, deposit.currencyCode));

  const put = { requestId: randomUUID(), accountId, amount: deposit, description: "wages" };
  const deposited = await client.deposit(put);
  print(`deposited ${text(deposit)}: balance ${text(deposited.entry?.balance)}`);

  const take = { requestId: randomUUID(), accountId, amount: withdrawal, description: "rent" };
  const withdrawn = await client.withdraw(take);
  print(`withdrew ${text(withdrawal)}: balance ${text(withdrawn.entry?.balance)}`);

  const { balance } = await client.getBalance({ accountId });
  print(`balance ${text(balance?.amount)} after ${balance?.version} entries`);
  print("");
  print(statementTable(await readStatement(client, accountId)));
}

async function openAccount(
  client: Client<typeof BankService>,
  accountId: string,
  currencyCode: string,
): Promise<string> {
  try {
    const { account } = await client.createAccount({
      requestId: randomUUID(),
      accountId,
      currencyCode,
    });
    return `opened account ${accountId} of ${printable(account?.name?.owner ?? "")}`;
  } catch (error) {
    if (!(error instanceof GrpcError) || error.code !== "ALREADY_EXISTS") throw error;
    return `account ${accountId} exists already`;
  }
}

function text(money: Money | undefined): string {
  return money === undefined ? "" : `${formatAmount(money)} ${printable(money.currencyCode)}`;
}

const connectMs = 5_000;
