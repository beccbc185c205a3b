import type { DescMessage, Message, MessageShape } from "@bufbuild/protobuf";
import type { Money } from "../money.ts";
import type { BankCall, Change } from "./bank.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { checkRequest } from "./request-checks.ts";
import type { RequestChecks } from "./request-checks.ts";

/** Reads what every request that changes something has. The checks are still to be done. */
export function readChange<Desc extends DescMessage>(
  schema: Desc,
  request: MessageShape<Desc> & Message & { readonly requestId: string },
  call: BankCall,
): { checks: RequestChecks; change: Change } {
  const checks = checkRequest(schema, request);
  const requestId = checks.requestId(request.requestId);
  return { checks, change: { call, requestId, fingerprint: fingerprintOf(schema, request) } };
}

/** Reads what every request that moves money has. The checks are still to be done. */
export function readMove<Desc extends DescMessage>(
  schema: Desc,
  request: MessageShape<Desc> & Message & MoveFields,
  call: BankCall,
): { checks: RequestChecks; change: Change; amount: Money; description: string } {
  const { checks, change } = readChange(schema, request, call);
  const amount = checks.amount(request.amount);
  return { checks, change, amount, description: checks.description(request.description) };
}

interface MoveFields {
  readonly requestId: string;
  readonly amount?: Money | undefined;
  readonly description: string;
}
