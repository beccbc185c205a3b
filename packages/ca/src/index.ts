// The public names of @handfast/ca, grouped by reader.

// who runs an authority
export { createAuthority } from "./authority.ts";
export type { Authority, AuthorityOptions } from "./authority.ts";
export type { AuditTrail } from "./audit.ts";
export { establishAuthority } from "./establish.ts";
export type { EstablishedAuthority, EstablishOptions } from "./establish.ts";
export {
  authorityHome,
  initAuthorityHome,
  openAuthorityHome,
  openAuthorityParts,
  writeBundle,
  writeCrls,
} from "./home.ts";
export type {
  AuthorityHome,
  AuthorityParts,
  InitAuthorityOptions,
  OpenAuthorityOptions,
} from "./home.ts";
export { encodeSpiffeBundle, parseSpiffeBundle } from "./spiffe-bundle.ts";
export type { FederatedBundle } from "./spiffe-bundle.ts";
export type { PruneRule } from "./prune.ts";
export type { ActivateRotationRequest } from "./rotation/activate.ts";
export type { PreparedRotation, PrepareRotationRequest } from "./rotation/prepare.ts";
export type { RetiredRotation, RetireRotationRequest } from "./rotation/retire.ts";

// who asks for a certificate
export type { IssuedCertificate, IssueRequest } from "./issue.ts";
export type { RenewRequest } from "./renew.ts";
export type { EnrolRequest, TokenRequest } from "./enrol.ts";
export type { SubjectRequest } from "./issuance.ts";
export { readTokenAddress } from "./token.ts";
export type { TokenAddress } from "./token.ts";
export { parseAlternativeName, parseServiceName, serviceNames } from "./names.ts";
export type { AlternativeNames, ServiceName, ServiceNamesOptions } from "./names.ts";
export { defaultProfiles } from "./profiles.ts";
export type { LeafProfile } from "./profiles.ts";
export { credentialPaths, refuseExistingCredential, writeCredential } from "./credential-files.ts";
export type {
  CredentialLayout,
  CredentialPaths,
  WriteCredentialOptions,
} from "./credential-files.ts";
export { checkKubernetesName, writeKubernetesSecret } from "./kubernetes-secret.ts";
export type { KubernetesSecretOptions } from "./kubernetes-secret.ts";
export { findCredentials } from "./find-credentials.ts";
export type { FoundCredential } from "./find-credentials.ts";
export { renewCredential } from "./renew-credential.ts";
export type { RenewCredentialOptions } from "./renew-credential.ts";

// who serves ACME
export { createAcme } from "./acme/create-acme.ts";
export type { Acme, AcmeLimits, AcmeOptions } from "./acme/create-acme.ts";
export type { AcmeEvent } from "./acme/events.ts";
export type { ChallengeType } from "./acme/challenge.ts";
export type { Identifier } from "./acme/identifier.ts";
export { systemNetwork } from "./acme/network.ts";
export type { AcmeNetwork } from "./acme/network.ts";
export type {
  ExternalAccountInfo,
  ExternalAccountKey,
  ExternalAccountRequest,
  WithdrawExternalAccountRequest,
} from "./acme/external-accounts.ts";

// who puts an authority online
export { createAuthorityService } from "./service/service.ts";
export type { AuthorityService } from "./service/service.ts";
export type { AuthorityServiceOptions } from "./service/options.ts";
export type { Rate, ServiceLimits } from "./service/limits.ts";
export type { AuthorityServiceEvent, AuthorityServiceEventListener } from "./service/events.ts";
export { createAuthorityMetrics } from "./service/metrics.ts";
export type { AuthorityCounters, AuthorityMetrics } from "./service/metrics.ts";
export type { CrlSet } from "./service/crl-feed.ts";
export type { CrlPlace, TrustBundle } from "./bundle.ts";

// who asks an authority that is online
export { enrolCredential, renewCredentialOnline } from "./client/online-credential.ts";
export type {
  EnrolCredentialOptions,
  RenewCredentialOnlineOptions,
} from "./client/online-credential.ts";
export { enrolOnline } from "./client/enrol-online.ts";
export type { EnrolOnlineOptions } from "./client/enrol-online.ts";
export { crlFromAuthority } from "./client/crl-from-authority.ts";
export type { AuthorityCrlOptions } from "./client/crl-from-authority.ts";
export { createAuthorityClient, renewOnline } from "./client/authority-client.ts";
export type {
  AuthorityClient,
  AuthorityClientOptions,
  RemoteCrl,
  RemotePage,
  RemoteQuery,
  RemoteRecord,
  RenewOnlineOptions,
} from "./client/authority-client.ts";
export type { ReceivedBundle, ReceivedCertificate } from "./client/received.ts";

