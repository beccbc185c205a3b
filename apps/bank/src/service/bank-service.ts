import type { ServiceHandlers } from "@handfast/grpc";
import { isSameAccount } from "../account-name.ts";
import type { AccountName } from "../account-name.ts";
import {
  CreateAccountRequestSchema,
  DepositRequestSchema,
  GetBalanceRequestSchema,
  ListEntriesRequestSchema,
  StreamStatementRequestSchema,
  TransferRequestSchema,
  WatchBalanceRequestSchema,
  WithdrawRequestSchema,
} from "../gen/bank/v1/bank_pb.ts";
import type { BankService } from "../gen/bank/v1/bank_pb.ts";
import { maximumMinorUnits } from "../money.ts";
import { moveMoney, openAccount, readAccount } from "./bank.ts";
import type { Bank, BankCall } from "./bank.ts";
import { callerOf } from "./caller.ts";
import { listEntries, pageLimit, statementOf } from "./entries.ts";
import { accountMessage, balanceMessage, entryMessage } from "./messages.ts";
import { readChange, readMove } from "./read-change.ts";
import { checkRequest } from "./request-checks.ts";
import { watchAccount } from "./watch-balance.ts";

/** bank.v1.BankService: every account is one of the caller's own. Handlers throw BankError. */
export function createBankService(bank: Bank): BankServiceHandlers {
  const own = (call: BankCall, accountId: string): AccountName => ({
    owner: callerOf(call, bank.mode),
    accountId,
  });
  return {
    async createAccount(request, call) {
      const { checks, change } = readChange(CreateAccountRequestSchema, request, call);
      if (request.accountId !== "") checks.accountId("account_id", request.accountId);
      const currencyCode = checks.currencyCode("currency_code", request.currencyCode);
      checks.done();
      const name = own(call, request.accountId);
      return { account: accountMessage(await openAccount(bank, change, { name, currencyCode })) };
    },

    async getBalance(request, call) {
      const checks = checkRequest(GetBalanceRequestSchema, request);
      const accountId = checks.accountId("account_id", request.accountId);
      checks.done();
      return { balance: balanceMessage(await readAccount(bank, own(call, accountId))) };
    },

    async deposit(request, call) {
      const { checks, change, amount, description } = readMove(DepositRequestSchema, request, call);
      const to = own(call, checks.accountId("account_id", request.accountId));
      checks.done();
      const moved = await moveMoney(bank, change, { kind: "deposit", to, amount, description });
      return { entry: entryMessage(moved.to) };
    },

    async withdraw(request, call) {
      const { checks, change, amount, description } = readMove(
        WithdrawRequestSchema,
        request,
        call,
      );
      const from = own(call, checks.accountId("account_id", request.accountId));
      checks.done();
      const moved = await moveMoney(bank, change, {
        kind: "withdrawal",
        from,
        amount,
        description,
      });
      return { entry: entryMessage(moved.from) };
    },

    async transfer(request, call) {
      const { checks, change, amount, description } = readMove(
        TransferRequestSchema,
        request,
        call,
      );
      const from = own(call, checks.accountId("from_account_id", request.fromAccountId));
      const to = own(call, checks.accountId("to_account_id", request.toAccountId));
      if (isSameAccount(from, to)) checks.fault("to_account_id", "must be another account");
      checks.done();
      const moved = await moveMoney(bank, change, {
        kind: "transfer",
        from,
        to,
        amount,
        description,
      });
      return { fromEntry: entryMessage(moved.from), toEntry: entryMessage(moved.to) };
    },

    async listEntries(request, call) {
      const checks = checkRequest(ListEntriesRequestSchema, request);
      const accountId = checks.accountId("account_id", request.accountId);
      const size = checks.number("page_size", request.pageSize, pageLimit);
      checks.done();
      const page = { caller: callerOf(call, bank.mode), size, token: request.pageToken };
      return listEntries(bank, own(call, accountId), page);
    },

    async *streamStatement(request, call) {
      const checks = checkRequest(StreamStatementRequestSchema, request);
      const accountId = checks.accountId("account_id", request.accountId);
      const after = checks.number("after_sequence", request.afterSequence, maximumMinorUnits);
      checks.done();
      yield* statementOf(bank, own(call, accountId), after);
    },

    async *watchBalance(request, call) {
      const checks = checkRequest(WatchBalanceRequestSchema, request);
      const name = own(call, checks.accountId("account_id", request.accountId));
      checks.done();
      const watch = { caller: name.owner, signal: call.signal };
      for await (const account of watchAccount(bank, name, watch)) {
        yield { balance: balanceMessage(account) };
      }
    },
  };
}

/** The handlers of bank.v1.BankService. */
type BankServiceHandlers = ServiceHandlers<typeof BankService>;
