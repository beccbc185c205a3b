import { spiffeSource } from "@handfast/grpc/spiffe";
import type { EnvironmentOptions } from "@handfast/tls";
import type { Settings } from "./settings.ts";

/** Certificate and trust from SPIRE's agent in place of files, where its socket is set. */
export function workloadIdentity(settings: Settings): Pick<EnvironmentOptions, "sources"> {
  const { SPIFFE_ENDPOINT_SOCKET: endpoint } = settings;
  return endpoint === undefined ? {} : { sources: spiffeSource({ endpoint }) };
}
