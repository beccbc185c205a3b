import { CaError } from "../errors.ts";
import type { IssuerRecord, IssuerRole, IssuerState } from "../store/store.ts";

/** Where an authority stands between two generations of keys. */
export interface RotationStage {
  readonly prepared: readonly IssuerRecord[];
  readonly active: readonly IssuerRecord[];
  readonly retiring: readonly IssuerRecord[];
}

/** The stage that issuer records tell of. */
export function stageOf(issuers: readonly IssuerRecord[]): RotationStage {
  const all = (wanted: IssuerState) => issuers.filter(({ state }) => state === wanted);
  return { prepared: all("prepared"), active: all("active"), retiring: all("retiring") };
}

/** The newest of a role. @throws CaError ISSUER_UNAVAILABLE */
export function newest(issuers: readonly IssuerRecord[], role: IssuerRole): IssuerRecord {
  const found = issuers.findLast((issuer) => issuer.role === role);
  if (found !== undefined) return found;
  throw new CaError("ISSUER_UNAVAILABLE", `the authority has no ${role} key in use`);
}

/** Names for a message. */
export function namesOf(issuers: readonly IssuerRecord[]): string {
  return issuers.map(({ name }) => name).join(" and ");
}
