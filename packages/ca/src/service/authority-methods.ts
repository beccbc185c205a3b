import type { Authority as AuthorityService } from "../gen/handfast/ca/v1/ca_pb.ts";
import { parseRequest } from "@handfast/x509";
import { CaError } from "../errors.ts";
import { peerOfCall, requesterOf } from "./caller.ts";
import type { Caller, Methods } from "./caller.ts";
import { follow } from "./feed.ts";
import type { Inventory } from "./inventory.ts";
import { requireRequest } from "./method-context.ts";
import type { MethodContext } from "./method-context.ts";
import { bundleToWire, issuedToWire } from "../wire.ts";

/** The methods that need a certificate. */
export function authorityMethods(
  context: MethodContext,
  inventory: Inventory,
): Methods<typeof AuthorityService> {
  const { authority, bundle, crls, authorityTarget, clock, stopping } = context;
  const wireBundle = () => bundleToWire(bundle.current, authorityTarget());
  const untilStopped = ({ signal }: Caller) => AbortSignal.any([signal, stopping]);

  return {
    ...inventory,
    async getBundle() {
      return { bundle: wireBundle() };
    },
    async renew({ certificateRequest, validitySeconds }, caller) {
      const peer = peerOfCall(caller);
      requireRequest(certificateRequest);
      const { publicKeyInfo } = parseRequest(certificateRequest);
      const issued = await authority.renew({
        certificate: peer.fingerprint,
        publicKey: publicKeyInfo.der,
        requester: requesterOf(peer),
        ...(validitySeconds === 0n ? {} : { validitySeconds: secondsOf(validitySeconds) }),
      });
      return { certificate: issuedToWire(issued, clock()), bundle: wireBundle() };
    },
    async *watchBundle(_request, caller) {
      for await (const _change of follow(bundle, untilStopped(caller))) {
        yield { bundle: wireBundle() };
      }
    },
    async *watchCrls(_request, caller) {
      const told = new Map<string, number>();
      for await (const lists of follow(crls, untilStopped(caller))) {
        for (const { issuer, number, der } of lists.values()) {
          if (told.get(issuer) === number) continue;
          told.set(issuer, number);
          yield { crl: der, issuer, number: BigInt(number) };
        }
      }
    },
  };
}

/** Far below what a number holds exactly; the profile's own limit is lower still. */
function secondsOf(validitySeconds: bigint): number {
  if (validitySeconds > 0n && validitySeconds < 2n ** 40n) return Number(validitySeconds);
  throw new CaError(
    "REQUEST_INVALID",
    `validity_seconds must be from 1 up, or 0 for as long as now, not ${validitySeconds}`,
  );
}
