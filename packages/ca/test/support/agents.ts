import { createPublicKey } from "node:crypto";
import type { TestContext } from "node:test";
import { certificatesToPem, parseCertificatesPem } from "@handfast/x509";
import type { Certificate } from "@handfast/x509";
import type { AgentEvent, Authority, CredentialPlace, Renewer } from "../../src/index.ts";
import { requestFor, temporaryAuthority } from "./fixtures.ts";
import type { TestAuthority } from "./fixtures.ts";

/** A renewer that asks an authority in the same process, and can be told to fail. */
export interface TestRenewer extends Renewer {
  /** Thrown by the next renewals instead of an answer. */
  failure: Error | undefined;
  /** Thrown after the authority has done its work: the answer is lost. */
  lost: Error | undefined;
  renewals: number;
}

/** Renews in `authority` by the present certificate, and enrols `name` where there is none. */
export function testRenewer(
  authority: Authority,
  { name, validitySeconds = 3_600 }: { readonly name: string; readonly validitySeconds?: number },
): TestRenewer {
  const bundle = async () => {
    const { sequence, roots } = await authority.bundle();
    return { sequence, rootsPem: certificatesToPem(roots) };
  };
  const renewer: TestRenewer = {
    description: "the authority of the test",
    failure: undefined,
    lost: undefined,
    renewals: 0,
    async renew({ present, nextKey }) {
      if (renewer.failure !== undefined) throw renewer.failure;
      const publicKey = createPublicKey(nextKey);
      const issued =
        present === undefined
          ? await authority.issue(requestFor(name, { publicKey, validitySeconds }))
          : await authority.renew({
              certificate: fingerprintOf(present.chainPem),
              publicKey,
              requester: "local:test",
            });
      if (renewer.lost !== undefined) throw renewer.lost;
      renewer.renewals += 1;
      return { chainPem: issued.chainPem, bundle: await bundle() };
    },
    bundle,
  };
  return renewer;
}

function fingerprintOf(chainPem: string) {
  const [leaf] = parseCertificatesPem(chainPem);
  if (leaf === undefined) throw new TypeError("a chain holds a certificate");
  return leaf.fingerprint;
}

/** An authority, and everything that an agent said of it. */
export async function agentFixture(
  context: TestContext,
): Promise<TestAuthority & { events: AgentEvent[]; said: () => string[] }> {
  const fixture = await temporaryAuthority(context);
  const events: AgentEvent[] = [];
  return { ...fixture, events, said: () => events.splice(0).map(({ type }) => type) };
}

/** The leaf that a place holds. */
export async function leafIn(place: CredentialPlace): Promise<Certificate | undefined> {
  const present = await place.read();
  if (present === undefined) return undefined;
  return parseCertificatesPem(present.chainPem)[0];
}
