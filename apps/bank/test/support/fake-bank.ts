import { randomUUID } from "node:crypto";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { create, isMessage } from "@bufbuild/protobuf";
import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { BankService, TellerService } from "../../src/gen/bank/v1/bank_pb.ts";
import { createBank } from "../../src/service/bank.ts";
import type { Bank } from "../../src/service/bank.ts";
import { createBankService } from "../../src/service/bank-service.ts";
import { createTellerService } from "../../src/service/teller-service.ts";
import { createSqliteStore } from "../../src/store/sqlite.ts";
import type { BankMode } from "../../src/store/store.ts";
import { fakeCall } from "./fake-call.ts";
import { temporaryFolder } from "./temporary-folder.ts";

/** A bank on a real store whose handlers are called as functions, in the name of one identity. */
export interface FakeClient {
  /** Calls a unary method, as if the policy had allowed it. */
  call<Name extends UnaryName>(
    name: Name,
    request: MessageInitShape<Input<Name>>,
  ): Promise<{ reply: MessageShape<Output<Name>>; hit: boolean }>;
}

type Methods = typeof BankService.method;
type UnaryName =
  | "createAccount"
  | "getBalance"
  | "deposit"
  | "withdraw"
  | "transfer"
  | "listEntries";
type Input<Name extends UnaryName> = Methods[Name]["input"];
type Output<Name extends UnaryName> = Methods[Name]["output"];

export async function openBank(
  t: TestContext,
  mode: BankMode = "mtls",
): Promise<{ bank: Bank; path: string }> {
  const path = join(temporaryFolder(t), "bank.db");
  const store = await createSqliteStore({ path, mode });
  t.after(() => store.close());
  return { bank: createBank({ store, mode }), path };
}

export function clientOf(bank: Bank, identity: string | undefined): FakeClient {
  const handlers = createBankService(bank);
  return {
    async call(name, request) {
      const method = BankService.method[name];
      const { call, trailers } = fakeCall(`/bank.v1.BankService/${method.name}`, identity);
      const handler = handlers[name] as unknown as AnyHandler;
      const reply = await handler(messageOf(method.input, request), call);
      return {
        reply: create(method.output, reply as never) as never,
        hit: trailers.get("idempotency-hit") === "true",
      };
    },
  };
}

/** Calls a unary method of TellerService. */
export async function tell(
  bank: Bank,
  identity: string,
  ...[name, request]: ["getBalance" | "deposit" | "listEntries" | "createAccount", unknown]
): Promise<{ reply: unknown; hit: boolean }> {
  const method = TellerService.method[name];
  const { call, trailers } = fakeCall(`/bank.v1.TellerService/${method.name}`, identity);
  const handler = createTellerService(bank)[name] as unknown as AnyHandler;
  const reply = await handler(messageOf(method.input, request), call);
  return { reply, hit: trailers.get("idempotency-hit") === "true" };
}

/** A new request id with the fields given. */
export function change<Fields extends object>(fields: Fields): Fields & { requestId: string } {
  return { requestId: randomUUID(), ...fields };
}

/** An amount in dollars and cents. */
export function cents(minorUnits: bigint): { minorUnits: bigint; currencyCode: string } {
  return { minorUnits, currencyCode: "USD" };
}

function messageOf(schema: DescMessage, request: unknown): unknown {
  return isMessage(request) ? request : create(schema, request as never);
}

type AnyHandler = (request: unknown, call: unknown) => Promise<unknown>;
