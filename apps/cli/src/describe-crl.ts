import type { Crl, CrlEntry } from "@handfast/x509";
import { formatTime, fromNow } from "./duration.ts";

/** A revocation list as JSON, with its first entries. */
export function crlJson(crl: Crl): object {
  return {
    issuer: crl.issuer.text,
    number: crl.number.toString(),
    thisUpdate: formatTime(crl.thisUpdate),
    nextUpdate: formatTime(crl.nextUpdate),
    authorityKeyIdentifier: Buffer.from(crl.authorityKeyIdentifier).toString("hex"),
    limitation: crl.limitation ?? null,
    size: crl.size,
    entries: firstEntries(crl).map(({ serialNumber, revokedAt, reason }) => ({
      serialNumber,
      revokedAt: formatTime(revokedAt),
      reason: reason ?? "unspecified",
    })),
  };
}

/** A revocation list as rows of a name and words. */
export function crlRows(crl: Crl, now: Date): readonly (readonly [string, string])[] {
  const { issuer, number, thisUpdate, nextUpdate, limitation, size } = crl;
  const due = nextUpdate < now ? "was due" : "is due";
  return [
    ["revocation list of", issuer.text],
    ["number", number.toString()],
    ["signed", formatTime(thisUpdate)],
    ["next", `${formatTime(nextUpdate)}, ${due} ${fromNow(nextUpdate, now)}`],
    ...(limitation === undefined ? [] : [["limited", limitation] as const]),
    ["entries", String(size)],
    ...firstEntries(crl).map(
      ({ serialNumber, revokedAt, reason }) =>
        [
          "revoked",
          `${serialNumber}  ${formatTime(revokedAt)}  ${reason ?? "unspecified"}`,
        ] as const,
    ),
    ...(size > mostEntries ? [["", `and ${size - mostEntries} more`] as const] : []),
  ];
}

/** A list may have a million. */
function firstEntries(crl: Crl): readonly CrlEntry[] {
  const first: CrlEntry[] = [];
  for (const entry of crl.entries()) {
    if (first.length === mostEntries) break;
    first.push(entry);
  }
  return first;
}

const mostEntries = 1_000;