// who asks a foreign authority, by ACME
export { createAcmeClient } from "./acme-client/acme-client.ts";
export type {
  AcmeCertificateRequest,
  AcmeClient,
  AcmeClientOptions,
} from "./acme-client/acme-client.ts";
export type { AcmeCertificate } from "./acme-client/received-certificate.ts";
export type { RenewalWindow } from "./acme-client/renewal-window.ts";
export type { AcmeRoots } from "./acme-client/transport.ts";
export { acmeRenewer } from "./acme-client/acme-renewer.ts";
export type { AcmeRenewerOptions } from "./acme-client/acme-renewer.ts";
export { dnsHookCommand, solveByDns, solveByHttp, solveByTlsAlpn } from "./acme-client/solvers.ts";
export type {
  ChallengeSolver,
  DnsChallengeRecord,
  DnsHook,
  PresentedChallenge,
  SolverAddress,
} from "./acme-client/solvers.ts";

// who keeps certificates fresh
export { agentSource } from "./agent/agent-source.ts";
export type { AgentSource, AgentSourceOptions } from "./agent/agent-source.ts";
export { parseAgentConfig } from "./agent/agent-config.ts";
export type { AcmeSource, AgentConfig, ConfiguredCertificate } from "./agent/agent-config.ts";
export { agentFromConfig } from "./agent/agent-from-config.ts";
export { agentMetrics, serveAgentStatus } from "./agent/agent-status.ts";
export type { AgentStatusServer } from "./agent/agent-status.ts";
export { createAgent } from "./agent/agent.ts";
export type { Agent, AgentOptions } from "./agent/agent.ts";
export { bundleInFile, bundleInMemory } from "./agent/bundle-file.ts";
export type { BundleKeeper } from "./agent/bundle-file.ts";
export type { AgentEvent, AgentEventListener } from "./agent/events.ts";
export type { KeptCertificate } from "./agent/keeper.ts";
export type { ManagedCertificate } from "./agent/managed-certificate.ts";
export { placeInMemory } from "./agent/place.ts";
export type { CredentialPlace, FileAccess } from "./agent/place.ts";
export { placeInDirectory } from "./agent/place-in-directory.ts";
export { placeInFile } from "./agent/place-in-file.ts";
export type { ReloadHook } from "./agent/reload-hook.ts";
export { authorityRenewer } from "./agent/renewer.ts";
export type {
  AuthorityRenewerOptions,
  PresentCredential,
  Renewal,
  RenewalRequest,
  RenewedBundle,
  Renewer,
} from "./agent/renewer.ts";

// who revokes
export type { RevokeRequest } from "./revoke.ts";
export type { PublishCrlRequest, PublishedCrl } from "./publish-crl.ts";

// who keeps the keys
export { keysFromDirectory, readPassphraseFile } from "./keys.ts";
export type { KeyDirectoryOptions, KeyStore } from "./keys.ts";

// who keeps the records
export { statusOf } from "./record.ts";
export { openSqliteStore } from "./store/sqlite.ts";
export type { SqliteStoreOptions } from "./store/sqlite.ts";
export { openPostgresStore } from "./store/postgres.ts";
export type { PostgresStoreOptions } from "./store/postgres.ts";
export type { AcmeQuery, AcmeReads, AcmeRecord, AcmeWrites } from "./store/acme-records.ts";
export type {
  AuthorityRecord,
  CertificateName,
  CertificateQuery,
  CertificateRecord,
  CertificateStatus,
  CrlRecord,
  IssuerRecord,
  IssuerRole,
  IssuerState,
  NewCertificateRecord,
  RecordReads,
  Records,
  RevocationReason,
  RevocationRecord,
  RevokedCertificate,
  SpentToken,
  Store,
} from "./store/store.ts";

// when something is wrong
export { CaError, caErrors } from "./errors.ts";
export type { CaErrorCode } from "./errors.ts";
