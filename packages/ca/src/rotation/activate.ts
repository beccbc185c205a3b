import { CaError } from "../errors.ts";
import type { IssuerRecord, RecordReads } from "../store/store.ts";
import type { Workshop } from "../workshop.ts";
import { stageOf } from "./stage.ts";

/** When prepared keys are taken into use. */
export interface ActivateRotationRequest {
  /**
   * How long peers had to read the new bundle, at least; 86,400 if not given. Peers that build
   * paths through cross-certificates need no such time, others do.
   */
  readonly spreadSeconds?: number;
  readonly requester: string;
}

/**
 * Takes the prepared keys into use: what is issued from now on is theirs. The old ones sign no
 * more certificates, and stay trusted until they are retired.
 */
export async function activateRotation(
  workshop: Workshop,
  { spreadSeconds = 86_400 }: ActivateRotationRequest,
): Promise<readonly IssuerRecord[]> {
  const { store, issuers } = workshop;
  const now = workshop.clock();
  const { prepared } = await activatable(store);
  const issuing = (await issuers.published("issuing")).filter(({ name }) =>
    prepared.some((one) => one.name === name),
  );
  for (const one of issuing) await one.open(); // a key that is missing is found out now
  await store.transaction(async (records) => {
    const current = await activatable(records);
    for (const { name } of current.active) await records.setIssuerState(name, "retiring");
    for (const { name } of current.prepared) await records.setIssuerState(name, "active");
    await records.raiseBundleSequence(now.getTime());
  });
  return stageOf(await store.issuers()).active;

  /** What is followed keeps its place: without a new root, the root in use stays so. */
  async function activatable(records: RecordReads): Promise<{
    prepared: readonly IssuerRecord[];
    active: readonly IssuerRecord[];
  }> {
    const stage = stageOf(await records.issuers());
    if (stage.prepared.length === 0) throw refused("none are prepared");
    await refuseUnready(records, stage.prepared);
    const active = stage.active.filter(({ role }) =>
      stage.prepared.some((one) => one.role === role),
    );
    return { prepared: stage.prepared, active };
  }

  async function refuseUnready(
    records: RecordReads,
    prepared: readonly IssuerRecord[],
  ): Promise<void> {
    for (const { name, role, createdAt } of prepared) {
      if ((await records.latestCrl(name)) === undefined) {
        throw refused(
          `${name} has not signed a revocation list yet: peers that ask for one would refuse it`,
          `sign one with \`handfast crl${role === "root" ? " --root" : ""}\` first`,
        );
      }
      const readyAt = new Date(createdAt.getTime() + spreadSeconds * 1_000);
      if (role !== "root" || readyAt <= now) continue;
      throw refused(
        `${name} has been in the bundle since ${createdAt.toISOString()} only, and peers have until ${readyAt.toISOString()} to read it`,
        "wait until then, or say --now if all peers have the new bundle",
      );
    }
  }
}

function refused(problem: string, hint?: string): CaError {
  const options = hint === undefined ? {} : { hint };
  return new CaError("ROTATION_REFUSED", `keys cannot be taken into use: ${problem}`, options);
}
