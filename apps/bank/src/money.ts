/** An amount of money, exact: whole minor units, never a float. The shape of bank.v1.Money. */
export interface Money {
  /** In the smallest unit of the currency: 1234n of USD is 12.34 dollars. */
  readonly minorUnits: bigint;
  /** ISO 4217, upper case. */
  readonly currencyCode: string;
}

/** The most that a balance or a sum may come to. */
export const maximumMinorUnits: bigint = 2n ** 63n - 1n;

/** Whether the value fits an int64: the range of balances and of sums, on the wire and in the stores. */
export function isInRange(minorUnits: bigint): boolean {
  return minorUnits >= minimumMinorUnits && minorUnits <= maximumMinorUnits;
}

/** Whether this is the code of a currency that ISO 4217 lists as in use. */
export function isCurrencyCode(code: string): boolean {
  return decimalsByCurrency.has(code);
}

/** Text for people, such as "12.34" of 1234n USD or "-0.500" of -500n KWD; the currency is left out. */
export function formatAmount({ minorUnits, currencyCode }: Money): string {
  const decimals = decimalsByCurrency.get(currencyCode) ?? 0;
  const sign = minorUnits < 0n ? "-" : "";
  const digits = (minorUnits < 0n ? -minorUnits : minorUnits)
    .toString()
    .padStart(decimals + 1, "0");
  const whole = digits.slice(0, digits.length - decimals);
  return decimals === 0 ? sign + whole : `${sign}${whole}.${digits.slice(-decimals)}`;
}

/**
 * The amount behind a text such as "12.34" or "12"; undefined if it is no number, has more decimals
 * than the currency, or does not fit an int64.
 */
export function parseAmount(text: string, currencyCode: string): Money | undefined {
  const decimals = decimalsByCurrency.get(currencyCode);
  const match = /^(\d{1,19})(?:\.(\d{1,4}))?$/.exec(text);
  const fraction = match?.[2] ?? "";
  if (decimals === undefined || match === null || fraction.length > decimals) return undefined;
  const minorUnits = BigInt((match[1] ?? "") + fraction.padEnd(decimals, "0"));
  return isInRange(minorUnits) ? { minorUnits, currencyCode } : undefined;
}

const minimumMinorUnits: bigint = -(2n ** 63n);

/** By number of decimals: the currencies of ISO 4217 in use (funds codes but those below left out). */
const currencies: Readonly<Record<number, string>> = {
  0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
  2: `AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF
      CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL
      HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT
      MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB
      SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH
      USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG`,
  3: "BHD IQD JOD KWD LYD OMR TND",
  4: "CLF UYW",
};

const decimalsByCurrency: ReadonlyMap<string, number> = new Map(
  Object.entries(currencies).flatMap(([decimals, codes]) =>
    codes.split(/\s+/).map((code) => [code, Number(decimals)] as const),
  ),
);
