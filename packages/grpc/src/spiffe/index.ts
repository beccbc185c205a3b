// For services whose identity comes from SPIRE, or whatever else speaks the SPIFFE Workload API.
export { spiffeSource } from "./spiffe-source.ts";
export type { SpiffeEvent, SpiffeSource, SpiffeSourceOptions } from "./spiffe-source.ts";
