import { DerReader, malformed } from "./der.ts";
import { readAuthorityKeyIdentifier, readExtensions, type Extension } from "./extensions.ts";
import { hex } from "./identifiers.ts";
import { OID } from "./oid.ts";

/**
 * Why a list cannot decide alone: it only tells changes, speaks for other issuers, leaves some
 * certificates or reasons out, or says something critical that is not understood.
 */
export type CrlLimitation = "delta" | "indirect" | "partial" | "unknown-critical-extension";

/** What the extensions of a list say. */
interface CrlExtensions {
  readonly extensions: readonly Extension[];
  readonly number: bigint;
  readonly authorityKeyIdentifier: Uint8Array;
  readonly limitation: CrlLimitation | undefined;
}

/**
 * Reads crlExtensions (RFC 5280 5.2): CRLNumber and an authority key identifier must be there, and
 * neither may be critical.
 * @throws X509Error DER_MALFORMED
 */
export function readCrlExtensions(explicit: DerReader | undefined): CrlExtensions {
  const extensions = explicit ? readExtensions(explicit, WHAT) : [];
  explicit?.finish(WHAT);
  let number: bigint | undefined;
  let authorityKeyIdentifier: Uint8Array | undefined;
  let limitation: CrlLimitation | undefined;
  for (const { oid, critical, value } of extensions) {
    const reader = new DerReader(value);
    switch (oid) {
      case OID.crlNumber:
        number = readNumber(reader, critical);
        break;
      case OID.authorityKeyIdentifier:
        if (critical) throw malformed("authority key identifier", "is critical");
        authorityKeyIdentifier = readAuthorityKeyIdentifier(reader).keyIdentifier;
        reader.finish(WHAT);
        break;
      case OID.deltaCrlIndicator:
        limitation = "delta";
        break;
      case OID.issuingDistributionPoint:
        limitation ??= readScope(reader);
        break;
      default:
        if (critical) limitation ??= "unknown-critical-extension";
    }
  }
  if (number === undefined) throw malformed("CRL number", "is missing");
  if (authorityKeyIdentifier === undefined)
    throw malformed("authority key identifier", "is missing");
  return { extensions, number, authorityKeyIdentifier, limitation };
}

/** RFC 5280 5.2.3: not negative, at most 20 octets. */
function readNumber(reader: DerReader, critical: boolean): bigint {
  const what = "CRL number";
  const content = reader.integer(what);
  reader.finish(what);
  if (critical) throw malformed(what, "is critical");
  if ((content[0] as number) >= 0x80 || content.length > 20) {
    throw malformed(what, "is not a number of at most 20 octets");
  }
  return BigInt(`0x${hex(content)}`);
}

/** RFC 5280 5.2.5. Any point of distribution means that there may be more lists than this. */
function readScope(reader: DerReader): CrlLimitation {
  const what = "issuing distribution point";
  const scope = reader.sequence(what);
  reader.finish(what);
  let indirect = false;
  while (!scope.done) indirect = scope.any(what).tag === INDIRECT || indirect;
  return indirect ? "indirect" : "partial";
}

const WHAT = "extensions";
/** `indirectCRL`, which is only ever written when true. */
const INDIRECT = 0x84;
