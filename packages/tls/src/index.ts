// For every service: one runtime that listens and dials.
export { createMutualTls } from "./mutual-tls.ts";
export type { MutualTls, MutualTlsOptions, ReloadReport } from "./mutual-tls.ts";
export { mutualTlsFromEnv } from "./environment.ts";
export type {
  ConfiguredTransport,
  Environment,
  EnvironmentOptions,
  ServiceAddress,
} from "./environment.ts";
export type { DialAddress, DialOptions, Dialled } from "./dialer.ts";
export type { ListenAddress, Listener, ListenerLimits, ListenProtocols } from "./listener.ts";
export type { ForeignServer, ForeignServerOptions } from "./foreign-server.ts";
export type { SessionLimits } from "./reception.ts";

export type { HandshakeLimits } from "./source-limits.ts";
export type { ProtocolOptions } from "./secure-context.ts";

// Where certificates, trust and revocation come from.
export { identityFromFile, identityFromFiles, identityFromMemory, noIdentity } from "./identity.ts";
export type { Identity, IdentityMaterial, IdentitySource, Purpose } from "./identity.ts";
export { trustFromFile, trustFromMemory, trustFromSeveral } from "./trust.ts";
export type { Trust, TrustAnchor, TrustMaterial, TrustSource } from "./trust.ts";
export { noRevocation, revocationFromSeveral } from "./revocation.ts";
export { ocsp } from "./ocsp.ts";
export type { OcspOptions } from "./ocsp.ts";
export { crlFromDirectory, crlFromSource } from "./crl-sources.ts";
export type { CrlFile, CrlOptions, CrlProblem } from "./crl-sources.ts";
export { crlFromUrls } from "./crl-from-urls.ts";
export type { CrlUrlOptions } from "./crl-from-urls.ts";
export type {
  Authority,
  ReloadOptions,
  Revocation,
  RevocationHooks,
  RevocationSource,
  RevocationVerdict,
} from "./revocation.ts";
export type { ReloadOutcome, Source } from "./source.ts";

// For whoever knows a root by its fingerprint alone.
export { fetchPinnedRoot } from "./fetch-pinned-root.ts";
export type { PinnedRootOptions } from "./fetch-pinned-root.ts";

// Whom to admit, whom to expect.
export {
  anyTrustedPeer,
  matching,
  memberOf,
  nobody,
  oneOf,
  serverName,
  spiffeId,
} from "./admission.ts";
export type { AdmissionRule, Expectation } from "./admission.ts";

// Who it is, or why not.
export { isForwardedPeer, isVerifiedPeer } from "./verify-peer.ts";
export type { ConnectionFacts, ForwardedPeer, PeerCertificate, VerifiedPeer } from "./peer.ts";
export type { Caller, ForwardedPeers, ForwardedPeersOptions } from "./forwarded-peers.ts";
export { handshakeResults, peerRefusal, refusals } from "./refusal.ts";
export type { HandshakeResult, Refusal, RefusalCode } from "./refusal.ts";
export { TlsError, tlsErrors } from "./errors.ts";
export type { TlsErrorCode } from "./errors.ts";
export type { SourceKind, TlsEvent, TlsEventListener } from "./events.ts";
export type { SessionInfo } from "./sessions.ts";

// HTTP over judged connections, for other people's servers and clients.
export { peerOf } from "./peer-of.ts";
export type { HttpAdapters } from "./http-adapters.ts";
export { http1Protocol } from "./serve-http.ts";
export type { ServeHttpOptions } from "./serve-http.ts";
export type { HttpsAgentOptions, UndiciConnect, UndiciTarget } from "./http-clients.ts";
export type { FastifyServerFactory } from "./fastify-server.ts";

// For protocols that run on judged connections.
export type { DrainReason, LiveProtocol, Protocol, Session } from "./protocol.ts";
