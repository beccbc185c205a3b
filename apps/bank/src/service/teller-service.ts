import type { ServiceHandlers } from "@handfast/grpc";
import { isSameAccount } from "../account-name.ts";
import {
  TellerServiceCreateAccountRequestSchema,
  TellerServiceDepositRequestSchema,
  TellerServiceGetBalanceRequestSchema,
  TellerServiceListEntriesRequestSchema,
  TellerServiceStreamStatementRequestSchema,
  TellerServiceTransferRequestSchema,
  TellerServiceWithdrawRequestSchema,
} from "../gen/bank/v1/bank_pb.ts";
import type { TellerService } from "../gen/bank/v1/bank_pb.ts";
import { maximumMinorUnits } from "../money.ts";
import { moveMoney, openAccount, readAccount } from "./bank.ts";
import type { Bank } from "./bank.ts";
import { callerOf } from "./caller.ts";
import { listEntries, pageLimit, statementOf } from "./entries.ts";
import { accountMessage, balanceMessage, entryMessage } from "./messages.ts";
import { readChange, readMove } from "./read-change.ts";
import { checkRequest } from "./request-checks.ts";

/**
 * bank.v1.TellerService: for those who act on accounts of others, whom the policy names (S61). The owner
 * stands in the request; the request_id is the caller's own. Handlers throw BankError.
 */
export function createTellerService(bank: Bank): TellerServiceHandlers {
  return {
    async createAccount(request, call) {
      const schema = TellerServiceCreateAccountRequestSchema;
      const { checks, change } = readChange(schema, request, call);
      const name = checks.ownedName("name", request.name);
      if (name.accountId !== "") checks.accountId("name.account_id", name.accountId);
      const currencyCode = checks.currencyCode("currency_code", request.currencyCode);
      checks.done();
      return { account: accountMessage(await openAccount(bank, change, { name, currencyCode })) };
    },

    async getBalance(request, call) {
      callerOf(call, bank.mode);
      const checks = checkRequest(TellerServiceGetBalanceRequestSchema, request);
      const name = checks.accountName("name", request.name);
      checks.done();
      return { balance: balanceMessage(await readAccount(bank, name)) };
    },

    async deposit(request, call) {
      const schema = TellerServiceDepositRequestSchema;
      const { checks, change, amount, description } = readMove(schema, request, call);
      const to = checks.accountName("name", request.name);
      checks.done();
      const moved = await moveMoney(bank, change, { kind: "deposit", to, amount, description });
      return { entry: entryMessage(moved.to) };
    },

    async withdraw(request, call) {
      const schema = TellerServiceWithdrawRequestSchema;
      const { checks, change, amount, description } = readMove(schema, request, call);
      const from = checks.accountName("name", request.name);
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
      const schema = TellerServiceTransferRequestSchema;
      const { checks, change, amount, description } = readMove(schema, request, call);
      const from = checks.accountName("from", request.from);
      const to = checks.accountName("to", request.to);
      if (isSameAccount(from, to)) checks.fault("to", "must be another account");
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
      const checks = checkRequest(TellerServiceListEntriesRequestSchema, request);
      const name = checks.accountName("name", request.name);
      const size = checks.number("page_size", request.pageSize, pageLimit);
      checks.done();
      const page = { caller: callerOf(call, bank.mode), size, token: request.pageToken };
      return listEntries(bank, name, page);
    },

    async *streamStatement(request, call) {
      callerOf(call, bank.mode);
      const checks = checkRequest(TellerServiceStreamStatementRequestSchema, request);
      const name = checks.accountName("name", request.name);
      const after = checks.number("after_sequence", request.afterSequence, maximumMinorUnits);
      checks.done();
      yield* statementOf(bank, name, after);
    },
  };
}

/** The handlers of bank.v1.TellerService. */
type TellerServiceHandlers = ServiceHandlers<typeof TellerService>;
