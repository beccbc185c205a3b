import type { Socket } from "node:net";
import { isReachable } from "./addresses.ts";
import { dnsRecordOf } from "./challenge.ts";
import type { ChallengeType } from "./challenge.ts";
import { validateHttp } from "./http-01.ts";
import { canonicalDnsName } from "./identifier.ts";
import type { Identifier } from "./identifier.ts";
import { canonicalAddress } from "./ip-address.ts";
import type { AcmeNetwork } from "./network.ts";
import type { AcmeProblemType } from "./problem.ts";
import { validateTlsAlpn } from "./tls-alpn-01.ts";
import { failureDetails, ValidationFailure } from "./validation-failure.ts";
import type { Reach } from "./validation-failure.ts";

/** Finds out whether somebody controls an identifier. */
export interface Validator {
  /** Never rejects. */
  validate(task: ValidatorTask): Promise<ValidationOutcome>;
}

export interface ValidatorTask {
  readonly type: ChallengeType;
  readonly identifier: Identifier;
  readonly token: string;
  readonly keyAuthorization: string;
  readonly signal: AbortSignal;
}

/** The client is told type and detail, which are the same whatever was found (S51). */
export type ValidationOutcome =
  | { readonly ok: true }
  | {
      readonly ok: false;
      readonly problem: AcmeProblemType;
      readonly detail: string;
      /** For the operator. */
      readonly reason: string;
    };

/** A validator on a network, for whatever may be reached there. */
export function createValidator({
  network,
  allowNetworks,
  roots,
}: {
  readonly network: AcmeNetwork;
  readonly allowNetworks: readonly string[];
  /** What an HTTPS server that http-01 is redirected to is verified by, as PEM. */
  readonly roots: () => Promise<readonly string[]>;
}): Validator {
  return {
    async validate(task): Promise<ValidationOutcome> {
      const time = AbortSignal.timeout(wholeTimeMs);
      const signal = AbortSignal.any([task.signal, time]);
      try {
        await within(signal, () => attempt({ ...task, signal }));
        return { ok: true };
      } catch (error) {
        const problem = error instanceof ValidationFailure ? error.problem : "connection";
        const reason = error instanceof Error ? error.message : String(error);
        return { ok: false, problem, detail: failureDetails[problem], reason };
      }
    },
  };

  async function attempt(task: ValidatorTask): Promise<void> {
    const { type, identifier, signal } = task;
    const reach: Reach = { connect: (to) => connect({ ...to, signal }), signal };
    switch (type) {
      case "http-01":
        return validateHttp(reach, { ...task, host: identifier.value, roots });
      case "tls-alpn-01":
        return validateTlsAlpn(reach, task);
      case "dns-01":
        return validateDns(task);
    }
  }

  async function validateDns({ identifier, keyAuthorization }: ValidatorTask): Promise<void> {
    const texts = await resolved(network.texts(`_acme-challenge.${identifier.value}`));
    if (texts.includes(dnsRecordOf(keyAuthorization))) return;
    throw new ValidationFailure("incorrectResponse", `none of ${texts.length} TXT records is it`);
  }

  async function connect({
    host,
    port,
    signal,
  }: {
    host: string;
    port: number;
    signal: AbortSignal;
  }): Promise<Socket> {
    const literal = canonicalAddress(host);
    if (literal === undefined && canonicalDnsName(host) === undefined) {
      throw new ValidationFailure("connection", "the host is no DNS name and no address");
    }
    const addresses = literal === undefined ? await resolved(network.addresses(host)) : [literal];
    if (addresses.length === 0) throw new ValidationFailure("dns", "the name has no address");
    const own = network.ownAddresses();
    const reachable = addresses.filter((address) => isReachable(address, { allowNetworks, own }));
    if (reachable.length === 0) {
      throw new ValidationFailure("connection", `${addresses.join(", ")} may not be reached`);
    }
    for (const address of reachable.slice(0, maxAddresses)) {
      try {
        return await network.connect({ address, port, signal });
      } catch (error) {
        if (signal.aborted) throw error;
      }
    }
    throw new ValidationFailure("connection", `no connection to ${reachable.join(", ")}:${port}`);
  }
}

async function resolved(asked: Promise<readonly string[]>): Promise<readonly string[]> {
  try {
    return (await asked).slice(0, maxAnswers);
  } catch (error) {
    throw new ValidationFailure("dns", `the resolver failed: ${(error as Error).message}`);
  }
}

/** Ends when the signal does, also where what runs does not listen to it. */
async function within(signal: AbortSignal, run: () => Promise<void>): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>();
  const stop = () => reject(new ValidationFailure("connection", "it took too long"));
  signal.addEventListener("abort", stop, { once: true });
  try {
    signal.throwIfAborted();
    await Promise.race([run(), promise]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

const wholeTimeMs = 10_000;
const maxAddresses = 3;
const maxAnswers = 100;
