import type { Certificate } from "@handfast/x509";
import type { Workshop } from "./workshop.ts";

/** What peers are to trust, at one moment. */
export interface TrustBundle {
  /** Grows with each change: a client takes a bundle only if its sequence is higher (security.md S50). */
  readonly sequence: number;
  readonly trustDomain: string;
  /** The roots that are not retired, oldest first. */
  readonly roots: readonly Certificate[];
}

/** The bundle as the records have it now. */
export async function trustBundle({
  store,
  issuers,
  trustDomain,
}: Pick<Workshop, "store" | "issuers" | "trustDomain">): Promise<TrustBundle> {
  // The sequence first: of a change in between, the sequence is told too low and never too high.
  const authority = await store.authority();
  const roots = await issuers.published("root");
  return {
    sequence: authority?.bundleSequence ?? 0,
    trustDomain,
    roots: roots.map(({ certificate }) => certificate),
  };
}

/** A revocation list by the number alone. */
export interface CrlPlace {
  /** The name of the issuer record. */
  readonly issuer: string;
  /** 0 where there is none yet. */
  readonly number: number;
}

/** Which list is the newest of each key that is not retired; cheap, for whoever asks often. */
export async function crlNumbers({ store }: Pick<Workshop, "store">): Promise<readonly CrlPlace[]> {
  const issuers = (await store.issuers()).filter(({ state }) => state !== "retired");
  return Promise.all(
    issuers.map(async ({ name }) => ({ issuer: name, number: (await store.crlNumber(name)) ?? 0 })),
  );
}
