import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { formatAmount, isCurrencyCode, isInRange, parseAmount } from "../src/money.ts";

test("amounts are written with the decimals of their currency", () => {
  const written = [
    ["USD", 1234n, "12.34"],
    ["USD", 5n, "0.05"],
    ["USD", -5n, "-0.05"],
    ["USD", 0n, "0.00"],
    ["JPY", 500n, "500"],
    ["KWD", -500n, "-0.500"],
    ["EUR", 9223372036854775807n, "92233720368547758.07"],
    ["EUR", -9223372036854775808n, "-92233720368547758.08"],
  ] as const;
  for (const [currencyCode, minorUnits, text] of written) {
    assert.equal(formatAmount({ minorUnits, currencyCode }), text);
  }
});

test("what was written is read back exactly", () => {
  const currency = fc.constantFrom("USD", "JPY", "KWD", "CLF");
  fc.assert(
    fc.property(
      fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
      currency,
      (minorUnits, currencyCode) => {
        const money = { minorUnits, currencyCode };
        assert.deepEqual(parseAmount(formatAmount(money), currencyCode), money);
      },
    ),
  );
});

test("a text that is no exact amount of the currency is refused", () => {
  for (const text of ["", "-1", "1.", ".5", "1.234", "1e3", "0x10", " 1", "1,00", "Infinity"]) {
    assert.equal(parseAmount(text, "USD"), undefined, text);
  }
  assert.equal(parseAmount("92233720368547758.08", "USD"), undefined);
  assert.equal(parseAmount("1.5", "JPY"), undefined);
  assert.equal(parseAmount("1", "ZZZ"), undefined);
});

test("currencies are those of ISO 4217 in upper case", () => {
  for (const code of ["USD", "EUR", "JPY", "KWD", "CLF"]) assert.equal(isCurrencyCode(code), true);
  for (const code of ["usd", "ZZZ", "", "US", "toString"])
    assert.equal(isCurrencyCode(code), false);
});

test("the range is that of int64", () => {
  assert.equal(isInRange(2n ** 63n - 1n), true);
  assert.equal(isInRange(2n ** 63n), false);
  assert.equal(isInRange(-(2n ** 63n)), true);
  assert.equal(isInRange(-(2n ** 63n) - 1n), false);
});
