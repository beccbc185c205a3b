import type { Enrolment } from "../gen/handfast/ca/v1/ca_pb.ts";
import type { Methods } from "./caller.ts";
import { requireRequest } from "./method-context.ts";
import type { MethodContext } from "./method-context.ts";
import { bundleToWire, issuedToWire } from "../wire.ts";

/** The methods that need no certificate; tokens must name the audience. */
export function enrolmentMethods(
  { authority, bundle, authorityTarget, clock }: MethodContext,
  audience: () => string,
): Methods<typeof Enrolment> {
  return {
    async getBundle() {
      return { bundle: bundleToWire(bundle.current, authorityTarget()) };
    },
    async enrol({ token, certificateRequest }) {
      requireRequest(certificateRequest);
      const request = { token, audience: audience(), request: certificateRequest };
      const issued = await authority.enrol(request);
      return {
        certificate: issuedToWire(issued, clock()),
        bundle: bundleToWire(bundle.current, authorityTarget()),
      };
    },
  };
}
