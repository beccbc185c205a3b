import type { Socket } from "node:net";

/** Why a validation failed; thrown within the validator only. The message is for the operator. */
export class ValidationFailure extends Error {
  override readonly name = "ValidationFailure";
  readonly problem: keyof typeof failureDetails;

  constructor(problem: keyof typeof failureDetails, reason: string) {
    super(reason);
    this.problem = problem;
  }
}

/** What a challenge works with. */
export interface Reach {
  /**
   * Connects to a host, a DNS name or an address, at the first of its addresses that may be
   * reached; the name is resolved here and nowhere else.
   *
   * @throws ValidationFailure dns, connection
   */
  connect(to: { readonly host: string; readonly port: number }): Promise<Socket>;
  readonly signal: AbortSignal;
}

/** All that a client is told of what was found; none of it depends on what an answer held. */
export const failureDetails = {
  connection: "the server that the identifier leads to could not be reached",
  dns: "the identifier could not be resolved",
  incorrectResponse: "the answer to the challenge is not the expected one",
  tls: "there was no TLS handshake for acme-tls/1 with the server that the identifier leads to",
} as const;
