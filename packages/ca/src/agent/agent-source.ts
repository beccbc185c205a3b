import type { IdentitySource, TrustSource } from "@handfast/tls";
import { encodePrivateKey } from "@handfast/x509";
import { CaError } from "../errors.ts";
import { createAgent } from "./agent.ts";
import type { Agent } from "./agent.ts";
import { bundleInMemory } from "./bundle-file.ts";
import type { BundleKeeper } from "./bundle-file.ts";
import type { AgentEventListener } from "./events.ts";
import { placeInMemory } from "./place.ts";
import type { CredentialPlace } from "./place.ts";
import type { Renewer } from "./renewer.ts";

/** One certificate, kept by the service that uses it. */
export interface AgentSourceOptions {
  readonly renewer: Renewer;
  /** Where the certificate is kept; memory if not given: it is enrolled anew at each start then. */
  readonly place?: CredentialPlace;
  /** Where the bundle is kept; memory if not given. */
  readonly bundle?: BundleKeeper;
  readonly onEvent?: AgentEventListener;
  readonly clock?: () => Date;
}

/** What `createMutualTls` needs, renewed while it runs. */
export interface AgentSource {
  readonly identity: IdentitySource;
  readonly trust: TrustSource;
  readonly agent: Agent;
  close(): Promise<void>;
}

/**
 * Runs an agent for one certificate inside a service, which then needs no files and no reload:
 * `createMutualTls({ identity, trust, … })`.
 *
 * @throws CaError AGENT_MISCONFIGURED if there is no certificate and none could be had
 */
export async function agentSource(options: AgentSourceOptions): Promise<AgentSource> {
  const { renewer, place = placeInMemory(), bundle = bundleInMemory(), onEvent, clock } = options;
  const listeners = new Set<() => void>();
  let failure: string | undefined;
  const agent = await createAgent({
    certificates: [{ name: "own", place, renewer }],
    bundle,
    ...(clock && { clock }),
    onEvent(event) {
      if (event.type === "renewal-failed") failure = event.reason;
      if (event.type === "renewed") for (const listener of listeners) listener();
      onEvent?.(event);
    },
  });
  if ((await place.read().catch(() => undefined)) === undefined || bundle.current === undefined) {
    await agent.close();
    throw new CaError(
      "AGENT_MISCONFIGURED",
      `there is no certificate and no bundle: ${failure ?? "the certificate came without roots"}`,
    );
  }
  return {
    agent,
    identity: {
      description: `certificate in ${place.description}, renewed by ${renewer.description}`,
      async read() {
        const present = await place.read();
        if (present === undefined)
          throw new CaError("CREDENTIAL_INVALID", "the certificate is gone");
        const { chainPem, privateKey } = present;
        return { certificateChain: chainPem, privateKey: encodePrivateKey(privateKey) };
      },
      watch(changed) {
        listeners.add(changed);
        return () => void listeners.delete(changed);
      },
    },
    trust: {
      description: `roots from ${renewer.description}`,
      read: () => Promise.resolve([{ bundle: bundle.current?.rootsPem ?? "" }]),
      watch: (changed) => bundle.onChange(changed),
    },
    close: () => agent.close(),
  };
}
