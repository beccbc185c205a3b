/**
 * What an ACME server remembers (accounts, orders, authorizations, …): small texts, each under a
 * kind and an id. What they mean is the server's business; a store keeps, finds and forgets them, in
 * the same transactions as certificates.
 */
export interface AcmeRecord {
  /** Which sort of thing it is; ids are unique within it. */
  readonly kind: string;
  readonly id: string;
  /** The account it belongs to, if it does. */
  readonly owner: string | undefined;
  /** JSON, at most 256 KiB. */
  readonly body: string;
  readonly createdAt: Date;
  /** From then on it MAY be forgotten; undefined is never. */
  readonly keepUntil: Date | undefined;
}

/** What can be read of them, inside a transaction and outside. */
export interface AcmeReads {
  acmeRecord(kind: string, id: string): Promise<AcmeRecord | undefined>;
  /** Newest first, in the order in which they were added. */
  acmeRecords(query: AcmeQuery): Promise<readonly AcmeRecord[]>;
}

/** What can be written within one transaction. */
export interface AcmeWrites {
  /** MUST refuse an id of this kind that is there (STORE_CONFLICT), whatever its `keepUntil`. */
  addAcmeRecord(record: AcmeRecord): Promise<void>;
  /** Replaces body and `keepUntil`, and nothing else; MUST refuse a record that is not there. */
  changeAcmeRecord(record: Pick<AcmeRecord, "kind" | "id" | "body" | "keepUntil">): Promise<void>;
  /** Removes a record, if it is there. */
  removeAcmeRecord(kind: string, id: string): Promise<void>;
  /**
   * Removes at most `limit` records whose `keepUntil` is before a time, and tells how many. MUST
   * leave all others.
   */
  forgetAcmeRecords(options: {
    readonly endedBefore: Date;
    readonly limit: number;
  }): Promise<number>;
}

/** Everything given must hold. */
export interface AcmeQuery {
  readonly kind: string;
  readonly owner?: string;
  /** 1 to 10,000. */
  readonly limit: number;
  /** Only those added before the one of this id: the last of the page before. */
  readonly before?: string;
}
