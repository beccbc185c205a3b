import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import type { ReflectMessage } from "@bufbuild/protobuf/reflect";
import { isAccountId } from "../account-name.ts";
import type { AccountName } from "../account-name.ts";
import { BankError } from "../errors.ts";
import type { FieldViolation } from "../errors.ts";
import { isCurrencyCode } from "../money.ts";
import type { Money } from "../money.ts";
import { parseUuid } from "../uuid.ts";

/**
 * Reads the fields of one request, gathering what is wrong with each, so that the caller learns of all
 * faults at once. Call `done` before using what was read.
 */
export interface RequestChecks {
  requestId(value: string): string;
  accountId(field: string, value: string): string;
  accountName(field: string, value: AccountName | undefined): AccountName;
  /** As accountName, but the id may be empty. */
  ownedName(field: string, value: AccountName | undefined): AccountName;
  /** Greater than zero, in a known currency. */
  amount(value: Money | undefined): Money;
  currencyCode(field: string, value: string): string;
  description(value: string): string;
  /** From 0 to `maximum`. */
  number<T extends number | bigint>(field: string, value: T, maximum: T): T;
  /** Notes a fault that the others do not find. */
  fault(field: string, description: string): void;
  /** @throws BankError INVALID_REQUEST with every fault that was found */
  done(): void;
}

/** Begins with the fields that nobody knows: a request that has one is refused. */
export function checkRequest<Desc extends DescMessage>(
  schema: Desc,
  request: MessageShape<Desc>,
): RequestChecks {
  const violations: FieldViolation[] = [];
  const fault = (field: string, description: string): void => {
    violations.push({ field, description });
  };
  for (const field of unknownFields(reflect(schema, request), "")) fault(field, "is not known");

  const checks: RequestChecks = {
    fault,
    requestId(value) {
      const uuid = parseUuid(value);
      if (uuid === undefined) fault("request_id", "must be a UUID");
      return uuid ?? "";
    },
    accountId(field, value) {
      if (!isAccountId(value)) fault(field, `must match ${accountIdPattern}`);
      return value;
    },
    accountName(field, value) {
      const name = checks.ownedName(field, value);
      if (value !== undefined) checks.accountId(`${field}.account_id`, name.accountId);
      return name;
    },
    ownedName(field, value) {
      if (value === undefined) fault(field, "is missing");
      else if (!isOwner(value.owner)) fault(`${field}.owner`, "must be an identity");
      return { owner: value?.owner ?? "", accountId: value?.accountId ?? "" };
    },
    amount(value) {
      if (value === undefined) fault("amount", "is missing");
      else {
        if (value.minorUnits <= 0n) fault("amount.minor_units", "must be greater than zero");
        checks.currencyCode("amount.currency_code", value.currencyCode);
      }
      return { minorUnits: value?.minorUnits ?? 0n, currencyCode: value?.currencyCode ?? "" };
    },
    currencyCode(field, value) {
      if (!isCurrencyCode(value)) fault(field, "must be a currency of ISO 4217, such as USD");
      return value;
    },
    description(value) {
      if (!descriptionPattern.test(value) || unprintable.test(value)) {
        fault("description", "must be at most 140 printable characters");
      }
      return value;
    },
    number(field, value, maximum) {
      if (value < 0 || value > maximum) fault(field, `must be from 0 to ${maximum}`);
      return value;
    },
    done() {
      if (violations.length > 0) {
        throw new BankError("INVALID_REQUEST", "the request is not valid", { violations });
      }
    },
  };
  return checks;
}

function unknownFields(message: ReflectMessage, path: string): readonly string[] {
  const own = (message.getUnknown() ?? []).map(({ no }) => `${path}${no}`);
  const nested = message.fields.flatMap((field) =>
    field.fieldKind === "message" && message.isSet(field)
      ? unknownFields(message.get(field), `${path}${field.name}.`)
      : [],
  );
  return [...own, ...nested];
}

/** Long enough to be one, short enough for an index, nothing that could hide in a log. */
function isOwner(text: string): boolean {
  return text !== "" && text.length <= ownerLimit && !unprintable.test(text);
}

const accountIdPattern = "^[a-z0-9][a-z0-9-]{0,62}$";
/** Counted in code points. */
const descriptionPattern = /^.{0,140}$/su;
const ownerLimit = 2048;
/** Control characters, lone surrogates, and what changes the direction or place of text (S64). */
const unprintable = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Bidi_Control}]/u;
