/** Which account: an id among those of its owner. The shape of bank.v1.AccountName. */
export interface AccountName {
  /** The owner's identity (VerifiedPeer.identity), or {@link anonymousOwner} in plaintext. */
  readonly owner: string;
  readonly accountId: string;
}

/**
 * Who owns the accounts of a bank that runs in plaintext, where nobody has an identity. No certificate
 * gives this name (identities begin with their kind and a colon), and a database made in one mode does
 * not open in the other.
 */
export const anonymousOwner = "anonymous";

/** Whether the text can be the id of an account: `^[a-z0-9][a-z0-9-]{0,62}$`. */
export function isAccountId(text: string): boolean {
  return /^[a-z0-9][a-z0-9-]{0,62}$/.test(text);
}

/** Whether both name one account. */
export function isSameAccount(one: AccountName, other: AccountName): boolean {
  return one.owner === other.owner && one.accountId === other.accountId;
}
