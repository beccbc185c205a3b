import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { createClient } from "@handfast/grpc";
import type { Client } from "@handfast/grpc";
import type { RecordFields } from "@handfast/policy";
import {
  createMutualTls,
  identityFromMemory,
  noIdentity,
  noRevocation,
  nobody,
  trustFromMemory,
} from "@handfast/tls";
import type { MutualTls } from "@handfast/tls";
import { certificatesToPem, encodePrivateKey, generateKeyPair } from "@handfast/x509";
import type { KeyObject } from "node:crypto";
import {
  createAuthority,
  createAuthorityMetrics,
  createAuthorityService,
  defaultProfiles,
  establishAuthority,
  parseServiceName,
  serviceNames,
} from "../../src/index.ts";
import type {
  AuthorityMetrics,
  Authority,
  AuthorityService,
  AuthorityServiceEvent,
  AuthorityServiceOptions,
  IssuedCertificate,
  LeafProfile,
  Store,
  TokenRequest,
} from "../../src/index.ts";
import { Authority as AuthorityDescriptor } from "../../src/gen/handfast/ca/v1/ca_pb.ts";
import { memoryKeys, temporaryStore } from "./fixtures.ts";

/** An authority behind its two listeners on 127.0.0.1, known as localhost. */
export interface OnlineAuthority {
  readonly authority: Authority;
  readonly store: Store;
  readonly service: AuthorityService;
  readonly events: readonly AuthorityServiceEvent[];
  readonly recorded: readonly object[];
  readonly rootsPem: string;
  /** A token for a service of a name. */
  token(name: string, changes?: Partial<TokenRequest>): Promise<string>;
  /** A certificate that was issued offline, with its key. */
  member(name: string, profile?: string): Promise<Member>;
  /** The Authority service, called with a certificate, or with none. */
  client(member: Member | undefined): Promise<Client<typeof AuthorityDescriptor>>;
}

/** Somebody with a certificate. */
export interface Member extends IssuedCertificate {
  readonly privateKey: KeyObject;
  readonly privateKeyPem: string;
}

/** Starts an authority with an empty inventory and puts it online; stopped after the test. */
export async function onlineAuthority(
  context: TestContext,
  {
    metrics = createAuthorityMetrics(),
    revocationUrl,
    beforeRecord = () => Promise.resolve(),
    ...options
  }: Partial<AuthorityServiceOptions> & {
    readonly metrics?: AuthorityMetrics;
    readonly revocationUrl?: string;
    /** Holds an act up before it is told to the audit, and so its answer. */
    readonly beforeRecord?: (fields: RecordFields) => Promise<void>;
  } = {},
): Promise<OnlineAuthority> {
  const { store } = temporaryStore(context);
  const keys = memoryKeys();
  const events: AuthorityServiceEvent[] = [];
  const recorded: object[] = [];
  const audit = metrics.counting({
    async append(_kind, fields) {
      await beforeRecord(fields);
      recorded.push(fields);
      return { chain: "", seq: recorded.length };
    },
  });
  const requester = "local:test";
  const profiles = defaultProfiles();
  const { peer } = profiles;
  assert.ok(peer);
  const brief: LeafProfile = { ...peer, validitySeconds: 600, revocation: "unavailable" };
  await establishAuthority({ store, keys, trustDomain: "handfast.internal", requester });
  const authority = await createAuthority({
    store,
    keys,
    audit,
    profiles: { ...profiles, brief },
    ...(revocationUrl === undefined ? {} : { revocationUrl }),
  });
  const service = await createAuthorityService({
    authority,
    names: ["localhost"],
    enrolment: loopback,
    authorityListener: loopback,
    audit,
    onEvent: (event) => void events.push(event),
    ...options,
  });
  context.after(() => service.shutdown({ graceMs: 0 }));
  const rootsPem = certificatesToPem(await authority.roots());
  const runtimes: MutualTls[] = [];
  context.after(() => Promise.all(runtimes.map((tls) => tls.close())));

  const namesOf = (name: string) =>
    serviceNames(parseServiceName(name), { trustDomain: "handfast.internal" });
  return {
    authority,
    store,
    service,
    events,
    recorded,
    rootsPem,
    token: (name, changes = {}) =>
      authority.createToken({
        audience: service.enrolmentUrl,
        subject: { commonName: name },
        names: namesOf(name),
        requester,
        ...changes,
      }),
    async member(name, profile = "peer") {
      const { publicKey, privateKey } = generateKeyPair();
      const issued = await authority.issue({
        publicKey,
        profile,
        subject: { commonName: name },
        names: namesOf(name),
        requester,
      });
      return { ...issued, privateKey, privateKeyPem: encodePrivateKey(privateKey) };
    },
    async client(member) {
      const tls = await createMutualTls({
        identity:
          member === undefined
            ? noIdentity()
            : identityFromMemory({
                certificateChain: member.chainPem,
                privateKey: member.privateKeyPem,
              }),
        trust: trustFromMemory(rootsPem),
        revocation: noRevocation(),
        admit: nobody(),
      });
      runtimes.push(tls);
      return createClient(AuthorityDescriptor, {
        target: member === undefined ? service.enrolmentUrl.slice(8) : service.authorityTarget,
        tls,
        retry: "never",
      });
    },
  };
}

const loopback = { host: "127.0.0.1", port: 0 };
